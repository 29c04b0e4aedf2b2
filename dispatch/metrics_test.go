package dispatch_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"berth/agent/proto"
	"berth/elbv2"
	"berth/store"
)

// fakeMetrics remembers batches and can be told to fail.
type fakeMetrics struct {
	mu      sync.Mutex // guards the fields below
	batches []proto.MetricBatch
	where   []string
	fail    error
}

func (f *fakeMetrics) PutMetrics(_ context.Context, account, region, source string, b proto.MetricBatch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.batches, f.where = append(f.batches, b), append(f.where, account+"/"+region+" "+source)
	return nil
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	lb := elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "web", ID: "0123456789abcdef"}
	good := proto.MetricSample{
		Namespace: "AWS/ApplicationELB", Name: "RequestCount", Dimensions: map[string]string{"LoadBalancer": lb.Path()}, Unit: "Count",
		At: 60_000, Period: 60, Sum: 1, Count: 1,
	}
	w.update(func(tx *store.Tx) { elbv2.LoadBalancers.Put(tx, lb) })
	batch := func(change func(s *proto.MetricSample)) []byte {
		s := good
		change(&s)
		return w.json(proto.MetricBatch{Samples: []proto.MetricSample{s}})
	}
	same := func(*proto.MetricSample) {}
	if code, _ := w.post(cert, proto.PathMetrics, batch(same)); code != http.StatusServiceUnavailable {
		t.Errorf("a machine without a session: %d", code)
	}
	w.ingress(cert)
	for _, row := range []struct {
		name string
		cert *tls.Certificate
		body []byte
		code int
	}{
		{"no certificate", nil, batch(same), http.StatusUnauthorized},
		{"garbage", cert, []byte("{{"), 400},
		{"wrong types", cert, []byte(`{"samples":[{"sum":"many"}]}`), 400},
		{"no name", cert, batch(func(s *proto.MetricSample) { s.Name = "" }), 400},
		{"a long unit", cert, batch(func(s *proto.MetricSample) { s.Unit = strings.Repeat("x", 256) }), 400},
		{"no period", cert, batch(func(s *proto.MetricSample) { s.Period = 0 }), 400},
		{"too large", cert, []byte(`{"samples":[{"name":"` + strings.Repeat("x", 5<<20) + `"}]}`), 413},
	} {
		if code, body := w.post(row.cert, proto.PathMetrics, row.body); code != row.code {
			t.Errorf("%s: got %d %q, want %d", row.name, code, body, row.code)
		}
	}
	if len(w.metrics.batches) != 0 {
		t.Errorf("%d bad batches were taken", len(w.metrics.batches))
	}
	if code, body := w.post(cert, proto.PathMetrics, batch(same)); code != http.StatusNoContent {
		t.Errorf("good: %d %s", code, body)
	}
	if len(w.metrics.batches) != 1 || !strings.HasPrefix(w.metrics.where[0], account+"/"+region+" default/") || w.metrics.batches[0].Samples[0].Name != good.Name {
		t.Errorf("taken: %v %v", w.metrics.batches, w.metrics.where)
	}
	w.metrics.fail = errors.New("full")
	if code, _ := w.post(cert, proto.PathMetrics, batch(same)); code != http.StatusInternalServerError {
		t.Errorf("failing: %d", code)
	}
}

func TestSamplesOfWhatThereIsNotAreDropped(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	w.ingress(cert)
	lb := elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "web", ID: "0123456789abcdef"}
	group := elbv2.TargetGroup{Account: account, Region: region, Name: "web", ID: "0123456789abcdef"}
	elsewhere := elbv2.LoadBalancer{Account: account, Region: "ap-south-1", Kind: "application", Name: "web", ID: "1111111111111111"}
	w.update(func(tx *store.Tx) {
		elbv2.LoadBalancers.Put(tx, lb)
		elbv2.LoadBalancers.Put(tx, elsewhere)
		elbv2.TargetGroups.Put(tx, group)
	})
	balancer, targets := "LoadBalancer", "TargetGroup"
	var batch proto.MetricBatch
	for _, row := range []struct {
		name, namespace string
		dimensions      map[string]string
	}{
		{"kept", "AWS/ApplicationELB", map[string]string{balancer: lb.Path()}},
		{"kept", "AWS/ApplicationELB", map[string]string{balancer: lb.Path(), targets: "targetgroup/" + group.Path()}},
		{"kept", "AWS/ApplicationELB", map[string]string{targets: "targetgroup/" + group.Path()}},
		{"no dimensions", "AWS/ApplicationELB", nil},
		{"another namespace", "AWS/ECS", map[string]string{balancer: lb.Path()}},
		{"no such load balancer", "AWS/ApplicationELB", map[string]string{balancer: "app/web/2222222222222222"}},
		{"another region", "AWS/ApplicationELB", map[string]string{balancer: elsewhere.Path()}},
		{"no such group", "AWS/ApplicationELB", map[string]string{balancer: lb.Path(), targets: "targetgroup/none/0123456789abcdef"}},
		{"not as in CloudWatch", "AWS/ApplicationELB", map[string]string{targets: group.Path()}},
		{"another dimension", "AWS/ApplicationELB", map[string]string{balancer: lb.Path(), "AvailabilityZone": "here"}},
	} {
		batch.Samples = append(batch.Samples, proto.MetricSample{
			Namespace: row.namespace, Name: row.name, Dimensions: row.dimensions, Unit: "Count", At: 60_000, Period: 60, Sum: 1, Count: 1,
		})
	}
	if code, body := w.post(cert, proto.PathMetrics, w.json(batch)); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}
	kept := w.metrics.batches[0].Samples
	if len(kept) != 3 || w.server.DroppedSamples() != 7 {
		t.Errorf("%d dropped, kept: %v", w.server.DroppedSamples(), kept)
	}
	for _, m := range kept {
		if m.Name != "kept" {
			t.Errorf("%s is kept", m.Name)
		}
	}
}
