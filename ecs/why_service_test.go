package ecs

import (
	"strings"
	"testing"
	"time"

	api "berth/api/ecs"
	"berth/elbv2"
	"berth/store"
)

// why is the summary of a service with its parts that vary taken out.
func (w *world) why(subject string) *WhyService {
	w.t.Helper()
	return must(w.WhyService(w.ctx, "default", subject))(w.t)
}

func TestWhyAServiceIsNotSteady(t *testing.T) {
	w, g := newBalancedWorld(t, 2, `,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":false}}`)
	contains := func(what, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", what, got, want)
		}
	}
	contains("new", w.why("web").Summary, "0 of 2 tasks healthy; 2 tasks are about to start")
	w.play(3, "web", always("initial"))
	contains("initial", w.why("web").Summary, "target "+targets(w)[0].Name()+" of web is initial")
	other := testIngress + "2"
	w.write(func(tx *store.Tx) {
		elbv2.Connected(tx, testAccount, testRegion, other, true)
		says(tx, targets(w)[0], "healthy", "GET / answered 200 in 3 ms")
	})
	contains("another machine", w.why("web").Summary, " is initial: its checks are not over on the container instances "+other[strings.LastIndexByte(other, '/')+1:])
	w.write(func(tx *store.Tx) { elbv2.Disconnected(tx, other) })
	w.play(3, "web", always("healthy"))
	if got := w.why("web"); !got.Steady || got.Summary != "service web: 2 of 2 tasks healthy; steady" || len(got.Reasons) != 0 || got.Healthy != 2 || got.Running != 2 {
		t.Errorf("steady: %+v", got)
	}
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.schedule("web")
	w.assigned()
	w.schedule("web")
	w.write(func(tx *store.Tx) {
		for target := range elbv2.Targets.All(tx) {
			says(tx, target, "initial", "GET / answered 500 in 3 ms")
		}
	})
	contains("probe", w.why(*w.service("web").Deployments[0].Id).Summary, "GET / answered 500 in 3 ms")
	w.play(30, "web", func(t Task) string {
		if t.Revision == 2 {
			return "unhealthy"
		}
		return "healthy"
	})
	got := w.why(*w.service("web").CurrentServiceDeployment)
	contains("stopped", got.Summary, "(web:2) is STOPPED since "+w.clock.UTC().Format("2006-01-02T15:"))
	contains("stopped", got.Summary, ": Service deployment stopped because the circuit breaker threshold was exceeded.")
	contains("now", strings.Join(got.Reasons, "\n"), "now service web: ")
	got = w.why("web")
	contains("failed", got.Summary, "has failed (ECS deployment circuit breaker: tasks failed to start.): nothing more is started")
	contains("its last failure", strings.Join(got.Reasons, "\n"), "failed: Task failed ELB health checks in (target-group "+string(g.ARN())+")")
	if got.Failed < 3 || got.Threshold != 3 || got.Rollout != "FAILED" {
		t.Errorf("failed: %+v", got)
	}
	one := must(w.WhyTarget(w.ctx, "web", targets(w)[0].Name()))(t)
	if len(one) != 1 || one[0].Group != string(g.ARN()) || one[0].State != "healthy" || one[0].Task == "" {
		t.Errorf("target %+v", one)
	}
	if e := asError(t, func() error { _, err := w.WhyService(w.ctx, "", "none"); return err }()); e.Code != codeServiceNotFound {
		t.Errorf("unknown service: %v", e)
	}
	if e := asError(t, func() error { _, err := w.WhyTarget(w.ctx, "web", "i-1:1"); return err }()); e.Code != codeNotFound {
		t.Errorf("unknown target: %v", e)
	}
}

func TestWhyTellsOfADeploymentThatWasRolledBack(t *testing.T) {
	w, _ := newBalancedWorld(t, 2, `,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true}}`)
	w.play(5, "web", always("healthy"))
	first := *w.service("web").Deployments[0].Id
	w.clock = w.clock.Add(time.Minute)
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	second, arn := *w.service("web").Deployments[0].Id, *w.service("web").CurrentServiceDeployment
	w.play(3, "web", func(t Task) string { return map[bool]string{true: "initial", false: "healthy"}[t.Revision == 2] })
	if got := w.why("web").Summary; !strings.HasPrefix(got, "service web: 0 of 2 tasks of web:2 healthy, and 2 of web:1; ") {
		t.Errorf("under way: %q", got)
	}
	w.play(30, "web", func(t Task) string { return map[bool]string{true: "unhealthy", false: "healthy"}[t.Revision == 2] })
	for _, subject := range []string{second, arn} {
		got := w.why(subject)
		if !strings.HasPrefix(got.Summary, "deployment "+second+" of service web (web:2) is ROLLBACK_SUCCESSFUL since 20") ||
			!strings.HasSuffix(got.Summary, ": Service deployment rolled back because the circuit breaker threshold was exceeded.") {
			t.Errorf("%s: %q", subject, got.Summary)
		}
		reasons := strings.Join(got.Reasons, "\n")
		for _, want := range []string{"\nthe rollback to " + first + " began at 20", " of its tasks failed\ntask ",
			" failed: Task failed ELB health checks in (target-group ", "\nnow service web: 2 of 2 tasks healthy; steady"} {
			if !strings.Contains(reasons, want) {
				t.Errorf("%s: %s\n does not say %q", subject, reasons, want)
			}
		}
		if got.Deployment != second || got.Rollout != "FAILED" || got.Failed < 3 || got.Steady {
			t.Errorf("%+v", got)
		}
	}
}

func TestWhyAServiceWithoutRoomIsNotSteady(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.register(balancedDefinition)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","taskDefinition":"web","desiredCount":2}`)))(t)
	w.schedule("web")
	if got := w.why("web").Summary; got != "service web: 0 of 2 tasks healthy; 2 tasks cannot be placed: there are no machines" {
		t.Errorf("got %q", got)
	}
	w.machine("default", "m1", 1000, 15)
	w.schedule("web")
	w.clock = w.clock.Add(time.Second)
	got := w.why("web")
	if len(got.Machines) != 1 || !strings.Contains(strings.Join(got.Reasons, "\n"), "1 tasks cannot be placed: "+got.Machines[0].Machine+": RESOURCE:MEMORY") {
		t.Errorf("got %+v", got)
	}
}
