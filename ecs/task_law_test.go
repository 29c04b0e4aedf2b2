package ecs

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"berth/agent/proto"
	api "berth/api/ecs"
)

// Whatever users ask for and machines say, every single change of a task obeys the laws: it stays on its instance
// (I-03), its state only moves forward and its version with it (I-07), and its end has a cause (I-09).
func TestEveryChangeOfATaskObeysTheLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.cluster("default")
		var machines []ContainerInstance
		for i := range 2 {
			machines = append(machines, w.machine("default", fmt.Sprint("m", i), 100, 100))
		}
		w.register(webDefinition)
		w.register(smallDefinition)
		feed := w.store.Watch(w.ctx, Tasks)
		reconciler := TaskReconciler{store: w.store, now: w.now, retention: time.Hour}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			w.clock = w.clock.Add(time.Duration(rapid.IntRange(0, 900).Draw(rt, "seconds")) * time.Second)
			w.randomStep(rt, machines, reconciler)
			for _, c := range feed.Take() {
				if old, next, _ := Tasks.Change(c); next != nil {
					checkTaskLaws(rt, old, next)
				}
			}
		}
	})
}

func (w *world) randomStep(rt *rapid.T, machines []ContainerInstance, reconciler TaskReconciler) {
	var all []Task
	for t := range Tasks.All(w.store.Read()) {
		all = append(all, t)
	}
	step := rapid.IntRange(0, 9).Draw(rt, "step")
	if len(all) == 0 || step <= 1 {
		definition := rapid.SampledFrom([]string{"web", "small"}).Draw(rt, "definition")
		_, err := w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new(definition), Count: new(rapid.Int32Range(1, 3).Draw(rt, "count"))})
		if err != nil && err.Error() != ip+"No Container Instances were found in your cluster." {
			rt.Fatal(err)
		}
		return
	}
	task := rapid.SampledFrom(all).Draw(rt, "task")
	switch step {
	case 2:
		if _, err := w.StopTask(w.ctx, &api.StopTaskRequest{Task: new(task.ID)}); err != nil {
			rt.Fatal(err)
		}
	case 3:
		if _, err := reconciler.Reconcile(w.ctx, task.Key()); err != nil {
			rt.Fatal(err)
		}
	case 4:
		if rapid.IntRange(0, 5).Draw(rt, "deregister") == 0 {
			in := &api.DeregisterContainerInstanceRequest{ContainerInstance: new(task.Instance), Force: new(true)}
			_, _ = w.DeregisterContainerInstance(w.ctx, in) // again is an error
		}
	default:
		_ = w.report(rapid.SampledFrom(machines).Draw(rt, "machine"), w.randomReport(rt, task))
	}
}

// randomReport is what a machine might say, true or not.
func (w *world) randomReport(rt *rapid.T, task Task) proto.TaskStatus {
	states := rapid.SampledFrom([]string{"PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED", "NONE"})
	at := func(name string) time.Time {
		return w.clock.Add(time.Duration(rapid.IntRange(-100, 100).Draw(rt, name)) * time.Second)
	}
	st := proto.TaskStatus{
		Arn: string(task.ARN()), LastStatus: states.Draw(rt, "state"), StartedAt: at("started"), StoppedAt: at("stopped"),
		StopCode: rapid.SampledFrom([]string{"", "", "EssentialContainerExited", "UserInitiated", "x"}).Draw(rt, "code"),
	}
	for _, c := range task.Containers {
		st.Containers = append(st.Containers, proto.ContainerStatus{
			Name: c.Name, LastStatus: states.Draw(rt, "container"), RestartCount: rapid.Int32Range(0, 2).Draw(rt, "restarts"),
			HealthStatus: rapid.SampledFrom([]string{"", "HEALTHY", "UNHEALTHY"}).Draw(rt, "health"),
		})
	}
	return st
}

func checkTaskLaws(rt *rapid.T, old, next *Task) {
	if next.Desired == StateStopped && (next.StopCode == "" || next.StopReason == "" || next.Stopping == 0) {
		rt.Fatalf("I-09: stopped without a cause: %s", show(next))
	}
	if !next.Active() && (next.Desired != StateStopped || next.Stopped == 0 || next.Reserved != nil) {
		rt.Fatalf("STOPPED but not done: %s", show(next))
	}
	if next.Active() && next.Reserved == nil {
		rt.Fatalf("active without reservation: %s", show(next))
	}
	if old == nil {
		return
	}
	switch {
	case next.Instance != old.Instance:
		rt.Fatalf("I-03: moved: %s to %s", show(old), show(next))
	case next.Last < old.Last, next.Desired < old.Desired, next.Version < old.Version:
		rt.Fatalf("I-07: went back: %s to %s", show(old), show(next))
	case (next.Last != old.Last || next.Desired != old.Desired) && next.Version == old.Version:
		rt.Fatalf("I-07: same version: %s to %s", show(old), show(next))
	case old.Desired == StateStopped && (next.StopCode != old.StopCode || next.StopReason != old.StopReason):
		rt.Fatalf("I-09: the cause changed: %s to %s", show(old), show(next))
	}
}
