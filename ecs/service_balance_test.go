package ecs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/elbv2"
	"berth/reconcile"
	"berth/store"
)

const (
	balancedDefinition = `{"family":"web","containerDefinitions":[{"name":"app","image":"app:1","memory":10,"cpu":1,"portMappings":[{"containerPort":80}]}]}`
	testIngress        = "arn:aws:ecs:eu-west-1:111122223333:container-instance/default/ingress"
)

// group makes a target group; with a load balancer if it says so.
func (w *world) group(name string, used bool) elbv2.TargetGroup {
	w.t.Helper()
	g := elbv2.TargetGroup{Account: testAccount, Region: testRegion, Name: name, ID: fmt.Sprintf("%016x", len(name)), Protocol: "HTTP", Port: 80, TargetType: "instance"}
	w.write(func(tx *store.Tx) {
		elbv2.TargetGroups.Put(tx, g)
		if used {
			l := elbv2.Listener{LoadBalancer: testAccount + "/" + testRegion + "/app/lb/0000000000000001", ID: "l-" + name, Port: 80, Protocol: "HTTP"}
			l.DefaultActions = slices.Grow(l.DefaultActions, 1)[:1]
			l.DefaultActions[0].Type, l.DefaultActions[0].TargetGroupArn = "forward", new(g.ARN().String())
			elbv2.Listeners.Put(tx, l)
		}
	})
	return g
}

func (w *world) write(f func(tx *store.Tx)) {
	w.t.Helper()
	if err := w.store.Update(w.ctx, func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// newBalancedWorld has a machine that carries traffic, and a service of n tasks in the target group web.
func newBalancedWorld(t *testing.T, n int, more string) (*world, elbv2.TargetGroup) {
	w := newWorld(t)
	return w, w.balanced(n, more)
}

func (w *world) balanced(n int, more string) elbv2.TargetGroup {
	w.t.Helper()
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.register(balancedDefinition)
	w.register(balancedDefinition)
	g := w.group("web", true)
	w.write(func(tx *store.Tx) {
		elbv2.Ingresses.Put(tx, elbv2.Ingress{Account: testAccount, Region: testRegion, Instance: testIngress, Connected: true})
	})
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](w.t, fmt.Sprintf(
		`{"serviceName":"web","taskDefinition":"web:1","desiredCount":%d,"loadBalancers":[%s]%s}`, n, entry(g), more))))(w.t)
	return g
}

func entry(g elbv2.TargetGroup) string {
	return fmt.Sprintf(`{"targetGroupArn":"%s","containerName":"app","containerPort":80}`, g.ARN())
}

// play lets machines do what their assignments say, the ingress check targets, and the reconcilers work, a second each time. The function
// gives a target's state by its task; drained targets go.
func (w *world) play(n int, service string, health func(Task) string) {
	w.t.Helper()
	for range n {
		w.schedule(service)
		w.assigned()
		w.schedule(service)
		w.ingress(health)
		w.clock = w.clock.Add(time.Second)
	}
	w.schedule(service)
}

// assigned plays the machines by their assignments.
func (w *world) assigned() {
	w.t.Helper()
	for _, t := range w.tasks(Task.Active) {
		if c, _ := ContainerInstances.Get(w.store.Read(), t.InstanceKey()); !c.Connected {
			continue
		}
		tasks, _ := AssignmentFor(w.store.Read(), t.InstanceKey())
		i := slices.IndexFunc(tasks, func(p proto.Task) bool { return p.Arn == string(t.ARN()) })
		w.write(func(tx *store.Tx) {
			if err := ApplyReport(tx, t.InstanceKey(), w.reported(t, tasks[i].DesiredStatus), w.clock); err != nil {
				w.t.Error(err)
			}
		})
	}
}

// reported is what a task's machine says of it when it has done what is desired.
func (w *world) reported(t Task, desired string) proto.TaskStatus {
	port := int32(32768 + len(w.tasks(func(o Task) bool { return o.ID < t.ID })))
	return proto.TaskStatus{Arn: string(t.ARN()), LastStatus: desired, StartedAt: w.clock, Containers: []proto.ContainerStatus{{Name: "app", LastStatus: "RUNNING",
		NetworkBindings: []api.NetworkBinding{{BindIP: new("0.0.0.0"), ContainerPort: new(int32(80)), HostPort: new(port), Protocol: "tcp"}}}}}
}

func (w *world) ingress(health func(Task) string) {
	w.t.Helper()
	var keys []string
	for target := range elbv2.Targets.All(w.store.Read()) {
		key, _ := taskKeyOf(target.By)
		task, _ := Tasks.Get(w.store.Read(), key)
		state := health(task)
		switch {
		case target.Draining != 0 && state == "busy":
			state = proto.TargetDraining
		case target.Draining != 0:
			state = proto.TargetDrained
		case state == "busy":
			state = proto.TargetHealthy
		}
		w.write(func(tx *store.Tx) { says(tx, target, state, "") })
		keys = append(keys, target.Key())
	}
	now := w.store.Read().Revision()
	w.write(func(tx *store.Tx) { follows(tx, now) })
	v := w.balancing()
	for _, key := range keys {
		if _, err := v.Reconcile(w.ctx, key); err != nil {
			w.t.Fatal(err)
		}
	}
	w.leave()
}

// follows is what the ingress reports when its traffic goes by what was written up to a revision.
func follows(tx *store.Tx, revision int64) {
	elbv2.ApplyReport(tx, testIngress, proto.IngressReport{Revision: uint64(revision)}, time.Time{})
}

// says is what the ingress reports of a target.
func says(tx *store.Tx, t elbv2.Target, state, probe string) {
	_, group, _ := strings.Cut(t.Group, testRegion+"/")
	st := proto.TargetStatus{Group: "targetgroup/" + group, Target: t.Name(), Since: t.Registered, State: state, Probe: probe}
	if state == proto.TargetUnhealthy {
		st.Reason, st.Description = "Target.ResponseCodeMismatch", "Health checks failed with these codes: [500]"
	}
	i, _ := elbv2.Ingresses.Get(tx, testIngress)
	elbv2.ApplyReport(tx, testIngress, proto.IngressReport{Revision: i.Revision, Targets: []proto.TargetStatus{st}}, time.UnixMilli(t.Registered))
}

// balancing ends the draining of targets.
func (w *world) balancing() reconcile.Reconciler {
	return elbv2.New(elbv2.Deps{
		Store: w.store, Now: func() time.Time { return w.clock },
		Machine: func(store.Reader, string, string, string) (elbv2.Machine, bool) {
			return elbv2.Machine{Host: "10.0.0.1"}, true
		},
	}).Reconcilers()[0]
}

func (w *world) leave() {
	w.t.Helper()
	for _, t := range w.tasks(func(t Task) bool { return true }) {
		if _, err := (LeaveReconciler{store: w.store, now: w.now}).Reconcile(w.ctx, t.Key()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func targets(w *world) (out []elbv2.Target) {
	for t := range elbv2.Targets.All(w.store.Read()) {
		out = append(out, t)
	}
	return out
}

func TestBalancedServiceIsSteadyWhenItsTargetsAreHealthy(t *testing.T) {
	w, g := newBalancedWorld(t, 2, "")
	w.play(2, "web", always("initial"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 IN_PROGRESS 2/0 failed=0")
	all := targets(w)
	if len(all) != 2 || all[0].ID == "" || all[0].Port < 32768 || all[0].Group != g.Key() || all[0].By == "" {
		t.Fatalf("targets %+v", all)
	}
	w.clock = w.clock.Add(time.Hour)
	w.play(1, "web", always("initial"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 IN_PROGRESS 2/0 failed=0")
	w.play(1, "web", always("healthy"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	w.hasEvent("web", fmt.Sprintf("(service web) registered 2 targets in (target-group %s)", g.ARN()))
	v := w.service("web")
	if len(v.LoadBalancers) != 1 || *v.LoadBalancers[0].TargetGroupArn != string(g.ARN()) || *v.HealthCheckGracePeriodSeconds != 0 ||
		*v.RoleArn != "arn:aws:iam::111122223333:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS" {
		t.Errorf("shown %+v", v)
	}
	revision := must(w.DescribeServiceRevisions(w.ctx, &api.DescribeServiceRevisionsRequest{ServiceRevisionArns: []string{*v.CurrentServiceRevisions[0].Arn}}))(t)
	if lbs := revision.ServiceRevisions[0].LoadBalancers; len(lbs) != 1 || *lbs[0].ContainerPort != 80 {
		t.Errorf("revision %+v", lbs)
	}
}

// An old task goes only when a new one's target is healthy, and it runs on until its own target is drained.
func TestRollingUpdateBehindALoadBalancer(t *testing.T) {
	w, _ := newBalancedWorld(t, 2, "")
	w.play(3, "web", always("healthy"))
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.play(3, "web", func(t Task) string {
		if t.Revision == 2 {
			return "initial"
		}
		return "healthy"
	})
	w.want("web", "ACTIVE 2/4/0 PRIMARY web:2 IN_PROGRESS 2/0 failed=0 ACTIVE web:1 COMPLETED 2/0 failed=0")
	busy := func(t Task) string {
		if t.Revision == 1 {
			return "busy"
		}
		return "healthy"
	}
	w.play(3, "web", busy)
	for _, task := range w.tasks(func(t Task) bool { return t.Revision == 1 }) {
		sent, _ := AssignmentFor(w.store.Read(), task.InstanceKey())
		for _, p := range sent {
			if p.DesiredStatus != "RUNNING" {
				t.Errorf("%s is to stop while its connections are open", p.Arn)
			}
		}
		if got := w.describe("default", task.ID); *got.LastStatus != "DEACTIVATING" || *got.DesiredStatus != "STOPPED" {
			t.Errorf("old task %s, %s", *got.LastStatus, *got.DesiredStatus)
		}
	}
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
	w.hasEvent("web", "has begun draining connections on 2 tasks.")
	w.hasEvent("web", "deregistered 2 targets in (target-group ")
	w.play(3, "web", always("healthy"))
	if left := w.tasks(Task.Active); len(left) != 2 || len(targets(w)) != 2 {
		t.Errorf("%d tasks, %d targets left", len(left), len(targets(w)))
	}
}

func TestUnhealthyTargetIsReplacedOutsideTheGracePeriod(t *testing.T) {
	w, g := newBalancedWorld(t, 1, `,"healthCheckGracePeriodSeconds":30`)
	w.play(3, "web", always("healthy"))
	victim, at := w.tasks(Task.Active)[0], targets(w)[0].ID
	sick := func(t Task) string {
		if t.ID == victim.ID {
			return "unhealthy"
		}
		return "healthy"
	}
	w.play(5, "web", sick)
	if n := len(w.tasks(Task.Active)); n != 1 {
		t.Fatalf("%d tasks in the grace period", n)
	}
	w.clock = w.clock.Add(30 * time.Second)
	w.play(5, "web", sick)
	got := w.describe("default", victim.ID)
	if want := fmt.Sprintf("Task failed ELB health checks in (target-group %s)", g.ARN()); *got.StoppedReason != want || *got.LastStatus != "STOPPED" {
		t.Errorf("the task is %s: %s", *got.LastStatus, *got.StoppedReason)
	}
	w.want("web", "ACTIVE 1/1/0 PRIMARY web:1 COMPLETED 1/0 failed=0")
	want := fmt.Sprintf("(service web) (task %s) (instance %s) (port 32768) is unhealthy in (target-group %s) due to (reason Health checks failed with these codes: [500])",
		victim.ID, at, g.ARN())
	w.hasEvent("web", want)
}

// StopTask drains, then stops; a container that has exited is not waited for.
func TestStopTaskLeavesTheLoadBalancerFirst(t *testing.T) {
	w, _ := newBalancedWorld(t, 2, "")
	w.play(3, "web", always("healthy"))
	a, b := w.tasks(Task.Active)[0], w.tasks(Task.Active)[1]
	out := must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(a.ID)}))(t)
	if *out.Task.LastStatus != "DEACTIVATING" || *out.Task.DesiredStatus != "STOPPED" {
		t.Errorf("stopped task shows %s, %s", *out.Task.LastStatus, *out.Task.DesiredStatus)
	}
	w.play(2, "web", always("busy"))
	if got := w.describe("default", a.ID); *got.LastStatus != "DEACTIVATING" {
		t.Errorf("with open connections the task is %s", *got.LastStatus)
	}
	w.write(func(tx *store.Tx) {
		st := proto.TaskStatus{Arn: string(b.ARN()), LastStatus: "STOPPED", Containers: []proto.ContainerStatus{{Name: "app", LastStatus: "STOPPED", ExitCode: new(int32(1))}}}
		if err := ApplyReport(tx, b.InstanceKey(), st, w.clock); err != nil {
			t.Error(err)
		}
	})
	for _, target := range elbv2.TargetsOf(w.store.Read(), string(b.ARN())) {
		if target.Draining == 0 {
			t.Error("the target of a task that has exited gets traffic")
		}
	}
	w.play(3, "web", always("healthy"))
	for _, id := range []string{a.ID, b.ID} {
		if got := w.describe("default", id); *got.LastStatus != "STOPPED" {
			t.Errorf("in the end %s is %s", id, *got.LastStatus)
		}
	}
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
}

func TestForcedDeleteDrainsBeforeTheServiceIsInactive(t *testing.T) {
	w, _ := newBalancedWorld(t, 2, "")
	w.play(3, "web", always("healthy"))
	must(w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web"), Force: new(true)}))(t)
	w.play(3, "web", always("busy"))
	w.want("web", "DRAINING 0/0/0 PRIMARY web:1 COMPLETED 0/0 failed=0")
	w.play(2, "web", always("healthy"))
	w.want("web", "INACTIVE 0/0/0")
	if left := targets(w); len(left) != 0 {
		t.Errorf("targets left: %+v", left)
	}
}

func TestFailingTargetsTripTheBreaker(t *testing.T) {
	w, _ := newBalancedWorld(t, 2, `,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true}}`)
	w.play(3, "web", always("healthy"))
	old := fmt.Sprint(idsOf(w.tasks(Task.Active)))
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.play(20, "web", func(t Task) string {
		if t.Revision == 2 {
			return "unhealthy"
		}
		return "healthy"
	})
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	if now := fmt.Sprint(idsOf(w.tasks(Task.Active))); now != old {
		t.Errorf("tasks %s, want %s", now, old)
	}
}

func TestLoadBalancersChangeWithADeployment(t *testing.T) {
	w, web := newBalancedWorld(t, 1, "")
	w.play(3, "web", always("healthy"))
	other := w.group("other", true)
	w.update(fmt.Sprintf(`{"service":"web","loadBalancers":[%s]}`, entry(web)))
	if n := len(w.service("web").Deployments); n != 1 {
		t.Errorf("the same load balancers start a deployment: %d", n)
	}
	w.update(fmt.Sprintf(`{"service":"web","loadBalancers":[%s,%s]}`, entry(web), entry(other)))
	if n := len(w.service("web").Deployments); n != 2 {
		t.Errorf("%d deployments, want 2", n)
	}
	w.play(6, "web", always("healthy"))
	w.want("web", "ACTIVE 1/1/0 PRIMARY web:1 COMPLETED 1/0 failed=0")
	if n := len(targets(w)); n != 2 {
		t.Errorf("%d targets, want one in each group", n)
	}
	w.update(`{"service":"web","loadBalancers":[]}`)
	w.play(3, "web", always("healthy"))
	w.clock = w.clock.Add(settleTime)
	w.play(3, "web", always("healthy"))
	w.want("web", "ACTIVE 1/1/0 PRIMARY web:1 COMPLETED 1/0 failed=0")
	if v := w.service("web"); len(targets(w)) != 0 || len(v.LoadBalancers) != 0 {
		t.Errorf("targets %+v, load balancers %+v", targets(w), v.LoadBalancers)
	}
}

func TestGroupsWithoutListenerAndGroupsThatAreGoneAreTold(t *testing.T) {
	w, g := newBalancedWorld(t, 1, "")
	w.play(3, "web", always("healthy"))
	w.write(func(tx *store.Tx) {
		for l := range elbv2.Listeners.All(tx) {
			elbv2.Listeners.Delete(tx, l.Key())
		}
	})
	w.play(3, "web", always("initial"))
	w.hasEvent("web", "no listener forwards to it")
	w.write(func(tx *store.Tx) { elbv2.TargetGroups.Delete(tx, g.Key()) })
	w.play(3, "web", always("initial"))
	w.hasEvent("web", "TARGET GROUP IS NOT FOUND")
	if n := len(w.tasks(Task.Active)); n != 1 {
		t.Errorf("%d tasks", n)
	}
	if n := strings.Count(strings.Join(w.events("web"), "\n"), "no listener"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestLoadBalancersAreChecked(t *testing.T) {
	w, g := newBalancedWorld(t, 1, "")
	unused, ip := w.group("unused", false), w.group("ip", true)
	ip.TargetType = "ip"
	w.write(func(tx *store.Tx) { elbv2.TargetGroups.Put(tx, ip) })
	const unknown = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/no/0000000000000000"
	many := strings.TrimSuffix(strings.Repeat(entry(g)+",", 6), ",")
	for _, row := range []struct{ lbs, want string }{
		{`{"targetGroupArn":"` + unknown + `","containerName":"app","containerPort":80}`,
			"InvalidParameterException: Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role being passed has the proper permissions."},
		{`{"targetGroupArn":"x","containerName":"app","containerPort":80}`,
			"InvalidParameterException: Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role being passed has the proper permissions."},
		{entry(unused), "InvalidParameterException: The target group with targetGroupArn " + string(unused.ARN()) + " does not have an associated load balancer."},
		{entry(ip), "InvalidParameterException: The provided target group " + string(ip.ARN()) + " has target type ip, which is incompatible with the bridge network mode specified in the task definition."},
		{`{"targetGroupArn":"` + string(g.ARN()) + `","containerPort":80}`, "InvalidParameterException: Container Name can not be blank."},
		{`{"targetGroupArn":"` + string(g.ARN()) + `","containerName":"app"}`, "InvalidParameterException: Container Port can not be blank."},
		{`{"containerName":"app","containerPort":80}`, "InvalidParameterException: Target group ARN can not be blank."},
		{`{"targetGroupArn":"` + string(g.ARN()) + `","containerName":"no","containerPort":80}`, "InvalidParameterException: The container no does not exist in the task definition."},
		{`{"targetGroupArn":"` + string(g.ARN()) + `","containerName":"app","containerPort":81}`, "InvalidParameterException: The container app did not have a container port 81 defined."},
		{entry(g) + "," + entry(g), "InvalidParameterException: Duplicate targetGroupArn found: " + string(g.ARN())},
		{many, "InvalidParameterException: loadBalancers can have at most 5 items."},
		{`{"targetGroupArn":"` + string(g.ARN()) + `","containerName":"app","containerPort":80,"advancedConfiguration":{}}`,
			"InvalidParameterException: alternateTargetGroupArn can not be blank."},
	} {
		if got := w.call("CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","loadBalancers":[`+row.lbs+`]}`); got != row.want {
			t.Errorf("create %s: got %q, want %q", row.lbs, got, row.want)
		}
		if got := w.call("UpdateService", `{"service":"web","loadBalancers":[`+row.lbs+`]}`); got != row.want {
			t.Errorf("update %s: got %q, want %q", row.lbs, got, row.want)
		}
	}
	if got, want := w.call("CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","role":"r"}`),
		"InvalidParameterException: IAM roles are only valid for services configured to use load balancers."; got != want {
		t.Errorf("role: got %q, want %q", got, want)
	}
}
