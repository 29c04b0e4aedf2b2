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

func (t *tally) add(s series, v float64) { t.addMany(s, v, 1) }

// addMany adds a value so many times; fewer than none take it back.
func (t *tally) addMany(s series, v float64, times int64) {
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
	row.Sum += v * float64(times)
	row.Count += float64(times)
	row.Min, row.Max = min(row.Min, v), max(row.Max, v)
}

// Namespaces of CloudWatch.
const (
	applicationELB = "AWS/ApplicationELB"
	networkELB     = "AWS/NetworkELB"
)

// namespaceOf is CloudWatch's namespace of a load balancer; empty for ports of Service Connect, which have none.
func namespaceOf(balancer string) string {
	switch kind, _, _ := strings.Cut(balancer, "/"); kind {
	case "app":
		return applicationELB
	case "net":
		return networkELB
	}
	return ""
}

// owed are answers by load balancer and class that a frontend of a worker has given and no target: those that load balancers give themselves. It is below zero
// while answers of targets are on their way to clients.
type owed map[answers]int64

type answers struct {
	balancer string
	class    byte // '2' to '5'
}

// count adds what one worker has counted since the last look.
func (t *tally) count(fresh counts, owed owed) {
	for c, n := range fresh {
		if balancer, ok := haproxy.FrontendOwner(c.proxy); ok {
			t.frontend(balancer, c.name, n, owed)
		} else if balancer, ok := haproxy.LateOwner(c.proxy); ok && c.part != "BACKEND" {
			t.late(balancer, c.name, n, owed)
		} else if balancer, group, ok := haproxy.BackendOwner(c.proxy); ok {
			switch c.part {
			case "":
				t.answered(balancer, group, c.name, n)
			case "BACKEND":
				t.backend(balancer, group, c.name, n)
			default:
				t.slot(balancer, group, c.name, n, owed)
			}
		}
	}
	for a, n := range owed {
		if n > 0 && a.class > '2' {
			t.addMany(series{namespaceOf(a.balancer), "HTTPCode_ELB_" + string(a.class) + "XX_Count", count, a.balancer, ""}, 1, n)
			owed[a] = 0
		}
	}
}

// frontend counts what came from clients.
func (t *tally) frontend(balancer, name string, n int64, owed owed) {
	space := namespaceOf(balancer)
	switch {
	case space == "":
	case name == "bin" || name == "bout":
		t.add(series{space, "ProcessedBytes", octets, balancer, ""}, float64(n))
	case name == "conn_tot" && space == networkELB:
		t.addMany(series{space, "NewFlowCount", count, balancer, ""}, 1, n)
	case name == "conn_tot":
		t.addMany(series{space, "NewConnectionCount", count, balancer, ""}, 1, n)
	case strings.HasPrefix(name, "hrsp_"):
		owed[answers{balancer, name[len("hrsp_")]}] += n
	}
}

// late takes back what a worker handed to the next one, which counts it.
func (t *tally) late(balancer, name string, n int64, owed owed) {
	switch space := namespaceOf(balancer); {
	case space == "":
	case name == "bin" || name == "bout":
		t.add(series{space, "ProcessedBytes", octets, balancer, ""}, -float64(n))
	case name == "connect":
		t.addMany(series{space, "NewConnectionCount", count, balancer, ""}, 1, -n)
	case strings.HasPrefix(name, "hrsp_"):
		owed[answers{balancer, name[len("hrsp_")]}] -= n
	}
}

// backend counts requests for which a target was chosen: its own failures are those of the targets, and requests for which there was none.
func (t *tally) backend(balancer, group, name string, n int64) {
	switch {
	case namespaceOf(balancer) != applicationELB:
	case name == "stot":
		t.both(balancer, group, "RequestCount", n)
	case name == "econ":
		t.both(balancer, group, "RequestCount", -n)
	}
}

// slot counts what became of requests at one target.
func (t *tally) slot(balancer, group, name string, n int64, owed owed) {
	if namespaceOf(balancer) != applicationELB {
		return
	}
	switch name {
	case "wretr", "wredis":
		t.both(balancer, group, "TargetConnectionErrorCount", n)
	case "econ":
		t.both(balancer, group, "RequestCount", n) // see backend
		t.both(balancer, group, "TargetConnectionErrorCount", n)
	case "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx":
		class := name[len("hrsp_")]
		owed[answers{balancer, class}] -= n
		t.both(balancer, group, "HTTPCode_Target_"+string(class)+"XX_Count", n)
	}
}

// answered counts answers that took so many milliseconds.
func (t *tally) answered(balancer, group, milliseconds string, n int64) {
	if ms, err := strconv.ParseFloat(milliseconds, 64); err == nil && namespaceOf(balancer) == applicationELB {
		for _, g := range []string{"", group} {
			t.addMany(series{applicationELB, "TargetResponseTime", seconds, balancer, g}, max(ms, 0)/1000, n)
		}
	}
}

// both counts for an application load balancer and for its group.
func (t *tally) both(balancer, group, name string, n int64) {
	for _, g := range []string{"", group} {
		t.addMany(series{applicationELB, name, count, balancer, g}, 1, n)
	}
}

// connections counts those that a worker has open.
func (t *tally) connections(open map[string]int) {
	for frontend, n := range open {
		balancer, ok := haproxy.FrontendOwner(frontend)
		switch space := namespaceOf(balancer); {
		case !ok || space == "":
		case space == networkELB:
			t.add(series{space, "ActiveFlowCount", count, balancer, ""}, float64(n))
		default:
			t.add(series{space, "ActiveConnectionCount", count, balancer, ""}, float64(n))
		}
	}
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
		if row := t.rows[s]; row.Count > 0 { // else all of it was taken back
			all = append(all, *row)
		}
	}
	return all
}

func compareSeries(a, b series) int {
	return cmp.Or(cmp.Compare(a.balancer, b.balancer), cmp.Compare(a.group, b.group), cmp.Compare(a.name, b.name))
}
