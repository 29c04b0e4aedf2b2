package vpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/agent/vpc/thread"
	"berth/test/netlab"
)

// dialIn dials inside a namespace.
func dialIn(netns string) dialer {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		fd, err := thread.Open(netns)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		err = thread.In(fd, func() (err error) {
			var d net.Dialer
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// say sends one datagram and returns who answered; empty for nobody.
func say(t *testing.T, c net.Conn, within time.Duration) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if _, err := c.Write([]byte("x")); err != nil {
		return ""
	}
	n, err := c.Read(buf)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(string(buf[:n]), " ")
	return name
}

// deal fills the slots with targets in turn.
func deal(targets ...netip.AddrPort) (slots []netip.AddrPort) {
	for n := range agent.UDPSlots {
		slots = append(slots, targets[n%len(targets)])
	}
	return slots
}

// flowsLab is a machine with two containers and a process as targets, and another machine with one.
type flowsLab struct {
	m, other *netlab.Machine
	n        *Network
	clients  map[string]dialer // by where they are
	targets  map[string]netip.AddrPort
	at       map[string]string // where clients find the load balancer
	udp      agent.UDPListener
}

func newFlowsLab(t *testing.T) *flowsLab {
	lab := netlab.New(t, 2)
	l := &flowsLab{m: lab.Machines[0], other: lab.Machines[1], targets: map[string]netip.AddrPort{}}
	l.n = openOn(t, l.m, testConfig(t, t.TempDir()+"/net"))
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	inner := map[string]string{}
	for _, name := range []string{"one", "two"} {
		res := attach(t, l.n, name, agent.PortRequest{ContainerPort: 9000, Protocol: "udp"})
		serveUDP(t, res.NetNS, name, 9000)
		l.targets[name], inner[name] = netip.AddrPortFrom(local, res.Bindings[0].HostPort), res.NetNS
	}
	serveUDP(t, l.m.NetNS(), "host", 9001)
	l.targets["host"] = netip.AddrPortFrom(local, 9001)
	serveUDP(t, l.other.NetNS(), "far", 9002)
	l.targets["far"] = netip.AddrPortFrom(netip.MustParseAddr(l.other.IPv4.String()), 9002)
	// A container that publishes the port of the load balancer: it gets nothing of it.
	serveUDP(t, attach(t, l.n, "same-port", agent.PortRequest{ContainerPort: 53, HostPort: 5300, Protocol: "udp"}).NetNS, "same-port", 53)

	base := l.n.Loopback().Addr().As4()
	own, private := netip.AddrFrom4([4]byte{base[0], base[1], base[2], base[3] + 5}), netip.MustParseAddr("172.31.5.9")
	l.udp = agent.UDPListener{Number: 5, Port: 5300, Machine: []netip.Addr{own}, Tasks: []netip.Addr{private}}
	l.clients = map[string]dialer{"machine": l.m.Dial, "container": dialIn(inner["one"])}
	l.at = map[string]string{"machine": own.String() + ":5300", "container": private.String() + ":5300"}
	if err := l.n.Balance(t.Context(), []agent.Opening{{Address: private, Port: 5300, Protocol: "udp"}}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *flowsLab) set(t *testing.T, targets ...string) {
	t.Helper()
	var all []netip.AddrPort
	for _, name := range targets {
		all = append(all, l.targets[name])
	}
	l.udp.Slots = nil
	if len(all) > 0 {
		l.udp.Slots = deal(all...)
	}
	if err := l.n.Flows(t.Context(), []agent.UDPListener{l.udp}); err != nil {
		t.Fatal(err)
	}
}

func (l *flowsLab) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	c, err := l.clients[from](t.Context(), "udp4", l.at[from])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The nft of Debian 12 ends with a failed assertion on some rules that the kernel takes; nobody could list any rule of the machine then.
func TestTheNftProgramListsTheRules(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	l := newFlowsLab(t)
	l.set(t, "one", "two")
	for name, ns := range map[string]string{"machine": l.m.NetNS(), "bridge": l.n.cfg.path("ns", "bridge")} {
		var out []byte
		inside(t, ns, func() error {
			out, _ = exec.Command("nft", "list", "ruleset").CombinedOutput() // the output says what went wrong
			return nil
		})
		if !strings.Contains(string(out), "jhash") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestUDPIsSpreadOverTargetsAndFlowsStay(t *testing.T) {
	l := newFlowsLab(t)
	l.set(t, "one", "two", "host", "far")
	for from := range l.clients {
		t.Run(from, func(t *testing.T) {
			seen := map[string]int{}
			for range 60 {
				c := l.dial(t, from)
				first := say(t, c, 3*time.Second)
				seen[first]++
				if second := say(t, c, 3*time.Second); second != first {
					t.Fatalf("one flow: %q, then %q", first, second)
				}
			}
			for _, name := range []string{"one", "two", "host", "far"} {
				if seen[name] == 0 {
					t.Errorf("%s answered nobody: %v", name, seen)
				}
			}
			if len(seen) != 4 {
				t.Errorf("answers by %v", seen)
			}
		})
	}
	t.Run("by client", func(t *testing.T) {
		l.udp.ByClient = true
		l.set(t, "one", "two", "host", "far")
		for from := range l.clients {
			seen := map[string]int{}
			for range 10 {
				seen[say(t, l.dial(t, from), 3*time.Second)]++
			}
			if len(seen) != 1 {
				t.Errorf("%s: answers by %v", from, seen)
			}
		}
	})
}

func TestFlowsToRemovedTargetsGoElsewhere(t *testing.T) {
	l := newFlowsLab(t)
	names := []string{"one", "two", "host", "far"}
	for from := range l.clients {
		t.Run(from, func(t *testing.T) {
			l.set(t, names...)
			conns := map[string]net.Conn{}
			for n := 0; len(conns) < len(names); n++ {
				if n > 500 {
					t.Fatalf("answers by %v only", conns)
				}
				c := l.dial(t, from)
				conns[say(t, c, 3*time.Second)] = c
			}
			l.set(t, "two", "far")
			for _, was := range names {
				got := say(t, conns[was], 3*time.Second)
				if stays := was == "two" || was == "far"; stays && got != was || got != "two" && got != "far" {
					t.Errorf("the flow to %s is answered by %q", was, got)
				}
			}
			l.set(t)
			if got := say(t, conns["two"], 200*time.Millisecond); got != "" {
				t.Errorf("without targets %q answers", got)
			}
			l.set(t, "host")
			if got := say(t, conns["two"], 3*time.Second); got != "host" {
				t.Errorf("with a target again %q answers", got)
			}
		})
	}
	if err := l.n.Flows(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for from := range l.clients {
		// The machine's loopback addresses that are no load balancer's are any address of the machine.
		if got := say(t, l.dial(t, from), 200*time.Millisecond); got != "" && got != "same-port" {
			t.Errorf("%s: a load balancer that is gone is answered by %q", from, got)
		}
	}
	if there, err := l.n.flowTables(); err != nil || there {
		t.Errorf("tables are left: %v %v", there, err)
	}
}

// Another machine reaches a published address; the network that somebody removes is put back.
func TestPublishedUDP(t *testing.T) {
	l := newFlowsLab(t)
	l.udp.Machine = append(l.udp.Machine, netip.MustParseAddr(l.m.IPv4.String()))
	l.udp.Port = 5301
	l.set(t, "one", "two", "host", "far")
	for name, from := range map[string]dialer{"another machine": l.other.Dial, "the machine": l.m.Dial} {
		seen := map[string]int{}
		for range 60 {
			c, err := from(t.Context(), "udp4", net.JoinHostPort(l.m.IPv4.String(), strconv.Itoa(5301)))
			if err != nil {
				t.Fatal(err)
			}
			seen[say(t, c, 3*time.Second)]++
			c.Close()
		}
		if len(seen) != 4 || seen[""] > 0 {
			t.Errorf("%s: answers by %v", name, seen)
		}
	}
	if got := fmt.Sprint(ask(t.Context(), l.other.Dial, "udp", net.JoinHostPort(l.m.IPv4.String(), "5300"), "x")); !strings.HasPrefix(got, "same-port ") {
		t.Errorf("a published port beside: %s", got)
	}
	if err := l.n.main.nft.remove(l.n.cfg.hostFlowTable()); err != nil {
		t.Fatal(err)
	}
	l.set(t, "two")
	c, err := l.other.Dial(t.Context(), "udp4", net.JoinHostPort(l.m.IPv4.String(), "5301"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := say(t, c, 3*time.Second); got != "two" {
		t.Errorf("after the table was removed %q answers", got)
	}
}
