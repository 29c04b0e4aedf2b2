package dispatch

import (
	"errors"
	"net/http"
	"strings"

	"berth/agent/proto"
	"berth/aws"
	"berth/ecs"
	"berth/elbv2"
)

// maxLogBody bounds one batch of log events. AWS bounds a batch to 1 MiB; JSON may make it some times larger.
const maxLogBody = 16 << 20

// logs takes log events of a task that is placed on the machine, and of no other.
func (s *Server) logs(w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	if s.Logs == nil {
		http.Error(w, "there is no log store", http.StatusServiceUnavailable)
		return
	}
	one := s.heard(w, who)
	if one == nil {
		return
	}
	var batch proto.LogBatch
	if !readBody(w, r, maxLogBody, &batch) {
		return
	}
	task, ok := s.placed(w, one, batch.Task)
	if !ok {
		return
	}
	region := batch.Region
	if region == "" {
		region = task.Region
	}
	s.putLogEvents(w, r, task.Account, region, batch)
}

// accessLogs takes lines of a load balancer of the machine's account and region that has access logs, from a machine that balances.
func (s *Server) accessLogs(w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	if s.Logs == nil {
		http.Error(w, "there is no log store", http.StatusServiceUnavailable)
		return
	}
	one := s.heard(w, who)
	if one == nil {
		return
	}
	var batch proto.AccessLogBatch
	if !readBody(w, r, maxLogBody, &batch) {
		return
	}
	account, region, ok := strings.Cut(one.place, "/")
	if !ok {
		http.Error(w, "this machine has not the ingress role", http.StatusForbidden)
		return
	}
	group, stream, ok := elbv2.AccessLog(s.Store.Read(), account, region, batch.LoadBalancer)
	if !ok {
		http.Error(w, "no such load balancer has access logs", http.StatusForbidden)
		return
	}
	s.putLogEvents(w, r, account, region, proto.LogBatch{Group: group, Stream: stream, Create: true, Events: batch.Events})
}

// putLogEvents stores a batch and answers.
func (s *Server) putLogEvents(w http.ResponseWriter, r *http.Request, account, region string, batch proto.LogBatch) {
	err := s.Logs.PutLogEvents(r.Context(), account, region, batch)
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
