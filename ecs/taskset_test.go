package ecs

import (
	"fmt"
	"strings"
	"testing"

	api "berth/api/ecs"
	"berth/elbv2"
	"berth/store"
)

// newSetWorld has a machine that carries traffic and the service web, which has task sets, of four tasks.
func newSetWorld(t *testing.T) *world {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.register(balancedDefinition)
	w.register(balancedDefinition)
	w.write(func(tx *store.Tx) {
		elbv2.Ingresses.Put(tx, elbv2.Ingress{Account: testAccount, Region: testRegion, Instance: testIngress, Connected: true})
	})
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","desiredCount":4,"deploymentController":{"type":"EXTERNAL"}}`)))(t)
	return w
}

func (w *world) addSet(more string) api.TaskSet {
	w.t.Helper()
	w.clock = w.clock.Add(1e9)
	return *must(w.CreateTaskSet(w.ctx, input[api.CreateTaskSetRequest](w.t, `{"cluster":"default","service":"web",`+more+`}`)))(w.t).TaskSet
}

func (w *world) scaleSet(set api.TaskSet, percent float64) {
	w.t.Helper()
	must(w.UpdateTaskSet(w.ctx, &api.UpdateTaskSetRequest{
		Cluster: new("default"), Service: new("web"), TaskSet: set.Id, Scale: &api.Scale{Value: &percent, Unit: api.ScaleUnitPercent},
	}))(w.t)
}

// wantSets checks the task sets: status, definition, running of computed, stability.
func (w *world) wantSets(want ...string) {
	w.t.Helper()
	var got []string
	for _, s := range must(w.DescribeTaskSets(w.ctx, &api.DescribeTaskSetsRequest{Cluster: new("default"), Service: new("web")}))(w.t).TaskSets {
		name := (*s.TaskDefinition)[strings.LastIndexByte(*s.TaskDefinition, '/')+1:]
		got = append(got, fmt.Sprintf("%s %s %d/%d %s", *s.Status, name, *s.RunningCount, *s.ComputedDesiredCount, s.StabilityStatus))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Fatalf("task sets are\n %s, want\n %s\nevents %s", strings.Join(got, "\n "), strings.Join(want, "\n "), strings.Join(w.events("web"), "\n "))
	}
}

func TestTaskSetsShareAService(t *testing.T) {
	w := newSetWorld(t)
	w.play(2, "web", always("healthy"))
	blue, green := w.group("blue", true), w.group("green", true)
	first := w.addSet(`"taskDefinition":"web:1","externalId":"v1","scale":{"value":100,"unit":"PERCENT"},"loadBalancers":[` + entry(blue) + `]`)
	w.wantSets("ACTIVE web:1 0/4 STABILIZING")
	w.play(3, "web", always("healthy"))
	w.wantSets("ACTIVE web:1 4/4 STEADY_STATE")
	w.hasEvent("web", "(service web) has started 4 tasks: ")
	w.hasEvent("web", "(service web) has reached a steady state.")
	must(w.UpdateServicePrimaryTaskSet(w.ctx, &api.UpdateServicePrimaryTaskSetRequest{Cluster: new("default"), Service: new("web"), PrimaryTaskSet: first.Id}))(t)
	v := w.service("web")
	if !strings.HasSuffix(value(v.TaskDefinition), "/web:1") || len(v.LoadBalancers) != 1 || v.LaunchType != api.LaunchTypeEC2 || len(v.Deployments) != 0 ||
		len(v.TaskSets) != 1 || *v.RunningCount != 4 || v.DeploymentController.Type != api.DeploymentControllerTypeExternal {
		t.Errorf("the service shows %+v", v)
	}
	second := w.addSet(`"taskDefinition":"web:2","externalId":"v2","scale":{"value":29},"loadBalancers":[` + entry(green) + `]`)
	w.play(3, "web", always("healthy"))
	w.wantSets("PRIMARY web:1 4/4 STEADY_STATE", "ACTIVE web:2 2/2 STEADY_STATE")
	w.hasEvent("web", "(service web, taskSet "+*second.Id+") has started 2 tasks: ")
	for _, c := range w.tasks(Task.Active) {
		at := elbv2.TargetsOf(w.store.Read(), string(c.ARN()))
		if want := map[string]string{*first.Id: blue.Key(), *second.Id: green.Key()}[c.StartedBy]; len(at) != 1 || at[0].Group != want {
			t.Errorf("task of %s is at %+v", c.StartedBy, at)
		}
	}
	w.scaleSet(second, 100)
	w.wantSets("PRIMARY web:1 4/4 STEADY_STATE", "ACTIVE web:2 2/4 STABILIZING")
	w.play(3, "web", always("healthy"))
	must(w.UpdateServicePrimaryTaskSet(w.ctx, &api.UpdateServicePrimaryTaskSetRequest{Cluster: new("default"), Service: new("web"), PrimaryTaskSet: second.TaskSetArn}))(t)
	w.wantSets("PRIMARY web:2 4/4 STEADY_STATE", "ACTIVE web:1 4/4 STEADY_STATE")
	w.update(`{"service":"web","desiredCount":2}`)
	w.play(4, "web", always("healthy"))
	w.wantSets("PRIMARY web:2 2/2 STEADY_STATE", "ACTIVE web:1 2/2 STEADY_STATE")
	if got := w.why("web"); !got.Steady || len(got.Reasons) != 2 {
		t.Errorf("why: %+v", got)
	}
	stopped := w.tasks(func(c Task) bool { return c.Desired == StateStopped && c.StartedBy == *first.Id })[0]
	if want := "Scaling activity initiated by (deployment " + *first.Id + ")"; stopped.StopReason != want {
		t.Errorf("stopped for %q, want %q", stopped.StopReason, want)
	}
}

func TestTaskSetsAreDeleted(t *testing.T) {
	w := newSetWorld(t)
	one, two := w.addSet(`"taskDefinition":"web:1","scale":{"value":100}`), w.addSet(`"taskDefinition":"web:2"`)
	must(w.UpdateServicePrimaryTaskSet(w.ctx, &api.UpdateServicePrimaryTaskSetRequest{Cluster: new("default"), Service: new("web"), PrimaryTaskSet: one.Id}))(t)
	w.play(2, "web", always("healthy"))
	remove := func(set api.TaskSet, force bool) string {
		out, err := w.DeleteTaskSet(w.ctx, &api.DeleteTaskSetRequest{Cluster: new("default"), Service: new("web"), TaskSet: set.Id, Force: &force})
		if err != nil {
			return err.Error()
		}
		return *out.TaskSet.Status
	}
	if got := remove(one, false); !strings.Contains(got, "primary task set") {
		t.Errorf("the primary set: %s", got)
	}
	if _, err := w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web")}); err == nil {
		t.Error("a service with task sets was deleted")
	}
	if got := remove(two, false); got != "DRAINING" {
		t.Errorf("an empty set: %s", got)
	}
	w.play(1, "web", always("healthy"))
	w.wantSets("PRIMARY web:1 4/4 STABILIZING")
	if got := remove(one, true); got != "DRAINING" {
		t.Errorf("the primary set, forced: %s", got)
	}
	w.wantSets("DRAINING web:1 4/0 STABILIZING")
	w.play(3, "web", always("healthy"))
	w.wantSets()
	if got := remove(one, true); !strings.Contains(got, "TaskSetNotFoundException") {
		t.Errorf("a set that is gone: %s", got)
	}
	w.update(`{"service":"web","desiredCount":0}`)
	must(w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web")}))(t)
	w.play(1, "web", always("healthy"))
	if v := w.service("web"); *v.Status != "INACTIVE" {
		t.Errorf("the service is %s", *v.Status)
	}
}

func TestAServiceIsDeletedWithItsTaskSets(t *testing.T) {
	w := newSetWorld(t)
	w.addSet(`"taskDefinition":"web:1","scale":{"value":100}`)
	w.addSet(`"taskDefinition":"web:2","scale":{"value":50}`)
	w.play(2, "web", always("healthy"))
	must(w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web"), Force: new(true)}))(t)
	w.play(3, "web", always("healthy"))
	if v := w.service("web"); *v.Status != "INACTIVE" || *v.RunningCount != 0 || len(v.TaskSets) != 0 {
		t.Errorf("the service is %s with %d tasks, %d task sets", *v.Status, *v.RunningCount, len(v.TaskSets))
	}
}

func TestTaskSetsWithoutRoomAreToldOnce(t *testing.T) {
	w := newSetWorld(t)
	w.register(`{"family":"big","containerDefinitions":[{"name":"app","image":"app:1","memory":5000}]}`)
	w.register(`{"family":"fast","containerDefinitions":[{"name":"app","image":"app:1","memory":10,"cpu":5000}]}`)
	a := w.addSet(`"taskDefinition":"big","scale":{"value":100}`)
	b := w.addSet(`"taskDefinition":"fast","scale":{"value":100}`)
	w.play(4, "web", always("healthy"))
	all := strings.Join(w.events("web"), "\n")
	for _, text := range []string{*a.Id + ") was unable to place a task", *b.Id + ") was unable to place a task"} {
		if n := strings.Count(all, text); n != 1 {
			t.Errorf("%d times %q in\n%s", n, text, all)
		}
	}
}

func TestTaskSetsAreChecked(t *testing.T) {
	w := newSetWorld(t)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"own","taskDefinition":"web","desiredCount":0}`)))(t)
	const web = `"cluster":"default","service":"web"`
	for _, row := range []struct{ operation, in, want string }{
		{"CreateService", `{"serviceName":"x","deploymentController":{"type":"EXTERNAL"},"taskDefinition":"web"}`, "taskDefinition cannot be specified"},
		{"CreateService", `{"serviceName":"x","deploymentController":{"type":"EXTERNAL"},"launchType":"EC2"}`, "launchType cannot be specified"},
		{"CreateService", `{"serviceName":"x","deploymentController":{"type":"EXTERNAL"},"schedulingStrategy":"DAEMON"}`, "DAEMON"},
		{"CreateService", `{"serviceName":"x","deploymentController":{"type":"EXTERNAL"},"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":false}}}`, "deploymentCircuitBreaker cannot"},
		{"CreateService", `{"serviceName":"x","deploymentController":{"type":"EXTERNAL"},"availabilityZoneRebalancing":"ENABLED"}`, "the EXTERNAL deployment controller"},
		{"CreateService", `{"serviceName":"x","deploymentController":{"type":"CODE_DEPLOY"},"taskDefinition":"web","desiredCount":1}`, "deploymentController CODE_DEPLOY is not supported"},
		{"UpdateService", `{"service":"web","taskDefinition":"web:2"}`, "taskDefinition cannot be specified"},
		{"UpdateService", `{"service":"web","forceNewDeployment":true}`, "forceNewDeployment cannot be specified"},
		{"UpdateService", `{"service":"own","deploymentController":{"type":"EXTERNAL"}}`, "another deploymentController"},
		{"CreateTaskSet", `{"cluster":"default","service":"own","taskDefinition":"web"}`, msgNotExternal},
		{"CreateTaskSet", `{"cluster":"default","service":"none","taskDefinition":"web"}`, "ServiceNotFoundException"},
		{"CreateTaskSet", `{` + web + `,"taskDefinition":"none"}`, "ClientException"},
		{"CreateTaskSet", `{` + web + `,"taskDefinition":"web","scale":{"value":101}}`, "between 0.0 and 100.0"},
		{"CreateTaskSet", `{` + web + `,"taskDefinition":"web","launchType":"FARGATE"}`, "launchType FARGATE"},
		{"CreateTaskSet", `{` + web + `,"taskDefinition":"web","loadBalancers":[{"targetGroupArn":"arn:x","containerName":"app","containerPort":80}]}`, "Unable to assume role"},
		{"UpdateTaskSet", `{` + web + `,"taskSet":"ecs-svc/1","scale":{"value":1}}`, "TaskSetNotFoundException"},
		{"DeleteTaskSet", `{` + web + `,"taskSet":"x"}`, "TaskSetNotFoundException"},
		{"UpdateServicePrimaryTaskSet", `{` + web + `,"primaryTaskSet":"ecs-svc/"}`, "TaskSetNotFoundException"},
		{"DescribeTaskSets", `{"cluster":"default","service":"own"}`, msgNotExternal},
	} {
		if got := w.call(row.operation, row.in); !strings.Contains(got, row.want) {
			t.Errorf("%s %s: %s, want %s", row.operation, row.in, got, row.want)
		}
	}
	one := w.addSet(`"taskDefinition":"web","clientToken":"t"`)
	if again := w.addSet(`"taskDefinition":"web","clientToken":"t"`); *again.Id != *one.Id {
		t.Error("the same token made another task set")
	}
	if got := w.call("CreateTaskSet", `{`+web+`,"taskDefinition":"web:1","clientToken":"t"}`); !strings.Contains(got, "not idempotent") {
		t.Errorf("the token for another set: %s", got)
	}
	for range 4 {
		w.addSet(`"taskDefinition":"web"`)
	}
	if got := w.call("CreateTaskSet", `{`+web+`,"taskDefinition":"web"}`); !strings.Contains(got, "5 deployments exist on the service.") {
		t.Errorf("a sixth: %s", got)
	}
	must(w.TagResource(w.ctx, input[api.TagResourceRequest](t, `{"resourceArn":"`+*one.TaskSetArn+`","tags":[{"key":"a","value":"b"}]}`)))(t)
	out := must(w.DescribeTaskSets(w.ctx, input[api.DescribeTaskSetsRequest](t, `{`+web+`,"taskSets":["`+*one.TaskSetArn+`","ecs-svc/1"],"include":["TAGS"]}`)))(t)
	if len(out.TaskSets) != 1 || len(out.TaskSets[0].Tags) != 1 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
		t.Errorf("described %+v", out)
	}
}
