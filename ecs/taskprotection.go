package ecs

import (
	"context"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const (
	maxProtected           = 10
	maxProtectedShown      = 100
	defaultProtection      = 120  // minutes
	longestProtection      = 2880 // minutes
	reasonTaskNotValid     = "TASK_NOT_VALID"
	msgProtectionRange     = "expiresInMinutes must be between 1 and 2880"
	msgProtectionOff       = "expiresInMinutes can be given only when protectionEnabled is true"
	msgProtectionUndecided = "protectionEnabled can not be blank."
)

// UpdateTaskProtection protects tasks of services from scale-in and deployments, or ends that.
func (s *Service) UpdateTaskProtection(ctx context.Context, in *api.UpdateTaskProtectionRequest) (*api.UpdateTaskProtectionResponse, error) {
	minutes := int32(defaultProtection)
	switch {
	case len(in.Tasks) == 0:
		return nil, invalid("Tasks cannot be empty.")
	case len(in.Tasks) > maxProtected:
		return nil, invalid("Tasks cannot have more than %d elements.", maxProtected)
	case in.ProtectionEnabled == nil:
		return nil, invalid(msgProtectionUndecided)
	case in.ExpiresInMinutes != nil && !*in.ProtectionEnabled:
		return nil, invalid(msgProtectionOff)
	case in.ExpiresInMinutes != nil:
		minutes = *in.ExpiresInMinutes
	}
	if minutes < 1 || minutes > longestProtection {
		return nil, invalid(msgProtectionRange)
	}
	now := s.now()
	until := Millis(0)
	if *in.ProtectionEnabled {
		until = MillisOf(now.Add(time.Duration(minutes) * time.Minute))
	}
	caller := aws.CallerFrom(ctx)
	var out *api.UpdateTaskProtectionResponse
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := activeCluster(ctx, tx, in.Cluster)
		if err != nil {
			return err
		}
		out = &api.UpdateTaskProtectionResponse{ProtectedTasks: []api.ProtectedTask{}, Failures: []api.Failure{}}
		for _, ref := range in.Tasks {
			t, failure := protectable(tx, caller, cluster, ref)
			if failure != nil {
				out.Failures = append(out.Failures, *failure)
				continue
			}
			t.Protected = until
			Tasks.Put(tx, t)
			out.ProtectedTasks = append(out.ProtectedTasks, protectionWire(t, now))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// GetTaskProtection shows which tasks are protected.
func (s *Service) GetTaskProtection(ctx context.Context, in *api.GetTaskProtectionRequest) (*api.GetTaskProtectionResponse, error) {
	switch {
	case len(in.Tasks) == 0:
		return nil, invalid("Tasks cannot be empty.")
	case len(in.Tasks) > maxProtectedShown:
		return nil, invalid("Tasks cannot have more than %d elements.", maxProtectedShown)
	}
	r, caller, now := s.store.Read(), aws.CallerFrom(ctx), s.now()
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &api.GetTaskProtectionResponse{ProtectedTasks: []api.ProtectedTask{}, Failures: []api.Failure{}}
	for _, ref := range in.Tasks {
		t, failure := protectable(r, caller, cluster, ref)
		if failure != nil {
			out.Failures = append(out.Failures, *failure)
			continue
		}
		out.ProtectedTasks = append(out.ProtectedTasks, protectionWire(t, now))
	}
	return out, nil
}

// protectable finds a task of a service that runs or will.
func protectable(r store.Reader, c aws.Caller, cluster Cluster, ref string) (Task, *api.Failure) {
	t, ok := findTask(r, c, cluster.Name, ref)
	if !ok {
		return t, new(missing(memberARN(c, "task", cluster.Name, ref)))
	}
	if t.ServiceKey() == "" || t.Desired == StateStopped || t.Last > StateRunning {
		return t, &api.Failure{Arn: new(string(t.ARN())), Reason: new(reasonTaskNotValid)}
	}
	return t, nil
}

func protectionWire(t Task, now time.Time) api.ProtectedTask {
	out := api.ProtectedTask{TaskArn: new(string(t.ARN())), ProtectionEnabled: new(now.Before(t.Protected.Time()))}
	if *out.ProtectionEnabled {
		out.ExpirationDate = t.Protected.wire()
	}
	return out
}
