package names

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"berth/agent/proto"
)

// Own is the zone of Berth's own names; it is there even when no names are known.
const Own = "berth.internal"

// ownTTL is for how long, in seconds, it may be remembered that a name of the own zone does not exist, and what a load balancer's
// addresses are. Source of the latter: ELB answers with 60.
const (
	ownTTL      = 15
	balancerTTL = 60
)

// Table is what is answered. It never changes.
type Table struct {
	zones  map[string]*zone // by name: lower case, with a dot at the end
	serial uint32
}

type zone struct {
	name  string
	ttl   uint32
	nodes map[string]map[uint16]set // by full name; names that only have names below them have no sets
}

// set has the records of one name and type, as alternatives.
type set struct {
	ttl    uint32
	one    bool
	values []value
}

// value is one alternative: usually one record, several if it is a load balancer.
type value struct {
	records   []dns.RR
	unhealthy bool
}

// View is who asks: the machine itself, or its tasks in network mode bridge.
type View struct {
	// Loopback is the machine's own network of load balancers; only in the view of the machine.
	Loopback netip.Prefix
	// Machine is where tasks find their machine's published ports; only in the view of tasks. It stands in for 127.0.0.0/8, where a machine
	// is that reaches its Berth at such an address, and where a task finds nobody but itself.
	Machine netip.Addr
}

// New makes the table of names. What is no DNS name is left out.
func New(n proto.Names, view View) *Table {
	t := &Table{zones: map[string]*zone{}, serial: uint32(n.Revision)}
	t.add(proto.Zone{Name: Own, TTL: ownTTL})
	for _, z := range n.Zones {
		t.add(z)
	}
	balancers := map[string][]netip.Addr{}
	for _, b := range n.Balancers {
		addresses := b.Addresses
		if view.Loopback.IsValid() {
			addresses = []netip.Addr{plus(view.Loopback.Addr(), b.Number)}
		}
		balancers[canonical(b.Name)] = addresses
		v := proto.NameSet{Name: b.Name, Type: proto.RecordA, TTL: balancerTTL}
		for _, a := range addresses {
			v.Values = append(v.Values, proto.NameValue{Address: a})
		}
		t.put(v, nil)
	}
	for _, z := range n.Zones {
		for _, s := range z.Sets {
			t.put(view.of(s), balancers)
		}
	}
	return t
}

// of is a set as it is seen.
func (v View) of(s proto.NameSet) proto.NameSet {
	if !v.Machine.IsValid() {
		return s
	}
	s.Values = slices.Clone(s.Values)
	for i := range s.Values {
		if a := s.Values[i].Address; a.Is4() && a.IsLoopback() {
			s.Values[i].Address = v.Machine
		}
	}
	return s
}

func (t *Table) add(z proto.Zone) {
	name := canonical(z.Name)
	if _, ok := dns.IsDomainName(name); !ok || name == "." {
		return
	}
	t.zones[name] = &zone{name: name, ttl: z.TTL, nodes: map[string]map[uint16]set{name: {}}}
}

// put adds a set to the zone that its name is in, and the names between the two.
func (t *Table) put(s proto.NameSet, balancers map[string][]netip.Addr) {
	name := canonical(s.Name)
	z := t.zone(name)
	if _, ok := dns.IsDomainName(name); !ok || z == nil {
		return
	}
	kind, ok := dns.StringToType[s.Type]
	if !ok {
		return
	}
	out := set{ttl: s.TTL, one: s.One}
	for _, v := range s.Values {
		if records := recordsOf(kind, dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: s.TTL}, v, balancers); len(records) > 0 {
			out.values = append(out.values, value{records, v.Unhealthy})
		}
	}
	for at := name; at != z.name; at = parent(at) {
		if z.nodes[at] == nil {
			z.nodes[at] = map[uint16]set{}
		}
	}
	if len(out.values) > 0 {
		z.nodes[name][kind] = out
	}
}

func recordsOf(kind uint16, h dns.RR_Header, v proto.NameValue, balancers map[string][]netip.Addr) []dns.RR {
	addresses := []netip.Addr{v.Address}
	if !v.Address.IsValid() {
		addresses = balancers[canonical(v.Target)]
	}
	target := canonical(v.Target)
	_, named := dns.IsDomainName(target)
	var out []dns.RR
	switch {
	case kind == dns.TypeA:
		for _, a := range addresses {
			if a.Is4() {
				out = append(out, &dns.A{Hdr: h, A: a.AsSlice()})
			}
		}
	case kind == dns.TypeAAAA && v.Address.Is6():
		out = append(out, &dns.AAAA{Hdr: h, AAAA: v.Address.AsSlice()})
	case kind == dns.TypeSRV && named:
		// Priority and weight are always 1. Source: Cloud Map API reference, DnsRecord.
		out = append(out, &dns.SRV{Hdr: h, Priority: 1, Weight: 1, Port: v.Port, Target: target})
	case kind == dns.TypeCNAME && named:
		out = append(out, &dns.CNAME{Hdr: h, Target: target})
	}
	return out
}

// zone finds the zone that a name is in: the one with the longest name. Nil if it is in none.
func (t *Table) zone(name string) *zone {
	for at := name; at != "."; at = parent(at) {
		if z := t.zones[at]; z != nil {
			return z
		}
	}
	return nil
}

// parent is the name without its first label.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

func canonical(name string) string { return strings.ToLower(dns.Fqdn(name)) }

func plus(base netip.Addr, n int) netip.Addr {
	b := base.As4()
	sum := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	sum += uint32(n)
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// Last is the last address of the machine's loopback network of load balancers, at which its DNS answers: no load balancer has
// that number.
func Last(loopback netip.Prefix) netip.Addr {
	return plus(loopback.Masked().Addr(), 1<<(32-loopback.Bits())-1)
}
