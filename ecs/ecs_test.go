package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/elbv2"
	"berth/servicediscovery"
	"berth/store"
)

const (
	testAccount = "111122223333"
	testRegion  = "eu-west-1"
)

// world is a service on a memory store, with a clock that stands still unless moved.
type world struct {
	*Service
	t     testing.TB
	ctx   context.Context
	clock time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := store.Open(store.Config{Tables: slices.Concat(Tables(), elbv2.Tables(), servicediscovery.Tables())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{t: t, clock: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)}
	w.Service = New(Deps{Store: st, Now: func() time.Time { return w.clock }, Pages: aws.NewPages([]byte("test"))})
	w.ctx = aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))
	return w
}

// must fails the test on an error and returns the value.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// input decodes JSON as the front door does.
func input[T any](t testing.TB, text string) *T {
	t.Helper()
	out := new(T)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func (w *world) cluster(name string) {
	w.t.Helper()
	must(w.CreateCluster(w.ctx, &api.CreateClusterRequest{ClusterName: new(name)}))(w.t)
}

// register registers a definition given as JSON and returns family:revision.
func (w *world) register(text string) string {
	w.t.Helper()
	out := must(w.RegisterTaskDefinition(w.ctx, input[api.RegisterTaskDefinitionRequest](w.t, text)))(w.t)
	return *out.TaskDefinition.Family + ":" + itoa(*out.TaskDefinition.Revision)
}

// machine connects an agent with so much CPU and memory and every capability, and returns its instance.
func (w *world) machine(cluster, name string, cpu, memory int32) ContainerInstance {
	w.t.Helper()
	return w.machineIn(testRegion+"a", cluster, name, cpu, memory)
}

func (w *world) machineIn(zone, cluster, name string, cpu, memory int32) ContainerInstance {
	w.t.Helper()
	hello := proto.Hello{ProtocolVersion: proto.Version, CPU: cpu, Memory: memory, Zone: zone}
	for _, a := range []string{
		remoteAPI + "1.18", remoteAPI + "1.19", remoteAPI + "1.21", remoteAPI + "1.24", capability + "task-cpu-mem-limit",
		capability + "container-health-check", capability + "container-ordering", capabilityAmazon + "logging-driver.awslogs",
		capability + "execution-role-awslogs", capabilityAmazon + "task-iam-role",
	} {
		hello.Attributes = append(hello.Attributes, api.Attribute{Name: new(a)})
	}
	who := Machine{ID: name, Account: testAccount, Region: testRegion, Cluster: cluster}
	return must(w.Connect(w.ctx, who, "session-"+name, hello))(w.t)
}

func (w *world) report(instance ContainerInstance, st proto.TaskStatus) error {
	w.t.Helper()
	return w.store.Update(w.ctx, func(tx *store.Tx) error { return ApplyReport(tx, instance.Key(), st, w.clock) })
}

func (w *world) describe(cluster, task string) api.Task {
	w.t.Helper()
	out := must(w.DescribeTasks(w.ctx, &api.DescribeTasksRequest{Cluster: new(cluster), Tasks: []string{task}}))(w.t)
	if len(out.Tasks) != 1 {
		w.t.Fatalf("describe %s: %d tasks, failures %v", task, len(out.Tasks), out.Failures)
	}
	return out.Tasks[0]
}

const webDefinition = `{"family":"web","containerDefinitions":[{"name":"app","image":"app:1","memory":128,"cpu":10,
	"portMappings":[{"containerPort":80,"hostPort":8080}]},{"name":"side","image":"side:1","memory":64,"essential":false}]}`

func TestTaskGoesFromRunTaskToStopped(t *testing.T) {
	w := newWorld(t)
	w.cluster("web")
	m := w.machine("web", "m1", 2048, 4096)
	w.register(webDefinition)
	run := must(w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"cluster":"web","taskDefinition":"web","startedBy":"me"}`)))(t)
	if len(run.Tasks) != 1 || len(run.Failures) != 0 {
		t.Fatalf("got %d tasks, failures %v", len(run.Tasks), run.Failures)
	}
	arn := *run.Tasks[0].TaskArn

	tasks, definitions := AssignmentFor(w.store.Read(), m.Key())
	if len(tasks) != 1 || tasks[0].Arn != arn || tasks[0].DesiredStatus != "RUNNING" {
		t.Fatalf("assignment %+v", tasks)
	}
	if d, ok := definitions[tasks[0].Definition]; !ok || len(d.ContainerDefinitions) != 2 {
		t.Fatalf("definitions %v", definitions)
	}

	w.clock = w.clock.Add(time.Second)
	running := proto.TaskStatus{Arn: arn, LastStatus: "RUNNING", StartedAt: w.clock, Containers: []proto.ContainerStatus{
		{Name: "app", LastStatus: "RUNNING", RuntimeID: "abc", NetworkBindings: []api.NetworkBinding{
			{BindIP: new("0.0.0.0"), ContainerPort: new(int32(80)), HostPort: new(int32(8080)), Protocol: "tcp"},
			{BindIP: new("::"), ContainerPort: new(int32(80)), HostPort: new(int32(8080)), Protocol: "tcp"},
		}},
		{Name: "side", LastStatus: "RUNNING"},
	}}
	if err := w.report(m, running); err != nil {
		t.Fatal(err)
	}
	got := w.describe("web", arn)
	if *got.LastStatus != "RUNNING" || got.Connectivity != "CONNECTED" || len(got.Containers[0].NetworkBindings) != 2 || *got.Version != 2 {
		t.Fatalf("described %+v", got)
	}

	must(w.StopTask(w.ctx, &api.StopTaskRequest{Cluster: new("web"), Task: new(arn), Reason: new("enough")}))(t)
	tasks, _ = AssignmentFor(w.store.Read(), m.Key())
	if tasks[0].DesiredStatus != "STOPPED" || tasks[0].StoppedReason != "enough" {
		t.Fatalf("assignment %+v", tasks)
	}
	stopped := proto.TaskStatus{Arn: arn, LastStatus: "STOPPED", StoppedAt: w.clock, Containers: []proto.ContainerStatus{
		{Name: "app", LastStatus: "STOPPED", ExitCode: new(int32(143))},
	}}
	if err := w.report(m, stopped); err != nil {
		t.Fatal(err)
	}
	got = w.describe("web", arn)
	if *got.LastStatus != "STOPPED" || got.StopCode != "UserInitiated" || *got.Containers[0].ExitCode != 143 || *got.Containers[1].LastStatus != "STOPPED" {
		t.Fatalf("described %+v", got)
	}
	if c, _ := ContainerInstances.Get(w.store.Read(), m.Key()); c.Used.CPU != 0 || c.Used.Memory != 0 || len(c.Used.TCP) != 0 {
		t.Errorf("still reserved: %+v", c.Used)
	}
	if tasks, _ := AssignmentFor(w.store.Read(), m.Key()); len(tasks) != 0 {
		t.Errorf("assignment after the end: %v", tasks)
	}
}

func asError(t *testing.T, err error) *aws.Error {
	t.Helper()
	e, ok := errors.AsType[*aws.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *aws.Error", err)
	}
	return e
}
