package servicediscovery

import (
	"net/netip"
	"strconv"
	"strings"

	"berth/agent/proto"
	api "berth/api/servicediscovery"
	"berth/store"
)

// ZonesFor makes the DNS zones of an account and region: its private DNS namespaces, in order of their IDs, with what DNS has for
// their services.
func ZonesFor(r store.Reader, account, region string) []proto.Zone {
	var out []proto.Zone
	for n := range Namespaces.Prefix(r, place(account, region)) {
		if n.Type != api.NamespaceTypeDNSPrivate {
			continue
		}
		z := proto.Zone{Name: n.Name, TTL: uint32(n.TTL)}
		for v := range Services.By(r, byServiceNamespace, n.Key()) {
			z.Sets = append(z.Sets, v.sets(r, n)...)
		}
		out = append(out, z)
	}
	return out
}

// sets are the records of one service, and of the hosts that its SRV records name.
func (v ServiceRecord) sets(r store.Reader, n Namespace) []proto.NameSet {
	var out []proto.NameSet
	for _, record := range v.Records {
		set := proto.NameSet{Name: v.dnsName(n), Type: string(record.Type), TTL: uint32(*record.TTL), One: v.Policy == api.RoutingPolicyWeighted}
		for i := range Instances.By(r, byInstanceService, v.Key()) {
			value, ok := i.value(record.Type, set.Name)
			if !ok {
				continue
			}
			set.Values = append(set.Values, value)
			if record.Type == api.RecordTypeSrv {
				out = append(out, i.host(value.Target, set.TTL)...)
			}
		}
		if len(set.Values) > 0 {
			out = append(out, set)
		}
	}
	return out
}

// value is an instance's part of a set; ok is false if it has none.
func (i Instance) value(kind api.RecordType, service string) (v proto.NameValue, ok bool) {
	v.Unhealthy = i.Health == api.HealthStatusUnhealthy
	switch kind {
	case api.RecordTypeA:
		if v.Address, ok = address(i.Attributes[attrIPv4]); !ok {
			v.Target = strings.TrimSuffix(i.Attributes[attrAlias], ".")
		}
		return v, ok || v.Target != ""
	case api.RecordTypeAaaa:
		v.Address, ok = address(i.Attributes[attrIPv6])
		return v, ok
	case api.RecordTypeCname:
		v.Target = strings.TrimSuffix(i.Attributes[attrCNAME], ".")
		return v, v.Target != ""
	}
	port, err := strconv.ParseUint(i.Attributes[attrPort], 10, 16)
	v.Port, v.Target = uint16(port), i.ID+"."+service
	return v, err == nil
}

// host has the addresses of the name that an SRV record points to.
func (i Instance) host(name string, ttl uint32) []proto.NameSet {
	var out []proto.NameSet
	for _, of := range [][2]string{{proto.RecordA, attrIPv4}, {proto.RecordAAAA, attrIPv6}} {
		if ip, ok := address(i.Attributes[of[1]]); ok {
			out = append(out, proto.NameSet{Name: name, Type: of[0], TTL: ttl, Values: []proto.NameValue{{Address: ip}}})
		}
	}
	return out
}

func address(text string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	return ip, err == nil
}
