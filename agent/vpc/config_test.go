package vpc

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"berth/agent"
)

func TestConfigIsChecked(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  Config
		want string // part of the error; empty means none
	}{
		{"only a directory", Config{Dir: "/x"}, ""},
		{"no directory", Config{}, "directory"},
		{"smallest pool", Config{Dir: "/x", Pool: netip.MustParsePrefix("10.0.0.0/29")}, ""},
		{"pool too small", Config{Dir: "/x", Pool: netip.MustParsePrefix("10.0.0.0/30")}, "/8 to /29"},
		{"IPv6 pool", Config{Dir: "/x", Pool: netip.MustParsePrefix("fd00::/64")}, "IPv4"},
		{"uplink pool of one address", Config{Dir: "/x", LinkPool: netip.MustParsePrefix("10.0.0.1/32")}, "/8 to /31"},
		{"pools overlap", Config{Dir: "/x", Pool: netip.MustParsePrefix("169.254.0.0/16")}, "overlaps"},
		{"host port without protocol", Config{Dir: "/x", HostPorts: []HostPort{{Port: 53}}}, "tcp or udp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.cfg.withDefaults()
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestRequestsAreChecked(t *testing.T) {
	port := func(p agent.PortRequest) []agent.PortRequest { return []agent.PortRequest{p} }
	for _, tc := range []struct {
		name string
		req  agent.NetworkRequest
		want string
	}{
		{"bridge", agent.NetworkRequest{ID: "a-1", Mode: "bridge"}, ""},
		{"ID with a path", agent.NetworkRequest{ID: "../a", Mode: "bridge"}, "container ID"},
		{"empty ID", agent.NetworkRequest{Mode: "bridge"}, "container ID"},
		{"ID too long", agent.NetworkRequest{ID: strings.Repeat("a", 65), Mode: "bridge"}, "container ID"},
		{"mode host", agent.NetworkRequest{ID: "a", Mode: "host"}, "network mode"},
		{"ports in mode none", agent.NetworkRequest{ID: "a", Mode: "none", Ports: port(agent.PortRequest{ContainerPort: 1, Protocol: "tcp"})}, "none"},
		{"protocol sctp", agent.NetworkRequest{ID: "a", Mode: "bridge", Ports: port(agent.PortRequest{ContainerPort: 1, Protocol: "sctp"})}, "port mapping"},
		{"container port 0", agent.NetworkRequest{ID: "a", Mode: "bridge", Ports: port(agent.PortRequest{Protocol: "tcp"})}, "port mapping"},
		{"range above 65535", agent.NetworkRequest{ID: "a", Mode: "bridge", Ports: port(agent.PortRequest{ContainerPort: 65535, Count: 2, Protocol: "tcp"})}, "port mapping"},
		{"sysctl outside net", agent.NetworkRequest{ID: "a", Mode: "none", Sysctls: map[string]string{"kernel.shmmax": "1"}}, "net."},
		{"sysctl that climbs", agent.NetworkRequest{ID: "a", Mode: "none", Sysctls: map[string]string{"net.//.kernel": "1"}}, "well formed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := checkRequest(tc.req)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestSysctlNamesBecomePaths(t *testing.T) {
	for key, want := range map[string]string{
		"net.core.somaxconn":                "/proc/sys/net/core/somaxconn",
		"net.ipv4.conf.eth0/100.rp_filter":  "/proc/sys/net/ipv4/conf/eth0.100/rp_filter",
		"net/ipv4/conf":                     "",
		"net.ipv4..tcp_syncookies":          "",
		"net./.ipv4":                        "",
		"net.ipv4.conf.all.//.kernel.panic": "",
	} {
		got, err := sysctlPath(key)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
		}
	}
}

func TestAddressesAreNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := netip.PrefixFrom(netip.MustParseAddr("10.9.8.0"), rapid.IntRange(27, 29).Draw(t, "bits"))
		a := addresses{pool: pool, used: map[netip.Addr]string{}}
		usable := 1<<(32-pool.Bits()) - 3
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(a.used) > 0 && rapid.Bool().Draw(t, "free") {
				delete(a.used, rapid.SampledFrom(slices.SortedFunc(maps.Keys(a.used), netip.Addr.Compare)).Draw(t, "which"))
				continue
			}
			before := len(a.used)
			addr, err := a.take("x")
			if (err != nil) != (before == usable) {
				t.Fatalf("%d of %d in use: %v", before, usable, err)
			}
			if err == nil && (len(a.used) != before+1 || !pool.Contains(addr) || addr == pool.Addr() || addr == pool.Addr().Next()) {
				t.Fatalf("got %s of %s", addr, pool)
			}
		}
	})
}
