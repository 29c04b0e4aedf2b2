package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/agent/proto"
	"berth/agent/vpc"
	"berth/agent/vpc/portproxy"
	"berth/agent/vpc/thread"
	"berth/elbv2/haproxy"
	"berth/test/netlab"
)

// TestMain lets the test program be the port proxy.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "port-proxy" {
		if err := portproxy.Run(context.Background(), os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// labRig is a rig whose main namespace is a machine of a lab, with the real network of tasks.
func labRig(t *testing.T) (*rig, *netlab.Machine, *vpc.Network) {
	t.Helper()
	lab := netlab.New(t, 1)
	m := lab.Machines[0]
	cfg := vpc.Config{Dir: filepath.Join(t.TempDir(), "net"), PortProxy: []string{"/proc/self/exe", "port-proxy"}}
	var n *vpc.Network
	if err := m.Run(func() (err error) {
		n, err = vpc.Open(t.Context(), cfg)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(n.Close(), m.Run(func() error { return vpc.Cleanup(ctx, cfg) })); err != nil {
			t.Error(err)
		}
	})
	r := newRigOn(t, n, func(program string) string {
		script := filepath.Join(t.TempDir(), "haproxy")
		text := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=%s %s \"$@\"\n", m.NetNS(), program)
		if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return script
	})
	return r, m, n
}

func attachWeb(t *testing.T, n *vpc.Network, id string, port agent.PortRequest) agent.NetworkResult {
	t.Helper()
	res, err := n.Attach(t.Context(), agent.NetworkRequest{ID: id, TaskArn: "task-" + id, Mode: "bridge", Ports: []agent.PortRequest{port}})
	if err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	within(t, res.NetNS, func() (err error) {
		l, err = net.Listen("tcp4", "0.0.0.0:"+strconv.Itoa(int(port.ContainerPort)))
		return err
	})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, id) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return res
}

func within(t *testing.T, netns string, f func() error) {
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

// A container reaches a load balancer of which it is the target itself, and exactly its ports; the machine reaches it on a port that another
// container publishes.
func TestTasksAndTheMachineReachALoadBalancer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	r, m, n := labRig(t)
	r.port = 80
	early := attachWeb(t, n, "early", agent.PortRequest{ContainerPort: 8000, HostPort: 80, Protocol: "tcp"})
	web := attachWeb(t, n, "web", agent.PortRequest{ContainerPort: 8080, Protocol: "tcp"})
	port := int(web.Bindings[0].HostPort)
	target := haproxy.Target{ID: "i-1:" + strconv.Itoa(port), Host: m.IPv4.String(), Port: port, Instance: "arn:machine"}
	f := r.frame(target)
	f.Groups[0].Check = haproxy.HealthCheck{} // checks would come from the test's own namespace
	private := netip.MustParseAddr("172.31.5.9")
	f.LoadBalancers[0].Addresses = []netip.Addr{private}
	r.apply(f)
	r.awaitState(target, proto.TargetHealthy)

	fetch := func(dial func(context.Context, string, string) (net.Conn, error), address string) (string, error) {
		c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
		resp, err := c.Get("http://" + address)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	from := func(netns string) func(context.Context, string, string) (net.Conn, error) {
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
	if got, err := fetch(m.Dial, r.address(5)); err != nil || got != "web" {
		t.Errorf("the machine: %q %v", got, err)
	}
	if got, err := fetch(m.Dial, "127.0.0.1:80"); err != nil || got != "early" {
		t.Errorf("the published port: %q %v", got, err)
	}
	if got, err := fetch(from(early.NetNS), private.String()+":80"); err != nil || got != "web" {
		t.Errorf("another container: %q %v", got, err)
	}
	if got, err := fetch(from(web.NetNS), private.String()+":80"); err != nil || got != "web" {
		t.Errorf("the target itself: %q %v", got, err)
	}
	if got, err := fetch(from(web.NetNS), private.String()+":"+strconv.Itoa(port)); err == nil && got == "" {
		t.Errorf("a port that no listener has answered %q", got)
	}
	if err := n.Detach(t.Context(), "early"); err != nil {
		t.Fatal(err)
	}
	late := attachWeb(t, n, "late", agent.PortRequest{ContainerPort: 8000, HostPort: 80, Protocol: "tcp"})
	if got, err := fetch(m.Dial, "127.0.0.1:80"); err != nil || got != "late" {
		t.Errorf("a port published after the load balancer: %q %v", got, err)
	}
	if got, err := fetch(from(late.NetNS), private.String()+":80"); err != nil || got != "web" {
		t.Errorf("a container that came later: %q %v", got, err)
	}
	r.apply(haproxy.Frame{})
	r.await("no load balancers", func() bool { return r.last.Revision == r.revision })
	if got, err := fetch(from(late.NetNS), private.String()+":80"); err == nil {
		t.Errorf("a load balancer that is gone answers %q", got)
	}
}

// UDP goes to healthy targets only, also right after a restart of the agent, and TCP of the same port by HAProxy.
func TestUDPAndTCPOfOnePort(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	r, m, _ := labRig(t)
	r.port = 5300
	var c net.PacketConn
	var l net.Listener
	if err := m.Run(func() (err error) {
		if c, err = net.ListenPacket("udp4", "0.0.0.0:7001"); err != nil {
			return err
		}
		l, err = net.Listen("tcp4", "127.0.0.1:7001")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer l.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			k, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte("udp "), buf[:k]...), from)
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "tcp")
			conn.Close()
		}
	}()
	target := haproxy.Target{ID: "i-1:7001", Host: m.IPv4.String(), Port: 7001, Instance: "arn:machine"}
	f := r.frame(target)
	lb := &f.LoadBalancers[0]
	lb.ID, lb.Kind, lb.Listeners[0].Protocol = "net/dns/2222222222222222", haproxy.Network, "TCP_UDP"
	f.Groups[0].Protocol, f.Groups[0].Version, f.Groups[0].Check = "TCP_UDP", "", haproxy.HealthCheck{}
	r.apply(f)
	r.awaitState(target, proto.TargetHealthy)
	answer := func(network string) string {
		conn, err := m.Dial(t.Context(), network, r.address(5))
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(3 * time.Second))
		if network == "udp4" {
			io.WriteString(conn, "hello")
		}
		buf := make([]byte, 100)
		k, err := conn.Read(buf)
		if err != nil {
			return err.Error()
		}
		return string(buf[:k])
	}
	await := func(network, want string) {
		t.Helper()
		r.await(network+" answers "+want, func() bool { return answer(network) == want })
	}
	await("tcp4", "tcp")
	await("udp4", "udp hello")
	if r.last.Problem != "" {
		t.Errorf("problem %q", r.last.Problem)
	}
	r.stop()
	if got := answer("udp4"); got != "udp hello" {
		t.Errorf("without an agent: %q", got)
	}
	r.boot()
	r.awaitState(target, proto.TargetHealthy)
	await("udp4", "udp hello")
	r.apply(haproxy.Frame{})
	r.await("no load balancers", func() bool { return r.last.Revision == r.revision })
	if got := answer("udp4"); got == "udp hello" {
		t.Errorf("a load balancer that is gone answers %q", got)
	}
}
