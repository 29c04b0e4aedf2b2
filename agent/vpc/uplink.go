package vpc

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ensureUplink joins the main and the bridge namespace by a pair of links. A half that has lost its other half, because the
// agent was moved to another namespace or a namespace was lost, is made anew.
func ensureUplink(c Config, f fabric, main, b *namespace) error {
	near, errNear := main.nl.LinkByName(c.uplinkName())
	far, errFar := b.nl.LinkByName(farUplink)
	paired := errNear == nil && errFar == nil &&
		near.Attrs().ParentIndex == far.Attrs().Index && far.Attrs().ParentIndex == near.Attrs().Index
	if !paired {
		if err := deleteLink(main, c.uplinkName()); err != nil {
			return err
		}
		if err := deleteLink(b, farUplink); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = c.uplinkName(), c.MTU
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: farUplink, PeerNamespace: netlink.NsFd(int(b.fd)), PeerMTU: uint32(c.MTU)}
		if err := main.nl.LinkAdd(veth); err != nil {
			return fmt.Errorf("make uplink: %w", err)
		}
	}
	if err := configureNear(c, f, main); err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	if err := configureFar(f, b); err != nil {
		return fmt.Errorf("uplink in the bridge namespace: %w", err)
	}
	return waitUplink(c, main, b)
}

func waitUplink(c Config, main, b *namespace) error {
	near, err := main.nl.LinkByName(c.uplinkName())
	if err != nil {
		return fmt.Errorf("find uplink: %w", err)
	}
	far, err := b.nl.LinkByName(farUplink)
	if err != nil {
		return fmt.Errorf("find uplink: %w", err)
	}
	return errors.Join(waitUp(main.nl, near.Attrs().Index), waitUp(b.nl, far.Attrs().Index))
}

// upTimeout is above the second that the kernel may take to notice that both ends of a link are up.
const upTimeout = 3 * time.Second

// waitUp waits until a link passes packets. Until then the kernel drops them silently, and a lost first packet costs the
// container's first connection a second. Newer kernels make it so when asked.
func waitUp(nl *netlink.Handle, index int) error {
	for started := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		link, err := nl.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("wait for link %d: %w", index, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Since(started) > upTimeout {
			return fmt.Errorf("link %s is %s after %s", link.Attrs().Name, link.Attrs().OperState, upTimeout)
		}
	}
}

func deleteLink(n *namespace, name string) error {
	link, err := n.nl.LinkByName(name)
	if err == nil {
		err = n.nl.LinkDel(link)
	}
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

func configureNear(c Config, f fabric, main *namespace) error {
	link, err := main.nl.LinkByName(c.uplinkName())
	if err != nil {
		return err
	}
	if err := main.nl.LinkSetAlias(link, aliasPrefix+f.ForwardWas); err != nil {
		return err
	}
	err = main.run(func() error {
		name := link.Attrs().Name
		if err := disableIPv6(name); err != nil {
			return err
		}
		// Replies to localhost come in by the uplink; the raw chain keeps everything else off 127.0.0.0/8.
		if err := writeSysctl("net.ipv4.conf."+name+".route_localnet", "1"); err != nil {
			return err
		}
		return writeSysctl("net.ipv4.ip_forward", "1")
	})
	if err != nil {
		return err
	}
	return configureLink(main, link, f.Near, f.Far)
}

func configureFar(f fabric, b *namespace) error {
	link, err := b.nl.LinkByName(farUplink)
	if err != nil {
		return err
	}
	if err := configureLink(b, link, f.Far, f.Near); err != nil {
		return err
	}
	// Clients of published ports keep their addresses, so replies must find anywhere. The main namespace decides what may pass.
	def := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: f.Near.AsSlice()}
	if err := b.nl.RouteReplace(def); err != nil {
		return fmt.Errorf("set default route: %w", err)
	}
	return nil
}

// configureLink gives one end of a point-to-point link its address and sets it up.
func configureLink(n *namespace, link netlink.Link, own, peer netip.Addr) error {
	a := &netlink.Addr{IPNet: ipNet(host(own)), Peer: ipNet(host(peer))}
	if err := n.nl.AddrReplace(link, a); err != nil {
		return fmt.Errorf("set address %s: %w", own, err)
	}
	if err := n.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", link.Attrs().Name, err)
	}
	return nil
}
