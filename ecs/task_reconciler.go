package ecs

import (
	"context"
	"time"

	api "berth/api/ecs"
	"berth/store"
)

// reasonDeregistered is the stoppedReason of tasks whose container instance is gone.
const reasonDeregistered = "Task is being stopped because the container instance was deregistered"

// tombstoneLife is how long it is remembered that a purged task must not run: longer than any machine stays away.
const tombstoneLife = 365 * 24 * time.Hour

// TaskReconciler does for tasks what no handler and no report does: it ends those whose container instance is gone,
// gives back what a stopped task still holds, and removes stopped tasks when their time is over. Keys are task keys.
type TaskReconciler struct {
	store     *store.Store
	now       func() time.Time
	retention time.Duration
}

// Name is ecs.task.
func (TaskReconciler) Name() string { return "ecs.task" }

// Reconcile brings one task up to date.
func (t TaskReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	now := t.now()
	task, ok := Tasks.Get(t.store.Read(), key)
	if !ok || !t.due(t.store.Read(), task, now) {
		return t.wait(task, ok, now), nil
	}
	err = t.store.Update(ctx, func(tx *store.Tx) error {
		task, ok = Tasks.Get(tx, key)
		if !ok {
			return nil
		}
		switch {
		case task.Active() && instanceGone(tx, task):
			task.want(api.TaskStopCodeUserInitiated, reasonDeregistered, MillisOf(now))
			task.finish(tx, MillisOf(now))
			Tasks.Put(tx, task)
		case !task.Active() && task.Reserved != nil:
			task.release(tx)
			Tasks.Put(tx, task)
		case t.expired(task, now):
			purge(tx, task, MillisOf(now))
			ok = false
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return t.wait(task, ok, now), nil
}

// due says whether there is anything to do for the task now.
func (t TaskReconciler) due(r store.Reader, task Task, now time.Time) bool {
	if task.Active() {
		return instanceGone(r, task)
	}
	return task.Reserved != nil || t.expired(task, now)
}

func (t TaskReconciler) expired(task Task, now time.Time) bool {
	return !task.Active() && !now.Before(task.Stopped.Time().Add(t.retention))
}

// wait is the time until a stopped task's time is over; zero means that a change will wake the key.
func (t TaskReconciler) wait(task Task, ok bool, now time.Time) time.Duration {
	if !ok || task.Active() {
		return 0
	}
	return max(task.Stopped.Time().Add(t.retention).Sub(now), time.Millisecond)
}

// instanceGone says that the task is bound to an instance that is positively known to be INACTIVE. A record that is
// missing is no proof: it ends nothing (I-08).
func instanceGone(r store.Reader, t Task) bool {
	c, ok := ContainerInstances.Get(r, t.InstanceKey())
	return ok && c.Status == InstanceInactive
}

// purge removes a stopped task. If its machine never said that it had stopped, a tombstone stays.
func purge(tx *store.Tx, t Task, now Millis) {
	Tasks.Delete(tx, t.Key())
	if t.Orphan {
		Tombstones.Put(tx, Tombstone{Task: t.Key(), Code: t.StopCode, Reason: t.StopReason, Created: t.Created, Purged: now})
	}
}
