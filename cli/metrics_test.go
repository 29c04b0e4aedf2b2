package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	own "berth/api/berth"
)

const balancerARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/"

func point(minute int, name, group string, count, sum float64) own.MetricPoint {
	p := own.MetricPoint{
		Name: name, Start: time.Date(2026, 11, 20, 12, minute, 0, 0, time.Local), SampleCount: count, Sum: sum,
		Dimensions: map[string]string{"LoadBalancer": "lb"},
	}
	if group != "" {
		p.Dimensions["TargetGroup"] = group
	}
	return p
}

func TestMetricsTableOfALoadBalancer(t *testing.T) {
	got := MetricsTable(&own.GetMetricsResponse{Subject: balancerARN + "app/web/0123456789abcdef", Points: []own.MetricPoint{
		point(5, "RequestCount", "", 10, 10), point(5, "RequestCount", "a", 6, 6), point(5, "RequestCount", "b", 4, 4),
		point(5, "HTTPCode_Target_2XX_Count", "", 9, 9), point(5, "HTTPCode_Target_5XX_Count", "", 1, 1), point(5, "HTTPCode_ELB_5XX_Count", "", 3, 3),
		point(5, "TargetResponseTime", "", 10, 0.5), point(5, "TargetResponseTime", "a", 6, 6),
		point(0, "HealthyHostCount", "a", 10, 15), point(0, "HealthyHostCount", "b", 10, 10), point(0, "UnHealthyHostCount", "b", 10, 0),
	}})
	want := [][]string{
		{"Nov 20 12:00", "0", "0", "0", "0", "0", "0", "0", "-", "2.5", "0"},
		{"Nov 20 12:05", "10", "9", "0", "0", "1", "0", "3", "50.0 ms", "-", "-"},
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Error(diff)
	}
	if len(got.Heading) != len(want[0]) {
		t.Errorf("%d columns have %d headings", len(want[0]), len(got.Heading))
	}
}

func TestMetricsTableOfATargetGroup(t *testing.T) {
	behind := func(lb string, p own.MetricPoint) own.MetricPoint { p.Dimensions["LoadBalancer"] = lb; return p }
	got := MetricsTable(&own.GetMetricsResponse{Subject: "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/a/1", Points: []own.MetricPoint{
		point(0, "RequestCount", "a", 6, 6), behind("other", point(0, "RequestCount", "a", 1, 1)),
		point(0, "HealthyHostCount", "a", 2, 4), behind("other", point(0, "HealthyHostCount", "a", 2, 2)),
		point(0, "UnHealthyHostCount", "a", 2, 0), behind("other", point(0, "UnHealthyHostCount", "a", 2, 2)),
	}})
	want := [][]string{{"Nov 20 12:00", "7", "0", "0", "0", "0", "0", "0", "-", "1", "1"}}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Error(diff)
	}
}

func TestMetricsTableOfANetworkLoadBalancer(t *testing.T) {
	points := []own.MetricPoint{point(0, "NewFlowCount", "", 6, 6), point(0, "ProcessedBytes", "", 6, 1234), point(0, "HealthyHostCount", "a", 1, 1)}
	for i := range points {
		points[i].Namespace = "AWS/NetworkELB"
	}
	for subject, want := range map[string][]string{
		balancerARN + "net/db/0123456789abcdef":                               {"Nov 20 12:00", "6", "1234", "1", "-"},
		"arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/a/1": {"Nov 20 12:00", "1", "-"},
	} {
		if diff := cmp.Diff([][]string{want}, MetricsTable(&own.GetMetricsResponse{Subject: subject, Points: points}).Rows); diff != "" {
			t.Errorf("%s: %s", subject, diff)
		}
	}
}
