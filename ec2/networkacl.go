package ec2

import (
	"context"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// inACLAssociations and inEntries make filters by a member of a list of the ACL.
func inACLAssociations(values func(api.NetworkAclAssociation) []string) func(api.NetworkAcl) []string {
	return func(v api.NetworkAcl) []string { return each(v.Associations, values) }
}

func inEntries(values func(api.NetworkAclEntry) []string) func(api.NetworkAcl) []string {
	return func(v api.NetworkAcl) []string { return each(v.Entries, values) }
}

var networkACLs = listing[api.NetworkAcl]{
	operation: "DescribeNetworkAcls",
	id:        func(v api.NetworkAcl) string { return *v.NetworkAclId },
	tags:      func(v api.NetworkAcl) []api.Tag { return v.Tags },
	missing:   kindACL.missing,
	filters: filters[api.NetworkAcl]{
		"association.association-id": inACLAssociations(func(a api.NetworkAclAssociation) []string { return text(a.NetworkAclAssociationId) }),
		"association.network-acl-id": inACLAssociations(func(a api.NetworkAclAssociation) []string { return text(a.NetworkAclId) }),
		"association.subnet-id":      inACLAssociations(func(a api.NetworkAclAssociation) []string { return text(a.SubnetId) }),
		"default":                    func(v api.NetworkAcl) []string { return flag(v.IsDefault) },
		"entry.cidr":                 inEntries(func(e api.NetworkAclEntry) []string { return text(e.CidrBlock) }),
		"entry.icmp.code":            none[api.NetworkAcl],
		"entry.icmp.type":            none[api.NetworkAcl],
		"entry.ipv6-cidr":            none[api.NetworkAcl],
		"entry.port-range.from":      none[api.NetworkAcl],
		"entry.port-range.to":        none[api.NetworkAcl],
		"entry.protocol":             inEntries(func(e api.NetworkAclEntry) []string { return text(e.Protocol) }),
		"entry.rule-action":          inEntries(func(e api.NetworkAclEntry) []string { return []string{string(e.RuleAction)} }),
		"entry.egress":               inEntries(func(e api.NetworkAclEntry) []string { return flag(e.Egress) }),
		"entry.rule-number":          inEntries(func(e api.NetworkAclEntry) []string { return number(e.RuleNumber) }),
		"network-acl-id":             func(v api.NetworkAcl) []string { return text(v.NetworkAclId) },
		"owner-id":                   func(v api.NetworkAcl) []string { return text(v.OwnerId) },
		"vpc-id":                     func(v api.NetworkAcl) []string { return text(v.VpcId) },
	},
}

// DescribeNetworkAcls has that of the default VPC, the only one yet.
func (s *Service) DescribeNetworkAcls(ctx context.Context, in *api.DescribeNetworkAclsRequest) (*api.DescribeNetworkAclsResult, error) {
	q := query{ids: in.NetworkAclIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := networkACLs.page(ctx, s, q, []api.NetworkAcl{defaultACL(s.Store.Read(), aws.CallerFrom(ctx))})
	if err != nil {
		return nil, err
	}
	return &api.DescribeNetworkAclsResult{NetworkAcls: list, NextToken: token}, nil
}

func defaultACLID(account, region string) string { return derive(kindACL.prefix, account, region) }

// defaultACL lets everything through, in both directions. lastEntry is the entry that no ACL is without.
func defaultACL(r store.Reader, c aws.Caller) api.NetworkAcl {
	const firstEntry, lastEntry = 100, 32767
	id := defaultACLID(c.Account, c.Region)
	out := api.NetworkAcl{
		NetworkAclId: &id, VpcId: new(DefaultVPCID(c.Account, c.Region)), OwnerId: &c.Account, IsDefault: new(true), Tags: tagsOf(r, c, id),
	}
	for _, v := range DefaultSubnets(r, c.Account, c.Region) {
		out.Associations = append(out.Associations, api.NetworkAclAssociation{
			NetworkAclAssociationId: new(derive("aclassoc", c.Account, c.Region, v.ID)), NetworkAclId: &id, SubnetId: &v.ID,
		})
	}
	for _, egress := range []bool{true, false} {
		for _, e := range []api.NetworkAclEntry{
			{RuleNumber: new(int32(firstEntry)), RuleAction: api.RuleActionAllow}, {RuleNumber: new(int32(lastEntry)), RuleAction: api.RuleActionDeny},
		} {
			e.CidrBlock, e.Egress, e.Protocol = new(everywhere), new(egress), new("-1")
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}
