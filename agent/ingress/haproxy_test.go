package ingress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

func TestTrafficFollowsHealth(t *testing.T) {
	r := newRig(t)
	var status atomic.Int32
	status.Store(200)
	a, b := backend(t, "a", func() int { return int(status.Load()) }, nil), backend(t, "b", well, nil)
	r.apply(r.frame(a, b))
	r.awaitState(a, proto.TargetHealthy)
	r.awaitState(b, proto.TargetHealthy)
	seen := map[string]int{}
	for range 10 {
		body, err := r.get("http://" + r.address(5))
		if err != nil {
			t.Fatal(err)
		}
		seen[body]++
	}
	if seen["a"] == 0 || seen["b"] == 0 {
		t.Errorf("answers by %v", seen)
	}
	status.Store(503)
	r.awaitState(a, proto.TargetUnhealthy)
	got := r.known[key{groupID, a.ID, a.Since}]
	if got.Reason != "Target.ResponseCodeMismatch" || got.Description != "Health checks failed with these codes: [503]" {
		t.Errorf("got %+v", got)
	}
	for range 10 {
		if body, err := r.get("http://" + r.address(5)); err != nil || body != "b" {
			t.Errorf("%q %v", body, err)
		}
	}
}

func TestKilledHAProxyIsStartedAgain(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	r.apply(r.frame(a))
	r.awaitState(a, proto.TargetHealthy)
	for _, whom := range []string{"master", "worker"} {
		procs, err := r.in.master.processes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pid := procs.Master
		if whom == "worker" {
			pid = procs.Workers[0].PID
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.await("another HAProxy", func() bool {
			now, err := r.in.master.processes(t.Context())
			return err == nil && now.Master != procs.Master && len(now.Workers) == 1
		})
		if body, err := r.get("http://" + r.address(5)); err != nil || body != "a" {
			t.Errorf("after the %s was killed: %q %v", whom, body, err)
		}
	}
}

// newRefusingRig has a HAProxy that finds fault with every configuration while there is a file.
func newRefusingRig(t *testing.T) (r *rig, refuse string) {
	t.Helper()
	pid := os.Getpid()
	loopback := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(64 + pid%64), byte(pid/64%64) << 2, 0}), 22)
	refuse = filepath.Join(t.TempDir(), "refuse")
	r = newRigOn(t, &fakeNetwork{loopback: loopback}, func(program string) string {
		script := filepath.Join(t.TempDir(), "haproxy")
		text := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = -c ] && [ -e %s ]; then exit 1; fi\nexec %s \"$@\"\n", refuse, program)
		if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return script
	})
	return r, refuse
}

// What HAProxy did not take is tried again: the reason may have passed.
func TestARefusedConfigurationIsTriedAgain(t *testing.T) {
	r, refuse := newRefusingRig(t)
	a := backend(t, "a", well, nil)
	f := r.frame(a)
	r.apply(f)
	r.awaitState(a, proto.TargetHealthy)
	if err := os.WriteFile(refuse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.port = freePort(t)
	f.LoadBalancers = append(f.LoadBalancers, r.frame(a).LoadBalancers...)
	f.LoadBalancers[1].ID, f.LoadBalancers[1].Number = "app/other/4444444444444444", 6
	r.apply(f)
	r.await("a problem", func() bool { return r.last.Problem != "" })
	if err := os.Remove(refuse); err != nil {
		t.Fatal(err)
	}
	r.await("no problem", func() bool { return r.last.Problem == "" })
	if body, err := r.get("http://" + r.address(6)); err != nil || body != "a" {
		t.Errorf("%q %v", body, err)
	}
}

// HAProxy comes back with what it served, also when nothing else works, and knows of what happened to targets since.
func TestKilledHAProxyComesBackWithoutACheck(t *testing.T) {
	r, refuse := newRefusingRig(t)
	var status atomic.Int32
	status.Store(200)
	a, b := backend(t, "a", func() int { return int(status.Load()) }, nil), backend(t, "b", well, nil)
	r.apply(r.frame(a, b))
	r.awaitState(a, proto.TargetHealthy)
	r.awaitState(b, proto.TargetHealthy)
	status.Store(503)
	r.awaitState(a, proto.TargetUnhealthy)
	if err := os.WriteFile(refuse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := r.in.master.processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(before.Master, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.await("another HAProxy", func() bool {
		now, err := r.in.master.processes(t.Context())
		return err == nil && now.Master != before.Master && len(now.Workers) == 1
	})
	for range 4 {
		if body, err := r.get("http://" + r.address(5)); err != nil || body != "b" {
			t.Errorf("%q %v", body, err)
		}
	}
}

// A draining target gets no new request, also by connections that old workers hold; it is drained when its last request has ended.
func TestNothingIsDroppedWhileTargetsAndListenersChange(t *testing.T) {
	r := newRig(t)
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	slow := func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			held <- struct{}{}
			<-hold
		}
		io.WriteString(w, "a")
	}
	a, b := backend(t, "a", well, slow), backend(t, "b", well, nil)
	r.apply(r.frame(a, b))
	r.awaitState(a, proto.TargetHealthy)
	r.awaitState(b, proto.TargetHealthy)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	var requests, failures atomic.Int64
	url := "http://" + r.address(5)
	for n := range 4 {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				resp, err := client.Get(url)
				requests.Add(1)
				if ctx.Err() == nil && (err != nil || resp.StatusCode != 200) {
					failures.Add(1)
					t.Errorf("request failed: %v %v", resp, err)
				}
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		})
	}
	slowDone := make(chan error, 1)
	go func() { // keeps asking until a has it
		for {
			body, err := r.get(url + "/slow")
			if err != nil || body == "a" {
				slowDone <- err
				return
			}
		}
	}()
	<-held
	more := r.frame(a, b)
	more.LoadBalancers[0].Listeners = append(more.LoadBalancers[0].Listeners, more.LoadBalancers[0].Listeners[0])
	more.LoadBalancers[0].Listeners[1].Port, more.LoadBalancers[0].Listeners[1].ID = freePort(t), "4444444444444444"
	r.apply(more)
	r.await("second listener", func() bool { return r.last.Revision == r.revision })
	if body, err := r.get("http://" + haproxy.Machine{Loopback: r.last.Loopback}.Address(5).String() + ":" + strconv.Itoa(more.LoadBalancers[0].Listeners[1].Port)); err != nil {
		t.Errorf("second listener: %q %v", body, err)
	}
	more.Groups[0].Targets = slices.Clone(more.Groups[0].Targets)
	more.Groups[0].Targets[0].Draining = true
	r.apply(more)
	r.awaitState(a, proto.TargetDraining)
	for range 20 {
		if body, err := r.get(url); err != nil || body != "b" {
			t.Errorf("while a drains: %q %v", body, err)
		}
	}
	if s := r.known[key{groupID, a.ID, a.Since}].State; s != proto.TargetDraining {
		t.Errorf("a has an open request and is %s", s)
	}
	release()
	if err := <-slowDone; err != nil {
		t.Errorf("the open request of a: %v", err)
	}
	r.awaitState(a, proto.TargetDrained)
	cancel()
	load.Wait()
	t.Logf("%d requests, %d failed", requests.Load(), failures.Load())
}

// A restart of the agent leaves HAProxy alone and takes nothing out of service.
func TestRestartedAgentTakesHAProxyOver(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	r.apply(r.frame(a))
	r.awaitState(a, proto.TargetHealthy)
	before, err := r.in.master.processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	if body, err := r.get("http://" + r.address(5)); err != nil || body != "a" {
		t.Errorf("without an agent: %q %v", body, err)
	}
	r.boot()
	r.awaitState(a, proto.TargetHealthy)
	if body, err := r.get("http://" + r.address(5)); err != nil || body != "a" {
		t.Errorf("with the next agent: %q %v", body, err)
	}
	after, err := r.in.master.processes(t.Context())
	if err != nil || after.Master != before.Master || after.Reloads != before.Reloads {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
}

func TestTakenPortHindersOnlyItsListener(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	f := r.frame(a)
	f.LoadBalancers[0].Listeners = append(f.LoadBalancers[0].Listeners, f.LoadBalancers[0].Listeners[0])
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.LoadBalancers[0].Listeners[1].Port = l.Addr().(*net.TCPAddr).Port
	r.apply(f)
	r.awaitState(a, proto.TargetHealthy)
	if body, err := r.get("http://" + r.address(5)); err != nil || body != "a" {
		t.Errorf("%q %v", body, err)
	}
	if !strings.Contains(r.last.Problem, "the port is taken") {
		t.Errorf("problem %q", r.last.Problem)
	}
}

// A gRPC target is checked by its status, over HTTP/2 without TLS.
func TestHealthCheckOfGRPC(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor != 2 || req.Header.Get("User-Agent") != "ELB-HealthChecker/2.0" {
			t.Errorf("asked by %s, %v", req.Proto, req.Header)
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Grpc-Status", "12")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	c := checked{Check: haproxy.HealthCheck{Protocol: "HTTP", Codes: "0-99", Timeout: 2}, Version: "GRPC", At: at, Host: at.String()}
	if p := c.ask(t.Context()); !p.ok {
		t.Errorf("got %+v", p)
	}
	c.Check.Codes = "0"
	if p := c.ask(t.Context()); p.ok || p.description != "Health checks failed with these codes: [12]" {
		t.Errorf("got %+v", p)
	}
}
