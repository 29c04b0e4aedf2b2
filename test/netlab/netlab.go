// Package netlab makes several machines on one: network namespaces joined by a switch in a namespace of its own.
// Nothing of it touches the machine's own interfaces, and no file or name keeps it: namespaces are held by descriptors of the
// test process, so that even a killed test leaves nothing behind.
//
//	lab := netlab.New(t, 3)              // skips the test unless it runs as root
//	lab.Machines[0].Start(cmd)           // a process inside the first machine
//	lab.Machines[2].Partition(t)         // unplug the third
package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent/vpc/thread"
)

// Lab is a set of machines on one network.
type Lab struct {
	Machines []*Machine
	hub      int // the switch's namespace
}

// Machine is one network namespace with lo and eth0.
type Machine struct {
	// Name is m1, m2, ...
	Name string
	// IPv4 and IPv6 are eth0's addresses; all machines share a /24 and a /64.
	IPv4, IPv6 netip.Addr

	lab *Lab
	fd  int
}

// New makes machines, each with an address that all others reach. They are gone when the test ends; processes that the
// test started inside must be ended by the test.
func New(t testing.TB, machines int) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	lab := &Lab{hub: newNamespace(t)}
	err := thread.In(lab.hub, func() error {
		if err := up("lo"); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "switch"
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		return up("switch")
	})
	if err != nil {
		t.Fatalf("make switch: %v", err)
	}
	for i := range machines {
		m := &Machine{
			Name: fmt.Sprintf("m%d", i+1), lab: lab, fd: newNamespace(t),
			IPv4: netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}),
			IPv6: netip.MustParseAddr(fmt.Sprintf("2001:db8:51::%d", i+1)),
		}
		if err := m.plugIn(); err != nil {
			t.Fatalf("make machine %s: %v", m.Name, err)
		}
		lab.Machines = append(lab.Machines, m)
	}
	return lab
}

func newNamespace(t testing.TB) int {
	t.Helper()
	fd := -1
	err := thread.Own(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		fd, err = thread.Open(thread.Namespace)
		return err
	})
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func (m *Machine) plugIn() error {
	err := thread.In(m.lab.hub, func() error {
		sw, err := netlink.LinkByName("switch")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex = m.Name, sw.Attrs().Index
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(m.fd)})
	})
	if err != nil {
		return err
	}
	err = thread.In(m.fd, func() error {
		if err := up("lo"); err != nil {
			return err
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		v4 := &netlink.Addr{IPNet: &net.IPNet{IP: m.IPv4.AsSlice(), Mask: net.CIDRMask(24, 32)}}
		if err := netlink.AddrAdd(eth0, v4); err != nil {
			return err
		}
		v6 := &netlink.Addr{IPNet: &net.IPNet{IP: m.IPv6.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(eth0, v6); err != nil {
			return err
		}
		return netlink.LinkSetUp(eth0)
	})
	if err != nil {
		return err
	}
	if err := thread.In(m.lab.hub, func() error { return up(m.Name) }); err != nil {
		return err
	}
	return m.waitUp()
}

// waitUp waits until both ends pass packets; the kernel may notice a second late that they are up.
func (m *Machine) waitUp() error {
	return errors.Join(
		thread.In(m.fd, func() error { return waitUp("eth0") }),
		thread.In(m.lab.hub, func() error { return waitUp(m.Name) }))
}

func waitUp(name string) error {
	for started := time.Now(); time.Since(started) < 5*time.Second; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByName(name)
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			return err
		}
	}
	return fmt.Errorf("%s does not come up", name)
}

// NetNS is a path of the machine's namespace for nsenter --net=PATH; it lives as long as the test process.
func (m *Machine) NetNS() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.fd) }

// Run calls f on a thread inside the machine. Goroutines that f starts are not inside.
func (m *Machine) Run(f func() error) error { return thread.In(m.fd, f) }

// Start starts a command inside the machine.
func (m *Machine) Start(cmd *exec.Cmd) error { return m.Run(cmd.Start) }

// Dial connects from inside the machine. Give addresses, not names.
func (m *Machine) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = m.Run(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens inside the machine.
func (m *Machine) Listen(network, address string) (l net.Listener, err error) {
	err = m.Run(func() error {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// Partition unplugs the machine from the switch.
func (m *Machine) Partition(t testing.TB) {
	t.Helper()
	m.plug(t, netlink.LinkSetDown)
}

// Heal plugs the machine in again.
func (m *Machine) Heal(t testing.TB) {
	t.Helper()
	m.plug(t, netlink.LinkSetUp)
	if err := m.waitUp(); err != nil {
		t.Fatalf("plug %s in: %v", m.Name, err)
	}
}

func (m *Machine) plug(t testing.TB, set func(netlink.Link) error) {
	t.Helper()
	err := thread.In(m.lab.hub, func() error {
		link, err := netlink.LinkByName(m.Name)
		if err != nil {
			return err
		}
		return set(link)
	})
	if err != nil {
		t.Fatalf("plug %s: %v", m.Name, err)
	}
}
