package ecs

import (
	"context"
	"time"

	"berth/reconcile"
	"berth/store"
)

// TaskReconciler gives back what a stopped task still holds and removes stopped tasks when their time is over. Keys are
// keys of stopped tasks.
type TaskReconciler struct {
	store     *store.Store
	now       func() time.Time
	retention time.Duration
}

// Name is ecs.task.
func (TaskReconciler) Name() string { return "ecs.task" }

// Triggers wakes stopped tasks.
func (TaskReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.On(Tasks, func(t Task) []string { return one(!t.Active(), t.Key()) })}
}

// Reconcile brings one stopped task up to date.
func (t TaskReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	now := t.now()
	task, ok := Tasks.Get(t.store.Read(), key)
	if !ok || task.Active() {
		return 0, nil
	}
	left := task.Stopped.Time().Add(t.retention).Sub(now)
	if task.Reserved == nil && left > 0 {
		return left, nil
	}
	err = t.store.Update(ctx, func(tx *store.Tx) error {
		task, ok := Tasks.Get(tx, key)
		if !ok {
			return nil
		}
		task.release(tx)
		if left > 0 {
			Tasks.Put(tx, task)
			return nil
		}
		purge(tx, task, MillisOf(now))
		return nil
	})
	return max(left, 0), err
}

// purge removes a stopped task. If its machine never said that it had stopped, a tombstone stays.
func purge(tx *store.Tx, t Task, now Millis) {
	Tasks.Delete(tx, t.Key())
	if t.Orphan {
		Tombstones.Put(tx, Tombstone{Task: t.Key(), Code: t.StopCode, Reason: t.StopReason, Created: t.Created, Purged: now})
	}
}

// LostTaskReconciler ends tasks whose container instance is INACTIVE. Deregistering ends them in its own transaction;
// this is for whatever came to be otherwise. An instance whose record is missing ends nothing (I-08). Keys are keys of
// INACTIVE instances.
type LostTaskReconciler struct {
	store *store.Store
	now   func() time.Time
}

// Name is ecs.losttask.
func (LostTaskReconciler) Name() string { return "ecs.losttask" }

// Triggers wakes instances that became INACTIVE.
func (LostTaskReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.On(ContainerInstances, func(c ContainerInstance) []string {
		return one(c.Status == InstanceInactive, c.Key())
	})}
}

// Reconcile ends the tasks of one instance.
func (l LostTaskReconciler) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	if Tasks.CountBy(l.store.Read(), byTaskActive, key) == 0 {
		return 0, nil
	}
	now := MillisOf(l.now())
	return 0, l.store.Update(ctx, func(tx *store.Tx) error {
		if c, ok := ContainerInstances.Get(tx, key); ok && c.Status == InstanceInactive {
			orphanTasks(tx, key, now)
		}
		return nil
	})
}
