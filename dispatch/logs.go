package dispatch

import (
	"errors"
	"net/http"

	"berth/agent/proto"
	"berth/aws"
	"berth/ecs"
)

// maxLogBody bounds one batch of log events. AWS bounds a batch to 1 MiB; JSON may make it some times larger.
const maxLogBody = 16 << 20

// logs takes log events of a task that is placed on the machine, and of no other.
func (s *Server) logs(w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	if s.Logs == nil {
		http.Error(w, "there is no log store", http.StatusServiceUnavailable)
		return
	}
	one := s.of(who.ID)
	if one == nil {
		http.Error(w, "this machine has no session", http.StatusServiceUnavailable)
		return
	}
	var batch proto.LogBatch
	if !readBody(w, r, maxLogBody, &batch) {
		return
	}
	task, ok := ecs.TaskOn(s.Store.Read(), one.instance, batch.Task)
	if !ok {
		http.Error(w, "the task is not placed on this machine", http.StatusForbidden)
		return
	}
	region := batch.Region
	if region == "" {
		region = task.Region
	}
	err := s.Logs.PutLogEvents(r.Context(), task.Account, region, batch)
	refused, shown := errors.AsType[*aws.Error](err)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case shown && refused.Status < 500:
		http.Error(w, refused.Code+": "+refused.Message, http.StatusBadRequest)
	default:
		s.internal(w, "put log events", err)
	}
}
