package ecs

import (
	"context"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const maxStopReason = 1024

// StopTask asks for a task's end. A stopped task is returned as it is.
func (s *Service) StopTask(ctx context.Context, in *api.StopTaskRequest) (*api.StopTaskResponse, error) {
	caller := aws.CallerFrom(ctx)
	if value(in.Task) == "" {
		return nil, invalid("Task can not be blank.")
	}
	reason := value(in.Reason)
	if tooLong(reason, maxStopReason) {
		return nil, invalid("Reason can have at most %d characters.", maxStopReason)
	}
	if reason == "" {
		reason = "Task stopped by user"
	}
	now := MillisOf(s.now())
	var out Task
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := activeCluster(ctx, tx, in.Cluster)
		if err != nil {
			return err
		}
		var ok bool
		if out, ok = findTask(tx, caller, cluster.Name, *in.Task); !ok {
			return invalid(msgTaskNotFound)
		}
		if out.want(tx, api.TaskStopCodeUserInitiated, reason, now) {
			Tasks.Put(tx, out)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("task stop asked for", "task", out.ARN())
	return &api.StopTaskResponse{Task: new(newTaskWire(s.store.Read()).task(out, false))}, nil
}

// want makes STOPPED the task's desired status, with the cause (I-09). The first cause wins: it reports whether
// anything changed. Changes of desired status are made nowhere else. A task that gets traffic leaves its load balancers
// first and is DEACTIVATING meanwhile: see Leaving. The caller puts the task.
func (t *Task) want(tx *store.Tx, code api.TaskStopCode, reason string, now Millis) bool {
	if t.Desired == StateStopped {
		return false
	}
	t.Desired, t.StopCode, t.StopReason, t.Stopping = StateStopped, code, reason, now
	t.Version++
	t.leaveRegistries(tx)
	if t.deregister(tx, now) && t.Last == StateRunning {
		t.Last, t.Leaving = StateDeactivating, true
	}
	return true
}

// finish ends a task on the control plane's side: its machine is gone and will not report. What it had reserved is
// given back. The caller puts the task.
func (t *Task) finish(tx *store.Tx, now Millis) {
	t.Last, t.Stopped, t.Orphan, t.Leaving = StateStopped, now, true, false
	t.Version++
	t.release(tx)
}

// release gives back what the task has reserved.
func (t *Task) release(tx *store.Tx) {
	if t.Reserved == nil {
		return
	}
	release(tx, t.InstanceKey(), t.Group, *t.Reserved)
	t.Reserved = nil
}
