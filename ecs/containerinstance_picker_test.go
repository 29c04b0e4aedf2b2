package ecs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

// runOn puts a task on an instance as StartTask does.
func runOn(t *testing.T, w *instanceWorld, c ContainerInstance, group string, cpu, memory int64, ports ...uint16) Task {
	t.Helper()
	task := newPlacedTask(c.Cluster, group)
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		held, why, ok := reserve(tx, c.Key(), &placement.Task{Group: group, Needs: placement.Resources{CPU: cpu, Memory: memory, TCP: ports}})
		if !ok {
			return fmt.Errorf("refused: %s %s", why.Reason, why.Detail())
		}
		task.Instance, task.Reserved = c.ID, &held
		Tasks.Put(tx, task)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func newPlacedTask(cluster, group string) Task {
	return Task{
		Account: homeAccount, Region: homeRegion, Cluster: cluster, ID: aws.NewHexID(), Family: "f", Revision: 1,
		Launch: api.LaunchTypeEC2, Group: group, Desired: StateRunning, Last: StatePending, Version: 1,
	}
}

// stop ends a task as its machine's report does.
func (w *instanceWorld) stop(t *testing.T, task Task) {
	t.Helper()
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		task, _ := Tasks.Get(tx, task.Key())
		task.Last = StateStopped
		task.release(tx)
		Tasks.Put(tx, task)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// place runs one call that places n tasks.
func (w *instanceWorld) place(n int, task placement.Task, strategy ...placement.Strategy) ([]Task, []pick, error) {
	var out []Task
	var picks []pick
	k := w.placing.picker(ClusterKey(homeAccount, homeRegion, "default"), rand.Uint64())
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		out = nil
		picks = k.pick(tx, slices.Repeat([]placement.Task{task}, n), strategy)
		for _, p := range picks {
			if p.Instance != "" {
				made := newPlacedTask("default", task.Group)
				made.Instance, made.Reserved = p.Instance, &p.Held
				Tasks.Put(tx, made)
				out = append(out, made)
			}
		}
		return nil
	})
	k.end(err == nil)
	return out, picks, err
}

func TestReserveTakesAndReleaseGivesBack(t *testing.T) {
	w := newInstanceWorld(t)
	h := hello(2048, 4096)
	h.GPUs = []string{"g1", "g2", "g0"}
	c := w.connect(t, "m", h)
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		task := &placement.Task{Group: "g", Needs: placement.Resources{CPU: 512, Memory: 1024, GPU: 2, TCP: []uint16{443, 80}, UDP: []uint16{53}}}
		held, _, ok := reserve(tx, c.Key(), task)
		if !ok || !slices.Equal(held.GPUs, []string{"g0", "g1"}) || !slices.Equal(held.Ports, []int32{443, 80}) {
			t.Errorf("held %+v", held)
		}
		if _, why, ok := reserve(tx, c.Key(), task); ok || why.Reason != "RESOURCE:PORTS" {
			t.Errorf("a second one: %v %v", ok, why)
		}
		one := &placement.Task{Group: "g", Needs: placement.Resources{GPU: 1}}
		last, _, ok := reserve(tx, c.Key(), one)
		if !ok || !slices.Equal(last.GPUs, []string{"g2"}) {
			t.Errorf("held %+v", last)
		}
		got, _ := ContainerInstances.Get(tx, c.Key())
		if got.Used.CPU != 512 || !slices.Equal(got.Used.TCP, []uint16{80, 443}) || got.Used.Groups["g"] != 2 || got.Version != c.Version+2 {
			t.Errorf("used %+v", got.Used)
		}
		release(tx, c.Key(), "g", held)
		release(tx, c.Key(), "g", last)
		release(tx, "no/such/instance/x", "g", last)
		got, _ = ContainerInstances.Get(tx, c.Key())
		if got.Used.CPU != 0 || got.Used.Memory != 0 || len(got.Used.TCP)+len(got.Used.UDP)+len(got.Used.GPUs)+len(got.Used.Groups) != 0 {
			t.Errorf("still used %+v", got.Used)
		}
		if _, why, ok := reserve(tx, c.ClusterKey()+"/x", one); ok || why.Reason != "MISSING" {
			t.Errorf("missing instance: %v", why)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPickFollowsWhatHappensToInstances(t *testing.T) {
	w := newInstanceWorld(t)
	task := placement.Task{Group: "g", Needs: placement.Resources{CPU: 512, Memory: 512}}
	expect := func(when string, want ...string) {
		t.Helper()
		placed, picks, err := w.place(1, task)
		if err != nil {
			t.Fatal(err)
		}
		got := picks[0].Instance
		if got == "" {
			for _, r := range picks[0].Refusals {
				got += r.Reason + " " + r.Detail() + ";"
			}
		}
		if !slices.Contains(want, got) {
			t.Errorf("%s: got %q, want one of %q", when, got, want)
		}
		for _, p := range placed {
			w.stop(t, p)
		}
	}
	expect("no instance", "")
	a := w.connect(t, "a", hello(512, 1024))
	expect("one instance", a.ID)
	expect("after a stopped task", a.ID)
	full := runOn(t, w, a, "other", 256, 256)
	expect("full", "RESOURCE:CPU needs 512 CPU units, 256 left of 512;")
	b := w.connect(t, "b", hello(1024, 1024))
	expect("a second instance", b.ID)
	if _, err := w.PutAttributes(w.ctx, &api.PutAttributesRequest{Attributes: []api.Attribute{attr(a.ID, "ssd")}}); err != nil {
		t.Fatal(err)
	}
	task.Constraints = []placement.Constraint{memberOf(t, "attribute:ssd exists")}
	w.stop(t, full)
	expect("an attribute was put", a.ID)
	task.Constraints = nil
	if _, err := w.UpdateContainerInstancesState(w.ctx, &api.UpdateContainerInstancesStateRequest{Status: "DRAINING", ContainerInstances: []string{a.ID}}); err != nil {
		t.Fatal(err)
	}
	expect("draining", b.ID)
	if err := w.Disconnect(w.ctx, b.Key(), "session-b"); err != nil {
		t.Fatal(err)
	}
	expect("disconnected", "INACTIVE status is DRAINING;AGENT the agent is disconnected;")
	if _, err := w.Seen(w.ctx, b.Key(), "session-b", "disk full"); err != nil {
		t.Fatal(err)
	}
	expect("impaired", "INACTIVE status is DRAINING;AGENT disk full;")
	if _, err := w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(a.ID)}); err != nil {
		t.Fatal(err)
	}
	w.connect(t, "b", hello(1024, 1024))
	expect("one deregistered, one back", b.ID)
}

func memberOf(t *testing.T, expression string) placement.Constraint {
	t.Helper()
	c, err := placement.NewConstraint(placement.TypeMemberOf, expression)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPickCountsRunningTasksWhenAskedTo(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	task := placement.Task{Group: "g", Constraints: []placement.Constraint{memberOf(t, "runningTasksCount < 1")}}
	first, _, _ := w.place(1, task)
	if len(first) != 1 {
		t.Fatal("not placed")
	}
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		first[0].Last = StateRunning
		Tasks.Put(tx, first[0])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, picks, _ := w.place(1, task); picks[0].Instance != "" || picks[0].Refusals[0].Instance != c.ID {
		t.Errorf("got %+v", picks[0])
	}
}

// A transaction that fails, or whose context ends, must leave its room to others.
func TestFailedTransactionsLeaveNoReservation(t *testing.T) {
	w := newInstanceWorld(t)
	w.connect(t, "m", hello(1024, 1024))
	task := placement.Task{Group: "g", Needs: placement.Resources{CPU: 1024}}
	k := w.placing.picker(ClusterKey(homeAccount, homeRegion, "default"), 1)
	failed, runs := errors.New("failed"), 0
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		if runs++; runs > 1 { // the other one was committed first
			return failed
		}
		if p := k.pick(tx, []placement.Task{task}, nil); p[0].Instance == "" {
			t.Error("not placed")
		}
		// While this transaction is under way another one finds room, as this one may fail.
		if _, picks, err := w.place(1, task); err != nil || picks[0].Instance == "" {
			t.Errorf("another: %+v, %v", picks, err)
		}
		return failed
	})
	k.end(err == nil)
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if _, picks, _ := w.place(1, task); picks[0].Instance != "" {
		t.Error("placed twice in the same room")
	}
}

// Concurrent calls fill the cluster exactly: nobody is refused while there is room, nothing is overcommitted.
func TestConcurrentPicksFillTheClusterExactly(t *testing.T) {
	w := newInstanceWorld(t)
	const machines, room, workers = 4, 16, 8
	for i := range machines {
		w.connect(t, fmt.Sprint("m", i), hello(room*64, room*64))
	}
	w.Service.now = func() time.Time { return time.Unix(1, 0) }
	binpack := placement.Strategy{Type: placement.TypeBinpack, Field: placement.FieldMemory}
	for round := range 5 {
		var placed, refused atomic.Int64
		var mu sync.Mutex
		var all []Task
		var wg sync.WaitGroup
		for worker := range workers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(round), uint64(worker)))
				for range machines * room / workers {
					if rnd.IntN(4) == 0 { // a call that fails after it picked
						k := w.placing.picker(ClusterKey(homeAccount, homeRegion, "default"), rnd.Uint64())
						err := w.store.Update(w.ctx, func(tx *store.Tx) error {
							k.pick(tx, []placement.Task{{Group: "g", Needs: placement.Resources{CPU: 64, Memory: 64}}}, []placement.Strategy{binpack})
							return errors.New("no")
						})
						k.end(err == nil)
					}
					tasks, _, err := w.place(1, placement.Task{Group: fmt.Sprint("g", worker%2), Needs: placement.Resources{CPU: 64, Memory: 64}}, binpack)
					if err != nil {
						t.Error(err)
					}
					placed.Add(int64(len(tasks)))
					refused.Add(int64(1 - len(tasks)))
					mu.Lock()
					all = append(all, tasks...)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if placed.Load() != machines*room || refused.Load() != 0 {
			t.Fatalf("round %d: %d placed, %d refused", round, placed.Load(), refused.Load())
		}
		if _, picks, _ := w.place(1, placement.Task{Group: "g", Needs: placement.Resources{CPU: 64}}); picks[0].Instance != "" {
			t.Fatal("overcommitted")
		}
		for _, task := range all {
			w.stop(t, task)
		}
		for c := range ContainerInstances.All(w.store.Read()) {
			if c.Used.CPU != 0 || len(c.Used.Groups) != 0 {
				t.Fatalf("left over: %+v", c.Used)
			}
		}
	}
}

// The index knows nothing of what the transaction itself wrote before, nor of commits that are not durable yet.
func TestPickSeesWhatItsTransactionSees(t *testing.T) {
	w := newInstanceWorld(t)
	a := w.connect(t, "a", hello(1024, 1024))
	task := placement.Task{Group: "g", Needs: placement.Resources{CPU: 1024}}
	k := w.placing.picker(a.ClusterKey(), 1)
	err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		if _, why, ok := reserve(tx, a.Key(), &task); !ok {
			t.Error(why.Detail())
		}
		if p := k.pick(tx, []placement.Task{task}, nil); p[0].Instance != "" || p[0].Refusals[0].Reason != placement.ReasonCPU {
			t.Errorf("got %+v", p[0])
		}
		return nil
	})
	k.end(err == nil)
	if err != nil {
		t.Fatal(err)
	}
}
