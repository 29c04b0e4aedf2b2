package server

import (
	"errors"
	"testing"
	"time"

	"berth/agent/proto"
	own "berth/api/berth"
	"berth/aws"
	"berth/cloudwatch/samples"
	"berth/elbv2"
	"berth/store"
)

func TestGetMetrics(t *testing.T) {
	st, err := store.Open(store.Config{Tables: Tables()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	kept, err := samples.Open(samples.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	o := &ownService{s: &Server{store: st, services: &services{samples: kept}}}
	const account, region = "000000000000", "us-east-1"
	lb := elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "web", ID: "0123456789abcdef"}
	group := elbv2.TargetGroup{Account: account, Region: region, Name: "group", ID: "0123456789abcdef"}
	err = st.Update(t.Context(), func(tx *store.Tx) error {
		elbv2.LoadBalancers.Put(tx, lb)
		elbv2.TargetGroups.Put(tx, group)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	minute := time.Now().Truncate(time.Minute).Add(-10 * time.Minute)
	one := proto.MetricSample{
		Namespace: "AWS/ApplicationELB", Name: "RequestCount", Unit: "Count", At: minute.UnixMilli(), Period: 60, Sum: 3, Count: 3, Min: 1, Max: 1,
		Dimensions: map[string]string{"LoadBalancer": lb.Path()},
	}
	both := one
	both.Dimensions = map[string]string{"LoadBalancer": lb.Path(), "TargetGroup": "targetgroup/" + group.Path()}
	for _, machine := range []string{"default/a", "default/b"} {
		if err := kept.PutMetrics(t.Context(), account, region, machine, proto.MetricBatch{Samples: []proto.MetricSample{one, both}}); err != nil {
			t.Fatal(err)
		}
	}
	caller := aws.WithCaller(t.Context(), aws.RootCaller(account, region, "AKIDEXAMPLE"))
	for _, row := range []struct {
		name, code string
		in         own.GetMetricsRequest
		points     int
	}{
		{name: "load balancer", in: own.GetMetricsRequest{Subject: "web"}, points: 2},
		{name: "load balancer by ARN", in: own.GetMetricsRequest{Subject: lb.ARN().String()}, points: 2},
		{name: "load balancer by DNS name", in: own.GetMetricsRequest{Subject: lb.DNSName()}, points: 2},
		{name: "target group", in: own.GetMetricsRequest{Subject: "group"}, points: 1},
		{name: "before it was counted", in: own.GetMetricsRequest{Subject: "web", Since: 60, Period: 60}},
		{name: "unknown", in: own.GetMetricsRequest{Subject: "none"}, code: "ResourceNotFoundException"},
		{name: "half a minute", in: own.GetMetricsRequest{Subject: "web", Period: 90}, code: "InvalidParameterException"},
		{name: "longer than is kept", in: own.GetMetricsRequest{Subject: "web", Since: 16 * 24 * 3600}, code: "InvalidParameterException"},
		{name: "too many points", in: own.GetMetricsRequest{Subject: "web", Since: 15 * 24 * 3600, Period: 60}, code: "InvalidParameterException"},
	} {
		out, err := o.GetMetrics(caller, &row.in)
		if e, ok := errors.AsType[*aws.Error](err); row.code != "" || err != nil {
			if !ok || e.Code != row.code {
				t.Errorf("%s: got %v, want %q", row.name, err, row.code)
			}
			continue
		}
		if len(out.Points) != row.points {
			t.Errorf("%s: %d points, want %d: %+v", row.name, len(out.Points), row.points, out.Points)
		}
		for _, p := range out.Points {
			if p.Sum != 6 || p.SampleCount != 6 || p.Average() != 1 {
				t.Errorf("%s: %+v", row.name, p)
			}
		}
	}
	elsewhere := aws.WithCaller(t.Context(), aws.RootCaller(account, "eu-west-1", "AKIDEXAMPLE"))
	if _, err := o.GetMetrics(elsewhere, &own.GetMetricsRequest{Subject: "web"}); err == nil {
		t.Error("another region has the numbers")
	}
}
