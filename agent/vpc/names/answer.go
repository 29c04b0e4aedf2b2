package names

import (
	"math/rand/v2"

	"github.com/miekg/dns"
)

const (
	// mostValues is how many values an answer has. Source: Route 53 multivalue answer routing.
	mostValues = 8
	// mostAliases is how many CNAME records of Berth's zones are followed in one answer.
	mostAliases = 8
	// largestUDP is the largest answer over UDP: one that needs no fragments on any usual link.
	largestUDP = 1232
)

// Answer answers a query for a name in one of the zones; nil if it is not for Berth to answer. elsewhere is the name at which a chain of
// CNAME records left the zones, which the caller may look up; else empty. The answer is complete: fit it with Fit.
func (t *Table) Answer(q *dns.Msg) (out *dns.Msg, elsewhere string) {
	if q.Response || q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		return nil, ""
	}
	asked := q.Question[0]
	name := canonical(asked.Name)
	if t.zone(name) == nil {
		return nil, ""
	}
	out = new(dns.Msg)
	out.SetReply(q)
	out.Authoritative = true
	if asked.Qclass != dns.ClassINET && asked.Qclass != dns.ClassANY {
		out.Authoritative, out.Rcode = false, dns.RcodeRefused
		return out, ""
	}
	if opt := q.IsEdns0(); opt != nil && opt.Version() != 0 {
		out.Authoritative, out.Rcode = false, dns.RcodeBadVers
		return out, ""
	}
	for range mostAliases {
		z := t.zone(name)
		if z == nil {
			return out, name
		}
		next := z.answer(out, name, asked.Qtype, t.serial)
		if next == "" {
			break
		}
		name = next
	}
	t.addHosts(out)
	return out, ""
}

// answer adds what the zone has for a name and type. next is the name that a CNAME record leads to.
func (z *zone) answer(out *dns.Msg, name string, kind uint16, serial uint32) (next string) {
	node, ok := z.nodes[name]
	if !ok {
		out.Rcode = dns.RcodeNameError
		out.Ns = append(out.Ns, z.soa(serial))
		return ""
	}
	if alias, ok := node[dns.TypeCNAME]; ok && kind != dns.TypeCNAME && kind != dns.TypeANY {
		records := alias.pick()
		out.Answer = append(out.Answer, records...)
		return records[0].(*dns.CNAME).Target
	}
	before := len(out.Answer)
	for of, s := range node {
		if of == kind || kind == dns.TypeANY {
			out.Answer = append(out.Answer, s.pick()...)
		}
	}
	if name == z.name && (kind == dns.TypeSOA || kind == dns.TypeANY) {
		out.Answer = append(out.Answer, z.soa(serial))
	}
	if name == z.name && (kind == dns.TypeNS || kind == dns.TypeANY) {
		out.Answer = append(out.Answer, &dns.NS{Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: z.ttl}, Ns: server})
	}
	if len(out.Answer) == before {
		out.Ns = append(out.Ns, z.soa(serial))
	}
	return ""
}

// server is the name that SOA and NS records have for who answers. Nobody needs to look it up: there is one resolver on each machine.
const server = "ns." + Own + "."

func (z *zone) soa(serial uint32) dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.ttl},
		Ns:  server, Mbox: "hostmaster." + Own + ".", Serial: serial, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: z.ttl,
	}
}

// pick chooses values in random order: the healthy ones, or all if none is healthy.
func (s set) pick() []dns.RR {
	var from []value
	for _, v := range s.values {
		if !v.unhealthy {
			from = append(from, v)
		}
	}
	if len(from) == 0 {
		from = s.values
	}
	most := mostValues
	if s.one {
		most = 1
	}
	var out []dns.RR
	for _, i := range rand.Perm(len(from))[:min(most, len(from))] {
		for _, r := range from[i].records {
			out = append(out, dns.Copy(r))
		}
	}
	return out
}

// addHosts adds the addresses of the hosts that SRV records name.
func (t *Table) addHosts(out *dns.Msg) {
	for _, r := range out.Answer {
		srv, ok := r.(*dns.SRV)
		if !ok {
			continue
		}
		z := t.zone(srv.Target)
		if z == nil {
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if s, ok := z.nodes[srv.Target][kind]; ok {
				out.Extra = append(out.Extra, s.pick()...)
			}
		}
	}
}

// Fit adds what EDNS wants to an answer and cuts it to what the transport carries.
func Fit(q, answer *dns.Msg, udp bool) {
	size := dns.MaxMsgSize
	if udp {
		size = dns.MinMsgSize
	}
	if opt := q.IsEdns0(); opt != nil {
		answer.SetEdns0(largestUDP, opt.Do())
		if udp {
			size = max(dns.MinMsgSize, min(int(opt.UDPSize()), largestUDP))
		}
	}
	answer.Compress = true
	answer.Truncate(size)
}

// Refuse is the answer to a query that is not for Berth.
func Refuse(q *dns.Msg) *dns.Msg {
	out := new(dns.Msg)
	out.SetRcode(q, dns.RcodeRefused)
	return out
}
