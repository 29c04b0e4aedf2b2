package ingress

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// counting is a meter beside the rig's own.
func (r *rig) counting() *meter {
	m := &meter{Ingress: r.in, current: newTally(time.Now())}
	m.look(r.t.Context())
	m.current = newTally(time.Now())
	return m
}

// awaitSums looks at the counters until the sums are as wanted.
func (r *rig) awaitSums(m *meter, want map[string]float64) {
	r.t.Helper()
	var got map[string]float64
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		m.look(r.t.Context())
		got = map[string]float64{}
		for _, s := range m.current.samples() {
			if s.Dimensions["TargetGroup"] == "" {
				got[s.Name] = s.Sum
			}
		}
		same := true
		for name, n := range want {
			same = same && got[name] == n
		}
		if same {
			return
		}
	}
	r.t.Fatalf("counted %v, want %v", got, want)
}

// HAProxy's own counters say what clients asked and what became of it.
func TestHAProxyCountsRequests(t *testing.T) {
	r := newRig(t)
	var wild atomic.Bool
	a := backend(t, "a", well, func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNotFound)
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		case "/slow":
			time.Sleep(30 * time.Millisecond)
		case "/drop":
			if wild.CompareAndSwap(false, true) {
				conn, _, _ := w.(http.Hijacker).Hijack()
				conn.Close() // HAProxy asks once more
			}
		}
	})
	f := r.frame(a)
	l := &f.LoadBalancers[0].Listeners[0]
	l.Rules = append([]haproxy.Rule{{ID: "aaaaaaaaaaaaaaaa", Conditions: []haproxy.Condition{{Field: "path-pattern", Values: []string{"/away"}}},
		Action: haproxy.Action{Kind: haproxy.FixedResponse, Fixed: &haproxy.Fixed{Status: 503}}}}, l.Rules...)
	r.apply(f)
	r.awaitState(a, proto.TargetHealthy)
	m := r.counting()
	for path, times := range map[string]int{"/": 7, "/none": 3, "/broken": 2, "/slow": 1, "/away": 4, "/drop": 1} {
		for range times {
			resp, err := r.client.Get("http://" + r.address(5) + path)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	r.awaitSums(m, map[string]float64{
		"RequestCount": 14, "HTTPCode_Target_2XX_Count": 9, "HTTPCode_Target_4XX_Count": 3, "HTTPCode_Target_5XX_Count": 2, "HTTPCode_ELB_5XX_Count": 4,
		"HTTPCode_ELB_4XX_Count": 0, "TargetConnectionErrorCount": 2, // HAProxy counts a try that ended without an answer twice
	})
	for _, s := range m.current.samples() {
		if s.Name == "TargetResponseTime" && (s.Count != 14 || s.Max < 0.03 || s.Sum < s.Max || s.Min > s.Max) {
			t.Errorf("times: %+v", s)
		}
	}
}

// What a target that cannot be reached costs is counted as AWS does: a request, and tries that failed.
func TestHAProxyCountsFailedConnections(t *testing.T) {
	r := newRig(t)
	f := r.frame(haproxy.Target{ID: "gone", Host: "127.0.0.1", Port: freePort(t)})
	f.Groups[0].Check.Enabled = false
	r.apply(f)
	r.await("traffic follows", func() bool { return r.last.Revision == r.revision })
	m := r.counting()
	if _, err := r.get("http://" + r.address(5)); err == nil {
		t.Error("nobody should answer")
	}
	r.awaitSums(m, map[string]float64{"RequestCount": 1, "HTTPCode_ELB_5XX_Count": 1, "TargetConnectionErrorCount": 4, "HTTPCode_Target_5XX_Count": 0})
}

func TestRequestsWithoutTargetAreNotCountedAsTheirs(t *testing.T) {
	r := newRig(t)
	r.apply(r.frame())
	r.await("traffic follows", func() bool { return r.last.Revision == r.revision })
	m := r.counting()
	for range 3 {
		if _, err := r.get("http://" + r.address(5)); err == nil {
			t.Error("nobody should answer")
		}
	}
	r.awaitSums(m, map[string]float64{"RequestCount": 0, "HTTPCode_ELB_5XX_Count": 3, "TargetConnectionErrorCount": 0})
}

// Who connects and says nothing, as scans and probes do, has asked nothing. Half a request is a bad one.
func TestSilentConnectionsAreNoRequests(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	f := r.frame(a)
	f.LoadBalancers[0].Attributes["idle_timeout.timeout_seconds"] = "1"
	r.apply(f)
	r.awaitState(a, proto.TargetHealthy)
	m := r.counting()
	say := func(text string) net.Conn {
		conn, err := net.Dial("tcp", r.address(5))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text)
		return conn
	}
	for range 3 {
		say("").Close()
	}
	silent := say("")
	if got, err := io.ReadAll(silent); err != nil || len(got) > 0 {
		t.Errorf("who is silent until the time limit gets %q, %v", got, err)
	}
	silent.Close()
	half := say("GET / HT")
	if got, err := io.ReadAll(half); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
		t.Errorf("who asks by half gets %q, %v", got, err)
	}
	half.Close()
	say("GET / HT").Close()
	r.awaitSums(m, map[string]float64{"NewConnectionCount": 6, "HTTPCode_ELB_4XX_Count": 2, "RequestCount": 0})
}

// An old worker's last requests are counted: it does not end before.
func TestRequestsOfOldWorkersAreCounted(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	r.apply(r.frame(a))
	r.awaitState(a, proto.TargetHealthy)
	m := r.counting()
	requests := 0
	var holds []net.Conn // this test's own: the rig's meter lets workers end when it has looked
	for n := range 3 {
		_, conn, err := r.cfg.greet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		holds = append(holds, conn)
		for range 10 {
			if _, err := r.get("http://" + r.address(5)); err != nil {
				t.Error(err)
			}
			requests++
		}
		r.client.CloseIdleConnections()
		f := r.frame(a)
		f.LoadBalancers[0].Attributes = map[string]string{"idle_timeout.timeout_seconds": fmt.Sprint(30 + n)}
		r.apply(f)
		r.await("a new worker", func() bool { return r.last.Revision == r.revision })
	}
	r.awaitSums(m, map[string]float64{"RequestCount": float64(requests), "HTTPCode_Target_2XX_Count": float64(requests), "NewConnectionCount": 3})
	for _, conn := range holds {
		conn.Close()
	}
	r.await("old workers have ended", func() bool {
		procs, err := r.in.master.processes(t.Context())
		return err == nil && len(procs.Workers) == 1
	})
}

func TestConnectionsOfNetworkLoadBalancersAreCounted(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	f := r.frame(a)
	f.LoadBalancers[0].ID, f.LoadBalancers[0].Kind, f.LoadBalancers[0].Listeners[0].Protocol, f.Groups[0].Protocol = "net/web/2222222222222222", haproxy.Network, "TCP", "TCP"
	r.apply(f)
	r.awaitState(a, proto.TargetHealthy)
	m := r.counting()
	for range 3 {
		conn, err := net.Dial("tcp", r.address(5))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	r.awaitSums(m, map[string]float64{"NewFlowCount": 3, "RequestCount": 0})
}
