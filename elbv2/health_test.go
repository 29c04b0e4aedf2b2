package elbv2

import (
	"testing"

	"berth/agent/proto"
	"berth/store"
)

func TestJudge(t *testing.T) {
	// Reports in one letter each: - nothing yet, i initial, I initial but found healthy before, h healthy, u unhealthy, U unhealthy after
	// having been healthy, d drained.
	letters := map[rune]TargetHealth{
		'-': {}, 'i': {State: proto.TargetInitial}, 'I': {State: proto.TargetInitial, Was: true},
		'h': {State: proto.TargetHealthy, Was: true},
		'u': {State: proto.TargetUnhealthy, Reason: "Target.Timeout", Description: "Request timed out"},
		'U': {State: proto.TargetUnhealthy, Was: true, Reason: "Target.MadeUp"},
		'd': {State: proto.TargetDrained, Was: true},
	}
	for _, row := range []struct {
		name      string
		reports   string
		settled   bool
		draining  bool
		unused    bool
		unchecked bool
		want      string
	}{
		{name: "nobody carries traffic", want: "initial Elb.InternalError"},
		{name: "nobody carries traffic any more", settled: true, want: "initial Elb.InternalError"},
		{name: "nothing is said yet", reports: "-", want: "initial Elb.RegistrationInProgress"},
		{name: "nothing is said yet by two", reports: "--", want: "initial Elb.RegistrationInProgress"},
		{name: "checks have begun", reports: "i-", want: "initial Elb.InitialHealthChecking"},
		{name: "one of two has not found it healthy", reports: "hi", want: "initial Elb.InitialHealthChecking"},
		{name: "one of two has said nothing", reports: "h-", want: "initial Elb.InitialHealthChecking"},
		{name: "both have found it healthy", reports: "hh", want: "healthy"},
		{name: "one has, the other cannot", reports: "hu", want: "healthy"},
		{name: "both cannot", reports: "uu", want: "unhealthy Target.Timeout"},
		{name: "one cannot, the other still tries", reports: "ui", want: "initial Elb.InitialHealthChecking"},
		{name: "one cannot any more, the other begins again", reports: "UI", want: "unhealthy Target.FailedHealthChecks"},
		{name: "a machine joins later", reports: "h-", settled: true, want: "healthy"},
		{name: "a machine joins later than the failure", reports: "u-", settled: true, want: "unhealthy Target.Timeout"},
		{name: "a verdict is not taken back by a new machine alone", reports: "-", settled: true, want: "initial Elb.RegistrationInProgress"},
		{name: "a reason that AWS does not have", reports: "UU", want: "unhealthy Target.FailedHealthChecks"},
		{name: "leaving", reports: "hh", draining: true, want: "draining Target.DeregistrationInProgress"},
		{name: "leaving a group that is unused", draining: true, unused: true, want: "draining Target.DeregistrationInProgress"},
		{name: "unused", reports: "hh", unused: true, want: "unused Target.NotInUse"},
		{name: "not checked", reports: "--", unchecked: true, want: "unavailable Target.HealthCheckDisabled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var reports []TargetHealth
			for _, c := range row.reports {
				reports = append(reports, letters[c])
			}
			target := Target{Settled: row.settled}
			if row.draining {
				target.Draining = 1
			}
			state, reason, text := judge(target, !row.unused, !row.unchecked, reports)
			got := string(state)
			if reason != "" {
				got += " " + string(reason)
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if (text == "") != (state == "healthy") {
				t.Errorf("description %q of %s", text, state)
			}
		})
	}
}

func TestHealthIsThatOfTheReports(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	target := w.register(g, "i-aaaaaaaa")
	want := func(text string) {
		t.Helper()
		if got := w.health(g, "i-aaaaaaaa"); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	want("unused Target.NotInUse")
	w.forwardTo(g)
	want("initial Elb.InternalError")
	w.connect(machineA, machineB)
	want("initial Elb.RegistrationInProgress")
	w.report(machineA, said(target, proto.TargetHealthy))
	want("initial Elb.InitialHealthChecking")
	w.report(machineB, said(target, proto.TargetHealthy))
	want("healthy")
	w.connect("arn:late")
	want("healthy")
	w.report(machineA, said(target, proto.TargetUnhealthy))
	want("healthy")
	w.report(machineB, said(target, proto.TargetUnhealthy))
	want("unhealthy Target.FailedHealthChecks")
	w.deregister(g, "i-aaaaaaaa")
	want("draining Target.DeregistrationInProgress")
	if got := w.health(g, "i-cccccccc"); got != "unused Target.NotRegistered" {
		t.Errorf("a target that is none: %s", got)
	}
}

// A machine that goes away is not waited for, and its coming back does not take the verdict away.
func TestAMachineThatGoesGivesTheVerdictToTheOthers(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA, machineB)
	target := w.register(g, "i-aaaaaaaa")
	w.report(machineA, said(target, proto.TargetHealthy))
	for _, gone := range []func(tx *store.Tx){
		func(tx *store.Tx) { Disconnected(tx, machineB) },
		func(tx *store.Tx) { Reconnected(tx, machineB) },
		func(tx *store.Tx) { Connected(tx, testAccount, testRegion, machineB, true) },
		func(tx *store.Tx) { Connected(tx, testAccount, testRegion, machineB, false) },
		func(tx *store.Tx) { Removed(tx, testAccount, testRegion, machineB, "i-bbbbbbbb") },
	} {
		w.update(gone)
		w.reconcile()
		if got := w.health(g, "i-aaaaaaaa"); got != "healthy" {
			t.Errorf("got %q", got)
		}
	}
}

func TestReportsThatSpeakOfNothingThereAreDropped(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA)
	target := w.register(g, "i-aaaaaaaa")
	change := func(f func(s *proto.TargetStatus)) proto.TargetStatus {
		s := said(target, proto.TargetHealthy)
		f(&s)
		return s
	}
	for name, s := range map[string]proto.TargetStatus{
		"another target":           change(func(s *proto.TargetStatus) { s.Target = "i-bbbbbbbb:80" }),
		"another group":            change(func(s *proto.TargetStatus) { s.Group = "targetgroup/api/0" }),
		"no group":                 change(func(s *proto.TargetStatus) { s.Group = "" }),
		"another place":            change(func(s *proto.TargetStatus) { s.Group = "targetgroup/../../999999999999/web" }),
		"another registration":     change(func(s *proto.TargetStatus) { s.Since-- }),
		"no registration":          change(func(s *proto.TargetStatus) { s.Since = 0 }),
		"drained though it stays":  change(func(s *proto.TargetStatus) { s.State = proto.TargetDrained }),
		"draining though it stays": change(func(s *proto.TargetStatus) { s.State = proto.TargetDraining }),
	} {
		w.report(machineA, s)
		if n := TargetHealths.Len(w.Store.Read()); n != 0 {
			t.Errorf("%s: %d reports kept", name, n)
		}
	}
	w.report("arn:nobody", said(target, proto.TargetHealthy))
	if n := TargetHealths.Len(w.Store.Read()); n != 0 {
		t.Error("a machine without ingress is believed")
	}
}

func TestAFullReportForgetsTheRest(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA, machineB)
	a, b := w.register(g, "i-aaaaaaaa"), w.register(g, "i-bbbbbbbb")
	w.report(machineA, said(a, proto.TargetHealthy), said(b, proto.TargetHealthy))
	w.report(machineB, said(a, proto.TargetHealthy), said(b, proto.TargetHealthy))
	full := proto.IngressReport{Seq: 2, Full: true, Targets: []proto.TargetStatus{said(b, proto.TargetHealthy)}}
	if gone := Forgotten(w.Store.Read(), machineA, full); len(gone) != 1 || gone[0] != healthKey(a.Key(), machineA) {
		t.Errorf("forgets %v", gone)
	} else {
		w.update(func(tx *store.Tx) { ForgetReports(tx, gone) })
	}
	if n := TargetHealths.Len(w.Store.Read()); n != 3 {
		t.Errorf("%d reports are kept", n)
	}
	full.Full = false
	if gone := Forgotten(w.Store.Read(), machineB, full); len(gone) != 0 {
		t.Errorf("a report of changes forgets %v", gone)
	}
}

func TestReportsOfAMachineThatIsGoneAreForgotten(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g)
	w.connect(machineA, machineB)
	target := w.register(g, "i-aaaaaaaa")
	w.report(machineA, said(target, proto.TargetUnhealthy))
	w.report(machineB, said(target, proto.TargetHealthy))
	w.update(func(tx *store.Tx) { Removed(tx, testAccount, testRegion, machineB, "i-bbbbbbbb") })
	if got := w.health(g, "i-aaaaaaaa"); got != "unhealthy Target.FailedHealthChecks" {
		t.Errorf("what a machine said that is gone counts: %s", got)
	}
	w.reconcile()
	if n := TargetHealths.Len(w.Store.Read()); n != 1 {
		t.Errorf("%d reports are kept", n)
	}
}
