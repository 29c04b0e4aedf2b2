package ecs

import (
	"context"
	"slices"
	"time"

	"berth/elbv2"
	"berth/reconcile"
	"berth/store"
)

// deregister takes the task out of everything that sends it traffic. It reports whether something still lets go of it, so
// that the task has to go on until that is over. It is the one place where tasks are taken out.
func (t *Task) deregister(tx *store.Tx, now Millis) (waits bool) {
	for _, target := range elbv2.TargetsOf(tx, string(t.ARN())) {
		elbv2.Deregister(tx, target.Key(), now.Time())
	}
	return len(elbv2.TargetsOf(tx, string(t.ARN()))) > 0
}

// LeaveReconciler lets tasks stop whose load balancers have let go of them, and sees to it that no task which is to stop
// stays registered. Keys are task keys.
//
//	want STOPPED ──▶ Leaving, DEACTIVATING ──▶ no target left ──▶ the machine is told: STOPPING ──▶ STOPPED
type LeaveReconciler struct {
	store *store.Store
	now   func() time.Time
}

// Name is ecs.leave.
func (LeaveReconciler) Name() string { return "ecs.leave" }

// Triggers: tasks that leave, and the targets of tasks.
func (LeaveReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.On(Tasks, func(t Task) []string { return one(t.Leaving, t.Key()) }),
		reconcile.On(elbv2.Targets, func(t elbv2.Target) []string {
			key, ok := taskKeyOf(t.By)
			return one(ok, key)
		}),
	}
}

// Reconcile looks at one task. A task of which nothing is known keeps its targets (I-08).
func (l LeaveReconciler) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	if t, ok := Tasks.Get(l.store.Read(), key); !ok || t.Desired != StateStopped || !leaves(l.store.Read(), t) {
		return 0, nil
	}
	now := MillisOf(l.now())
	return 0, l.store.Update(ctx, func(tx *store.Tx) error {
		t, ok := Tasks.Get(tx, key)
		if !ok || t.Desired != StateStopped {
			return nil
		}
		if t.deregister(tx, now) || !t.Leaving {
			return nil
		}
		t.Leaving = false
		Tasks.Put(tx, t)
		return nil
	})
}

// leaves says whether there is something to do for a task that is to stop.
func leaves(r store.Reader, t Task) bool {
	targets := elbv2.TargetsOf(r, string(t.ARN()))
	return t.Leaving && len(targets) == 0 || slices.ContainsFunc(targets, func(t elbv2.Target) bool { return t.Draining == 0 })
}

// serviceOfTarget is the key of the service whose task is behind a target.
func serviceOfTarget(r store.Reader, t elbv2.Target) []string {
	key, ok := taskKeyOf(t.By)
	if !ok {
		return nil
	}
	task, ok := Tasks.Get(r, key)
	return one(ok && task.ServiceKey() != "", task.ServiceKey())
}
