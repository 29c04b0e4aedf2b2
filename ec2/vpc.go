package ec2

import "net/netip"

// vpcCIDR has the addresses of every default VPC. Source: VPC user guide, "Default VPC components".
var vpcCIDR = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, 0, 0}), 16)

// DefaultVPCID is the ID of the default VPC of an account and region.
func DefaultVPCID(account, region string) string { return derive(kindVPC.prefix, account, region) }
