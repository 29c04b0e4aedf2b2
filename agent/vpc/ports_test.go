package vpc

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/test/netlab"
)

func TestPortInUseIsRefusedAndNothingIsLeft(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	attach(t, n, "first", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"})
	listenOn(t, m, "127.0.0.1:8081")
	listenOn(t, m, "[::1]:8082")
	for _, port := range []uint16{8080, 8081, 8082} {
		t.Run(strconv.Itoa(int(port)), func(t *testing.T) {
			_, err := n.Attach(t.Context(), agent.NetworkRequest{ID: "second", Mode: "bridge", Ports: []agent.PortRequest{
				{ContainerPort: 1, Protocol: "tcp"}, {ContainerPort: 80, HostPort: port, Protocol: "tcp"},
			}})
			failure, ok := errors.AsType[*agent.Error](err)
			if !ok {
				t.Fatalf("got %v, want an agent.Error", err)
			}
			want := fmt.Sprintf("CannotStartContainerError: Bind for 0.0.0.0:%d failed: port is already allocated", port)
			if failure.Error() != want {
				t.Errorf("got %q, want %q", failure, want)
			}
			if ids, _ := n.List(t.Context()); !slices.Equal(ids, []string{"first"}) {
				t.Errorf("left behind: %v", ids)
			}
			if files, _ := os.ReadDir(n.cfg.path("ns")); len(files) != 2 { // bridge and first
				t.Errorf("namespaces left behind: %v", files)
			}
			if owners, _ := n.proxy.Owners(t.Context()); !slices.Equal(owners, []string{"first"}) {
				t.Errorf("ports left behind: %v", owners)
			}
		})
	}
	// The same number is free for UDP, and for TCP after the first has gone.
	attach(t, n, "udp", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "udp"})
	if err := n.Detach(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	attach(t, n, "third", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"})
}

// A published port answers at every address of the machine but those of load balancers, whichever agent here they belong to.
func TestAPublishedPortLeavesTheAddressesOfLoadBalancersAlone(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	one := openOn(t, m, testConfig(t, t.TempDir()+"/one"))
	two := openOn(t, m, testConfig(t, t.TempDir()+"/two"))
	res := attach(t, two, "web", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"})
	serveTCP(t, res.NetNS, "container", 80)
	for _, n := range []*Network{one, two} {
		address := net.JoinHostPort(n.Loopback().Addr().Next().Next().Next().String(), "8080")
		// HAProxy shares its ports, see portproxy.
		shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }), err)
		}}
		var l net.Listener
		if err := m.Run(func() (err error) { l, err = shared.Listen(t.Context(), "tcp", address); return err }); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = bufio.NewReader(c).ReadString('\n')
				_, _ = c.Write([]byte("load balancer\n"))
				c.Close()
			}
		}()
		if got, err := ask(t.Context(), m.Dial, "tcp", address, "x"); err != nil || strings.TrimSpace(got) != "load balancer" {
			t.Errorf("%s: got %q, %v", address, got, err)
		}
	}
	if got, err := ask(t.Context(), m.Dial, "tcp", "127.0.0.1:8080", "x"); err != nil || !strings.HasPrefix(got, "container") {
		t.Errorf("127.0.0.1: got %q, %v", got, err)
	}
}

func TestRangesArePublishedPortByPort(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	res := attach(t, n, "range",
		agent.PortRequest{ContainerPort: 8000, HostPort: 9000, Count: 3, Protocol: "tcp"},
		agent.PortRequest{ContainerPort: 8000, Count: 1500, Protocol: "udp"})
	for i := range uint16(3) {
		serveTCP(t, res.NetNS, fmt.Sprint("tcp", i), 8000+i)
	}
	serveUDP(t, res.NetNS, "first", 8000)
	serveUDP(t, res.NetNS, "last", 9499)
	udp := res.Bindings[1]
	for _, tc := range []struct {
		network string
		port    uint16
		want    string
	}{
		{"tcp", 9000, "tcp0"}, {"tcp", 9001, "tcp1"}, {"tcp", 9002, "tcp2"},
		{"udp", udp.HostPort, "first"}, {"udp", udp.HostPort + 1499, "last"},
	} {
		for _, addr := range []string{"127.0.0.1", "::1"} {
			got, err := ask(t.Context(), m.Dial, tc.network, net.JoinHostPort(addr, strconv.Itoa(int(tc.port))), "x")
			if err != nil || !strings.HasPrefix(got, tc.want+" ") {
				t.Errorf("%s %s port %d: got %q, %v, want an answer of %s", addr, tc.network, tc.port, got, err, tc.want)
			}
		}
	}
	if err := n.Detach(t.Context(), "range"); err != nil {
		t.Fatal(err)
	}
}

func TestDynamicPortsAreOfTheEphemeralRange(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	err := m.Run(func() error {
		if err := writeSysctl("net.ipv4.ip_local_port_range", "51670 51689"); err != nil {
			return err
		}
		return writeSysctl("net.ipv4.ip_local_reserved_ports", "51670-51672")
	})
	if err != nil {
		t.Fatal(err)
	}
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	listenOn(t, m, "0.0.0.0:51689")
	seen := map[uint16]bool{}
	for i := range 13 { // 20 less 3 reserved by the administrator, 3 by ECS, 1 in use
		port := attach(t, n, fmt.Sprint("c", i), agent.PortRequest{ContainerPort: 80, Protocol: "tcp"}).Bindings[0].HostPort
		if seen[port] || port < 51673 || port > 51688 || (port >= 51678 && port <= 51680) {
			t.Errorf("got port %d again, or one that is not to be chosen", port)
		}
		seen[port] = true
	}
	_, err = n.Attach(t.Context(), agent.NetworkRequest{ID: "more", Mode: "bridge", Ports: []agent.PortRequest{{ContainerPort: 80, Protocol: "tcp"}}})
	if err == nil {
		t.Error("a fourteenth port was found")
	}
}

// A client that keeps sending from one port is led to the container that has the port now.
func TestRepublishedUDPPortLeadsToTheNewContainer(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	port := agent.PortRequest{ContainerPort: 53, HostPort: 5353, Protocol: "udp"}
	old := attach(t, n, "old", port)
	serveUDP(t, old.NetNS, "old", 53)
	client, err := m.Dial(t.Context(), "udp", "127.0.0.1:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	say := func() string {
		t.Helper()
		_ = client.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		k, err := client.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(string(buf[:k]), " ")
		return name
	}
	if got := say(); got != "old" {
		t.Fatalf("got answer of %s", got)
	}
	if err := n.Detach(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	res := attach(t, n, "new", port)
	serveUDP(t, res.NetNS, "new", 53)
	if got := say(); got != "new" {
		t.Errorf("got answer of %s, want new", got)
	}
}

func TestFiftyAttachAtOnce(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	var mu sync.Mutex
	seen := map[string]string{}
	var g errgroup.Group
	g.SetLimit(8)
	started := time.Now()
	for i := range 50 {
		id := fmt.Sprint("c", i)
		g.Go(func() error {
			res, err := n.Attach(t.Context(), agent.NetworkRequest{ID: id, Mode: "bridge", Ports: webPorts()})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, key := range []string{res.IPv4, fmt.Sprint("tcp", res.Bindings[0].HostPort), fmt.Sprint("udp", res.Bindings[1].HostPort)} {
				if other, taken := seen[key]; taken {
					t.Errorf("%s was given to %s and %s", key, other, id)
				}
				seen[key] = id
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("50 attached, 8 at a time, in %s", time.Since(started))
	started = time.Now()
	for i := range 50 {
		g.Go(func() error { return n.Detach(t.Context(), fmt.Sprint("c", i)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("50 detached, 8 at a time, in %s", time.Since(started))
	if ids, _ := n.List(t.Context()); len(ids) != 0 {
		t.Errorf("still there: %v", ids)
	}
}

func BenchmarkAttach(b *testing.B) {
	m := netlab.New(b, 1).Machines[0]
	cfg := testConfig(b, b.TempDir()+"/net")
	n := openOn(b, m, cfg)
	var spent, slowest time.Duration
	for i := range b.N {
		id := fmt.Sprint("c", i)
		started := time.Now()
		if _, err := n.Attach(b.Context(), agent.NetworkRequest{ID: id, Mode: "bridge", Ports: webPorts()[:1]}); err != nil {
			b.Fatal(err)
		}
		took := time.Since(started)
		spent, slowest = spent+took, max(slowest, took)
		b.StopTimer()
		if err := n.Detach(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
}
