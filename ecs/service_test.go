package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/store"
)

const checkedDefinition = `{"family":"%s","containerDefinitions":[{"name":"app","image":"app:1","memory":10,"cpu":1,
	"healthCheck":{"command":["CMD","/ok"]}}]}`

// schedule lets the service reconciler work until it has nothing more to do at this moment.
func (w *world) schedule(service string) (again time.Duration) {
	w.t.Helper()
	key := ServiceKey(testAccount, testRegion, "default", service)
	for range 100 {
		before := w.store.Read().Revision()
		again = must(ServiceReconciler{w.Service}.Reconcile(w.ctx, key))(w.t)
		if w.store.Read().Revision() == before {
			return again
		}
	}
	w.t.Fatal("the service does not come to rest")
	return 0
}

// agents plays the machines: tasks that should run become RUNNING and have the health that the function gives, tasks
// that should stop are STOPPED. A health of "exit 7" ends the task.
func (w *world) agents(health func(Task) string) {
	w.t.Helper()
	for _, c := range w.tasks(func(t Task) bool { return t.Active() }) {
		st := proto.TaskStatus{Arn: string(c.ARN()), LastStatus: "RUNNING", StartedAt: w.clock,
			Containers: []proto.ContainerStatus{{Name: "app", LastStatus: "RUNNING"}}}
		if h := health(c); c.Desired == StateStopped {
			st.LastStatus = "STOPPED"
		} else if h == "exit 7" {
			st.LastStatus, st.Containers[0].LastStatus, st.Containers[0].ExitCode = "STOPPED", "STOPPED", new(int32(7))
		} else {
			st.Containers[0].HealthStatus = h
		}
		err := w.store.Update(w.ctx, func(tx *store.Tx) error { return ApplyReport(tx, c.InstanceKey(), st, w.clock) })
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) tasks(which func(Task) bool) (out []Task) {
	for t := range Tasks.All(w.store.Read()) {
		if which(t) {
			out = append(out, t)
		}
	}
	return out
}

func always(health string) func(Task) string { return func(Task) string { return health } }

// rounds lets agents and scheduler take turns, a second apart.
func (w *world) rounds(n int, service string, health func(Task) string) {
	w.t.Helper()
	for range n {
		w.schedule(service)
		w.agents(health)
		w.clock = w.clock.Add(time.Second)
	}
	w.schedule(service)
}

func (w *world) service(name string) api.Service {
	w.t.Helper()
	out := must(w.DescribeServices(w.ctx, &api.DescribeServicesRequest{Services: []string{name}}))(w.t)
	if len(out.Services) != 1 {
		w.t.Fatalf("services %v failures %v", out.Services, out.Failures)
	}
	return out.Services[0]
}

// shown is a service in one line: status desired/running/pending, then each deployment with its state.
func shown(v api.Service) string {
	out := fmt.Sprintf("%s %d/%d/%d", *v.Status, *v.DesiredCount, *v.RunningCount, *v.PendingCount)
	for _, d := range v.Deployments {
		name := (*d.TaskDefinition)[strings.LastIndexByte(*d.TaskDefinition, '/')+1:]
		out += fmt.Sprintf(" %s %s %s %d/%d failed=%d", *d.Status, name, d.RolloutState, *d.RunningCount, *d.PendingCount, *d.FailedTasks)
	}
	return out
}

func (w *world) want(name, want string) {
	w.t.Helper()
	if got := shown(w.service(name)); got != want {
		w.t.Fatalf("service is\n %s, want\n %s\nevents: %s", got, want, strings.Join(w.events(name), "\n "))
	}
}

func (w *world) events(name string) (out []string) {
	for _, e := range w.service(name).Events {
		out = append(out, *e.Message)
	}
	return out
}

func (w *world) hasEvent(name, part string) {
	w.t.Helper()
	if all := strings.Join(w.events(name), "\n"); !strings.Contains(all, part) {
		w.t.Errorf("no event %q in\n%s", part, all)
	}
}

// newServiceWorld has a machine, two revisions of the definition web with a health check, and a service of n tasks.
func newServiceWorld(t *testing.T, n int, more string) *world {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.register(fmt.Sprintf(checkedDefinition, "web"))
	w.register(fmt.Sprintf(checkedDefinition, "web"))
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, fmt.Sprintf(`{"serviceName":"web","taskDefinition":"web:1","desiredCount":%d%s}`, n, more))))(t)
	return w
}

func (w *world) update(text string) {
	w.t.Helper()
	must(w.UpdateService(w.ctx, input[api.UpdateServiceRequest](w.t, text)))(w.t)
}

func TestServiceComesUpAndHeals(t *testing.T) {
	w := newServiceWorld(t, 3, "")
	w.want("web", "ACTIVE 3/0/0 PRIMARY web:1 IN_PROGRESS 0/0 failed=0")
	w.schedule("web")
	w.want("web", "ACTIVE 3/0/3 PRIMARY web:1 IN_PROGRESS 0/3 failed=0")
	w.rounds(3, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 3/3/0 PRIMARY web:1 COMPLETED 3/0 failed=0")
	w.hasEvent("web", "(service web) has reached a steady state.")
	victim := w.tasks(Task.Active)[0]
	w.agents(func(t Task) string {
		if t.ID == victim.ID {
			return "exit 7"
		}
		return "HEALTHY"
	})
	w.schedule("web")
	w.want("web", "ACTIVE 3/2/1 PRIMARY web:1 COMPLETED 2/1 failed=0")
	w.rounds(2, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 3/3/0 PRIMARY web:1 COMPLETED 3/0 failed=0")
}

func TestRollingUpdateKeepsMinimumHealthy(t *testing.T) {
	w := newServiceWorld(t, 4, `,"deploymentConfiguration":{"minimumHealthyPercent":50,"maximumPercent":125}`)
	w.rounds(3, "web", always("HEALTHY"))
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	for range 20 {
		w.schedule("web")
		running := w.tasks(func(t Task) bool { return t.Desired == StateRunning })
		healthy := w.tasks(func(t Task) bool { return t.Desired == StateRunning && t.Last == StateRunning })
		if len(running) > 5 || len(healthy) < 2 {
			t.Fatalf("%d tasks, %d healthy", len(running), len(healthy))
		}
		w.agents(always("HEALTHY"))
		w.clock = w.clock.Add(time.Second)
	}
	w.want("web", "ACTIVE 4/4/0 PRIMARY web:2 COMPLETED 4/0 failed=0")
}

func TestCrashingRevisionIsRolledBackAndOldTasksStay(t *testing.T) {
	w := newServiceWorld(t, 3, `,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true}}`)
	w.rounds(3, "web", always("HEALTHY"))
	old := fmt.Sprint(idsOf(w.tasks(Task.Active)))
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.rounds(4, "web", func(t Task) string {
		if t.Revision == 2 {
			return "exit 7"
		}
		return "HEALTHY"
	})
	w.want("web", "ACTIVE 3/3/0 PRIMARY web:1 COMPLETED 3/0 failed=0")
	if now := fmt.Sprint(idsOf(w.tasks(Task.Active))); now != old {
		t.Errorf("tasks %s, want %s", now, old)
	}
	w.hasEvent("web", "deployment failed: tasks failed to start.")
	w.hasEvent("web", "rolling back to deployment ecs-svc/")
	list := must(w.ListServiceDeployments(w.ctx, &api.ListServiceDeploymentsRequest{Service: new("web")}))(t).ServiceDeployments
	if len(list) != 2 || list[0].Status != "ROLLBACK_SUCCESSFUL" || list[1].Status != "SUCCESSFUL" {
		t.Errorf("service deployments %+v", list)
	}
	out := must(w.DescribeServiceDeployments(w.ctx, &api.DescribeServiceDeploymentsRequest{ServiceDeploymentArns: []string{*list[0].ServiceDeploymentArn}}))(t)
	if b := out.ServiceDeployments[0].DeploymentCircuitBreaker; b.Status != "TRIGGERED" || *b.FailureCount != 3 || *b.Threshold != 3 {
		t.Errorf("breaker %+v", b)
	}
}

func idsOf(tasks []Task) (out []string) {
	for _, t := range tasks {
		out = append(out, t.ID)
	}
	return out
}

func TestScaleToZeroAndBackThenDelete(t *testing.T) {
	w := newServiceWorld(t, 3, "")
	w.rounds(3, "web", always("HEALTHY"))
	w.update(`{"service":"web","desiredCount":0}`)
	w.rounds(2, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 0/0/0 PRIMARY web:1 COMPLETED 0/0 failed=0")
	w.update(`{"service":"web","desiredCount":2}`)
	w.rounds(2, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	if _, err := w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web")}); err == nil {
		t.Error("a service above 0 is deleted without force")
	}
	out := must(w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web"), Force: new(true)}))(t)
	if *out.Service.Status != "DRAINING" {
		t.Errorf("status %s", *out.Service.Status)
	}
	w.schedule("web")
	w.want("web", "INACTIVE 0/0/0")
	for _, task := range w.tasks(func(t Task) bool { return true }) {
		if task.Desired == StateStopped && task.StopCode != "ServiceSchedulerInitiated" {
			t.Errorf("task %s stopped for %s", task.ID, task.StopCode)
		}
	}
}

func TestDeleteServiceWaitsForOtherDeploymentsToScaleDown(t *testing.T) {
	w := newServiceWorld(t, 2, "")
	w.rounds(3, "web", always("HEALTHY"))
	w.update(`{"service":"web","desiredCount":0,"taskDefinition":"web:2"}`)
	const want = "InvalidParameterException: The service cannot be stopped while deployments are active."
	if got := w.call("DeleteService", `{"service":"web"}`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.rounds(2, "web", always("HEALTHY"))
	if got := w.call("DeleteService", `{"service":"web"}`); got != "" {
		t.Errorf("after that: %s", got)
	}
}

func TestCreateServiceTwiceIsOneService(t *testing.T) {
	w := newServiceWorld(t, 1, `,"clientToken":"t1"`)
	same := `{"serviceName":"web","taskDefinition":"web:1","desiredCount":1,"clientToken":"t1"}`
	if _, err := w.CreateService(w.ctx, input[api.CreateServiceRequest](t, same)); err != nil {
		t.Error(err)
	}
	for _, other := range []string{
		`{"serviceName":"web","taskDefinition":"web:1","desiredCount":2,"clientToken":"t1"}`,
		`{"serviceName":"web","taskDefinition":"web:1","desiredCount":1,"clientToken":"t2"}`,
		`{"serviceName":"other","taskDefinition":"web:1","desiredCount":1,"clientToken":"t1"}`,
	} {
		_, err := w.CreateService(w.ctx, input[api.CreateServiceRequest](t, other))
		if e := asError(t, err); e.Message != msgNotIdempotent {
			t.Errorf("%s: %v", other, err)
		}
	}
	if n := Services.Len(w.store.Read()); n != 1 {
		t.Errorf("%d services", n)
	}
}

func TestDaemonRunsOnceOnEachMachineAndLeavesDrainingOnes(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	a, b := w.machine("default", "a", 100, 100), w.machine("default", "b", 100, 100)
	w.register(fmt.Sprintf(checkedDefinition, "web"))
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","taskDefinition":"web","schedulingStrategy":"DAEMON"}`)))(t)
	w.rounds(2, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	c := w.machine("default", "c", 100, 100)
	must(w.UpdateContainerInstancesState(w.ctx, &api.UpdateContainerInstancesStateRequest{ContainerInstances: []string{a.ID}, Status: "DRAINING"}))(t)
	w.rounds(2, "web", always("HEALTHY"))
	on := map[string]int{}
	for _, task := range w.tasks(Task.Active) {
		on[task.Instance]++
	}
	if len(on) != 2 || on[b.ID] != 1 || on[c.ID] != 1 {
		t.Errorf("tasks on %v", on)
	}
	// A machine that is silent keeps its task (I-08).
	if err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		silent, _ := ContainerInstances.Get(tx, b.Key())
		silent.Connected = false
		ContainerInstances.Put(tx, silent)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.schedule("web")
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	w.update(`{"service":"web","forceNewDeployment":true}`)
	w.agents(always("HEALTHY"))
	w.schedule("web")
	for _, e := range w.events("web") {
		t.Log(e)
	}
}

func TestTasksWithoutRoomAreSaidOnceAndStartWhenThereIsRoom(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.register(fmt.Sprintf(checkedDefinition, "web"))
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","taskDefinition":"web","desiredCount":2}`)))(t)
	w.rounds(5, "web", always("HEALTHY"))
	if got := w.events("web"); len(got) != 1 || !strings.Contains(got[0], "Reason: No Container Instances were found in your cluster.") {
		t.Errorf("events %q", got)
	}
	m := w.machine("default", "m1", 1, 100)
	w.rounds(5, "web", always("HEALTHY"))
	w.hasEvent("web", "The closest matching (container-instance "+m.ID+") has insufficient CPU units available.")
	w.want("web", "ACTIVE 2/1/0 PRIMARY web:1 IN_PROGRESS 1/0 failed=0")
	keys := ServiceReconciler{w.Service}.instanceChanged(&ContainerInstance{Used: Used{CPU: 2}}, new(must2(ContainerInstances.Get(w.store.Read(), m.Key()))))
	if len(keys) != 1 {
		t.Errorf("room wakes %v", keys)
	}
	w.machine("default", "m2", 1, 100)
	w.rounds(3, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
}

func must2[T any](v T, _ bool) T { return v }

func TestStopServiceDeploymentRollsBack(t *testing.T) {
	w := newServiceWorld(t, 2, "")
	stop := func() error {
		_, err := w.StopServiceDeployment(w.ctx, &api.StopServiceDeploymentRequest{ServiceDeploymentArn: w.service("web").CurrentServiceDeployment})
		return err
	}
	if e := asError(t, stop()); e.Code != codeInvalidParameter {
		t.Errorf("first deployment: %v", e)
	}
	w.rounds(3, "web", always("HEALTHY"))
	if e := asError(t, stop()); e.Code != codeConflict {
		t.Errorf("completed deployment: %v", e)
	}
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.schedule("web")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.rounds(3, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	list := must(w.ListServiceDeployments(w.ctx, &api.ListServiceDeploymentsRequest{Service: new("web"), Status: []api.ServiceDeploymentStatus{"ROLLBACK_SUCCESSFUL"}}))(t)
	if len(list.ServiceDeployments) != 1 {
		t.Errorf("service deployments %+v", list)
	}
	// A new deployment after a rollback works as any other.
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.rounds(4, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
}

func TestUpdateInMidDeploymentReplacesBothPredecessors(t *testing.T) {
	w := newServiceWorld(t, 2, "")
	w.rounds(3, "web", always("HEALTHY"))
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.rounds(1, "web", always("UNKNOWN"))
	w.update(`{"service":"web","forceNewDeployment":true}`)
	if n := len(w.service("web").Deployments); n != 3 {
		t.Errorf("%d deployments, want 3", n)
	}
	w.rounds(6, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
	var states []string
	for _, d := range must(w.ListServiceDeployments(w.ctx, &api.ListServiceDeploymentsRequest{Service: new("web")}))(t).ServiceDeployments {
		states = append(states, string(d.Status))
	}
	if got := strings.Join(states, " "); got != "SUCCESSFUL STOPPED SUCCESSFUL" {
		t.Errorf("service deployments %s", got)
	}
}

// A service that never gets steady shows what is primary, what was last completed, and what still has tasks.
func TestDeploymentsThatWereReplacedAreLeftBehind(t *testing.T) {
	w := newServiceWorld(t, 2, "")
	w.rounds(3, "web", always("HEALTHY"))
	for range 5 {
		w.update(`{"service":"web","forceNewDeployment":true}`)
		w.rounds(2, "web", func(t Task) string {
			if t.deployment() == strings.TrimPrefix(*w.service("web").Deployments[0].Id, deploymentPrefix) {
				return "exit 7"
			}
			return "HEALTHY"
		})
	}
	v := w.service("web")
	if len(v.Deployments) != 2 || v.RunningCount == nil || *v.RunningCount != 2 {
		t.Errorf("%s", shown(v))
	}
	if list := must(w.ListServiceDeployments(w.ctx, &api.ListServiceDeploymentsRequest{Service: new("web")}))(t); len(list.ServiceDeployments) != 6 {
		t.Errorf("%d service deployments are remembered, of 6", len(list.ServiceDeployments))
	}
}

func TestProtectedTasksSurviveScaleIn(t *testing.T) {
	w := newServiceWorld(t, 3, "")
	w.rounds(3, "web", always("HEALTHY"))
	kept := w.tasks(Task.Active)[1]
	out := must(w.UpdateTaskProtection(w.ctx, &api.UpdateTaskProtectionRequest{Tasks: []string{kept.ID}, ProtectionEnabled: new(true), ExpiresInMinutes: new(int32(5))}))(t)
	if len(out.ProtectedTasks) != 1 || out.ProtectedTasks[0].ExpirationDate == nil {
		t.Fatalf("%+v", out)
	}
	w.update(`{"service":"web","desiredCount":0}`)
	again := w.schedule("web")
	if left := w.tasks(func(t Task) bool { return t.Desired == StateRunning }); len(left) != 1 || left[0].ID != kept.ID {
		t.Fatalf("left %v", idsOf(left))
	}
	w.hasEvent("web", "The number of protected tasks are more than the desired count of tasks.")
	if again <= 0 || again > 5*time.Minute {
		t.Errorf("wakes after %s", again)
	}
	w.clock = w.clock.Add(again)
	w.schedule("web")
	if left := w.tasks(func(t Task) bool { return t.Desired == StateRunning }); len(left) != 0 {
		t.Errorf("left after the protection %v", idsOf(left))
	}
}

func TestTaskWithoutChecksIsHealthyAfterFortySeconds(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 100, 100)
	w.register(`{"family":"web","containerDefinitions":[{"name":"app","image":"app:1","memory":10}]}`)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","taskDefinition":"web","desiredCount":1}`)))(t)
	w.schedule("web")
	w.agents(always(""))
	if again := w.schedule("web"); again != settleTime {
		t.Errorf("wakes after %s", again)
	}
	w.want("web", "ACTIVE 1/1/0 PRIMARY web:1 IN_PROGRESS 1/0 failed=0")
	w.clock = w.clock.Add(settleTime)
	w.schedule("web")
	w.want("web", "ACTIVE 1/1/0 PRIMARY web:1 COMPLETED 1/0 failed=0")
}

func TestServiceOperationsRefuse(t *testing.T) {
	w := newServiceWorld(t, 1, "")
	for _, row := range []struct{ op, in, want string }{
		{"CreateService", `{}`, "InvalidParameterException: Service name can not be blank."},
		{"CreateService", `{"serviceName":"x"}`, "InvalidParameterException: desiredCount must be specified"},
		{"CreateService", `{"serviceName":"x","desiredCount":1}`, "InvalidParameterException: TaskDefinition can not be blank."},
		{"CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"none"}`, "ClientException: TaskDefinition not found."},
		{"CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","launchType":"FARGATE"}`, "ClientException: launchType FARGATE is not supported by this Berth yet."},
		{"CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","loadBalancers":[{"loadBalancerName":"a","containerName":"app","containerPort":1}]}`, "ClientException: loadBalancers.loadBalancerName (Classic Load Balancers; use targetGroupArn) is not supported by this Berth yet."},
		{"CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","deploymentController":{"type":"CODE_DEPLOY"}}`, "ClientException: deploymentController CODE_DEPLOY is not supported by this Berth yet."},
		{"CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","deploymentConfiguration":{"strategy":"BLUE_GREEN"}}`, "InvalidParameterException: bakeTimeInMinutes must be specified when the deployment strategy is BLUE_GREEN."},
		{"CreateService", `{"serviceName":"x","schedulingStrategy":"DAEMON","desiredCount":1,"taskDefinition":"web"}`, "InvalidParameterException: The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again"},
		{"CreateService", `{"serviceName":"x","schedulingStrategy":"DAEMON","taskDefinition":"web","placementStrategy":[{"type":"random"}]}`, "InvalidParameterException: The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again"},
		{"CreateService", `{"serviceName":"x","desiredCount":1,"taskDefinition":"web","cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"UpdateService", `{"service":"none"}`, "ServiceNotFoundException: Service not found."},
		{"DeleteService", `{"service":"none"}`, "ServiceNotFoundException: Service not found."},
		{"DeleteService", `{"service":"web"}`, "InvalidParameterException: The service cannot be stopped while it is scaled above 0."},
		{"DescribeServices", `{}`, "InvalidParameterException: Services cannot be empty."},
		{"ListTasks", `{"serviceName":"none"}`, "ServiceNotFoundException: Service not found."},
		{"DeleteCluster", `{"cluster":"default"}`, "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while Container Instances are active or draining."},
		{"UpdateTaskProtection", `{"tasks":["a"],"protectionEnabled":true,"expiresInMinutes":2881}`, "InvalidParameterException: expiresInMinutes must be between 1 and 2880"},
	} {
		if got := w.call(row.op, row.in); got != row.want {
			t.Errorf("%s %s: got %q, want %q", row.op, row.in, got, row.want)
		}
	}
}
