package vpc

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"berth/test/netlab"
)

// addLAN gives a machine a further link, of a kind that stands for hardware, and optionally a route by a gateway.
func addLAN(t *testing.T, m *netlab.Machine, address, routeTo, gateway string) {
	t.Helper()
	err := m.Run(func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "lan"+address[3:5], eth0.Attrs().Index
		if err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			return err
		}
		link, err := netlink.LinkByName(attrs.Name)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(address))}); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil || routeTo == "" {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet(netip.MustParsePrefix(routeTo)), Gw: net.ParseIP(gateway)})
	})
	if err != nil {
		t.Skipf("this kernel has no macvlan links: %v", err)
	}
}

func TestMachineDoesNotBecomeARouter(t *testing.T) {
	lab := netlab.New(t, 3)
	m, left, right := lab.Machines[0], lab.Machines[1], lab.Machines[2]
	addLAN(t, m, "10.10.0.1/24", "", "")
	addLAN(t, m, "10.20.0.1/24", "", "")
	addLAN(t, left, "10.10.0.2/24", "10.20.0.0/24", "10.10.0.1")
	addLAN(t, right, "10.20.0.2/24", "10.10.0.0/24", "10.20.0.1")
	listenOn(t, right, "10.20.0.2:7000")
	reach := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		conn, err := left.Dial(ctx, "tcp", "10.20.0.2:7000")
		if err == nil {
			conn.Close()
		}
		return err
	}
	forward := func(value string) {
		t.Helper()
		if err := m.Run(func() error { return writeSysctl("net.ipv4.ip_forward", value) }); err != nil {
			t.Fatal(err)
		}
	}
	forward("1")
	if err := reach(5 * time.Second); err != nil {
		t.Fatalf("a router that is wanted does not route: %v", err)
	}
	forward("0")
	openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	if reach(300*time.Millisecond) == nil {
		t.Error("the machine routes between its networks")
	}
}
