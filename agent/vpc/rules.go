package vpc

import (
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// setRef names a set within its table; the ID is used while the table is being made.
type setRef struct {
	name string
	id   uint32
}

var (
	// publishedPorts has the published host ports in the main namespace.
	publishedPorts = setRef{"published", 1}
	// portTargets maps host ports to containers in the bridge namespace.
	portTargets = setRef{"targets", 2}
	// ownAddresses has what each container may send from.
	ownAddresses = setRef{"own", 3}
	// balancerPorts has the addresses and ports of load balancers in the bridge namespace.
	balancerPorts = setRef{"balancers", 4}
)

const (
	hostTablePrefix = "berth_"
	bridgeTable     = "berth"
	// farUplink is the name of the uplink inside the bridge namespace.
	farUplink = "uplink"
	dnsPort   = 53
)

var (
	loopbackNet  = netip.MustParsePrefix("127.0.0.0/8")
	linkLocalNet = netip.MustParsePrefix("169.254.0.0/16")
)

// element is an entry of one of the sets.
type element struct {
	set setRef
	key []byte
	val []byte
}

// protocolNumber is 0 for what is neither tcp nor udp.
func protocolNumber(protocol string) byte {
	switch protocol {
	case "tcp":
		return unix.IPPROTO_TCP
	case "udp":
		return unix.IPPROTO_UDP
	}
	return 0
}

func portBytes(protocol string, port uint16) []byte {
	return []byte{protocolNumber(protocol), 0, 0, 0, byte(port >> 8), byte(port), 0, 0}
}

func targetBytes(a netip.Addr, port uint16) []byte {
	return append(a.AsSlice(), byte(port>>8), byte(port), 0, 0)
}

func ownBytes(link string, mac []byte, a netip.Addr) []byte {
	b := append(ifname(link), mac...)
	b = append(b, 0, 0)
	return append(b, a.AsSlice()...)
}

func portSet(t *nftables.Table, ref setRef) *nftables.Set {
	return &nftables.Set{
		Table: t, Name: ref.name, ID: ref.id, Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
	}
}

// setOf describes a set to the nftables library.
func setOf(t *nftables.Table, ref setRef) *nftables.Set {
	s := portSet(t, ref)
	if flowSet(s, ref) {
		return s
	}
	switch ref {
	case portTargets:
		s.IsMap = true
		s.DataType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	case ownAddresses:
		s.KeyType = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr)
	case balancerPorts:
		s.KeyType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	}
	return s
}

// chain is a base chain with its rules, each given in parts.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    [][]match
}

// hostRules are the chains of the main namespace.
func hostRules(c Config, f fabric) []chain {
	up := c.uplinkName()
	toPublished := []match{destLocal(), portKey(), in(publishedPorts), destTo(f.Far)}
	// A load balancer's address, of any agent on this machine, is its own also where a container publishes the same port.
	toBalancer := []match{destIn(balancersNet), accept()}
	return []chain{
		{"raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, [][]match{
			{iifIs(up), sourceNot(host(f.Far)), drop()},
			{iifIs(up), destIn(loopbackNet), drop()}, // route_localnet is on for replies, see below
		}},
		{"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, [][]match{toBalancer, toPublished}},
		{"output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, [][]match{toBalancer, toPublished}},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, hostSources(c, f)},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, hostForward(c, f)},
		{"input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, hostInput(c)},
	}
}

// hostSources gives traffic a source to which replies can find back: from localhost, from a container (of any agent here) to a
// published port by an address of the machine, and from a container to outside.
func hostSources(c Config, f fabric) [][]match {
	up := c.uplinkName()
	rules := [][]match{
		{oifIs(up), sourceIn(loopbackNet), sourceTo(f.Near)},
		{oifIs(up), iifStarts(linkPrefix), sourceTo(f.Near)},
		// The bridge namespace has its own idea of where these are.
		{oifIs(up), sourceIn(linkLocalNet), sourceTo(f.Near)},
		{oifIs(up), sourceIn(f.Pool), sourceTo(f.Near)},
		{iifIs(up), oifNot(up), balancerKey(), in(flowTargets), masquerade()},
	}
	if c.Egress {
		rules = append(rules, []match{iifIs(up), oifNot(up), masquerade()})
	}
	return rules
}

// hostForward lets through what belongs to published ports and, if wanted, what containers begin. Where the machine did not
// forward before, it must not become a router between the networks that it is on; links of containers and virtual machines, also
// of other engines, are no such networks.
func hostForward(c Config, f fabric) [][]match {
	up := c.uplinkName()
	rules := [][]match{
		{iifIs(up), established(), accept()},
		{iifIs(up), translated(), accept()},
		{oifIs(up), established(), accept()},
		{oifIs(up), translated(), accept()},
		{oifIs(up), drop()},
		{iifIs(up), balancerKey(), in(flowTargets), accept()},
	}
	if c.Egress {
		rules = append(rules,
			[]match{iifIs(up), invalid(), drop()}, // it would leave untranslated
			[]match{iifIs(up), destIn(linkLocalNet), reject()},
			[]match{iifIs(up), accept()})
	}
	rules = append(rules, []match{iifIs(up), reject()})
	if f.ForwardWas == "0" {
		for _, kind := range []string{"veth", "bridge"} {
			rules = append(rules, []match{iifKind(kind), accept()}, []match{oifKind(kind), accept()})
		}
		rules = append(rules, []match{drop()})
	}
	return rules
}

// hostInput keeps containers away from the machine's own services. Published ports never come here.
func hostInput(c Config) [][]match {
	up := c.uplinkName()
	rules := [][]match{{iifIs(up), established(), accept()}, {iifIs(up), balancerKey(), in(flowTargets), accept()}}
	for _, p := range c.HostPorts {
		rules = append(rules, []match{iifIs(up), protocolIs(protocolNumber(p.Protocol)), destPort(p.Port), accept()})
	}
	return append(rules, []match{iifIs(up), reject()})
}

// bridgeRules are the chains of the bridge namespace. What does not come from the uplink comes from a container.
func bridgeRules(f fabric) []chain {
	up, gateway := farUplink, f.gateway()
	fromContainer := rule(iifNot(up), iifNot("lo"))
	return []chain{
		{"raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, [][]match{
			{iifIs(up), sourceIn(f.Pool), drop()},
			{fromContainer, ownKey(), in(ownAddresses), accept()},
			{fromContainer, drop()},
		}},
		{"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, [][]match{
			{fromContainer, destIn(host(gateway)), destPort(dnsPort), accept()},
			{fromContainer, destIn(host(bridgeEndpoint.Addr())), accept()}, // not another container's published port 80
			{fromContainer, balancerKey(), in(balancerPorts), accept()},
			{destLocal(), portKey(), destByMap(portTargets)},
		}},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, [][]match{
			{oifIs(up), sourceIn(f.Pool), sourceTo(f.Far)},
			{oifNot(up), sourceIn(host(f.Near)), sourceTo(gateway)},
			{oifNot(up), sourceIn(f.Pool), translated(), sourceTo(gateway)},
		}},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, [][]match{
			{iifIs(up), established(), accept()},
			{iifIs(up), translated(), accept()},
			{iifIs(up), drop()},
		}},
		{"input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, [][]match{
			{iifIs("lo"), accept()},
			{established(), accept()},
			{protocolIs(unix.IPPROTO_ICMP), accept()},
			{fromContainer, protocolIs(unix.IPPROTO_UDP), destPort(dnsPort), accept()},
			{fromContainer, protocolIs(unix.IPPROTO_TCP), destPort(dnsPort), accept()},
			{fromContainer, destIn(host(bridgeEndpoint.Addr())), protocolIs(unix.IPPROTO_TCP), destPort(bridgeEndpoint.Port()), accept()},
			{fromContainer, balancerKey(), in(balancerPorts), accept()},
			{reject()},
		}},
	}
}
