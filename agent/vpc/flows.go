package vpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// UDP of load balancers is carried by the kernel. What arrives in the main namespace goes up the uplink, its source telling the load
// balancer and a slot; the bridge namespace knows the target of each:
//
//	main namespace                                      bridge namespace
//	127.LB:port, published:port ─▶ Far:port             (source, port) ─▶ target
//	source ─▶ balancedNet + number and slot  ── uplink ─┤
//	                                                    LB's address:port, slot ◀── containers
//
// A slot is a hash of the source. A target of this machine is the uplink's near end under the host port, by which a published
// port leads back to its container and a port of a container in host mode to its process. Clients' addresses are not kept.
//
// The two tables are there only while there are UDP listeners, and written as a whole; conntrack keeps what flows, but for flows to targets
// that are not wanted any more.

// balancedNet has the sources of balanced flows on the uplink and nowhere else: no client has an address of class E.
var balancedNet = netip.MustParsePrefix("240.0.0.0/15")

const flowTable = "berth_udp"

var (
	// flowTargets has the targets that the bridge namespace may send to by the main namespace.
	flowTargets = setRef{"udptargets", 5}
	// flowDoors has the addresses and ports of UDP listeners in the main namespace.
	flowDoors = setRef{"doors", 6}
	// flowSources and clientSources map a door and a slot to the source in the main namespace, by flow and by client.
	flowSources   = setRef{"flows", 7}
	clientSources = setRef{"clients", 8}
	// arrivals maps such a source and a port to a target in the bridge namespace.
	arrivals = setRef{"arrivals", 9}
	// taskFlows and taskClients map a door and a slot to a target in the bridge namespace.
	taskFlows   = setRef{"flows", 10}
	taskClients = setRef{"clients", 11}
)

// flowSet describes a set of UDP balancing; ok is false for others.
func flowSet(s *nftables.Set, ref setRef) (ok bool) {
	door := []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeInetService}
	slot := append(slices.Clone(door), nftables.TypeMark) // any four bytes in the machine's order
	switch ref {
	case flowTargets:
		s.KeyType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	case flowDoors:
		s.KeyType = nftables.MustConcatSetType(door...)
	case flowSources, clientSources:
		s.KeyType, s.IsMap, s.DataType = nftables.MustConcatSetType(slot...), true, nftables.TypeIPAddr
	case arrivals:
		s.KeyType, s.IsMap, s.DataType = nftables.MustConcatSetType(door...), true, nftables.MustConcatSetType(door...)
	case taskFlows, taskClients:
		s.KeyType, s.IsMap, s.DataType = nftables.MustConcatSetType(slot...), true, nftables.MustConcatSetType(door...)
	default:
		return false
	}
	return true
}

// loadHash loads a slot into a register after r0, from source address and, by flow, port.
func loadHash(register uint32, byFlow bool) match {
	const scratch = r0 + 8
	m, length := match{&expr.Payload{DestRegister: scratch, Base: expr.PayloadBaseNetworkHeader, Offset: offsetSource, Len: 4}}, uint32(4)
	if byFlow {
		m, length = append(m, &expr.Payload{DestRegister: scratch + 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2}), 8
	}
	// The seed is fixed: a table that is written anew sends nobody elsewhere.
	return append(m, &expr.Hash{SourceRegister: scratch, DestRegister: register, Length: length, Modulus: agent.UDPSlots, Seed: 1, Type: expr.HashTypeJenkins})
}

// doorKey loads an address from a place in the IP header and the destination port.
func doorKey(offset uint32) match {
	return match{
		&expr.Payload{DestRegister: r0, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Payload{DestRegister: r0 + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

// firstKey matches connections whose first packet was sent to an address, and loads that and its port. The address is loaded again as a
// constant: nft 1.0.6 takes an address of conntrack to have no length, and aborts when such a thing is part of a key, whatever it
// was asked to list.
func firstKey(to netip.Addr) match {
	return match{
		&expr.Ct{Register: r0, Key: expr.CtKeyDST},
		&expr.Cmp{Op: expr.CmpOpEq, Register: r0, Data: to.AsSlice()},
		&expr.Immediate{Register: r0, Data: to.AsSlice()},
		&expr.Ct{Register: r0 + 1, Key: expr.CtKeyPROTODST},
	}
}

// sourceByMap translates to the source that a map has for the loaded key.
func sourceByMap(m setRef) match {
	return match{
		&expr.Lookup{SourceRegister: r0, DestRegister: r0, IsDestRegSet: true, SetName: m.name, SetID: m.id},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: r0},
	}
}

// hostFlowRules are the chains of UDP balancing in the main namespace. They come before those of published ports.
func hostFlowRules(c Config, f fabric, listeners []agent.UDPListener) []chain {
	up, udp := c.uplinkName(), protocolIs(unix.IPPROTO_UDP)
	var sources [][]match
	seen := map[netip.Addr]bool{}
	for _, l := range listeners {
		for _, a := range l.Machine {
			if !seen[a] {
				seen[a] = true
				sources = append(sources,
					[]match{oifIs(up), udp, firstKey(a), loadHash(r0+2, true), sourceByMap(flowSources)},
					[]match{oifIs(up), udp, firstKey(a), loadHash(r0+2, false), sourceByMap(clientSources)})
			}
		}
	}
	return []chain{
		{"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, before(nftables.ChainPriorityNATDest), [][]match{
			// Only this machine itself may speak to its loopback addresses.
			{udp, address(offsetDestination, expr.CmpOpNeq, netip.PrefixFrom(loopbackNet.Addr(), 8)), doorKey(offsetDestination), in(flowDoors), destTo(f.Far)},
		}},
		{"output", nftables.ChainTypeNAT, nftables.ChainHookOutput, before(nftables.ChainPriorityNATDest), [][]match{
			{udp, doorKey(offsetDestination), in(flowDoors), destTo(f.Far)},
		}},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, before(nftables.ChainPriorityNATSource), sources},
	}
}

// bridgeFlowRules are those of the bridge namespace.
func bridgeFlowRules(f fabric) []chain {
	up, udp := farUplink, protocolIs(unix.IPPROTO_UDP)
	return []chain{
		{"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, before(nftables.ChainPriorityNATDest), [][]match{
			{iifIs(up), udp, doorKey(offsetSource), destByMap(arrivals)},
			{iifIs(up), sourceIn(balancedNet), drop()}, // nobody is there to take it
			{iifNot(up), udp, doorKey(offsetDestination), loadHash(r0+2, true), destByMap(taskFlows)},
			{iifNot(up), udp, doorKey(offsetDestination), loadHash(r0+2, false), destByMap(taskClients)},
		}},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, before(nftables.ChainPriorityNATSource), [][]match{
			{oifIs(up), sourceIn(balancedNet), sourceTo(f.Far)},
		}},
	}
}

func before(p *nftables.ChainPriority) *nftables.ChainPriority {
	return nftables.ChainPriorityRef(*p - 1)
}

// hostFlowTable is the name of the table of UDP balancing in the main namespace.
func (c Config) hostFlowTable() string { return hostTablePrefix + c.runID() + "_udp" }

func doorBytes(a netip.Addr, port uint16) []byte { return targetBytes(a, port) }

func slotBytes(slot int) []byte { return binaryutil.NativeEndian.PutUint32(uint32(slot)) }

// balancedSource is the source of what is sent to a slot of a load balancer.
func balancedSource(number, slot int) netip.Addr {
	return address4(binary.BigEndian.Uint32(balancedNet.Addr().AsSlice()) + uint32(number)<<7 + uint32(slot))
}

// flowElements fills the sets of both namespaces.
func flowElements(f fabric, listeners []agent.UDPListener) (host, bridge []element) {
	for _, l := range listeners {
		sources, flows := flowSources, taskFlows
		if l.ByClient {
			sources, flows = clientSources, taskClients
		}
		for _, a := range l.Machine {
			host = append(host, element{set: flowDoors, key: doorBytes(a, l.Port)})
		}
		for slot := range agent.UDPSlots {
			source := balancedSource(l.Number, slot)
			for _, a := range l.Machine {
				host = append(host, element{set: sources, key: append(doorBytes(a, l.Port), slotBytes(slot)...), val: source.AsSlice()})
			}
			if len(l.Slots) == 0 {
				continue
			}
			to := f.targetOf(l.Slots[slot])
			val := targetBytes(to.Addr(), to.Port())
			bridge = append(bridge, element{set: arrivals, key: doorBytes(source, l.Port), val: val})
			for _, a := range l.Tasks {
				bridge = append(bridge, element{set: flows, key: append(doorBytes(a, l.Port), slotBytes(slot)...), val: val})
			}
		}
	}
	return host, bridge
}

// targetOf is where the bridge namespace sends what is for a target.
func (f fabric) targetOf(at netip.AddrPort) netip.AddrPort {
	if at.Addr().IsLoopback() {
		return netip.AddrPortFrom(f.Near, at.Port())
	}
	return at
}

// targetElements fills the set of targets.
func targetElements(f fabric, listeners []agent.UDPListener) (all []element) {
	seen := map[netip.AddrPort]bool{}
	for _, l := range listeners {
		for _, at := range l.Slots {
			if at = f.targetOf(at); !seen[at] {
				seen[at] = true
				all = append(all, element{set: flowTargets, key: append(slices.Clone(at.Addr().AsSlice()), portBytes("udp", at.Port())...)})
			}
		}
	}
	return all
}

func checkListeners(listeners []agent.UDPListener) error {
	for _, l := range listeners {
		bad := l.Port == 0 || l.Number < 1 || l.Number >= 1<<10 || len(l.Slots) != 0 && len(l.Slots) != agent.UDPSlots
		for _, a := range slices.Concat(l.Machine, l.Tasks) {
			bad = bad || !a.Is4()
		}
		for _, at := range l.Slots {
			bad = bad || !at.Addr().Is4() || at.Port() == 0
		}
		if bad {
			return fmt.Errorf("UDP port %d of load balancer %d is not as it should be: %v", l.Port, l.Number, l)
		}
	}
	return nil
}

// Flows balances exactly the UDP of listeners. Flows to targets that are in no slot any more begin anew with another one. It may be
// repeated, and puts back what somebody removed.
func (n *Network) Flows(ctx context.Context, listeners []agent.UDPListener) error {
	if err := checkListeners(listeners); err != nil {
		return err
	}
	unlock, err := n.lockRepair(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	n.frame.Lock()
	defer n.frame.Unlock()
	if there, err := n.flowTables(); err != nil || n.flowsKnown && there == (len(listeners) > 0) && reflect.DeepEqual(listeners, n.flows) {
		return err
	}
	n.flowsKnown = false
	old := n.flows
	had, want := targetElements(n.fabric, old), targetElements(n.fabric, listeners)
	if err := n.main.nft.add(n.hostTable(), want); err != nil {
		return err
	}
	if err := n.writeFlows(listeners); err != nil {
		return err
	}
	n.flows = slices.Clone(listeners)
	gone := slices.DeleteFunc(had, func(e element) bool {
		return slices.ContainsFunc(want, func(w element) bool { return slices.Equal(w.key, e.key) })
	})
	if err := n.close(n.main, n.hostTable(), gone); err != nil {
		return err
	}
	if err := n.forgetBalanced(old); err != nil {
		return err
	}
	n.flowsKnown = true
	return nil
}

// flowTables tells whether both tables of UDP balancing are there.
func (n *Network) flowTables() (bool, error) {
	host, err := n.main.nft.exists(n.cfg.hostFlowTable())
	if err != nil {
		return false, err
	}
	inside, err := n.bridge.nft.exists(flowTable)
	return host && inside, err
}

// writeFlows writes the tables; the bridge namespace knows what to do before anything is sent there.
func (n *Network) writeFlows(listeners []agent.UDPListener) error {
	if len(listeners) == 0 {
		if err := n.main.nft.remove(n.cfg.hostFlowTable()); err != nil {
			return err
		}
		return n.bridge.nft.remove(flowTable)
	}
	host, bridge := flowElements(n.fabric, listeners)
	if err := n.bridge.nft.replace(flowTable, []setRef{arrivals, taskFlows, taskClients}, bridgeFlowRules(n.fabric), bridge); err != nil {
		return fmt.Errorf("UDP of load balancers in the bridge namespace: %w", err)
	}
	err := n.main.nft.replace(n.cfg.hostFlowTable(), []setRef{flowDoors, flowSources, clientSources}, hostFlowRules(n.cfg, n.fabric, listeners), host)
	if err != nil {
		return fmt.Errorf("UDP of load balancers in the main namespace: %w", err)
	}
	return nil
}

// forgetBalanced drops what conntrack remembers of flows that do not go where they should, or no longer should go anywhere.
func (n *Network) forgetBalanced(old []agent.UDPListener) error {
	host, inside := staleFlows{}, staleFlows{}
	for pass, listeners := range [][]agent.UDPListener{old, n.flows} {
		now := pass == 1 // what only old has may have no flows
		for _, l := range listeners {
			targets := map[netip.AddrPort]bool{}
			for _, at := range l.Slots {
				targets[n.fabric.targetOf(at)] = now
			}
			for _, a := range l.Tasks {
				inside[netip.AddrPortFrom(a, l.Port)] = targets
			}
			for slot := range agent.UDPSlots {
				inside[netip.AddrPortFrom(balancedSource(l.Number, slot), l.Port)] = targets
			}
			for _, a := range l.Machine {
				host[netip.AddrPortFrom(a, l.Port)] = map[netip.AddrPort]bool{netip.AddrPortFrom(n.fabric.Far, l.Port): now}
			}
		}
	}
	return errors.Join(forget(n.main, host), forget(n.bridge, inside))
}

// staleFlows has doors, in the bridge namespace also by balanced source and port, with the targets that flows by them may have.
type staleFlows map[netip.AddrPort]map[netip.AddrPort]bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if f.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	source, ok := s[addrPort(f.Forward.SrcIP, f.Forward.DstPort)]
	target := addrPort(f.Reverse.SrcIP, f.Reverse.SrcPort)
	if ok && balancedNet.Contains(addrPort(f.Forward.SrcIP, 0).Addr()) {
		return !source[target]
	}
	door, ok := s[addrPort(f.Forward.DstIP, f.Forward.DstPort)]
	return ok && !door[target]
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port)
}

func forget(in *namespace, stale staleFlows) error {
	if len(stale) == 0 {
		return nil
	}
	h, err := netlink.NewHandleAt(in.fd, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	defer h.Close()
	if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale); err != nil {
		return fmt.Errorf("forget flows of load balancers: %w", err)
	}
	return nil
}
