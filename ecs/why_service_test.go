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
