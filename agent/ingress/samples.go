package ingress

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Units of CloudWatch.
const (
	count   = "Count"
	seconds = "Seconds"
	octets  = "Bytes"
)

// period is that of samples.
const period = time.Minute

// series names one row of numbers.
type series struct {
	namespace, name, unit string
	balancer, group       string // dimensions LoadBalancer and TargetGroup; empty: not one
}

// tally collects the numbers of one minute. Source of names, dimensions and what counts: ELB user guides, CloudWatch metrics.
type tally struct {
	at   time.Time // start of the minute
	rows map[series]*proto.MetricSample
}

func newTally(now time.Time) *tally {
	return &tally{at: now.Truncate(period), rows: map[series]*proto.MetricSample{}}
}

func (t *tally) add(s series, v float64) {
	row := t.rows[s]
	if row == nil {
		row = &proto.MetricSample{
			Namespace: s.namespace, Name: s.name, Unit: s.unit, Dimensions: map[string]string{}, At: t.at.UnixMilli(),
			Period: int(period / time.Second), Min: v, Max: v,
		}
		if s.balancer != "" {
			row.Dimensions["LoadBalancer"] = s.balancer
		}
		if s.group != "" {
			row.Dimensions["TargetGroup"] = s.group
		}
		t.rows[s] = row
	}
	row.Sum += v
	row.Count++
	row.Min, row.Max = min(row.Min, v), max(row.Max, v)
}

// namespaceOf is CloudWatch's namespace of a load balancer; empty for ports of Service Connect, which have none.
func namespaceOf(balancer string) string {
	switch kind, _, _ := strings.Cut(balancer, "/"); kind {
	case "app":
		return "AWS/ApplicationELB"
	case "net":
		return "AWS/NetworkELB"
	}
	return ""
}

// request counts one entry of HAProxy's log.
func (t *tally) request(e haproxy.Entry) {
	space := namespaceOf(e.LoadBalancer)
	if space == "" {
		return
	}
	t.add(series{space, "ProcessedBytes", octets, e.LoadBalancer, ""}, float64(e.Received+e.Sent))
	if space == "AWS/NetworkELB" {
		t.add(series{space, "NewFlowCount", count, e.LoadBalancer, ""}, 1)
		return
	}
	both := func(name, unit string, v float64) {
		t.add(series{space, name, unit, e.LoadBalancer, ""}, v)
		if e.Group != "" {
			t.add(series{space, name, unit, e.LoadBalancer, e.Group}, v)
		}
	}
	if e.Target != "" {
		both("RequestCount", count, 1)
	}
	switch {
	case e.TargetStatus >= 200:
		both("HTTPCode_Target_"+class(e.TargetStatus)+"_Count", count, 1)
		both("TargetResponseTime", seconds, float64(max(e.Response, 0))/1000)
	case e.Status >= 300:
		t.add(series{space, "HTTPCode_ELB_" + class(e.Status) + "_Count", count, e.LoadBalancer, ""}, 1)
	}
	if failed := e.Retries + refused(e); failed > 0 {
		both("TargetConnectionErrorCount", count, float64(failed))
	}
}

func class(status int) string { return strconv.Itoa(status/100) + "XX" }

// refused is 1 if the last try to connect failed too.
func refused(e haproxy.Entry) int {
	if strings.HasPrefix(e.End, "SC") || strings.HasPrefix(e.End, "sC") {
		return 1
	}
	return 0
}

// hosts counts targets by their health, for each load balancer that forwards to their group, and requests for each healthy one.
func (t *tally) hosts(f haproxy.Frame, state func(group string, target haproxy.Target) string) {
	groups := map[string]haproxy.Group{}
	for _, g := range f.Groups {
		groups[g.ID] = g
	}
	for _, lb := range f.LoadBalancers {
		space := namespaceOf(lb.ID)
		if space == "" {
			continue
		}
		for _, id := range forwarded(lb) {
			healthy, unhealthy := 0, 0
			for _, target := range groups[id].Targets {
				switch state(id, target) {
				case proto.TargetHealthy:
					healthy++
				case proto.TargetUnhealthy:
					unhealthy++
				}
			}
			t.add(series{space, "HealthyHostCount", count, lb.ID, id}, float64(healthy))
			t.add(series{space, "UnHealthyHostCount", count, lb.ID, id}, float64(unhealthy))
			if row := t.rows[series{space, "RequestCount", count, lb.ID, id}]; row != nil && healthy > 0 {
				per := row.Sum / float64(healthy)
				t.add(series{space, "RequestCountPerTarget", count, lb.ID, id}, per)
				t.add(series{space, "RequestCountPerTarget", count, "", id}, per)
			}
		}
	}
}

// forwarded are the groups that a load balancer forwards to, each once.
func forwarded(lb haproxy.LoadBalancer) []string {
	all := map[string]bool{}
	for _, l := range lb.Listeners {
		for _, r := range l.Rules {
			for _, w := range r.Action.Groups {
				all[w.Group] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// samples are the numbers in a fixed order.
func (t *tally) samples() []proto.MetricSample {
	var all []proto.MetricSample
	for _, s := range slices.SortedFunc(maps.Keys(t.rows), compareSeries) {
		all = append(all, *t.rows[s])
	}
	return all
}

func compareSeries(a, b series) int {
	return cmp.Or(cmp.Compare(a.balancer, b.balancer), cmp.Compare(a.group, b.group), cmp.Compare(a.name, b.name))
}
