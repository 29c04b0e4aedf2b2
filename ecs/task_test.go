package ecs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/reconcile"
)

// run starts tasks and returns their ARNs.
func (w *world) run(text string) []string {
	w.t.Helper()
	out := must(w.RunTask(w.ctx, input[api.RunTaskRequest](w.t, text)))(w.t)
	if len(out.Failures) > 0 {
		w.t.Fatalf("run %s: failures %s", text, show(out.Failures))
	}
	return arnsOf(out.Tasks)
}

func arnsOf(tasks []api.Task) (arns []string) {
	for _, t := range tasks {
		arns = append(arns, *t.TaskArn)
	}
	return arns
}

func show(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func (w *world) list(text string) []string {
	w.t.Helper()
	return must(w.ListTasks(w.ctx, input[api.ListTasksRequest](w.t, text)))(w.t).TaskArns
}

const smallDefinition = `{"family":"small","containerDefinitions":[{"name":"a","image":"i","memory":8,"cpu":1}]}`

func TestClientTokenStartsOneSetOfTasks(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1000, 1000)
	w.register(smallDefinition)
	first := w.run(`{"taskDefinition":"small","count":2,"clientToken":"tok"}`)
	if again := w.run(`{"taskDefinition":"small","count":2,"clientToken":"tok"}`); !slices.Equal(first, again) {
		t.Errorf("second call: got %v, want %v", again, first)
	}
	if n := Tasks.Len(w.store.Read()); n != 2 {
		t.Errorf("got %d tasks, want 2", n)
	}
	_, err := w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"taskDefinition":"small","count":3,"clientToken":"tok"}`))
	e := asError(t, err)
	if e.Code != "ConflictException" || !slices.Equal(e.Fields["resourceIds"].([]string), first) {
		t.Errorf("other request with the token: %v %v", e, e.Fields)
	}
	for _, arn := range first {
		if err := w.report(m, proto.TaskStatus{Arn: arn, LastStatus: "STOPPED"}); err != nil {
			t.Fatal(err)
		}
	}
	out := must(w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"taskDefinition":"small","count":2,"clientToken":"tok"}`)))(t)
	if len(out.Tasks) != 2 || *out.Tasks[0].LastStatus != "STOPPED" {
		t.Errorf("token of stopped tasks: %s", show(out.Tasks))
	}
	w.cluster("other")
	w.machine("other", "m2", 1000, 1000)
	if other := w.run(`{"cluster":"other","taskDefinition":"small","clientToken":"tok"}`); slices.Contains(first, other[0]) {
		t.Error("a token is good for one cluster only")
	}
}

func TestRunTaskReportsWhatDidNotFit(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 2048, 300)
	w.register(webDefinition) // 192 MiB, host port 8080
	out := must(w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"taskDefinition":"web","count":2,"clientToken":"x"}`)))(t)
	want := []api.Failure{{Arn: new(string(m.ARN())), Reason: new("RESOURCE:MEMORY"), Detail: new("needs 192 MiB, 108 left of 300")}}
	if len(out.Tasks) != 1 || show(out.Failures) != show(want) {
		t.Errorf("got %d tasks, failures %s, want 1 and %s", len(out.Tasks), show(out.Failures), show(want))
	}
	again := must(w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"taskDefinition":"web","count":2,"clientToken":"x"}`)))(t)
	if show(again.Failures) != show(want) || !slices.Equal(arnsOf(again.Tasks), arnsOf(out.Tasks)) {
		t.Errorf("a repeated call: %s", show(again))
	}
}

func TestRunTaskShowsTheWholeTask(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 2048, 4096)
	w.register(strings.Replace(webDefinition, `{`, `{"tags":[{"key":"team","value":"x"},{"key":"env","value":"td"}],`, 1))
	out := must(w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"taskDefinition":"web:1","group":"batch","startedBy":"ci/7",
		"tags":[{"key":"env","value":"run"}],"propagateTags":"TASK_DEFINITION","enableECSManagedTags":true,
		"overrides":{"containerOverrides":[{"name":"app","command":["x"],"environment":[{"name":"A","value":"1"}]}]}}`)))(t)
	task := out.Tasks[0]
	id := strings.TrimPrefix(*task.TaskArn, "arn:aws:ecs:eu-west-1:111122223333:task/default/")
	for i := range task.Containers {
		if !strings.HasPrefix(*task.Containers[i].ContainerArn, "arn:aws:ecs:eu-west-1:111122223333:container/default/"+id+"/") {
			t.Errorf("container ARN %s", *task.Containers[i].ContainerArn)
		}
		task.Containers[i].ContainerArn = new("C")
	}
	got := strings.ReplaceAll(show(task), id, "ID")
	want := `{"attachments":[],"attributes":[],"availabilityZone":"eu-west-1a",` +
		`"clusterArn":"arn:aws:ecs:eu-west-1:111122223333:cluster/default",` +
		`"containerInstanceArn":"` + string(m.ARN()) + `",` +
		`"containers":[{"containerArn":"C","taskArn":"arn:aws:ecs:eu-west-1:111122223333:task/default/ID","name":"app","image":"app:1",` +
		`"lastStatus":"PENDING","networkBindings":[],"networkInterfaces":[],"healthStatus":"UNKNOWN","cpu":"10","memory":"128"},` +
		`{"containerArn":"C","taskArn":"arn:aws:ecs:eu-west-1:111122223333:task/default/ID","name":"side","image":"side:1",` +
		`"lastStatus":"PENDING","networkBindings":[],"networkInterfaces":[],"healthStatus":"UNKNOWN","cpu":"0","memory":"64"}],` +
		`"cpu":"10","createdAt":1935655200,"desiredStatus":"RUNNING","enableExecuteCommand":false,"group":"batch","healthStatus":"UNKNOWN",` +
		`"inferenceAccelerators":[],"lastStatus":"PENDING","launchType":"EC2","memory":"192",` +
		`"overrides":{"containerOverrides":[{"name":"app","command":["x"],"environment":[{"name":"A","value":"1"}]},{"name":"side"}],` +
		`"inferenceAcceleratorOverrides":[]},"startedBy":"ci/7",` +
		`"tags":[{"key":"aws:ecs:clusterName","value":"default"},{"key":"env","value":"run"},{"key":"team","value":"x"}],` +
		`"taskArn":"arn:aws:ecs:eu-west-1:111122223333:task/default/ID",` +
		`"taskDefinitionArn":"arn:aws:ecs:eu-west-1:111122223333:task-definition/web:1","version":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, definitions := AssignmentFor(w.store.Read(), m.Key())
	for key, d := range definitions {
		if !strings.HasPrefix(key, *task.TaskDefinitionArn+"#") || show(d.ContainerDefinitions[0].Command) != `["x"]` {
			t.Errorf("assigned definition %s: %s", key, show(d))
		}
	}
}

func TestStartTaskNamesEachInstance(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1024, 150)
	w.register(strings.Replace(webDefinition, `"memory":64`, `"memory":16`, 1))
	ref := string(m.ARN())
	out := must(w.StartTask(w.ctx, &api.StartTaskRequest{
		TaskDefinition: new("web"), ContainerInstances: []string{ref, m.ID, "none", strings.Repeat("0", 32)},
	}))(t)
	want := `[{"arn":"` + ref + `","reason":"RESOURCE:MEMORY","detail":"needs 144 MiB, 6 left of 150"},` +
		`{"arn":"arn:aws:ecs:eu-west-1:111122223333:container-instance/default/none","reason":"MISSING"},` +
		`{"arn":"arn:aws:ecs:eu-west-1:111122223333:container-instance/default/00000000000000000000000000000000","reason":"MISSING"}]`
	if len(out.Tasks) != 1 || show(out.Failures) != want {
		t.Errorf("got %d tasks and %s\nwant %s", len(out.Tasks), show(out.Failures), want)
	}
}

func TestStopTaskIsCausedOnce(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1024, 1000)
	w.register(smallDefinition)
	arn := w.run(`{"taskDefinition":"small"}`)[0]
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(id)}))(t)
	w.clock = w.clock.Add(time.Minute)
	got := *must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(arn), Reason: new("later")}))(t).Task
	if *got.StoppedReason != "Task stopped by user" || got.StopCode != "UserInitiated" || *got.Version != 2 || *got.DesiredStatus != "STOPPED" || *got.LastStatus != "PENDING" {
		t.Errorf("stopped twice: %s", show(got))
	}
	if err := w.report(m, proto.TaskStatus{Arn: arn, LastStatus: "STOPPED", StopCode: "EssentialContainerExited", StoppedReason: "x"}); err != nil {
		t.Fatal(err)
	}
	stopped := *must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(arn)}))(t).Task
	if *stopped.LastStatus != "STOPPED" || stopped.StopCode != "UserInitiated" || *stopped.Version != 3 {
		t.Errorf("a stopped task is returned as it is: %s", show(stopped))
	}
}

func TestListTasksFilters(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1024, 1000)
	w.register(smallDefinition)
	w.register(strings.Replace(smallDefinition, "small", "other", 1))
	small := w.run(`{"taskDefinition":"small","count":3,"startedBy":"me"}`)
	w.clock = w.clock.Add(time.Millisecond)
	other := w.run(`{"taskDefinition":"other"}`)
	w.machine("default", "m2", 1024, 1000)
	must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(small[1])}))(t)
	running := []string{small[0], small[2], other[0]}
	for _, row := range []struct {
		in   string
		want []string
	}{
		{`{}`, running},
		{`{"desiredStatus":"RUNNING"}`, running},
		{`{"desiredStatus":"STOPPED"}`, small[1:2]},
		{`{"desiredStatus":"PENDING"}`, nil},
		{`{"family":"small"}`, []string{small[0], small[2]}},
		{`{"family":"small","desiredStatus":"STOPPED"}`, small[1:2]},
		{`{"family":"smal"}`, nil},
		{`{"startedBy":"me"}`, []string{small[0], small[2]}},
		{`{"startedBy":"me","desiredStatus":"STOPPED"}`, small[1:2]},
		{`{"startedBy":"you"}`, nil},
		{`{"launchType":"EC2"}`, running},
		{`{"launchType":"FARGATE"}`, nil},
		{`{"containerInstance":"` + m.ID + `"}`, running},
		{`{"containerInstance":"` + string(m.ARN()) + `","family":"other"}`, other},
		{`{"containerInstance":"` + m.ID + `","family":"small","launchType":"EXTERNAL"}`, nil},
		{`{"cluster":"arn:aws:ecs:eu-west-1:111122223333:cluster/default"}`, running},
	} {
		if got := w.list(row.in); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.in, got, row.want)
		}
	}
}

func TestListTasksPagesStayInOrderUnderWrites(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 100000, 100000)
	w.register(smallDefinition)
	var all []string
	for range 25 {
		all = append(all, w.run(`{"taskDefinition":"small","count":10}`)...)
		w.clock = w.clock.Add(time.Millisecond)
	}
	var got []string
	in := &api.ListTasksRequest{MaxResults: new(int32(30))}
	for page := 0; ; page++ {
		out := must(w.ListTasks(w.ctx, in))(t)
		got = append(got, out.TaskArns...)
		// Neither what is stopped behind the page nor what is started ahead of it moves the rest.
		must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(out.TaskArns[0])}))(t)
		if page < 2 {
			all = append(all, w.run(`{"taskDefinition":"small"}`)...)
			w.clock = w.clock.Add(time.Millisecond)
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	if !slices.Equal(got, all) {
		t.Errorf("got %d tasks, want %d in order of creation", len(got), len(all))
	}
	if _, err := w.ListTasks(w.ctx, &api.ListTasksRequest{NextToken: in.NextToken, Family: new("small")}); err == nil {
		t.Error("a token of one list was taken by another")
	}
}

func TestStoppedTasksAreKeptAndThenMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Service.now = time.Now
		w.cluster("default")
		m := w.machine("default", "m1", 1000, 1000)
		definition := w.register(smallDefinition)
		arn := w.run(`{"taskDefinition":"small","clientToken":"t"}`)[0]
		must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(arn)}))(t)
		go func() { _ = reconcile.Run(t.Context(), w.store, w.Reconcilers()...) }()
		w.clock = time.Now()
		if err := w.report(m, proto.TaskStatus{Arn: arn, LastStatus: "STOPPED"}); err != nil {
			t.Fatal(err)
		}
		must(w.DeregisterTaskDefinition(w.ctx, &api.DeregisterTaskDefinitionRequest{TaskDefinition: new(definition)}))(t)
		must(w.DeleteTaskDefinitions(w.ctx, &api.DeleteTaskDefinitionsRequest{TaskDefinitions: []string{definition}}))(t)
		time.Sleep(7*24*time.Hour - time.Second)
		synctest.Wait()
		if got := w.describe("default", arn); *got.LastStatus != "STOPPED" || *got.Containers[0].Image != "i" {
			t.Errorf("before its time is over: %s", show(got))
		}
		if got := w.call("DescribeTaskDefinition", `{"taskDefinition":"small:1"}`); got != "ClientException: Unable to describe task definition." {
			t.Errorf("a deleted definition is shown: %q", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		out := must(w.DescribeTasks(w.ctx, &api.DescribeTasksRequest{Tasks: []string{arn}}))(t)
		if len(out.Tasks) != 0 || *out.Failures[0].Reason != "MISSING" {
			t.Errorf("after its time is over: %s", show(out))
		}
		r := w.store.Read()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if r = w.store.Read(); TaskDefinitions.Len(r) != 0 || RunTokens.Len(r) != 0 || Tombstones.Len(r) != 0 || Tasks.Len(r) != 0 {
			t.Errorf("left: %d definitions, %d tokens, %d tombstones, %d tasks", TaskDefinitions.Len(r), RunTokens.Len(r), Tombstones.Len(r), Tasks.Len(r))
		}
		if got := w.register(smallDefinition); got != "small:2" {
			t.Errorf("next revision %s: numbers are never used again", got)
		}
	})
}

func TestOrphansAreRememberedAfterTheyArePurged(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1000, 1000)
	w.register(smallDefinition)
	arn := w.run(`{"taskDefinition":"small"}`)[0]
	must(w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(m.ID), Force: new(true)}))(t)
	if got := w.describe("default", arn); *got.LastStatus != "STOPPED" || got.StopCode != "UserInitiated" {
		t.Errorf("task of a deregistered instance: %s", show(got))
	}
	if task, ok := Verdict(w.store.Read(), m.Key(), arn); !ok || task.DesiredStatus != "STOPPED" {
		t.Errorf("verdict on a stopped task: %v %+v", ok, task)
	}
	key, _ := taskKeyOf(arn)
	reconciler := TaskReconciler{store: w.store, now: w.now, retention: time.Hour}
	if again := must(reconciler.Reconcile(w.ctx, key))(t); again != time.Hour {
		t.Errorf("again in %s, want 1h", again)
	}
	w.clock = w.clock.Add(time.Hour)
	must(reconciler.Reconcile(w.ctx, key))(t)
	if _, ok := Tasks.Get(w.store.Read(), key); ok {
		t.Error("not purged")
	}
	if task, ok := Verdict(w.store.Read(), m.Key(), arn); !ok || task.DesiredStatus != "STOPPED" || task.StoppedReason == "" {
		t.Errorf("verdict on a purged orphan: %v %+v", ok, task)
	}
	unknown := strings.Replace(arn, arn[len(arn)-4:], "ffff", 1)
	if _, ok := Verdict(w.store.Read(), m.Key(), unknown); ok {
		t.Error("a task that nothing is known of is to be stopped")
	}
}

func TestTaskRecordIsCompact(t *testing.T) {
	w := newWorld(t)
	w.cluster("production")
	m := w.machine("production", "m1", 2048, 4096)
	w.register(webDefinition)
	arn := w.run(`{"cluster":"production","taskDefinition":"web","startedBy":"deploy/4711"}`)[0]
	st := proto.TaskStatus{Arn: arn, LastStatus: "RUNNING", StartedAt: w.clock, PullStartedAt: w.clock, PullStoppedAt: w.clock}
	for i, name := range []string{"app", "side"} {
		st.Containers = append(st.Containers, proto.ContainerStatus{
			Name: name, LastStatus: "RUNNING", RuntimeID: arn[len(arn)-32:] + "-" + name, HealthStatus: "HEALTHY",
			ImageDigest: "sha256:" + strings.Repeat(fmt.Sprint(i), 64),
		})
	}
	st.Containers[0].NetworkBindings = []api.NetworkBinding{
		{BindIP: new("0.0.0.0"), ContainerPort: new(int32(80)), HostPort: new(int32(8080)), Protocol: "tcp"},
		{BindIP: new("::"), ContainerPort: new(int32(80)), HostPort: new(int32(8080)), Protocol: "tcp"},
	}
	if err := w.report(m, st); err != nil {
		t.Fatal(err)
	}
	key, _ := taskKeyOf(arn)
	task, _ := Tasks.Get(w.store.Read(), key)
	raw := show(task)
	t.Logf("%d bytes: %s", len(raw), raw)
	if len(raw) >= 600 {
		t.Errorf("the record has %d bytes: %s", len(raw), raw)
	}
	if got := w.describe("production", arn); *got.Containers[1].ImageDigest != "sha256:"+strings.Repeat("1", 64) || len(got.Containers[0].NetworkBindings) != 2 || *got.Containers[0].RuntimeId != arn[len(arn)-32:]+"-app" {
		t.Errorf("described %s", show(got))
	}
}
