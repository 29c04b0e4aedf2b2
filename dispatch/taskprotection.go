package dispatch

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs"
)

// maxProtectionBody bounds a request for a task's protection.
const maxProtectionBody = 16 << 10

// taskProtection reads or sets the protection of a task that is placed on the machine, and of no other, as the API does.
func (s *Server) taskProtection(w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	one := s.heard(w, who)
	if one == nil {
		return
	}
	var in proto.TaskProtection
	if !readBody(w, r, maxProtectionBody, &in) {
		return
	}
	task, ok := s.placed(w, one, in.Task)
	if !ok {
		return
	}
	out := proto.TaskProtectionAnswer{RequestID: aws.NewUUID()}
	ctx := aws.WithCaller(aws.WithRequestID(r.Context(), out.RequestID), aws.RootCaller(task.Account, task.Region, ""))
	tasks, failures, err := s.protect(ctx, task, in)
	refused, shown := errors.AsType[*aws.Error](err)
	switch {
	case shown:
		out.Error = &proto.APIError{Status: cmp.Or(refused.Status, http.StatusBadRequest), Code: refused.Code, Message: refused.Message}
	case err != nil:
		s.internal(w, "task protection", err)
		return
	case len(failures) > 0:
		out.Failure = &failures[0]
	default:
		out.Protection = &tasks[0]
	}
	writeBody(w, out)
}

// protect calls the operation. There is one task or one failure unless there is an error.
func (s *Server) protect(ctx context.Context, task ecs.Task, in proto.TaskProtection) ([]api.ProtectedTask, []api.Failure, error) {
	if !s.protections.allow(task.Account+"/"+task.Region, time.Now()) {
		return nil, nil, aws.Errorf("ThrottlingException", "Rate exceeded")
	}
	tasks := []string{string(task.ARN())}
	if in.ProtectionEnabled == nil {
		out, err := s.ECS.GetTaskProtection(ctx, &api.GetTaskProtectionRequest{Cluster: &task.Cluster, Tasks: tasks})
		if err != nil {
			return nil, nil, err
		}
		return out.ProtectedTasks, out.Failures, nil
	}
	out, err := s.ECS.UpdateTaskProtection(ctx, &api.UpdateTaskProtectionRequest{
		Cluster: &task.Cluster, Tasks: tasks, ProtectionEnabled: in.ProtectionEnabled, ExpiresInMinutes: in.ExpiresInMinutes,
	})
	if err != nil {
		return nil, nil, err
	}
	return out.ProtectedTasks, out.Failures, nil
}
