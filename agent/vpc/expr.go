package vpc

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of nftables that matches and concatenations are loaded into: r0 to r15 are four bytes each.
const r0 = unix.NFT_REG32_00

// Values of the kernel that golang.org/x/sys has no name for.
const (
	ctStatusDNAT  = 1 << 5 // IPS_DST_NAT
	addrTypeLocal = 2      // RTN_LOCAL
	metaIIFKind   = expr.MetaKey(26)
	metaOIFKind   = expr.MetaKey(27)
)

// match is part of a rule.
type match []expr.Any

// rule joins parts.
func rule(parts ...match) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) match {
	return match{&expr.Meta{Key: key, Register: r0}, &expr.Cmp{Op: op, Register: r0, Data: data}}
}

func iifIs(name string) match  { return meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, ifname(name)) }
func iifNot(name string) match { return meta(expr.MetaKeyIIFNAME, expr.CmpOpNeq, ifname(name)) }
func oifIs(name string) match  { return meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, ifname(name)) }
func oifNot(name string) match { return meta(expr.MetaKeyOIFNAME, expr.CmpOpNeq, ifname(name)) }

// iifStarts matches every interface with a prefix: fewer bytes are compared.
func iifStarts(prefix string) match {
	return meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, []byte(prefix))
}

// iifKind and oifKind match links of a kind as "ip link add type" has it. Hardware has none and never matches.
func iifKind(kind string) match { return meta(metaIIFKind, expr.CmpOpEq, ifname(kind)) }
func oifKind(kind string) match { return meta(metaOIFKind, expr.CmpOpEq, ifname(kind)) }

func protocolIs(number byte) match {
	return meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{number})
}

// Offsets in an IPv4 header.
const (
	offsetSource      = 12
	offsetDestination = 16
)

func address(offset uint32, op expr.CmpOp, p netip.Prefix) match {
	m := match{&expr.Payload{DestRegister: r0, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}}
	if p.Bits() < 32 {
		mask := binaryutil.BigEndian.PutUint32(^uint32(0) << (32 - p.Bits()))
		m = append(m, &expr.Bitwise{SourceRegister: r0, DestRegister: r0, Len: 4, Mask: mask, Xor: make([]byte, 4)})
	}
	return append(m, &expr.Cmp{Op: op, Register: r0, Data: p.Masked().Addr().AsSlice()})
}

func sourceIn(p netip.Prefix) match  { return address(offsetSource, expr.CmpOpEq, p) }
func sourceNot(p netip.Prefix) match { return address(offsetSource, expr.CmpOpNeq, p) }
func destIn(p netip.Prefix) match    { return address(offsetDestination, expr.CmpOpEq, p) }

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// destLocal matches packets to an address of this namespace.
func destLocal() match {
	return match{
		&expr.Fib{Register: r0, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: r0, Data: binaryutil.NativeEndian.PutUint32(addrTypeLocal)},
	}
}

func ctBits(key expr.CtKey, bits uint32) match {
	return match{
		&expr.Ct{Register: r0, Key: key},
		&expr.Bitwise{
			SourceRegister: r0, DestRegister: r0, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: r0, Data: make([]byte, 4)},
	}
}

func established() match {
	return ctBits(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// invalid matches packets that belong to no connection, as a late reset; they are never translated.
func invalid() match { return ctBits(expr.CtKeySTATE, expr.CtStateBitINVALID) }

func translated() match { return ctBits(expr.CtKeySTATUS, ctStatusDNAT) }

// portKey loads protocol and destination port, as the keys of port sets are made (portBytes).
func portKey() match {
	return match{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: r0},
		&expr.Payload{DestRegister: r0 + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

// balancerKey loads destination address, protocol and destination port, as the keys of load balancers' ports are made.
func balancerKey() match {
	return match{
		&expr.Payload{DestRegister: r0, Base: expr.PayloadBaseNetworkHeader, Offset: offsetDestination, Len: 4},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: r0 + 1},
		&expr.Payload{DestRegister: r0 + 2, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

func destPort(port uint16) match {
	return match{
		&expr.Payload{DestRegister: r0, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: r0, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// in looks the loaded key up in a set.
func in(set setRef) match {
	return match{&expr.Lookup{SourceRegister: r0, SetName: set.name, SetID: set.id}}
}

// ownKey loads interface, source MAC and source address, as the keys of the set of own addresses are made (ownBytes).
func ownKey() match {
	return match{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: r0},
		&expr.Payload{DestRegister: r0 + 4, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Payload{DestRegister: r0 + 6, Base: expr.PayloadBaseNetworkHeader, Offset: offsetSource, Len: 4},
	}
}

func accept() match { return match{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() match   { return match{&expr.Verdict{Kind: expr.VerdictDrop}} }

// reject answers with port unreachable: connect fails at once with "connection refused".
func reject() match {
	return match{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3}}
}

func destTo(a netip.Addr) match {
	return match{
		&expr.Immediate{Register: r0, Data: a.AsSlice()},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: r0},
	}
}

// destByMap translates to the address and port that a map has for the loaded key.
func destByMap(m setRef) match {
	return match{
		&expr.Lookup{SourceRegister: r0, DestRegister: r0, IsDestRegSet: true, SetName: m.name, SetID: m.id},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: r0, RegProtoMin: r0 + 1},
	}
}

func sourceTo(a netip.Addr) match {
	return match{
		&expr.Immediate{Register: r0, Data: a.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: r0},
	}
}

func masquerade() match { return match{&expr.Masq{}} }
