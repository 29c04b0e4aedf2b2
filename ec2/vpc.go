package ec2

import (
	"context"
	"net/netip"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// vpcCIDR has the addresses of every default VPC. Source: VPC user guide, "Default VPC components".
var vpcCIDR = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, 0, 0}), 16)

// DefaultVPCID is the ID of the default VPC of an account and region.
func DefaultVPCID(account, region string) string { return derive(kindVPC.prefix, account, region) }

var vpcs = listing[api.Vpc]{
	operation: "DescribeVpcs",
	id:        func(v api.Vpc) string { return *v.VpcId },
	tags:      func(v api.Vpc) []api.Tag { return v.Tags },
	missing:   kindVPC.missing,
	filters: filters[api.Vpc]{
		"cidr":       func(v api.Vpc) []string { return text(v.CidrBlock) },
		"cidr-block": func(v api.Vpc) []string { return text(v.CidrBlock) },
		"cidr-block-association.cidr-block": func(v api.Vpc) []string {
			return each(v.CidrBlockAssociationSet, func(a api.VpcCidrBlockAssociation) []string { return text(a.CidrBlock) })
		},
		"cidr-block-association.association-id": func(v api.Vpc) []string {
			return each(v.CidrBlockAssociationSet, func(a api.VpcCidrBlockAssociation) []string { return text(a.AssociationId) })
		},
		"cidr-block-association.state": func(v api.Vpc) []string {
			return each(v.CidrBlockAssociationSet, func(a api.VpcCidrBlockAssociation) []string { return []string{string(a.CidrBlockState.State)} })
		},
		"dhcp-options-id": func(v api.Vpc) []string { return text(v.DhcpOptionsId) },
		"ipv6-cidr-block-association.ipv6-cidr-block": none[api.Vpc],
		"ipv6-cidr-block-association.ipv6-pool":       none[api.Vpc],
		"ipv6-cidr-block-association.association-id":  none[api.Vpc],
		"ipv6-cidr-block-association.state":           none[api.Vpc],
		"is-default":                                  func(v api.Vpc) []string { return flag(v.IsDefault) },
		"isDefault":                                   func(v api.Vpc) []string { return flag(v.IsDefault) },
		"owner-id":                                    func(v api.Vpc) []string { return text(v.OwnerId) },
		"state":                                       func(v api.Vpc) []string { return []string{string(v.State)} },
		"vpc-id":                                      func(v api.Vpc) []string { return text(v.VpcId) },
	},
}

// DescribeVpcs has the default VPC, the only one yet.
func (s *Service) DescribeVpcs(ctx context.Context, in *api.DescribeVpcsRequest) (*api.DescribeVpcsResult, error) {
	c := aws.CallerFrom(ctx)
	q := query{ids: in.VpcIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := vpcs.page(ctx, s, q, []api.Vpc{defaultVPC(s.Store.Read(), c)})
	if err != nil {
		return nil, err
	}
	return &api.DescribeVpcsResult{Vpcs: list, NextToken: token}, nil
}

func defaultVPC(r store.Reader, c aws.Caller) api.Vpc {
	id := DefaultVPCID(c.Account, c.Region)
	return api.Vpc{
		VpcId: &id, OwnerId: &c.Account, CidrBlock: new(vpcCIDR.String()), IsDefault: new(true), State: api.VpcStateAvailable,
		InstanceTenancy: api.TenancyDefault, DhcpOptionsId: new(derive(kindDHCP.prefix, c.Account, c.Region)), Tags: tagsOf(r, c, id),
		CidrBlockAssociationSet: []api.VpcCidrBlockAssociation{{
			AssociationId: new(derive("vpc-cidr-assoc", c.Account, c.Region)), CidrBlock: new(vpcCIDR.String()),
			CidrBlockState: &api.VpcCidrBlockState{State: api.VpcCidrBlockStateCodeAssociated},
		}},
	}
}

// DescribeVpcAttribute shows one attribute. Those of a default VPC cannot be changed yet.
func (s *Service) DescribeVpcAttribute(ctx context.Context, in *api.DescribeVpcAttributeRequest) (*api.DescribeVpcAttributeResult, error) {
	if c := aws.CallerFrom(ctx); *in.VpcId != DefaultVPCID(c.Account, c.Region) {
		return nil, kindVPC.missing(*in.VpcId)
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out, on := &api.DescribeVpcAttributeResult{VpcId: in.VpcId}, &api.AttributeBooleanValue{Value: new(true)}
	switch in.Attribute {
	case api.VpcAttributeNameEnableDnsSupport:
		out.EnableDnsSupport = on
	case api.VpcAttributeNameEnableDnsHostnames:
		out.EnableDnsHostnames = on
	case api.VpcAttributeNameEnableNetworkAddressUsageMetrics:
		out.EnableNetworkAddressUsageMetrics = &api.AttributeBooleanValue{Value: new(false)}
	}
	return out, nil
}
