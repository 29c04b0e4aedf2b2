package ec2

import (
	"net/netip"

	"berth/aws"
	"berth/store"
)

// Subnet is a subnet of a VPC. Those of the default VPC, the only ones yet, are derived and not written.
type Subnet struct {
	Account, Region string
	ID, VPC         string
	Zone, ZoneID    string // use1-az1 is the ID of us-east-1a
	CIDR            netip.Prefix
}

// subnetBits is the size of a default subnet. Source: VPC user guide, "Default VPC components".
const subnetBits = 20

// mostSubnets is how many subnets fit into the default VPC; zones with a higher number have none.
const mostSubnets = 1 << (subnetBits - 16)

// DefaultSubnets are the subnets of the default VPC of an account and region, one for each zone, in the order of the zones:
// the region's a, b and c, then those that machines are in, as they came.
func DefaultSubnets(r store.Reader, account, region string) []Subnet {
	var out []Subnet
	for _, z := range zonesOf(r, account, region) {
		if z.Number >= mostSubnets {
			break
		}
		base := vpcCIDR.Addr().As4()
		base[2] = byte(z.Number << (24 - subnetBits))
		out = append(out, Subnet{
			Account: account, Region: region, ID: derive(kindSubnet.prefix, account, region, z.Name), VPC: DefaultVPCID(account, region),
			Zone: z.Name, ZoneID: z.ID(), CIDR: netip.PrefixFrom(netip.AddrFrom4(base), subnetBits),
		})
	}
	return out
}

// SubnetByID finds a subnet of an account and region.
func SubnetByID(r store.Reader, account, region, id string) (Subnet, bool) {
	for _, s := range DefaultSubnets(r, account, region) {
		if s.ID == id {
			return s, true
		}
	}
	return Subnet{}, false
}

// MissingSubnet is the error for the ID of a subnet that does not exist: InvalidSubnetID.NotFound or InvalidSubnetId.Malformed.
func MissingSubnet(id string) *aws.Error { return kindSubnet.missing(id) }

// ARN names the subnet.
func (s Subnet) ARN() aws.ARN { return aws.NewARN("ec2", s.Region, s.Account, "subnet/"+s.ID) }

// first and last are the addresses of the subnet that can be given away: without its first four and its last.
func (s Subnet) first() netip.Addr {
	a := s.CIDR.Addr().As4()
	a[3] += firstHost
	return netip.AddrFrom4(a)
}

func (s Subnet) last() netip.Addr {
	a, hosts := s.CIDR.Addr().As4(), 1<<(32-s.CIDR.Bits())-2
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	n += uint32(hosts)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// size is how many addresses the subnet can give away.
func (s Subnet) size() int { return 1<<(32-s.CIDR.Bits()) - firstHost - 1 }

// firstHost is how many addresses at the beginning of a subnet are AWS's own; so is the last one.
// Source: VPC user guide, "Subnet CIDR blocks".
const firstHost = 4
