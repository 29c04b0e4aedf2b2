package ecs

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"berth/agent/proto"
	api "berth/api/ecs"
)

// atOnce runs n calls at the same time.
func atOnce(n int, call func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { call(i) })
	}
	wg.Wait()
}

func TestConcurrentCallsWithOneTokenStartOneSet(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.register(smallDefinition)
	answers := make([]string, 16)
	atOnce(len(answers), func(i int) {
		out, err := w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("small"), Count: new(int32(3)), ClientToken: new("t")})
		if err != nil {
			t.Error(err)
			return
		}
		answers[i] = fmt.Sprint(arnsOf(out.Tasks))
	})
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("got %s and %s", a, answers[0])
		}
	}
	if n := Tasks.Len(w.store.Read()); n != 3 {
		t.Errorf("%d tasks, want 3", n)
	}
}

func TestConcurrentCallsNeverOvercommit(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	var machines []ContainerInstance
	for i := range 3 {
		machines = append(machines, w.machine("default", fmt.Sprint("m", i), 10, 80)) // room for 10 tasks each
	}
	w.register(smallDefinition)
	var mu sync.Mutex
	placed := 0
	atOnce(20, func(int) {
		out, err := w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("small"), Count: new(int32(2))})
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		placed += len(out.Tasks)
	})
	if placed != 30 {
		t.Errorf("%d tasks placed, want 30", placed)
	}
	for _, m := range machines {
		if c, _ := ContainerInstances.Get(w.store.Read(), m.Key()); c.Used.CPU != 10 || c.Used.Memory != 80 {
			t.Errorf("%s: used %+v", m.ID, c.Used)
		}
	}
}

func TestARunAgainstADeletedClusterLeavesNothing(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		w.cluster("web")
		m := w.machine("web", "m1", 100, 800)
		w.register(smallDefinition)
		atOnce(3, func(i int) {
			switch i {
			case 0:
				_, _ = w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{Cluster: new("web"), ContainerInstance: new(m.ID), Force: new(true)})
				_, _ = w.DeleteCluster(w.ctx, &api.DeleteClusterRequest{Cluster: new("web")})
			default:
				_, _ = w.RunTask(w.ctx, &api.RunTaskRequest{Cluster: new("web"), TaskDefinition: new("small"), Count: new(int32(5))})
			}
		})
		r := w.store.Read()
		c, _ := Clusters.Get(r, m.ClusterKey())
		for task := range Tasks.All(r) {
			if c.Inactive && task.Active() {
				t.Errorf("task %s is %s in a deleted cluster", task.ID, task.Last)
			}
		}
	}
}

func TestConstraintsOfDefinitionAndRequestHold(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.machine("default", "m2", 1000, 1000)
	w.register(strings.Replace(smallDefinition, `{`, `{"placementConstraints":[{"type":"memberOf","expression":"attribute:ecs.availability-zone == eu-west-1a"}],`, 1))
	run := func(constraint string) (placed int, reasons string) {
		out := must(w.RunTask(w.ctx, input[api.RunTaskRequest](t, `{"taskDefinition":"small","count":3,"group":"g","placementConstraints":[`+constraint+`]}`)))(t)
		for _, f := range out.Failures {
			reasons += *f.Reason + ";"
		}
		return len(out.Tasks), reasons
	}
	if n, why := run(`{"type":"distinctInstance"}`); n != 2 || why != strings.Repeat("distinctInstance placement constraint unsatisfied.;", 2) {
		t.Errorf("distinctInstance: %d tasks, %s", n, why)
	}
	if n, why := run(`{"type":"memberOf","expression":"attribute:ecs.availability-zone == eu-west-1b"}`); n != 0 || why != strings.Repeat("MemberOf placement constraint unsatisfied;", 6) {
		t.Errorf("memberOf: %d tasks, %s", n, why)
	}
	if got := w.call("RunTask", `{"taskDefinition":"small","placementConstraints":[`+strings.Repeat(`{"type":"distinctInstance"},`, 9)+`{"type":"distinctInstance"}]}`); got != ip+"The number of placement constraints, those of the task definition included, can be at most 10." {
		t.Errorf("eleven constraints: %s", got)
	}
}

func TestGPUsArePinnedToContainers(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	hello := proto.Hello{CPU: 1000, Memory: 1000, GPUs: []string{"g0", "g1", "g2"}, Attributes: []api.Attribute{{Name: new(remoteAPI + "1.18")}}}
	m := must(w.Connect(w.ctx, Machine{ID: "gpu", Account: testAccount, Region: testRegion}, "s", hello))(t)
	w.register(`{"family":"g","containerDefinitions":[{"name":"a","image":"i","memory":8,"resourceRequirements":[{"type":"GPU","value":"2"}]},{"name":"b","image":"i","memory":8}]}`)
	out := must(w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("g"), Count: new(int32(2))}))(t)
	if len(out.Tasks) != 1 || show(out.Tasks[0].Containers[0].GpuIds) != `["g0","g1"]` || out.Tasks[0].Containers[1].GpuIds != nil {
		t.Errorf("got %s", show(out))
	}
	if len(out.Failures) != 1 || *out.Failures[0].Reason != "RESOURCE:GPU" {
		t.Errorf("failures %s", show(out.Failures))
	}
	if tasks, _ := AssignmentFor(w.store.Read(), m.Key()); show(tasks[0].GPUIDs) != `{"a":["g0","g1"]}` {
		t.Errorf("assigned %s", show(tasks[0]))
	}
}
