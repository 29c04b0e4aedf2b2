package elbv2

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
	"berth/store"
)

func connectPort(name string, port int32) ConnectPort {
	return ConnectPort{
		Account: testAccount, Region: testRegion, Namespace: "ns-1", Name: name, Port: port, Owner: "owner-" + name, Discovery: testAccount + "/" + testRegion + "/srv-" + name,
		Protocol: "HTTP", Version: "HTTP1", Idle: 300, Request: 15,
	}
}

func TestPortsOfServiceConnectAreBalanced(t *testing.T) {
	w := newTargetWorld(t)
	api, other := connectPort("api", 80), connectPort("api", 81)
	other.Protocol, other.Version = "TCP", ""
	target := Target{Group: api.GroupKey(), ID: "i-aaaaaaaa", Port: 32768, By: "task"}
	w.update(func(tx *store.Tx) {
		for _, p := range []ConnectPort{api, other} {
			if other := ClaimPort(tx, p); other != "" {
				t.Errorf("%s is %s's", p.Alias(), other)
			}
		}
		Register(tx, target, w.Now())
	})
	ports := PortsIn(w.Store.Read(), testAccount, testRegion, "ns-1")
	if len(ports) != 2 || ports[0].Address != ports[1].Address || !proto.ConnectNet.Contains(ports[0].Address) {
		t.Fatalf("the ports of a name have one address of %s: %+v", proto.ConnectNet, ports)
	}
	f := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	sound, problems := haproxy.Sound(f)
	if len(problems) != 0 || len(sound.LoadBalancers) != 2 || len(f.Groups) != 2 {
		t.Fatalf("problems %v, frame %+v", problems, f)
	}
	group := "targetgroup/connect:ns-1/api:80"
	want := haproxy.LoadBalancer{
		ID: "connect/ns-1/api:80", Kind: haproxy.Connect, Addresses: f.LoadBalancers[0].Addresses,
		Attributes: map[string]string{"idle_timeout.timeout_seconds": "300", "request_timeout.seconds": "15"},
		Listeners: []haproxy.Listener{{ID: "0", Port: 80, Protocol: "HTTP", Rules: []haproxy.Rule{
			{ID: "default", Action: haproxy.Action{Kind: haproxy.Forward, Groups: []haproxy.Weighted{{Group: group, Weight: 1}}}},
		}}},
	}
	if d := cmp.Diff(f.LoadBalancers[0], want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
	g := f.Groups[0]
	if g.ID != group || g.Check.Protocol != "TCP" || g.Attributes["outlier.failures"] != "5" || len(g.Targets) != 1 || g.Targets[0].Host != "10.0.0.1" || g.Targets[0].Port != 32768 {
		t.Errorf("group %+v", g)
	}
	// The API knows nothing of such groups.
	if _, ok := GroupByARN(w.Store.Read(), "arn:aws:elasticloadbalancing:"+testRegion+":"+testAccount+":"+group); ok {
		t.Error("the group has an ARN")
	}
	// Its targets drain as others do, and go with the port.
	w.update(func(tx *store.Tx) { Deregister(tx, target.Key(), w.Now()) })
	if have, _ := Targets.Get(w.Store.Read(), target.Key()); have.Until-have.Draining != connectDelay*1000 {
		t.Errorf("target %+v", have)
	}
	w.update(func(tx *store.Tx) { ReleasePort(tx, ports[0]) })
	if _, err := (TargetReconciler{w.Service}).Reconcile(t.Context(), target.Key()); err != nil {
		t.Fatal(err)
	}
	if _, ok := Targets.Get(w.Store.Read(), target.Key()); ok {
		t.Error("the target of a port that is gone is there")
	}
}

func TestAPortOfServiceConnectHasOneOwner(t *testing.T) {
	w := newTargetWorld(t)
	first := connectPort("api", 80)
	taken, discovery := first, connectPort("other", 80)
	taken.Owner, taken.Discovery = "b", "srv-b"
	discovery.Discovery = first.Discovery
	w.update(func(tx *store.Tx) {
		for _, row := range []struct {
			port ConnectPort
			want string
		}{{first, ""}, {taken, first.Owner}, {discovery, first.Owner}, {first, ""}} {
			if got := ClaimPort(tx, row.port); got != row.want {
				t.Errorf("%s is %q's, want %q", row.port.Alias(), got, row.want)
			}
		}
		if !ReleasePort(tx, first) {
			t.Error("another port has its Cloud Map service")
		}
	})
	var before, again ConnectPort
	w.update(func(tx *store.Tx) {
		ClaimPort(tx, first)
		before, _ = ConnectPorts.Get(tx, first.Key())
		ReleasePort(tx, first)
		ClaimPort(tx, first)
		again, _ = ConnectPorts.Get(tx, first.Key())
	})
	if before.Address != again.Address {
		t.Errorf("a name that comes back has another address: %s, %s", before.Address, again.Address)
	}
}
