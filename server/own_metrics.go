package server

import (
	"context"
	"strings"
	"time"

	own "berth/api/berth"
	"berth/aws"
	"berth/cloudwatch/samples"
	"berth/elbv2"
	"berth/store"
)

// Bounds and defaults of GetMetrics.
const (
	metricsSince  = time.Hour
	metricsPeriod = 5 * time.Minute
	mostPoints    = 1440
)

// GetMetrics gives what was counted for a load balancer or a target group.
func (o *ownService) GetMetrics(ctx context.Context, in *own.GetMetricsRequest) (*own.GetMetricsResponse, error) {
	since, period := time.Duration(in.Since)*time.Second, time.Duration(in.Period)*time.Second
	if in.Since == 0 {
		since = metricsSince
	}
	if in.Period == 0 {
		period = metricsPeriod
	}
	switch {
	case in.Since < 0 || in.Since > int(samples.Retention/time.Second):
		return nil, aws.Errorf("InvalidParameterException", "sinceSeconds must be between 1 and %d.", int(samples.Retention/time.Second))
	case in.Period < 0 || in.Period > int(samples.Retention/time.Second) || period%time.Minute != 0:
		return nil, aws.Errorf("InvalidParameterException", "periodSeconds must be a multiple of 60, at most %d.", int(samples.Retention/time.Second))
	case since/period > mostPoints:
		return nil, aws.Errorf("InvalidParameterException", "There would be more than %d points: make periodSeconds longer.", mostPoints)
	}
	caller := aws.CallerFrom(ctx)
	arn, filter, ok := counted(o.s.store.Read(), caller, in.Subject)
	if !ok {
		return nil, aws.Errorf("ResourceNotFoundException", "No load balancer and no target group is named %s.", in.Subject)
	}
	now := time.Now()
	out := &own.GetMetricsResponse{Subject: arn, Period: int(period / time.Second), Points: []own.MetricPoint{}}
	for _, m := range o.s.samples.List(caller.Account, caller.Region, filter) {
		points, err := o.s.samples.Query(samples.Query{
			Account: caller.Account, Region: caller.Region, Metric: m, From: now.Add(-since).Truncate(period), To: now, Period: period,
		})
		if err != nil {
			return nil, err
		}
		for _, p := range points {
			out.Points = append(out.Points, own.MetricPoint{
				Namespace: m.Namespace, Name: m.Name, Dimensions: m.Dimensions, Unit: p.Unit, Start: p.Start,
				SampleCount: p.SampleCount, Sum: p.Sum, Minimum: p.Minimum, Maximum: p.Maximum,
			})
		}
	}
	return out, nil
}

// counted finds a load balancer or, if none is meant, a target group, and the dimension of its metrics.
func counted(r store.Reader, c aws.Caller, subject string) (arn string, f samples.Filter, ok bool) {
	place := c.Account + "/" + c.Region + "/"
	for lb := range elbv2.LoadBalancers.Prefix(r, place) {
		if arn := lb.ARN().String(); lb.Name == subject || arn == subject || strings.EqualFold(lb.DNSName(), subject) {
			return arn, samples.Filter{Dimensions: map[string]string{"LoadBalancer": lb.Path()}}, true
		}
	}
	for g := range elbv2.TargetGroups.Prefix(r, place) {
		if arn := g.ARN().String(); g.Name == subject || arn == subject {
			return arn, samples.Filter{Dimensions: map[string]string{"TargetGroup": "targetgroup/" + g.Path()}}, true
		}
	}
	return "", f, false
}
