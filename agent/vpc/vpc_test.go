package vpc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/agent/vpc/portproxy"
	"berth/agent/vpc/thread"
	"berth/test/netlab"
)

// TestMain lets the test program be the port proxy and the agent that tests kill.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "port-proxy" {
		if err := portproxy.Run(context.Background(), os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv("VPC_TEST_ROLE") == "agent" {
		agentProcess()
	}
	os.Exit(m.Run())
}

func testConfig(t testing.TB, dir string) Config {
	t.Helper()
	return Config{
		Dir: dir, PortProxy: []string{"/proc/self/exe", "port-proxy"},
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// openOn opens a network whose main namespace is a machine of a lab, and removes it at the end.
func openOn(t testing.TB, m *netlab.Machine, cfg Config) *Network {
	t.Helper()
	var n *Network
	err := m.Run(func() (err error) {
		n, err = Open(t.Context(), cfg)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cleanUp(t, m, n) })
	return n
}

func cleanUp(t testing.TB, m *netlab.Machine, n *Network) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := m.Run(func() error { return Cleanup(ctx, n.cfg) }); err != nil {
		t.Error(err)
	}
}

func attach(t testing.TB, n *Network, id string, ports ...agent.PortRequest) agent.NetworkResult {
	t.Helper()
	res, err := n.Attach(t.Context(), agent.NetworkRequest{ID: id, TaskArn: "task-of-" + id, Mode: "bridge", Ports: ports})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// inside calls f in a container's namespace.
func inside(t testing.TB, netns string, f func() error) {
	t.Helper()
	fd, err := thread.Open(netns)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := thread.In(fd, f); err != nil {
		t.Fatal(err)
	}
}

// serveTCP answers every line with "name client-address line".
func serveTCP(t testing.TB, netns, name string, port uint16) {
	t.Helper()
	var l net.Listener
	inside(t, netns, func() (err error) {
		l, err = net.Listen("tcp4", "0.0.0.0:"+strconv.Itoa(int(port)))
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				from := netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr()
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					fmt.Fprintf(conn, "%s %s %s\n", name, from, lines.Text())
				}
			}()
		}
	}()
}

// serveUDP answers every datagram with "name client-address datagram".
func serveUDP(t testing.TB, netns, name string, port uint16) {
	t.Helper()
	var c net.PacketConn
	inside(t, netns, func() (err error) {
		c, err = net.ListenPacket("udp4", "0.0.0.0:"+strconv.Itoa(int(port)))
		return err
	})
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(fmt.Sprintf("%s %s %s\n", name, netip.MustParseAddrPort(from.String()).Addr(), buf[:n])), from)
		}
	}()
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// ask sends one line and returns the answer.
func ask(ctx context.Context, dial dialer, network, address, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := dial(ctx, network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if network[:3] == "tcp" {
		line += "\n"
	}
	if _, err := io.WriteString(conn, line); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	return answer[:len(answer)-1], nil
}

func hostPort(res agent.NetworkResult, i int, addr string) string {
	return net.JoinHostPort(addr, strconv.Itoa(int(res.Bindings[i].HostPort)))
}

func TestPublishedPortsAnswerOnEveryAddress(t *testing.T) {
	lab := netlab.New(t, 2)
	m, other := lab.Machines[0], lab.Machines[1]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	res := attach(t, n, "web-1", agent.PortRequest{ContainerPort: 80, Protocol: "tcp"}, agent.PortRequest{ContainerPort: 53, Protocol: "udp"})
	serveTCP(t, res.NetNS, "web", 80)
	serveUDP(t, res.NetNS, "web", 53)
	for _, tc := range []struct {
		name, addr string
		from       *netlab.Machine
		sees       string
	}{
		{"localhost", "127.0.0.1", m, res.Gateway},
		{"another loopback address", "127.1.2.3", m, res.Gateway},
		{"IPv6 localhost", "::1", m, res.Gateway},
		{"own address", m.IPv4.String(), m, m.IPv4.String()},
		{"own IPv6 address", m.IPv6.String(), m, res.Gateway},
		{"another machine", m.IPv4.String(), other, other.IPv4.String()},
		{"another machine by IPv6", m.IPv6.String(), other, res.Gateway},
	} {
		for i, network := range []string{"tcp", "udp"} {
			t.Run(tc.name+" "+network, func(t *testing.T) {
				got, err := ask(t.Context(), tc.from.Dial, network, hostPort(res, i, tc.addr), "hello")
				if want := "web " + tc.sees + " hello"; err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			})
		}
	}
}
