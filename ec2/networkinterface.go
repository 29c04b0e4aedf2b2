package ec2

import (
	"net/netip"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// Interface is the record of a network interface. Those of load balancers are the only ones yet.
type Interface struct {
	// Written by: CreateInterface. The caller gives these.
	ID          string                   `json:"i"` // of NewInterfaceID
	Account     string                   `json:"a"`
	Region      string                   `json:"r"`
	Subnet      string                   `json:"s"`
	Description string                   `json:"d,omitzero"`  // such as "ELB app/web/50dc6c495c0c9188"
	RequesterID string                   `json:"rq,omitzero"` // the AWS service it belongs to, such as "amazon-elb"
	Type        api.NetworkInterfaceType `json:"t,omitzero"`  // empty means interface
	Created     int64                    `json:"c"`           // ms since the epoch
	// Groups are the IDs of its security groups. Written by: CreateInterface, SetInterfaceGroups.
	Groups []string `json:"g,omitzero"`

	// Written by: CreateInterface, which finds them.
	VPC     string     `json:"vp"`
	Zone    string     `json:"z"`
	Address netip.Addr `json:"ad"` // unique over all accounts and regions
	Block   string     `json:"b"`  // the subnet's addresses, such as 172.31.0.0/20
}

// Indexes of Interfaces.
const (
	byInterfaceAddress = "address"
	byInterfaceBlock   = "block"
	byInterfaceGroup   = "group" // account/region/ID of a security group
)

// Interfaces is the table of network interfaces, by account/region/ID.
var Interfaces = store.NewTable("ec2/network-interface", Interface.Key,
	store.Index(byInterfaceAddress, func(v Interface) []string { return []string{v.Address.String()} }),
	store.Index(byInterfaceBlock, func(v Interface) []string { return []string{v.Block} }),
	store.Index(byInterfaceGroup, func(v Interface) []string {
		var out []string
		for _, id := range v.Groups {
			out = append(out, key(v.Account, v.Region, id))
		}
		return out
	}),
)

// Key is account/region/ID.
func (v Interface) Key() string { return key(v.Account, v.Region, v.ID) }

// NewInterfaceID makes an ID. Not for use in a transaction.
func NewInterfaceID() string { return newID(kindInterface.prefix) }

// CreateInterface adds a network interface with the lowest address of its subnet that no interface of any account and region
// has. Errors: InvalidSubnetID.NotFound, InvalidGroup.NotFound, InsufficientFreeAddressesInSubnet.
func CreateInterface(tx *store.Tx, want Interface) (Interface, error) {
	subnet, ok := SubnetByID(tx, want.Account, want.Region, want.Subnet)
	if !ok {
		return Interface{}, kindSubnet.missing(want.Subnet)
	}
	if err := checkGroups(tx, want.Account, want.Region, want.Groups); err != nil {
		return Interface{}, err
	}
	want.VPC, want.Zone, want.Block = subnet.VPC, subnet.Zone, subnet.CIDR.String()
	if want.Type == "" {
		want.Type = api.NetworkInterfaceTypeInterface
	}
	used := map[netip.Addr]bool{}
	for v := range Interfaces.By(tx, byInterfaceBlock, want.Block) {
		used[v.Address] = true
	}
	for want.Address = subnet.first(); used[want.Address]; want.Address = want.Address.Next() {
		if want.Address == subnet.last() {
			return Interface{}, aws.Errorf("InsufficientFreeAddressesInSubnet", "Insufficient free addresses in subnet %s.", subnet.ID)
		}
	}
	Interfaces.Put(tx, want)
	return want, nil
}

// SetInterfaceGroups changes the security groups of an interface. Error: InvalidGroup.NotFound.
func SetInterfaceGroups(tx *store.Tx, key string, groups []string) error {
	v, ok := Interfaces.Get(tx, key)
	if !ok {
		return kindInterface.missing(key)
	}
	if err := checkGroups(tx, v.Account, v.Region, groups); err != nil {
		return err
	}
	v.Groups = groups
	Interfaces.Put(tx, v)
	return nil
}

// DeleteInterface removes an interface by its key, and its tags. Its address is free again.
func DeleteInterface(tx *store.Tx, key string) {
	Interfaces.Delete(tx, key)
	if _, ok := tagSets.Get(tx, key); ok {
		tagSets.Delete(tx, key)
	}
}

// InterfaceByAddress finds the network interface with an address.
func InterfaceByAddress(r store.Reader, a netip.Addr) (Interface, bool) {
	for v := range Interfaces.By(r, byInterfaceAddress, a.String()) {
		return v, true
	}
	return Interface{}, false
}

func checkGroups(r store.Reader, account, region string, ids []string) error {
	for _, id := range ids {
		if _, ok := GroupByID(r, account, region, id); !ok {
			return kindGroup.missing(id)
		}
	}
	return nil
}
