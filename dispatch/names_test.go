package dispatch_test

import (
	"net/netip"
	"strings"
	"testing"

	"berth/agent/proto"
	api "berth/api/servicediscovery"
	"berth/elbv2"
	"berth/servicediscovery"
	"berth/store"
)

func TestMachinesGetTheNamesOfTheirAccountAndRegion(t *testing.T) {
	w := newWorld(t)
	namespace := func(account, id string) servicediscovery.Namespace {
		return servicediscovery.Namespace{Account: account, Region: region, ID: id, Name: id + ".local", Type: api.NamespaceTypeDNSPrivate, TTL: 15}
	}
	lb := elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "web", ID: "0000000000000001", Number: 3,
		Zones: []elbv2.LoadBalancerZone{{Address: netip.MustParseAddr("172.31.0.5")}}}
	w.update(func(tx *store.Tx) {
		elbv2.LoadBalancers.Put(tx, lb)
		servicediscovery.Namespaces.Put(tx, namespace(account, "a"))
		servicediscovery.Namespaces.Put(tx, namespace("999999999999", "b"))
	})
	a, _, err := w.dial(w.join("default"))
	if err != nil {
		t.Fatal(err)
	}
	h := hello()
	h.Names = true
	a.send(proto.TypeHello, h)
	a.want(proto.TypeWelcome, new(proto.Welcome))
	var names proto.Names
	a.want(proto.TypeNames, &names)
	if b := names.Balancers; len(b) != 1 || !strings.HasSuffix(b[0].Name, ".elb.berth.internal") || b[0].Number != 3 || b[0].Addresses[0] != lb.Zones[0].Address {
		t.Errorf("load balancers %+v", b)
	}
	if len(names.Zones) != 1 || names.Zones[0].Name != "a.local" || names.Revision != 1 {
		t.Fatalf("names %+v", names)
	}
	v := servicediscovery.ServiceRecord{Account: account, Region: region, ID: "srv-1", Namespace: "a", Name: "web", Records: []api.DnsRecord{{Type: "A", TTL: new(int64(5))}}}
	w.update(func(tx *store.Tx) {
		servicediscovery.Services.Put(tx, v)
		servicediscovery.Instances.Put(tx, servicediscovery.Instance{Service: v.Key(), ID: "i", Attributes: map[string]string{"AWS_INSTANCE_IPV4": "192.0.2.1"}})
	})
	a.want(proto.TypeNames, &names)
	if s := names.Zones[0].Sets; len(s) != 1 || s[0].Name != "web.a.local" || s[0].TTL != 5 || s[0].Values[0].Address.String() != "192.0.2.1" || names.Revision != 2 {
		t.Errorf("names %+v", names)
	}
}
