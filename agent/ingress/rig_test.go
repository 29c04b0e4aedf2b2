package ingress

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"berth/agent"
	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// fakeNetwork has a loopback network that is the test's own and no namespace of tasks.
type fakeNetwork struct {
	loopback netip.Prefix
	mu       sync.Mutex
	open     []agent.Opening
	flows    []agent.UDPListener
}

func (n *fakeNetwork) Loopback() netip.Prefix          { return n.loopback }
func (n *fakeNetwork) TaskNamespace() (string, string) { return "", "" }
func (n *fakeNetwork) Balance(_ context.Context, open []agent.Opening) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = open
	return nil
}
func (n *fakeNetwork) Flows(_ context.Context, listeners []agent.UDPListener) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flows = listeners
	return nil
}

// rig is a machine with ingress on the real HAProxy.
type rig struct {
	t      *testing.T
	cfg    Config
	in     *Ingress
	stop   func()
	client *http.Client
	port   int
	post   agent.Post // nil: takes everything

	revision uint64
	known    map[key]proto.TargetStatus
	last     proto.IngressReport
}

func newRig(t *testing.T) *rig {
	t.Helper()
	pid := os.Getpid()
	loopback := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(64 + pid%64), byte(pid/64%64) << 2, 0}), 22)
	return newRigOn(t, &fakeNetwork{loopback: loopback}, func(program string) string { return program })
}

func newRigOn(t *testing.T, network Network, wrap func(program string) string) *rig {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	dir, err := os.MkdirTemp("", "ing")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, port: freePort(t), client: &http.Client{Timeout: 10 * time.Second}, known: map[key]proto.TargetStatus{},
		cfg: Config{
			Dir: dir, Program: wrap(program), Network: network,
			Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		},
	}
	t.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
		if err := Cleanup(r.cfg.Dir); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
			os.RemoveAll(dir)
		}
	})
	r.boot()
	return r
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// boot starts the agent's part; HAProxy may run already.
func (r *rig) boot() {
	r.t.Helper()
	in, err := Open(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	post := r.post
	if post == nil {
		post = func(context.Context, string, any) error { return nil }
	}
	go func() { done <- in.Run(ctx, post) }()
	r.in = in
	clear(r.known)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// address is where the load balancer with a number answers.
func (r *rig) address(number int) string {
	a := haproxy.Machine{Loopback: r.cfg.Network.Loopback()}.Address(number)
	return net.JoinHostPort(a.String(), strconv.Itoa(r.port))
}

func (r *rig) apply(f haproxy.Frame) {
	r.revision++
	r.in.Apply("arn:machine", proto.Ingress{Revision: r.revision, Frame: f})
}

// await reads reports until ok.
func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for full := len(r.known) == 0; ; full = false {
		if report, news := r.in.Report(full); news {
			if report.Full {
				clear(r.known)
			}
			r.last = report
			for _, s := range report.Targets {
				r.known[key{s.Group, s.Target, s.Since}] = s
			}
		}
		if ok() {
			return
		}
		select {
		case <-r.in.Reports():
		case <-deadline:
			r.t.Fatalf("%s: not reached; last report %+v, targets %+v", what, r.last, r.known)
		}
	}
}

func (r *rig) awaitState(target haproxy.Target, state string) {
	r.t.Helper()
	r.await(target.ID+" "+state, func() bool {
		return r.known[key{groupID, target.ID, target.Since}].State == state && r.last.Revision == r.revision
	})
}

func (r *rig) get(url string) (string, error) {
	resp, err := r.client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		return string(body), fmt.Errorf("%s", resp.Status)
	}
	return string(body), err
}

const groupID = "targetgroup/web/1111111111111111"

// frame is one application load balancer on a plain HTTP port.
func (r *rig) frame(targets ...haproxy.Target) haproxy.Frame {
	return haproxy.Frame{
		LoadBalancers: []haproxy.LoadBalancer{{
			ID: "app/web/2222222222222222", Number: 5, Kind: haproxy.Application, Attributes: map[string]string{"idle_timeout.timeout_seconds": "60"},
			Listeners: []haproxy.Listener{{
				ID: "3333333333333333", Port: r.port, Protocol: "HTTP",
				Rules: []haproxy.Rule{{ID: "default", Action: haproxy.Action{Kind: haproxy.Forward, Groups: []haproxy.Weighted{{Group: groupID, Weight: 1}}}}},
			}},
		}},
		Groups: []haproxy.Group{{
			ID: groupID, Protocol: "HTTP", Version: "HTTP1", Targets: targets, Attributes: map[string]string{},
			Check: haproxy.HealthCheck{Enabled: true, Protocol: "HTTP", Path: "/health", Codes: "200", Interval: 1, Timeout: 2, Healthy: 2, Unhealthy: 2},
		}},
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// backend is a server that answers with its name.
func backend(t *testing.T, name string, health func() int, serve http.HandlerFunc) haproxy.Target {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/health" {
			w.WriteHeader(health())
			return
		}
		if serve != nil {
			serve(w, req)
			return
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(s.Close)
	host, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return haproxy.Target{ID: name + ":" + port, Host: host, Port: n}
}

func well() int { return http.StatusOK }
