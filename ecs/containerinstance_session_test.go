package ecs

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/agent/proto"
	api "berth/api/ecs"
)

func TestConnectMakesTheDefaultClusterAndKeepsTheInstance(t *testing.T) {
	w := newInstanceWorld(t)
	first := w.connect(t, "m1", hello(2048, 4096))
	if first.Cluster != "default" || !first.Connected || first.Status != InstanceActive || !idPattern.MatchString(first.ID) {
		t.Fatalf("got %+v", first)
	}
	if c, ok := Clusters.Get(w.store.Read(), first.ClusterKey()); !ok || c.Inactive {
		t.Fatal("the cluster default was not made")
	}
	if err := w.Disconnect(w.ctx, first.Key(), "session-m1"); err != nil {
		t.Fatal(err)
	}
	if w.instance(t, first.Key()).Connected {
		t.Error("still connected")
	}
	again := w.connect(t, "m1", hello(2048, 4096, "ecs.cpu-architecture=x86_64"))
	if again.ID != first.ID || !again.Connected || again.Registered != first.Registered || again.Version <= first.Version {
		t.Errorf("got %+v, want the same instance as %+v, connected", again, first)
	}
	other := w.connect(t, "m2", hello(1024, 1024))
	if other.ID <= first.ID {
		t.Errorf("%s does not sort after %s", other.ID, first.ID)
	}
	d, _ := InstanceDescriptions.Get(w.store.Read(), again.Key())
	want := map[string]string{"ecs.os-type": "linux", "ecs.os-family": "LINUX", "ecs.availability-zone": "z1", "ecs.cpu-architecture": "x86_64"}
	if diff := cmp.Diff(d.Attributes, want); diff != "" {
		t.Error(diff)
	}
}

func TestConnectRefuses(t *testing.T) {
	w := newInstanceWorld(t)
	gone := w.connect(t, "gone", hello(1024, 1024))
	if _, err := w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(gone.ID)}); err != nil {
		t.Fatal(err)
	}
	w.connect(t, "here", hello(1024, 1024))
	with := func(change func(*proto.Hello)) proto.Hello { h := hello(1024, 1024); change(&h); return h }
	for _, row := range []struct {
		name, machine, cluster string
		hello                  proto.Hello
		code, message          string
	}{
		{"a deregistered machine", "gone", "", hello(1024, 1024), "InactiveInstanceException", "was deregistered"},
		{"a missing cluster", "new", "prod", hello(1024, 1024), "ClusterNotFoundException", "Cluster not found."},
		{"a move to another cluster", "here", "prod", hello(1024, 1024), "InvalidParameterException", "registered in another cluster"},
		{"another cluster than the certificate's", "new", "", with(func(h *proto.Hello) { h.Cluster = "prod" }), "InvalidParameterException", "says cluster prod, its certificate default"},
		{"another account than the certificate's", "new", "", with(func(h *proto.Hello) { h.Account = "1" }), "InvalidParameterException", "says account 1"},
		{"another region than the certificate's", "new", "", with(func(h *proto.Hello) { h.Region = "x" }), "InvalidParameterException", "says region x"},
		{"no CPU", "new", "", hello(0, 1024), "InvalidParameterException", "0 CPU units"},
		{"no memory", "new", "", hello(1024, -1), "InvalidParameterException", "-1 MiB"},
		{"a bad port", "new", "", with(func(h *proto.Hello) { h.Ports = []string{"99999"} }), "InvalidParameterException", "Invalid port '99999'"},
		{"port 0", "new", "", with(func(h *proto.Hello) { h.PortsUDP = []string{"0"} }), "InvalidParameterException", "Invalid port '0'"},
		{"a bad attribute", "new", "", hello(1, 1, "a b"), "InvalidParameterException", "Invalid attribute name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := w.Connect(w.ctx, Machine{ID: row.machine, Account: homeAccount, Region: homeRegion, Cluster: row.cluster}, "s", row.hello)
			wantError(t, err, row.code, row.message)
		})
	}
}

func TestOnlyTheCurrentSessionSpeaksForAnInstance(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	seen := func(session, impaired string, want bool) {
		t.Helper()
		if ok, err := w.Seen(w.ctx, c.Key(), session, impaired); ok != want || err != nil {
			t.Errorf("Seen by %s: got %v, %v", session, ok, err)
		}
	}
	seen("old", "", false)
	if err := w.Disconnect(w.ctx, c.Key(), "old"); err != nil || !w.instance(t, c.Key()).Connected {
		t.Errorf("disconnected by an old session: %v", err)
	}
	before := w.instance(t, c.Key())
	seen("session-m", "", true)
	if after := w.instance(t, c.Key()); after.LastSeen != before.LastSeen {
		t.Error("LastSeen was written within 30 s")
	}
	w.now = w.now.Add(31 * time.Second)
	seen("session-m", "", true)
	if after := w.instance(t, c.Key()); after.LastSeen == before.LastSeen || after.Version != before.Version {
		t.Errorf("LastSeen %d, version %d after 31 s", after.LastSeen, after.Version)
	}
	seen("session-m", "disk 97 % full", true)
	if after := w.instance(t, c.Key()); after.Impaired != "disk 97 % full" || after.Version != before.Version+1 {
		t.Errorf("got %+v", after)
	}
	seen("session-m", "", true)
	if w.instance(t, c.Key()).Impaired != "" {
		t.Error("still impaired")
	}
	if err := w.Disconnect(w.ctx, c.Key(), "session-m"); err != nil {
		t.Fatal(err)
	}
	seen("session-m", "", true)
	if !w.instance(t, c.Key()).Connected {
		t.Error("not connected again by a heartbeat")
	}
	if ok, err := w.Seen(w.ctx, c.ClusterKey()+"/"+strings.Repeat("0", 32), "s", ""); ok || err != nil {
		t.Errorf("unknown instance: %v, %v", ok, err)
	}
}

func TestMachineThatShrankKeepsWhatItsTasksHold(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(2048, 4096))
	runOn(t, w, c, "g", 1024, 3000)
	c = w.connect(t, "m", hello(2048, 2000))
	if c.Memory != 3000 || c.Used.Memory != 3000 {
		t.Errorf("got %d MiB, %d held", c.Memory, c.Used.Memory)
	}
}
