package dispatch

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"berth/agent/proto"
	"berth/ecs"
	"berth/elbv2"
	"berth/store"
)

// metrics takes what a machine has counted.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	if s.Metrics == nil {
		http.Error(w, "there is no store of metrics", http.StatusServiceUnavailable)
		return
	}
	if s.heard(w, who) == nil {
		return
	}
	var batch proto.MetricBatch
	if !readBody(w, r, maxMetricBody, &batch) {
		return
	}
	if err := checkMetrics(batch); err != nil {
		http.Error(w, "the batch is not valid: "+err.Error(), http.StatusBadRequest)
		return
	}
	all := len(batch.Samples)
	batch.Samples = ownSamples(s.Store.Read(), who.Account, who.Region, batch.Samples)
	if dropped := all - len(batch.Samples); dropped > 0 {
		s.droppedSamples.Add(int64(dropped))
		s.Log.Debug("samples of unknown load balancers are dropped", "machine", who.ID, "samples", dropped)
	}
	if err := s.Metrics.PutMetrics(r.Context(), who.Account, who.Region, cmp.Or(who.Cluster, "default")+"/"+who.ID, batch); err != nil {
		s.internal(w, "put metrics", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func checkMetrics(b proto.MetricBatch) error {
	if len(b.Samples) > maxSamples {
		return fmt.Errorf("it has %d samples", len(b.Samples))
	}
	for _, m := range b.Samples {
		switch {
		case m.Name == "" || len(m.Name) > 255 || m.Namespace == "" || len(m.Namespace) > 255 || len(m.Unit) > 255 || len(m.Dimensions) > 30:
			return fmt.Errorf("sample %q of %q", clip(m.Name), clip(m.Namespace))
		case m.Period <= 0 || m.Count < 0 || m.At <= 0:
			return errors.New("a sample's period, count or time is none")
		}
	}
	return nil
}

// DroppedSamples is how many samples were not taken since the start, since they were of no load balancer and no target group that there is.
func (s *Server) DroppedSamples() int64 { return s.droppedSamples.Load() }

// ownSamples are the samples whose namespace is one of load balancing, and whose dimensions are load balancers and target groups of the
// account and region. A machine can so only make series of what there is.
func ownSamples(r store.Reader, account, region string, samples []proto.MetricSample) (out []proto.MetricSample) {
	known := map[string]bool{} // by dimension and value
	there := func(k, v string) bool {
		id := k + " " + v
		if _, ok := known[id]; !ok {
			switch group, isGroup := strings.CutPrefix(v, "targetgroup/"); {
			case k == "LoadBalancer":
				_, known[id] = elbv2.LoadBalancers.Get(r, account+"/"+region+"/"+v)
			case k == "TargetGroup" && isGroup:
				_, known[id] = elbv2.TargetGroups.Get(r, account+"/"+region+"/"+group)
			default:
				known[id] = false
			}
		}
		return known[id]
	}
	for _, m := range samples {
		ok := len(m.Dimensions) > 0 && (m.Namespace == "AWS/ApplicationELB" || m.Namespace == "AWS/NetworkELB")
		for k, v := range m.Dimensions {
			ok = ok && there(k, v)
		}
		if ok {
			out = append(out, m)
		}
	}
	return out
}
