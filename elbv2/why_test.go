package elbv2

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth/agent/proto"
	api "berth/api/elbv2"
	"berth/store"
)

func TestWhyALoadBalancerDoesNotAnswer(t *testing.T) {
	w := newTargetWorld(t)
	const machine = "arn:aws:ecs:eu-west-1:111122223333:container-instance/default/m1"
	blue, green := w.group("blue", webGroup), w.group("green", webGroup)
	l := w.forwardTo(blue, green)
	l.DefaultActions[0].ForwardConfig.TargetGroups[1].Weight = new(int32(0))
	w.update(func(tx *store.Tx) { Listeners.Put(tx, l) })
	lb := func() LoadBalancer { v, _ := LoadBalancers.Get(w.Store.Read(), l.LoadBalancer); return v }
	want := func(when, summary string, reasons ...string) {
		t.Helper()
		why := Why(w.Store.Read(), lb())
		if diff := cmp.Diff(why.Reasons, reasons); diff != "" || why.Summary != summary {
			t.Errorf("%s: %s\n%s", when, why.Summary, diff)
		}
	}
	const (
		nobody = "no connected machine carries the traffic of load balancers: HAProxy is missing there, or their agents do not run"
		behind = "machine m1 does not serve HTTP:80 yet"
		empty  = "target group blue, to which HTTP:80 sends traffic, has no healthy target of 0"
		port   = "machine m1: app/lb/0123456789abcdef port 80: the port is taken"
	)
	want("without machines", "load balancer lb: "+nobody, nobody, empty)
	w.connect(machine)
	want("before the machine has said anything", "load balancer lb: "+behind, behind, empty)
	says := func(problem string, targets ...proto.TargetStatus) {
		r := proto.IngressReport{Revision: uint64(w.Store.Read().Revision()), Problem: problem, Targets: targets}
		w.update(func(tx *store.Tx) { ApplyReport(tx, machine, r, w.Now()) })
	}
	says("app/lb/0123456789abcdef port 80: the port is taken; app/other/0123456789abcdef is not published: 10.0.0.1:80 belongs to another")
	want("with a problem", "load balancer lb: "+port, port, behind, empty)
	says("", said(w.register(blue, "i-aaaaaaaa"), proto.TargetHealthy))
	want("when all is well", "load balancer lb answers at 1 listeners on 1 machines")
	w.update(func(tx *store.Tx) { Listeners.Delete(tx, l.Key()) })
	want("without a listener", "load balancer lb: it has no listener, so it answers nowhere", "it has no listener, so it answers nowhere")
}

func TestListenersOfPeopleComeFirst(t *testing.T) {
	w := newTargetWorld(t)
	l := w.forwardTo(w.group("web", webGroup))
	w.update(func(tx *store.Tx) {
		for id, of := range map[string]Listener{
			"1": {Port: 443, Protocol: api.ProtocolEnumHTTPS}, "2": {Port: 8080, Protocol: api.ProtocolEnumHTTP}, "3": {Port: 22, Protocol: api.ProtocolEnumTCP},
		} {
			of.LoadBalancer, of.ID = l.LoadBalancer, id
			Listeners.Put(tx, of)
		}
	})
	lb, _ := LoadBalancers.Get(w.Store.Read(), l.LoadBalancer)
	var got []string
	for _, l := range ListenersByUse(w.Store.Read(), lb) {
		got = append(got, l.Name())
	}
	if diff := cmp.Diff(got, []string{"HTTP:80", "HTTP:8080", "HTTPS:443", "TCP:22"}); diff != "" {
		t.Error(diff)
	}
}
