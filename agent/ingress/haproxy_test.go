package ingress

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"berth/agent/proto"
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
	got := r.known[key{groupID, a.ID}]
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
