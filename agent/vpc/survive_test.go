package vpc

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"berth/agent"
	"berth/test/netlab"
)

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // polling another process
	}
}

func TestTrafficFlowsWhileTheAgentIsDead(t *testing.T) {
	lab := netlab.New(t, 2)
	m, other := lab.Machines[0], lab.Machines[1]
	dir := t.TempDir() + "/net"
	t.Cleanup(func() {
		if err := m.Run(func() error { return Cleanup(context.Background(), Config{Dir: dir}) }); err != nil {
			t.Error(err)
		}
	})
	cmd, res := startAgent(t, m, dir)
	serveTCP(t, res.NetNS, "web", 80)
	serveUDP(t, res.NetNS, "web", 53)
	held := map[string]net.Conn{}
	for _, addr := range []string{"127.0.0.1", "::1", m.IPv4.String()} {
		conn, err := m.Dial(t.Context(), "tcp", hostPort(res, 0, addr))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held[addr] = conn
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for addr, conn := range held {
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		fmt.Fprintln(conn, "still here")
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Errorf("connection to %s broke: %v", addr, err)
		}
	}
	for i, network := range []string{"tcp", "udp"} {
		for _, addr := range []string{"127.0.0.1", "::1", m.IPv4.String()} {
			if _, err := ask(t.Context(), m.Dial, network, hostPort(res, i, addr), "new"); err != nil {
				t.Errorf("new %s connection to %s: %v", network, addr, err)
			}
		}
		if _, err := ask(t.Context(), other.Dial, network, hostPort(res, i, m.IPv4.String()), "new"); err != nil {
			t.Errorf("new %s connection from another machine: %v", network, err)
		}
	}

	n := openOn(t, m, testConfig(t, dir))
	again, err := n.Attach(t.Context(), agent.NetworkRequest{ID: "web-1", Mode: "bridge", Ports: webPorts()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(res, again); diff != "" {
		t.Errorf("adopted network differs:\n%s", diff)
	}
	if ids, _ := n.List(t.Context()); !cmp.Equal(ids, []string{"web-1"}) {
		t.Errorf("List after restart: got %v", ids)
	}
	if second := attach(t, n, "web-2"); second.IPv4 == res.IPv4 {
		t.Errorf("address %s was given out twice", second.IPv4)
	}
}

func TestIPv4FlowsWithoutPortProxyAndTheProxyComesBack(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	cfg := testConfig(t, t.TempDir()+"/net")
	n := openOn(t, m, cfg)
	res := attach(t, n, "web-1", webPorts()...)
	serveTCP(t, res.NetNS, "web", 80)
	n.stop() // nobody restarts it
	n.done.Wait()
	killProxy(t, n)
	if _, err := n.proxy.Hello(t.Context()); err == nil {
		t.Fatal("port proxy answers after it was killed")
	}
	if _, err := ask(t.Context(), m.Dial, "tcp", hostPort(res, 0, "127.0.0.1"), "hello"); err != nil {
		t.Errorf("localhost without port proxy: %v", err)
	}
	if err := n.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), m.Dial, "tcp", hostPort(res, 0, "::1"), "hello"); err != nil {
		t.Errorf("IPv6 localhost after Check: %v", err)
	}
	if l, err := m.Listen("tcp", hostPort(res, 0, "0.0.0.0")); err == nil {
		l.Close()
		t.Error("the published port is not held after Check")
	}
}

func TestPortProxyIsRestartedWhenItDies(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	res := attach(t, n, "web-1", webPorts()...)
	serveTCP(t, res.NetNS, "web", 80)
	killProxy(t, n)
	eventually(t, "IPv6 localhost answers again", func() bool {
		_, err := ask(t.Context(), m.Dial, "tcp", hostPort(res, 0, "::1"), "hello")
		return err == nil
	})
}

func TestRemovedRulesAndUplinkArePutBack(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	n := openOn(t, m, testConfig(t, t.TempDir()+"/net"))
	res := attach(t, n, "web-1", webPorts()...)
	serveTCP(t, res.NetNS, "web", 80)
	err := m.Run(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.FlushRuleset()
		if err := c.Flush(); err != nil {
			return err
		}
		link, err := netlink.LinkByName(n.cfg.uplinkName())
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), m.Dial, "tcp", hostPort(res, 0, "127.0.0.1"), "hello"); err != nil {
		t.Error(err)
	}
}

func TestHalfMadeAttachmentIsDroppedByTheNextAgent(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	cfg := testConfig(t, t.TempDir()+"/net")
	n := openOn(t, m, cfg)
	done := attach(t, n, "done", webPorts()...)
	attach(t, n, "half", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"})
	half := *n.record("half")
	half.Ready = false
	if err := writeFile(n.cfg.recordPath("half"), half); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.cfg.path("containers", "torn.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n2 := openOn(t, m, cfg)
	if ids, _ := n2.List(t.Context()); !cmp.Equal(ids, []string{"done"}) {
		t.Errorf("List: got %v, want only the finished one", ids)
	}
	serveTCP(t, done.NetNS, "web", 80)
	if _, err := ask(t.Context(), m.Dial, "tcp", hostPort(done, 0, "127.0.0.1"), "hello"); err != nil {
		t.Error(err)
	}
	attach(t, n2, "next", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"}) // the port is free again
}

// After a power failure the files are there, and the namespaces, links, rules and processes are not.
func TestNothingIsAdoptedAfterAReboot(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	cfg := testConfig(t, t.TempDir()+"/net")
	n := openOn(t, m, cfg)
	attach(t, n, "before", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	killProxy(t, n)
	for _, file := range []string{n.cfg.path("ns", "bridge"), n.cfg.namespacePath("before")} {
		if err := removeNamespace(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	again := netlab.New(t, 1).Machines[0]
	n2 := openOn(t, again, cfg)
	if ids, _ := n2.List(t.Context()); len(ids) != 0 {
		t.Errorf("List: got %v, want none", ids)
	}
	res := attach(t, n2, "after", agent.PortRequest{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"})
	serveTCP(t, res.NetNS, "web", 80)
	for _, addr := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		if _, err := ask(t.Context(), again.Dial, "tcp", addr, "hello"); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for range 2 {
		if err := n2.Detach(t.Context(), "after"); err != nil {
			t.Errorf("detach: %v", err)
		}
	}
}
