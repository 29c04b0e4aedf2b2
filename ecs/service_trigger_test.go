package ecs

import (
	"fmt"
	"testing"

	api "berth/api/ecs"
	"berth/elbv2"
)

// Of many services only the one whose target changed is looked at, and only if what changed says something new.
func TestOnlyTheServiceOfATargetIsWoken(t *testing.T) {
	w, web := newBalancedWorld(t, 1, "")
	w.play(3, "web", always("healthy"))
	other := w.group("other", true)
	for i := range 3 {
		must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, fmt.Sprintf(
			`{"serviceName":"other%d","taskDefinition":"web:1","desiredCount":1,"loadBalancers":[%s]}`, i, entry(other)))))(t)
	}
	v, r := ServiceReconciler{w.Service}, w.store.Read()
	key := ServiceKey(testAccount, testRegion, "default", "web")
	want := func(what string, got []string, want string) {
		t.Helper()
		if fmt.Sprint(got) != want {
			t.Errorf("%s wakes %v, want %s", what, got, want)
		}
	}
	target := targets(w)[0]
	h, _ := elbv2.TargetHealths.Get(r, target.Key()+"|"+testIngress)
	sick, again := h, h
	sick.State, again.Since = "unhealthy", h.Since+1
	h.Probe = "GET / answered 200 in 2 ms"
	want("a new probe", v.healthChanged(&h, &h), "[]")
	want("another state", v.healthChanged(&h, &sick), "["+key+"]")
	want("another registration", v.healthChanged(&h, &again), "["+key+"]")
	want("a target that drains", v.targetOf(&target), "["+key+"]")
	want("a target of a client", v.targetOf(&elbv2.Target{Group: web.Key(), ID: "i-1", Port: 1}), "[]")
	want("other weights", v.forwarding([]string{string(web.ARN())}, []string{string(web.ARN())}), "[]")
	want("a new rule", v.forwarding(nil, []string{string(web.ARN())}), "["+key+"]")
	i, _ := elbv2.Ingresses.Get(r, testIngress)
	lost, revised := i, i
	lost.Connected, revised.Revision = false, 7
	want("a new revision", v.ingressChanged(&i, &revised), "[]")
	if got := v.ingressChanged(&i, &lost); len(got) != 4 {
		t.Errorf("a lost ingress wakes %v", got)
	}
}
