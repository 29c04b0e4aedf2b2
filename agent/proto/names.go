package proto

import "net/netip"

// TypeNames is the frame with the names that DNS of a machine answers. Only agents whose Hello has Names set get it.
const TypeNames = "names"

// Names is everything that a machine's DNS should answer by itself: the names of its account and region. A lower
// revision than one already seen in this session is ignored.
type Names struct {
	Revision  uint64         `json:"revision"`
	Zones     []Zone         `json:"zones,omitzero"`
	Balancers []BalancerName `json:"balancers,omitzero"`
}

// Zone is a DNS zone with all its names. Names are without a dot at the end, in any case.
type Zone struct {
	Name string    `json:"name"`
	TTL  uint32    `json:"ttl"` // seconds for which it may be remembered that a name does not exist
	Sets []NameSet `json:"sets,omitzero"`
}

// Record types of a NameSet.
const (
	RecordA     = "A"
	RecordAAAA  = "AAAA"
	RecordSRV   = "SRV"
	RecordCNAME = "CNAME"
)

// NameSet has the records of one name and type.
type NameSet struct {
	Name string `json:"name"`
	Type string `json:"type"`
	TTL  uint32 `json:"ttl"` // seconds
	// One: an answer has one of the values; else up to 8.
	One    bool        `json:"one,omitzero"`
	Values []NameValue `json:"values"`
}

// NameValue is one record. Unhealthy ones are answered only if there are no others.
type NameValue struct {
	Address   netip.Addr `json:"address,omitzero"` // of A and AAAA
	Target    string     `json:"target,omitzero"`  // of SRV and CNAME; of A without an address: the name of a load balancer
	Port      uint16     `json:"port,omitzero"`    // of SRV
	Unhealthy bool       `json:"unhealthy,omitzero"`
}

// BalancerName is the DNS name of a load balancer.
type BalancerName struct {
	Name string `json:"name"`
	// Addresses are those at which tasks reach it.
	Addresses []netip.Addr `json:"addresses,omitzero"`
	// Number is added to the machine's own loopback network, which gives the address at which the machine reaches it.
	Number int `json:"number"`
}
