package vpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// Detach closes the container's ports and removes its namespace.
func (n *Network) Detach(ctx context.Context, id string) error {
	if !idPattern.MatchString(id) {
		return nil
	}
	unlock, err := n.ids.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	return n.detach(ctx, id)
}

// detach goes from the outside in; the address is free when nothing uses it any more.
func (n *Network) detach(ctx context.Context, id string) error {
	r := n.record(id)
	if r == nil {
		return nil
	}
	n.frame.RLock()
	defer n.frame.RUnlock()
	if len(r.Bindings) > 0 {
		if err := n.close(n.main, n.hostTable(), r.hostElements()); err != nil {
			return fmt.Errorf("detach %s: %w", id, err)
		}
	}
	if r.Mode == modeBridge {
		if err := n.disconnect(r); err != nil {
			return fmt.Errorf("detach %s: %w", id, err)
		}
	}
	if err := removeNamespace(n.cfg.namespacePath(id)); err != nil {
		return fmt.Errorf("detach %s: %w", id, err)
	}
	if len(r.Bindings) > 0 || !r.Ready {
		if err := n.proxy.Close(ctx, id); err != nil {
			// Without a proxy nothing is held; one that starts later holds what the records say.
			n.cfg.Log.Warn("port proxy did not free ports", "container", id, "err", err)
		}
	}
	if err := os.Remove(n.cfg.recordPath(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("detach %s: %w", id, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.records, id)
	if r.Address.IsValid() {
		delete(n.addrs.used, r.Address)
	}
	return nil
}

// disconnect takes the container's way away. Its link is not deleted here, which takes the kernel 20 to 40 ms: it goes with the
// namespace, and nothing passes it any more.
func (n *Network) disconnect(r *record) error {
	if err := n.close(n.bridge, bridgeTable, r.bridgeElements(n.fabric.Pool)); err != nil {
		return err
	}
	if slices.ContainsFunc(r.Bindings, func(b agent.PortBinding) bool { return b.Protocol == "udp" }) {
		return n.forgetFlows(r)
	}
	return nil
}

// close removes elements. Entries that are missing, because Attach failed half-way or the rules were removed by somebody, are
// no reason to fail: then each is tried alone.
func (n *Network) close(in *namespace, table string, elements []element) error {
	err := in.nft.delete(table, elements)
	if err == nil || !notFound(err) {
		return err
	}
	for _, e := range elements {
		if err := in.nft.delete(table, []element{e}); err != nil && !notFound(err) {
			return err
		}
	}
	return nil
}

// forgetFlows drops what the bridge namespace remembers of UDP flows to the container: a client that keeps sending
// from one port would be led to the old address for ever, also after the port was published again.
func (n *Network) forgetFlows(r *record) error {
	h, err := netlink.NewHandleAt(n.bridge.fd, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	defer h.Close()
	filter := &netlink.ConntrackFilter{}
	if err := filter.AddIP(netlink.ConntrackReplySrcIP, r.Address.AsSlice()); err != nil {
		return fmt.Errorf("forget flows of %s: %w", r.Address, err)
	}
	if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filter); err != nil {
		return fmt.Errorf("forget flows of %s: %w", r.Address, err)
	}
	return nil
}
