package ec2

import (
	"context"
	"net/netip"

	api "berth/api/ec2"
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

var subnets = listing[api.Subnet]{
	operation: "DescribeSubnets",
	id:        func(v api.Subnet) string { return *v.SubnetId },
	order:     func(v api.Subnet) string { return *v.AvailabilityZone + " " + *v.SubnetId },
	tags:      func(v api.Subnet) []api.Tag { return v.Tags },
	missing:   kindSubnet.missing,
	filters: filters[api.Subnet]{
		"availability-zone":          func(v api.Subnet) []string { return text(v.AvailabilityZone) },
		"availabilityZone":           func(v api.Subnet) []string { return text(v.AvailabilityZone) },
		"availability-zone-id":       func(v api.Subnet) []string { return text(v.AvailabilityZoneId) },
		"availabilityZoneId":         func(v api.Subnet) []string { return text(v.AvailabilityZoneId) },
		"available-ip-address-count": func(v api.Subnet) []string { return number(v.AvailableIpAddressCount) },
		"cidr-block":                 func(v api.Subnet) []string { return text(v.CidrBlock) },
		"cidr":                       func(v api.Subnet) []string { return text(v.CidrBlock) },
		"cidrBlock":                  func(v api.Subnet) []string { return text(v.CidrBlock) },
		"customer-owned-ipv4-pool":   none[api.Subnet],
		"default-for-az":             func(v api.Subnet) []string { return flag(v.DefaultForAz) },
		"defaultForAz":               func(v api.Subnet) []string { return flag(v.DefaultForAz) },
		"enable-dns64":               func(v api.Subnet) []string { return flag(v.EnableDns64) },
		"enable-lni-at-device-index": none[api.Subnet],
		"ipv6-cidr-block-association.ipv6-cidr-block":      none[api.Subnet],
		"ipv6-cidr-block-association.association-id":       none[api.Subnet],
		"ipv6-cidr-block-association.state":                none[api.Subnet],
		"ipv6-native":                                      func(v api.Subnet) []string { return flag(v.Ipv6Native) },
		"map-customer-owned-ip-on-launch":                  func(v api.Subnet) []string { return flag(v.MapCustomerOwnedIpOnLaunch) },
		"map-public-ip-on-launch":                          func(v api.Subnet) []string { return flag(v.MapPublicIpOnLaunch) },
		"outpost-arn":                                      none[api.Subnet],
		"owner-id":                                         func(v api.Subnet) []string { return text(v.OwnerId) },
		"private-dns-name-options-on-launch.hostname-type": func(v api.Subnet) []string { return []string{string(v.PrivateDnsNameOptionsOnLaunch.HostnameType)} },
		"private-dns-name-options-on-launch.enable-resource-name-dns-a-record": func(v api.Subnet) []string {
			return flag(v.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord)
		},
		"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": func(v api.Subnet) []string {
			return flag(v.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord)
		},
		"state":      func(v api.Subnet) []string { return []string{string(v.State)} },
		"subnet-arn": func(v api.Subnet) []string { return text(v.SubnetArn) },
		"subnet-id":  func(v api.Subnet) []string { return text(v.SubnetId) },
		"vpc-id":     func(v api.Subnet) []string { return text(v.VpcId) },
	},
}

// DescribeSubnets has the default subnets, the only ones yet.
func (s *Service) DescribeSubnets(ctx context.Context, in *api.DescribeSubnetsRequest) (*api.DescribeSubnetsResult, error) {
	c, r := aws.CallerFrom(ctx), s.Store.Read()
	var all []api.Subnet
	for _, v := range DefaultSubnets(r, c.Account, c.Region) {
		all = append(all, v.shape(r, c))
	}
	q := query{ids: in.SubnetIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := subnets.page(ctx, s, q, all)
	if err != nil {
		return nil, err
	}
	return &api.DescribeSubnetsResult{Subnets: list, NextToken: token}, nil
}

// shape is the subnet as it is shown. AvailableIpAddressCount counts the interfaces of all accounts, which share the addresses.
func (s Subnet) shape(r store.Reader, c aws.Caller) api.Subnet {
	free := s.size() - Interfaces.CountBy(r, byInterfaceBlock, s.CIDR.String())
	return api.Subnet{
		SubnetId: &s.ID, SubnetArn: new(s.ARN().String()), VpcId: &s.VPC, OwnerId: &s.Account, CidrBlock: new(s.CIDR.String()),
		AvailabilityZone: &s.Zone, AvailabilityZoneId: &s.ZoneID, AvailableIpAddressCount: new(int32(free)),
		State: api.SubnetStateAvailable, DefaultForAz: new(true), MapPublicIpOnLaunch: new(true), Tags: tagsOf(r, c, s.ID),
		AssignIpv6AddressOnCreation: new(false), EnableDns64: new(false), Ipv6Native: new(false), MapCustomerOwnedIpOnLaunch: new(false),
		PrivateDnsNameOptionsOnLaunch: &api.PrivateDnsNameOptionsOnLaunch{
			HostnameType: api.HostnameTypeIpName, EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false),
		},
	}
}
