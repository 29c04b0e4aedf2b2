package vpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/test/netlab"
)

// from returns a dialer inside a container.
func from(t testing.TB, netns string) dialer {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		var d net.Dialer
		var failed error
		inside(t, netns, func() error {
			conn, failed = d.DialContext(ctx, network, address)
			return nil
		})
		return conn, failed
	}
}

func TestContainersReachEachOtherAndPublishedPorts(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	a := attach(t, n, "a", webPorts()...)
	b := attach(t, n, "b")
	serveTCP(t, a.NetNS, "a", 80)
	serveUDP(t, a.NetNS, "a", 53)
	for i, network := range []string{"tcp", "udp"} {
		port := []string{"80", "53"}[i]
		for _, tc := range []struct {
			name, netns, address, sees string
		}{
			{"neighbour by address", b.NetNS, net.JoinHostPort(a.IPv4, port), b.IPv4},
			{"neighbour by the machine's address", b.NetNS, hostPort(a, i, m.IPv4.String()), a.Gateway},
			{"neighbour by the gateway", b.NetNS, hostPort(a, i, a.Gateway), a.Gateway},
			{"itself by the machine's address", a.NetNS, hostPort(a, i, m.IPv4.String()), a.Gateway},
			{"itself by the gateway", a.NetNS, hostPort(a, i, a.Gateway), a.Gateway},
		} {
			t.Run(tc.name+" "+network, func(t *testing.T) {
				got, err := ask(t.Context(), from(t, tc.netns), network, tc.address, "hello")
				if want := "a " + tc.sees + " hello"; err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			})
		}
	}
}

func listenOn(t *testing.T, m *netlab.Machine, address string) {
	t.Helper()
	l, err := m.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			_, _ = c.Write([]byte(host + "\n"))
			c.Close()
		}
	}()
}

func TestContainersDoNotReachWhatIsNotTheirs(t *testing.T) {
	lab := netlab.New(t, 2)
	m, other := lab.Machines[0], lab.Machines[1]
	listenOn(t, m, "0.0.0.0:7000")
	listenOn(t, m, "127.0.0.1:7001")
	listenOn(t, m, "0.0.0.0:7002")
	listenOn(t, other, "0.0.0.0:7000")
	for _, egress := range []bool{false, true} {
		name := map[bool]string{false: "without egress", true: "with egress"}[egress]
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir()+"/net")
			cfg.Egress = egress
			cfg.Resolvers = []string{"127.0.0.1:1"}
			cfg.HostPorts = []HostPort{{Port: 7002, Protocol: "tcp"}}
			n := openOn(t, m, cfg)
			a := attach(t, n, "a")
			for _, tc := range []struct {
				name, address, want string // want is the address that is seen, or empty for a refusal
			}{
				{"the machine's service by its address", m.IPv4.String() + ":7000", ""},
				{"the machine's service by the uplink", n.fabric.Near.String() + ":7000", ""},
				{"an allowed port of the machine", m.IPv4.String() + ":7002", n.fabric.Far.String()},
				{"the gateway", a.Gateway + ":7000", ""},
				{"another machine", other.IPv4.String() + ":7000", map[bool]string{true: m.IPv4.String()}[egress]},
				{"the cloud's metadata", "169.254.169.254:80", ""},
				{"a free address of the pool", "10.231.200.1:80", ""},
			} {
				t.Run(tc.name, func(t *testing.T) {
					got, err := ask(t.Context(), from(t, a.NetNS), "tcp", tc.address, "")
					refused := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
					if got != tc.want || refused != (tc.want == "") {
						t.Errorf("got %q, %v, want %q", got, err, tc.want)
					}
				})
			}
		})
	}
}

// A container that sends packets for 127.0.0.1 over the uplink must not reach the machine's loopback services, although the uplink
// has route_localnet.
func TestLoopbackOfTheMachineIsOutOfReach(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	listenOn(t, m, "127.0.0.1:7001")
	cfg := testConfig(t, t.TempDir()+"/net")
	cfg.HostPorts = []HostPort{{Port: 7001, Protocol: "tcp"}} // so that only the rule on 127.0.0.0/8 is in the way
	n := openOn(t, m, cfg)
	_ = n.bridge.run(func() error {
		for _, s := range []string{"all", "uplink"} {
			if err := writeSysctl("net.ipv4.conf."+s+".route_localnet", "1"); err != nil {
				t.Fatal(err)
			}
		}
		routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if r.Dst != nil && r.Dst.IP.IsLoopback() {
				if err := netlink.RouteDel(&r); err != nil {
					t.Fatal(err)
				}
			}
		}
		up, err := netlink.LinkByName(farUplink)
		if err != nil {
			t.Fatal(err)
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: up.Attrs().Index, Dst: ipNet(loopbackNet), Gw: n.fabric.Near.AsSlice()})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var got string
	var err error
	_ = n.bridge.run(func() error {
		got, err = ask(ctx, func(ctx context.Context, network, address string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: n.fabric.Far.AsSlice()}}
			return d.DialContext(ctx, network, address)
		}, "tcp", "127.0.0.1:7001", "")
		return nil
	})
	if err == nil {
		t.Errorf("the machine's loopback service answered %q", got)
	}
}

func TestForgedSourcesAreDropped(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	a, victim, b := attach(t, n, "a"), attach(t, n, "victim"), attach(t, n, "b")
	var heard net.PacketConn
	inside(t, b.NetNS, func() (err error) {
		heard, err = net.ListenPacket("udp4", b.IPv4+":9000")
		return err
	})
	defer heard.Close()
	send := func(source, text string) {
		inside(t, a.NetNS, func() error {
			d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(source)}}
			c, err := d.Dial("udp4", b.IPv4+":9000")
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte(text))
			return err
		})
	}
	setMAC := func(mac []byte) {
		inside(t, a.NetNS, func() error {
			eth0, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.LinkSetHardwareAddr(eth0, mac)
		})
	}
	inside(t, a.NetNS, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(host(netip.MustParseAddr(victim.IPv4)))})
	})
	send(victim.IPv4, "forged address")
	own := n.record("a").mac()
	setMAC([]byte{0x0a, 0xbe, 1, 2, 3, 4})
	send(a.IPv4, "forged MAC")
	setMAC(own)
	send(a.IPv4, "honest")
	_ = heard.SetReadDeadline(time.Now().Add(3 * time.Second))
	buf := make([]byte, 100)
	k, _, err := heard.ReadFrom(buf)
	if err != nil || string(buf[:k]) != "honest" {
		t.Errorf("first packet that arrived: %q, %v, want the honest one", buf[:k], err)
	}
}

func TestModeNoneHasOnlyLoopback(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	res, err := n.Attach(t.Context(), agent.NetworkRequest{ID: "alone", Mode: "none", Sysctls: map[string]string{"net.core.somaxconn": "333"}})
	if err != nil {
		t.Fatal(err)
	}
	if res.IPv4 != "" || len(res.DNS) != 0 {
		t.Errorf("got %+v, want no address and no resolvers", res)
	}
	inside(t, res.NetNS, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		if len(links) != 1 || links[0].Attrs().Flags&net.FlagUp == 0 {
			t.Errorf("got links %v, want lo only, up", links)
		}
		if got, _ := readSysctl("net.core.somaxconn"); got != "333" {
			t.Errorf("sysctl: got %s, want 333", got)
		}
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return err
			}
			l.Close()
		}
		return nil
	})
	if err := n.Detach(t.Context(), "alone"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(res.NetNS); !os.IsNotExist(err) {
		t.Errorf("namespace file is still there: %v", err)
	}
}
