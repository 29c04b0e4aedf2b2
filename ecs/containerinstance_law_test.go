package ecs

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/ecs/placement"
	"berth/store"
)

// Whatever happens, what instances hold is exactly what their tasks hold, and never more than they have (I-05);
// a task stays where it was placed (I-03).
func TestReservationsAreThoseOfTheTasks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newInstanceWorld(t)
		placedOn := map[string]string{}
		machines := func() int { return rapid.IntRange(0, 3).Draw(rt, "machine") }
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			case 0:
				h := hello(rapid.Int32Range(1, 2048).Draw(rt, "cpu"), rapid.Int32Range(1, 2048).Draw(rt, "memory"))
				for i := range rapid.IntRange(0, 2).Draw(rt, "gpus") {
					h.GPUs = append(h.GPUs, fmt.Sprint("g", i))
				}
				connectAny(rt, w, machines(), h)
			case 1:
				if c, ok := w.anyInstance(machines()); ok {
					_ = w.Disconnect(w.ctx, c.Key(), c.Session)
				}
			case 2:
				if c, ok := w.anyInstance(machines()); ok {
					status := rapid.SampledFrom([]api.ContainerInstanceStatus{"ACTIVE", "DRAINING"}).Draw(rt, "status")
					_, err := w.UpdateContainerInstancesState(w.ctx, &api.UpdateContainerInstancesStateRequest{Status: status, ContainerInstances: []string{c.ID}})
					if err != nil {
						rt.Fatal(err)
					}
				}
			case 3:
				if c, ok := w.anyInstance(machines()); ok && rapid.IntRange(0, 3).Draw(rt, "deregister") == 0 {
					_, err := w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(c.ID), Force: new(true)})
					if err != nil {
						rt.Fatal(err)
					}
				}
			case 4:
				for task := range Tasks.All(w.store.Read()) {
					if task.Active() && rapid.Bool().Draw(rt, "stop") {
						w.stop(t, task)
					}
				}
			default:
				task := placement.Task{
					Group: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "group"),
					Needs: placement.Resources{
						CPU: rapid.Int64Range(0, 700).Draw(rt, "cpu"), Memory: rapid.Int64Range(0, 700).Draw(rt, "memory"),
						GPU: rapid.Int64Range(0, 1).Draw(rt, "gpu"), TCP: rapid.SampledFrom([][]uint16{nil, {80}, {81, 443}}).Draw(rt, "ports"),
					},
				}
				if rapid.Bool().Draw(rt, "distinct") {
					distinct, _ := placement.NewConstraint(placement.TypeDistinctInstance, "")
					task.Constraints = []placement.Constraint{distinct}
				}
				if _, _, err := w.place(rapid.IntRange(1, 3).Draw(rt, "count"), task); err != nil {
					rt.Fatal(err)
				}
			}
			checkReservations(rt, w.store.Read(), placedOn)
		}
	})
}

func connectAny(rt *rapid.T, w *instanceWorld, i int, h proto.Hello) {
	who := Machine{ID: fmt.Sprint("m", i), Account: homeAccount, Region: homeRegion}
	if _, known, err := instanceOf(w.store.Read(), Machine{ID: who.ID, Account: homeAccount, Region: homeRegion, Cluster: "default"}); !known && err != nil {
		return // deregistered
	}
	if _, err := w.Connect(w.ctx, who, fmt.Sprint("s", i), h); err != nil {
		rt.Fatal(err)
	}
}

// anyInstance is the instance of a machine that is not deregistered.
func (w *instanceWorld) anyInstance(i int) (ContainerInstance, bool) {
	for c := range ContainerInstances.By(w.store.Read(), byInstanceMachine, fmt.Sprint("m", i)) {
		return c, c.Status != InstanceInactive
	}
	return ContainerInstance{}, false
}

func checkReservations(rt *rapid.T, r store.Reader, placedOn map[string]string) {
	held := map[string]Used{}
	for t := range Tasks.All(r) {
		if was, known := placedOn[t.ID]; known && was != t.Instance {
			rt.Fatalf("task %s moved from %s to %s", t.ID, was, t.Instance)
		}
		placedOn[t.ID] = t.Instance
		if t.Reserved == nil {
			continue
		}
		u := held[t.InstanceKey()]
		u.CPU += t.Reserved.CPU
		u.Memory += t.Reserved.Memory
		u.GPUs = append(u.GPUs, t.Reserved.GPUs...)
		for _, p := range t.Reserved.Ports {
			u.TCP = append(u.TCP, uint16(p))
		}
		u.Groups = addCount(u.Groups, t.Group, 1)
		held[t.InstanceKey()] = u
	}
	for c := range ContainerInstances.All(r) {
		u := held[c.Key()]
		slices.Sort(u.TCP)
		slices.Sort(u.GPUs)
		if u.CPU != c.Used.CPU || u.Memory != c.Used.Memory || !slices.Equal(u.TCP, c.Used.TCP) || !slices.Equal(u.GPUs, c.Used.GPUs) ||
			fmt.Sprint(u.Groups) != fmt.Sprint(c.Used.Groups) {
			rt.Fatalf("instance %s holds %+v, its tasks %+v", c.ID, c.Used, u)
		}
		if c.Used.CPU > c.CPU || c.Used.Memory > c.Memory || len(slices.Compact(u.TCP)) != len(c.Used.TCP) || len(slices.Compact(u.GPUs)) != len(c.Used.GPUs) {
			rt.Fatalf("instance %s is overcommitted: %+v of %d and %d", c.ID, c.Used, c.CPU, c.Memory)
		}
	}
}
