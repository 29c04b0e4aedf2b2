package vpc

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"berth/agent/proto"
	"berth/test/netlab"
)

// asked asks over one connection and returns the answer.
func asked(t *testing.T, conn net.Conn, name string) *dns.Msg {
	t.Helper()
	c := &dns.Conn{Conn: conn}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if err := c.WriteMsg(new(dns.Msg).SetQuestion(name, dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTasksAndTheMachineGetBerthsNames(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	cfg := testConfig(t, t.TempDir()+"/net")
	cfg.Resolvers = []string{resolverOn(t, m)}
	n := openOn(t, m, cfg)
	res := attach(t, n, "c")
	if err := n.SetNames(proto.Names{
		Revision:  1,
		Balancers: []proto.BalancerName{{Name: "lb.berth.internal", Number: 5, Addresses: []netip.Addr{netip.MustParseAddr("172.31.0.5")}}},
		Zones: []proto.Zone{{Name: "corp.local", TTL: 15, Sets: []proto.NameSet{
			{Name: "web.corp.local", Type: "A", TTL: 5, Values: []proto.NameValue{{Address: netip.MustParseAddr("192.0.2.1")}}},
		}}},
	}); err != nil {
		t.Fatal(err)
	}
	loopback := n.Loopback().Addr().Next().Next().Next().Next().Next().String()
	for _, network := range []string{"udp", "tcp"} {
		inside, err := from(t, res.NetNS)(t.Context(), network, net.JoinHostPort(res.DNS[0], "53"))
		if err != nil {
			t.Fatal(err)
		}
		defer inside.Close()
		var outside net.Conn
		at := net.JoinHostPort(n.Resolver().String(), "53")
		if err := m.Run(func() (err error) { outside, err = net.Dial(network, at); return err }); err != nil {
			t.Fatal(err)
		}
		defer outside.Close()
		for _, row := range []struct {
			conn          net.Conn
			name, address string
			code          int
		}{
			{inside, "web.corp.local.", "192.0.2.1", dns.RcodeSuccess},
			{inside, "lb.berth.internal.", "172.31.0.5", dns.RcodeSuccess},
			{inside, "none.corp.local.", "", dns.RcodeNameError},
			{outside, "WEB.corp.local.", "192.0.2.1", dns.RcodeSuccess},
			{outside, "lb.berth.internal.", loopback, dns.RcodeSuccess},
			{outside, "example.com.", "", dns.RcodeRefused},
		} {
			got := asked(t, row.conn, row.name)
			address := ""
			if len(got.Answer) == 1 {
				address = got.Answer[0].(*dns.A).A.String()
			}
			if got.Rcode != row.code || address != row.address {
				t.Errorf("%s %s: %s, want %s %s", network, row.name, got, dns.RcodeToString[row.code], row.address)
			}
		}
	}
}
