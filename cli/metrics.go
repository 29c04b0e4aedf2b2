package cli

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	own "berth/api/berth"
)

// metricRow is what a table shows of one period.
type metricRow struct {
	sums map[string]float64 // by name of the metric
	// latency is over all answers: their number, and seconds.
	answers, seconds float64
	// hosts are, for each load balancer and group, averages of what the machines saw; by name of the metric and dimensions.
	hosts map[string]map[string]float64
}

// MetricsTable shows the points of a load balancer or a target group, a row for each period, with the local time at which it begins.
func MetricsTable(out *own.GetMetricsResponse) Table {
	ofGroup := strings.Contains(out.Subject, ":targetgroup/")
	network := slices.ContainsFunc(out.Points, func(p own.MetricPoint) bool { return p.Namespace == "AWS/NetworkELB" })
	rows := map[time.Time]*metricRow{}
	for _, p := range out.Points {
		row := rows[p.Start]
		if row == nil {
			row = &metricRow{sums: map[string]float64{}, hosts: map[string]map[string]float64{}}
			rows[p.Start] = row
		}
		row.add(p, ofGroup)
	}
	t := Table{Heading: []string{"TIME", "REQUESTS", "2XX", "3XX", "4XX", "5XX", "LB 4XX", "LB 5XX", "LATENCY", "HEALTHY", "UNHEALTHY"}}
	cells := (*metricRow).requests
	switch {
	case network && ofGroup: // connections are counted for load balancers only
		t.Heading, cells = []string{"TIME", "HEALTHY", "UNHEALTHY"}, func(*metricRow) []string { return nil }
	case network:
		t.Heading, cells = []string{"TIME", "NEW FLOWS", "BYTES", "HEALTHY", "UNHEALTHY"}, (*metricRow).flows
	}
	for _, start := range slices.SortedFunc(maps.Keys(rows), time.Time.Compare) {
		row := append([]string{start.Local().Format("Jan 02 15:04")}, cells(rows[start])...)
		t.Rows = append(t.Rows, append(row, rows[start].health("HealthyHostCount", ofGroup), rows[start].health("UnHealthyHostCount", ofGroup)))
	}
	return t
}

func (r *metricRow) add(p own.MetricPoint, ofGroup bool) {
	group := p.Dimensions["TargetGroup"]
	switch {
	case p.Name == "HealthyHostCount" || p.Name == "UnHealthyHostCount":
		if r.hosts[p.Name] == nil {
			r.hosts[p.Name] = map[string]float64{}
		}
		r.hosts[p.Name][p.Dimensions["LoadBalancer"]+" "+group] = p.Average()
	case ofGroup != (group != ""): // the load balancer's own numbers have those of its groups in them
	case p.Name == "TargetResponseTime":
		r.answers, r.seconds = r.answers+p.SampleCount, r.seconds+p.Sum
	default:
		r.sums[p.Name] += p.Sum
	}
}

// requests are the columns of what speaks HTTP.
func (r *metricRow) requests() []string {
	var out []string
	for _, name := range []string{
		"RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_3XX_Count", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count",
		"HTTPCode_ELB_4XX_Count", "HTTPCode_ELB_5XX_Count",
	} {
		out = append(out, number(r.sums[name]))
	}
	latency := "-"
	if r.answers > 0 {
		latency = strconv.FormatFloat(r.seconds/r.answers*1000, 'f', 1, 64) + " ms"
	}
	return append(out, latency)
}

// flows are the columns of what carries connections.
func (r *metricRow) flows() []string {
	return []string{number(r.sums["NewFlowCount"]), number(r.sums["ProcessedBytes"])}
}

// health is how many hosts there were: of a load balancer those of all groups; of a group, which several load balancers may see, the fewest
// healthy or the most unhealthy that one saw.
func (r *metricRow) health(name string, ofGroup bool) string {
	seen := slices.Collect(maps.Values(r.hosts[name]))
	if len(seen) == 0 {
		return "-"
	}
	if ofGroup && name == "HealthyHostCount" {
		return number(slices.Min(seen))
	}
	if ofGroup {
		return number(slices.Max(seen))
	}
	all := 0.0
	for _, n := range seen {
		all += n
	}
	return number(all)
}

// number has one digit after the point where it is needed.
func number(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}
