package elbv2

import (
	"testing"
	"time"

	"berth/agent/proto"
	"berth/store"
)

func (w *targetWorld) wantTargets(g TargetGroup, n int) {
	w.Helper()
	if got := Targets.CountBy(w.Store.Read(), byTargetGroup, g.Key()); got != n {
		w.Errorf("the group has %d targets, want %d", got, n)
	}
}

// TestATargetLeavesWhenEveryoneHasLetGo: not before every connected machine says drained, and then at once.
func TestATargetLeavesWhenEveryoneHasLetGo(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA, machineB)
	target := w.register(g, "i-aaaaaaaa")
	w.deregister(g, "i-aaaaaaaa")
	if again := w.reconcile(); again != 300*time.Second {
		t.Errorf("wakes in %v", again)
	}
	w.report(machineA, said(target, proto.TargetDrained))
	w.report(machineB, said(target, proto.TargetDraining))
	w.clock = w.clock.Add(100 * time.Second)
	if again := w.reconcile(); again != 200*time.Second {
		t.Errorf("wakes in %v", again)
	}
	w.wantTargets(g, 1)
	w.report(machineB, said(target, proto.TargetDrained))
	w.reconcile()
	w.wantTargets(g, 0)
	w.reconcile() // woken by the target's end
	if n := TargetHealths.Len(w.Store.Read()); n != 0 {
		t.Errorf("%d reports outlive their target", n)
	}
}

func TestATargetLeavesWhenItsTimeIsOver(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA)
	w.register(g, "i-aaaaaaaa")
	w.deregister(g, "i-aaaaaaaa")
	w.clock = w.clock.Add(299 * time.Second)
	w.reconcile()
	w.wantTargets(g, 1)
	w.clock = w.clock.Add(time.Second)
	w.reconcile()
	w.wantTargets(g, 0)
}

func TestNobodyIsWaitedForInVain(t *testing.T) {
	for name, row := range map[string]struct {
		machines []string
		id       string
		then     func(tx *store.Tx)
	}{
		"no machine carries traffic": {nil, "i-aaaaaaaa", nil},
		"the machine goes":           {[]string{machineA}, "i-aaaaaaaa", func(tx *store.Tx) { Disconnected(tx, machineA) }},
		"the machine gives up the role": {[]string{machineA}, "i-aaaaaaaa", func(tx *store.Tx) {
			Connected(tx, testAccount, testRegion, machineA, false)
		}},
		"the target's machine is deregistered": {[]string{machineA, machineB}, "i-bbbbbbbb", func(tx *store.Tx) {
			Removed(tx, testAccount, testRegion, machineB, "i-bbbbbbbb")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTargetWorld(t)
			g := w.group("web", webGroup)
			w.forwardTo(g)
			w.connect(row.machines...)
			w.register(g, row.id)
			w.deregister(g, row.id)
			if row.then != nil {
				w.reconcile()
				w.wantTargets(g, 1)
				w.update(row.then)
			}
			w.reconcile()
			w.wantTargets(g, 0)
		})
	}
}

// A target whose machine is in no frame (it has no address) is waited for by nobody.
func TestATargetThatNoFrameHasLeavesAtOnce(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA)
	w.update(func(tx *store.Tx) {
		lost := Target{Group: g.Key(), ID: "i-cccccccc", Port: 80}
		Register(tx, lost, w.clock)
		Deregister(tx, lost.Key(), w.clock)
	})
	w.reconcile()
	w.wantTargets(g, 0)
}

func TestATargetOfAnUnusedGroupLeavesAtOnce(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.connect(machineA)
	w.register(g, "i-aaaaaaaa")
	w.deregister(g, "i-aaaaaaaa")
	w.wantTargets(g, 0)
}

// What still drains stays in the frame when the rule turns away from its group, and is waited for.
func TestDrainingOutlivesTheRule(t *testing.T) {
	w := newTargetWorld(t)
	old, fresh := w.group("old", webGroup), w.group("new", webGroup)
	w.forwardTo(old)
	w.connect(machineA)
	target := w.register(old, "i-aaaaaaaa")
	w.register(old, "i-bbbbbbbb")
	w.deregister(old, "i-aaaaaaaa")
	w.forwardTo(fresh)
	w.reconcile()
	w.wantTargets(old, 2)
	f := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	if len(f.Groups) != 2 {
		t.Errorf("the frame has %d groups", len(f.Groups))
	}
	w.report(machineA, said(target, proto.TargetDrained))
	w.reconcile()
	w.wantTargets(old, 1)
	if f := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine); len(f.Groups) != 1 {
		t.Errorf("the frame has %d groups", len(f.Groups))
	}
}

// A target that is registered again while it leaves begins anew, and what was said of it before is not believed.
func TestATargetThatComesBackBeginsAnew(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA)
	before := w.register(g, "i-aaaaaaaa")
	w.report(machineA, said(before, proto.TargetHealthy))
	w.deregister(g, "i-aaaaaaaa")
	after := w.register(g, "i-aaaaaaaa") // in the same millisecond
	if after.Registered <= before.Registered || after.Draining != 0 || after.Settled {
		t.Errorf("%+v after %+v", after, before)
	}
	for _, state := range []string{proto.TargetDrained, proto.TargetHealthy} {
		w.report(machineA, said(before, state))
		if got := w.health(g, "i-aaaaaaaa"); got != "initial Elb.RegistrationInProgress" {
			t.Errorf("after an old %s: %s", state, got)
		}
	}
	if _, err := (TargetReconciler{w.Service}).Reconcile(w.ctx, after.Key()); err != nil {
		t.Fatal(err)
	}
	w.wantTargets(g, 1)
	w.report(machineA, said(after, proto.TargetHealthy))
	if got := w.health(g, "i-aaaaaaaa"); got != "healthy" {
		t.Errorf("got %s", got)
	}
}

func TestWhoseATargetIs(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	at := func(by string) Target { return Target{Group: g.Key(), ID: "i-aaaaaaaa", Port: 80, By: by} }
	put := func(by string) Target {
		w.update(func(tx *store.Tx) { Register(tx, at(by), w.clock) })
		return w.target(g, "i-aaaaaaaa")
	}
	client := put("")
	if one := put("task-1"); one.By != "task-1" || one.Registered != client.Registered {
		t.Errorf("a task takes over a client's: %+v", one)
	}
	if one := put(""); one.By != "task-1" || one.Registered != client.Registered {
		t.Errorf("a client registers a task's: %+v", one)
	}
	two := put("task-2")
	if two.By != "task-2" || two.Registered == client.Registered {
		t.Errorf("another task: %+v", two)
	}
	if got := TargetsOf(w.Store.Read(), "task-2"); len(got) != 1 {
		t.Errorf("targets of the task: %v", got)
	}
}
