package ingress

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

func TestMatcher(t *testing.T) {
	for _, tc := range []struct {
		matcher string
		code    int
		want    bool
	}{
		{"200", 200, true}, {"200", 201, false}, {"200-299,302", 250, true}, {"200-299,302", 302, true}, {"200-299,302", 301, false},
		{"0-99", 12, true}, {"0", 1, false}, {"", 200, false}, {"x-y", 200, false},
	} {
		if got := matches(tc.matcher, tc.code); got != tc.want {
			t.Errorf("matches(%q, %d) = %t", tc.matcher, tc.code, got)
		}
	}
}

// Each letter is an answer, one interval apart: s for success, f for failure.
func TestThresholds(t *testing.T) {
	check := haproxy.HealthCheck{Enabled: true, Interval: 10, Healthy: 3, Unhealthy: 2}
	for _, tc := range []struct{ answers, want string }{
		{"", "initial"},
		{"s", "healthy"}, // one is enough for a new target
		{"f", "initial"},
		{"ff", "unhealthy"},
		{"sf", "healthy"},
		{"sff", "unhealthy"},
		{"sfsf", "healthy"}, // failures in a row count
		{"sffss", "unhealthy"},
		{"sffsss", "healthy"},
		{"ffsfss", "unhealthy"},
		{"ffsss", "healthy"},
	} {
		h, now := newHealth(check, false), time.Unix(1000, 0)
		for _, a := range tc.answers {
			h.take(probe{ok: a == 's', reason: reasonFailed, description: textFailed}, check, now)
			now = now.Add(10 * time.Second)
		}
		if h.state != tc.want {
			t.Errorf("%q: %s, want %s", tc.answers, h.state, tc.want)
		}
	}
}

// A new target is asked every second, but only failures an interval apart count.
func TestNewTargetIsAskedOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newChecker(func() {})
		began, well := time.Now(), 4500*time.Millisecond
		var asked atomic.Int64
		c.ask = func(context.Context, checked) probe {
			asked.Add(1)
			return probe{ok: time.Since(began) > well, reason: reasonFailed}
		}
		k := key{group: "g", target: "t"}
		check := haproxy.HealthCheck{Enabled: true, Protocol: "TCP", Interval: 30, Timeout: 5, Healthy: 5, Unhealthy: 2}
		c.set(ctx, map[key]checked{k: {Check: check}}, nil)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if h, _ := c.health(k); h.state != proto.TargetInitial || asked.Load() < 4 {
			t.Errorf("after 4 s: %s, asked %d times", h.state, asked.Load())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if h, _ := c.health(k); h.state != proto.TargetHealthy {
			t.Errorf("after 6 s: %s", h.state)
		}
		before := asked.Load()
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if more := asked.Load() - before; more < 1 || more > 2 {
			t.Errorf("asked %d times in an interval", more)
		}
		cancel()
		c.wait()
	})
}

func TestGroupFailsOpen(t *testing.T) {
	m := haproxy.Machine{Instance: "here"}
	for _, tc := range []struct{ states, want string }{
		{"healthy unhealthy initial", "serve hold hold"},
		{"unhealthy unhealthy initial", "serve serve hold"},
		{"initial initial", "hold hold"},
		{"unhealthy draining", "serve drain"},
	} {
		i := &Ingress{checks: newChecker(func() {})}
		g := haproxy.Group{ID: "g"}
		for n, state := range strings.Fields(tc.states) {
			id := fmt.Sprint("t", n)
			g.Targets = append(g.Targets, haproxy.Target{ID: id, Host: "192.0.2.1", Port: 1000 + n, Draining: state == "draining"})
			i.checks.targets[key{group: "g", target: id}] = &watched{health: health{state: state}}
		}
		var got []string
		for _, w := range i.wantedOf(m, g) {
			got = append(got, string(w.State))
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: %s, want %s", tc.states, s, tc.want)
		}
	}
}

func TestRequestsBecomeSamples(t *testing.T) {
	tally := newTally(time.UnixMilli(1_700_000_040_000))
	lb, group := "app/web/1", "targetgroup/web/2"
	front, back, due := "f.app:web:1.80", "b.app:web:1.targetgroup:web:2", owed{}
	tally.count(counts{
		{back, "BACKEND", "stot"}: 1, {back, "s1", "hrsp_2xx"}: 1, {back, "", "250"}: 1, {front, "FRONTEND", "bin"}: 10, {front, "FRONTEND", "bout"}: 90,
	}, due) // the answer is on its way
	tally.count(counts{
		{front, "FRONTEND", "hrsp_2xx"}: 1, {front, "FRONTEND", "hrsp_5xx"}: 2, {front, "FRONTEND", "conn_tot"}: 3, // one 5xx is the load balancer's own
		{back, "BACKEND", "stot"}: 2, {back, "BACKEND", "econ"}: 1, {back, "s1", "wredis"}: 1, {back, "s2", "hrsp_5xx"}: 1, {back, "", "750"}: 1,
		{"f.connect:ns:x.80", "FRONTEND", "hrsp_2xx"}: 1, {"b.connect:ns:x.targetgroup:web:2", "BACKEND", "stot"}: 1,
	}, due)
	f := haproxy.Frame{
		LoadBalancers: []haproxy.LoadBalancer{{ID: lb, Listeners: []haproxy.Listener{{Rules: []haproxy.Rule{{Action: haproxy.Action{Groups: []haproxy.Weighted{{Group: group}}}}}}}}},
		Groups:        []haproxy.Group{{ID: group, Targets: []haproxy.Target{{ID: "a"}, {ID: "b"}, {ID: "c"}}}},
	}
	states := map[string]string{"a": proto.TargetHealthy, "b": proto.TargetHealthy, "c": proto.TargetUnhealthy}
	tally.hosts(f, func(_ string, target haproxy.Target) string { return states[target.ID] })
	got := map[string]string{}
	for _, s := range tally.samples() {
		if s.Namespace != "AWS/ApplicationELB" || s.Period != 60 || s.At != 1_700_000_040_000 {
			t.Errorf("got %+v", s)
		}
		got[s.Name+" "+s.Dimensions["LoadBalancer"]+" "+s.Dimensions["TargetGroup"]] = fmt.Sprint(s.Sum, " ", s.Count, " ", s.Min, " ", s.Max)
	}
	for name, want := range map[string]string{
		"RequestCount " + lb + " ": "2 2 1 1", "RequestCount " + lb + " " + group: "2 2 1 1", "TargetResponseTime " + lb + " " + group: "1 2 0.25 0.75",
		"HTTPCode_Target_2XX_Count " + lb + " ": "1 1 1 1", "HTTPCode_Target_5XX_Count " + lb + " ": "1 1 1 1", "HTTPCode_ELB_5XX_Count " + lb + " ": "1 1 1 1",
		"TargetConnectionErrorCount " + lb + " ": "1 1 1 1", "NewConnectionCount " + lb + " ": "3 3 1 1", "HealthyHostCount " + lb + " " + group: "2 1 2 2", "UnHealthyHostCount " + lb + " " + group: "1 1 1 1",
		"RequestCountPerTarget  " + group: "1 1 1 1", "ProcessedBytes " + lb + " ": "100 2 10 90",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}
