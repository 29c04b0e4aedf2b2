package vpc

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// balancersNet has the loopback networks of load balancers, a /22 for each agent of a machine.
var balancersNet = netip.MustParsePrefix("127.128.0.0/9")

const balancersBits = 22

// balancerLabel marks the addresses of load balancers on lo of the bridge namespace.
const balancerLabel = "lo:lb"

// Loopback is the /22 of 127.0.0.0/8 in which this machine itself reaches load balancers. It follows from the uplink's pair of
// addresses, which no two agents in one main namespace share.
func (n *Network) Loopback() netip.Prefix { return n.fabric.loopback(n.cfg) }

func (f fabric) loopback(c Config) netip.Prefix {
	number := func(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }
	pair := (number(f.Near) - number(c.LinkPool.Addr())) / 2
	blocks := uint32(1) << (balancersBits - balancersNet.Bits())
	base := number(balancersNet.Addr()) + pair%blocks<<(32-balancersBits)
	return netip.PrefixFrom(address4(base), balancersBits)
}

// TaskNamespace is the path of the namespace in which tasks reach load balancers, and what tells it from an earlier one there.
func (n *Network) TaskNamespace() (path, identity string) {
	return n.cfg.path("ns", "bridge"), n.bridge.identity()
}

// Balance makes exactly the addresses of open exist in the bridge namespace and lets containers connect to exactly
// these ports of them. It may be repeated.
func (n *Network) Balance(ctx context.Context, open []agent.Opening) error {
	for _, o := range open {
		if !o.Address.Is4() || o.Address.IsLoopback() || n.fabric.Pool.Contains(o.Address) || linkLocalNet.Contains(o.Address) ||
			o.Port == 0 || protocolNumber(o.Protocol) == 0 {
			return fmt.Errorf("%s port %d/%s cannot be a load balancer's", o.Address, o.Port, o.Protocol)
		}
	}
	unlock, err := n.lockRepair(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	n.frame.Lock()
	defer n.frame.Unlock()
	open = slices.Clone(open)
	slices.SortFunc(open, compareOpenings)
	open = slices.Compact(open)
	if slices.Equal(open, n.open) {
		return n.balancerAddresses(open)
	}
	if err := writeFile(n.cfg.path("balancers.json"), open); err != nil {
		return err
	}
	if err := n.balancerAddresses(append(slices.Clone(open), n.open...)); err != nil { // old ones until their ports are closed
		return err
	}
	add, remove := without(open, n.open), without(n.open, open)
	if err := n.bridge.nft.add(bridgeTable, openingElements(add)); err != nil {
		return err
	}
	if err := n.bridge.nft.delete(bridgeTable, openingElements(remove)); err != nil && !notFound(err) {
		return err
	}
	n.open = open
	return n.balancerAddresses(open)
}

func compareOpenings(a, b agent.Opening) int {
	if c := a.Address.Compare(b.Address); c != 0 {
		return c
	}
	if a.Port != b.Port {
		return int(a.Port) - int(b.Port)
	}
	return int(protocolNumber(a.Protocol)) - int(protocolNumber(b.Protocol))
}

func without(all, some []agent.Opening) []agent.Opening {
	return slices.DeleteFunc(slices.Clone(all), func(o agent.Opening) bool { return slices.Contains(some, o) })
}

func openingElements(open []agent.Opening) []element {
	var all []element
	for _, o := range open {
		all = append(all, element{set: balancerPorts, key: append(slices.Clone(o.Address.AsSlice()), portBytes(o.Protocol, o.Port)...)})
	}
	return all
}

// balancerAddresses makes exactly the addresses of open the load balancers' ones on lo of the bridge namespace.
func (n *Network) balancerAddresses(open []agent.Opening) error {
	lo, err := n.bridge.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	have, err := n.bridge.nl.AddrList(lo, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list addresses of lo: %w", err)
	}
	want := map[netip.Addr]bool{}
	for _, o := range open {
		want[o.Address] = true
	}
	for _, a := range have {
		if a.Label != balancerLabel {
			continue
		}
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if want[ip] {
			delete(want, ip)
			continue
		}
		if err := n.bridge.nl.AddrDel(lo, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove address %s: %w", ip, err)
		}
	}
	for ip := range want {
		if err := n.bridge.nl.AddrReplace(lo, &netlink.Addr{IPNet: ipNet(host(ip)), Label: balancerLabel}); err != nil {
			return fmt.Errorf("set address %s: %w", ip, err)
		}
	}
	return nil
}

// readBalancers returns what an earlier agent opened. A torn file counts as absent: the agent opens everything again.
func readBalancers(c Config) ([]agent.Opening, error) {
	data, err := os.ReadFile(c.path("balancers.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read load balancers' addresses: %w", err)
	}
	var open []agent.Opening
	if json.Unmarshal(data, &open) != nil {
		return nil, nil
	}
	return open, nil
}
