package vpc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"berth/test/netlab"
)

// traces lists everything in a main namespace and of a directory that a network may leave.
func traces(t *testing.T, m *netlab.Machine, dir string) []string {
	t.Helper()
	var all []string
	err := m.Run(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			all = append(all, "link "+l.Attrs().Name)
		}
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		for _, r := range routes {
			all = append(all, "route "+r.String())
		}
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		if err != nil {
			return err
		}
		for _, table := range tables {
			all = append(all, "table "+table.Name)
		}
		for _, key := range []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet", "net.ipv4.conf.all.forwarding", "net.ipv4.conf.eth0.forwarding"} {
			value, err := readSysctl(key)
			if err != nil {
				return err
			}
			all = append(all, "sysctl "+key+"="+value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(mounts), "\n") {
		if strings.Contains(line, dir) {
			all = append(all, "mount "+line)
		}
	}
	processes, _ := exec.Command("ps", "-eo", "args").Output()
	for line := range strings.SplitSeq(string(processes), "\n") {
		if strings.Contains(line, dir) {
			all = append(all, "process "+line)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		all = append(all, "directory "+dir)
	}
	sort.Strings(all)
	return all
}

func TestCleanupLeavesNoTrace(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(t *testing.T, n *Network)
	}{
		{name: "after a stop", spoil: func(*testing.T, *Network) {}},
		{name: "after the port proxy was killed", spoil: func(t *testing.T, n *Network) { killProxy(t, n) }},
		{name: "without its state file", spoil: func(t *testing.T, n *Network) {
			if err := os.Remove(n.cfg.path("network.json")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := netlab.New(t, 1).Machines[0]
			cfg := testConfig(t, t.TempDir()+"/net")
			before := traces(t, m, cfg.Dir)
			n := openOn(t, m, cfg)
			for i := range 3 {
				attach(t, n, fmt.Sprint("c", i), webPorts()...)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			tc.spoil(t, n)
			for range 2 { // the second time there is nothing to do
				if err := m.Run(func() error { return Cleanup(t.Context(), cfg) }); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(before, traces(t, m, cfg.Dir)); diff != "" {
				t.Errorf("traces before and after:\n%s", diff)
			}
		})
	}
}

func TestTwoAgentsOnOneMachineDoNotDisturbEachOther(t *testing.T) {
	lab := netlab.New(t, 2)
	m, other := lab.Machines[0], lab.Machines[1]
	one := openOn(t, m, testConfig(t, t.TempDir()+"/one"))
	two := openOn(t, m, testConfig(t, t.TempDir()+"/two")) // the same pool
	a, b := attach(t, one, "web", webPorts()...), attach(t, two, "web", webPorts()...)
	if a.IPv4 != b.IPv4 {
		t.Fatalf("got %s and %s, want the same address in both pools", a.IPv4, b.IPv4)
	}
	serveTCP(t, a.NetNS, "one", 80)
	serveTCP(t, b.NetNS, "two", 80)
	check := func(address, want string) {
		t.Helper()
		for _, from := range []*netlab.Machine{m, other} {
			got, err := ask(t.Context(), from.Dial, "tcp", address, "x")
			if err != nil || !strings.HasPrefix(got, want) {
				t.Errorf("from %s: got %q, %v, want an answer of %s", from.Name, got, err, want)
			}
		}
	}
	check(hostPort(a, 0, m.IPv4.String()), "one")
	check(hostPort(b, 0, m.IPv4.String()), "two")
	got, err := ask(t.Context(), from(t, a.NetNS), "tcp", hostPort(b, 0, m.IPv4.String()), "x")
	if err != nil || !strings.HasPrefix(got, "two") {
		t.Errorf("from the first agent's container to the second's: got %q, %v", got, err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(func() error { return Cleanup(context.Background(), one.cfg) }); err != nil {
		t.Fatal(err)
	}
	check(hostPort(b, 0, m.IPv4.String()), "two")
}
