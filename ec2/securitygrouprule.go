package ec2

import (
	"context"
	"slices"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// mostRules is how many rules a group may have in each direction. Source: VPC user guide, "Amazon VPC quotas".
const mostRules = 60

// AuthorizeSecurityGroupIngress adds rules for what members of a group may be reached by.
func (s *Service) AuthorizeSecurityGroupIngress(ctx context.Context, in *api.AuthorizeSecurityGroupIngressRequest) (*api.AuthorizeSecurityGroupIngressResult, error) {
	flat := flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}
	list, err := flat.permissions(in.IpPermissions)
	if err != nil {
		return nil, err
	}
	rules, err := s.authorize(ctx, change{id: in.GroupId, name: in.GroupName, permissions: list, tags: in.TagSpecifications, dryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	return &api.AuthorizeSecurityGroupIngressResult{Return: new(true), SecurityGroupRules: rules}, nil
}

// AuthorizeSecurityGroupEgress adds rules for what members of a group may reach.
func (s *Service) AuthorizeSecurityGroupEgress(ctx context.Context, in *api.AuthorizeSecurityGroupEgressRequest) (*api.AuthorizeSecurityGroupEgressResult, error) {
	flat := flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}
	if err := flat.refuse(); err != nil {
		return nil, err
	}
	rules, err := s.authorize(ctx, change{id: in.GroupId, egress: true, permissions: in.IpPermissions, tags: in.TagSpecifications, dryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	return &api.AuthorizeSecurityGroupEgressResult{Return: new(true), SecurityGroupRules: rules}, nil
}

// change is what the operations on rules are asked for.
type change struct {
	id, name    *string // of the group
	egress      bool
	permissions []api.IpPermission
	ruleIDs     []string // to revoke
	tags        []api.TagSpecification
	dryRun      *bool
}

// authorize adds rules to a group.
func (s *Service) authorize(ctx context.Context, in change) ([]api.SecurityGroupRule, error) {
	tags, err := readSpecifications(in.tags, kindRule)
	if err != nil {
		return nil, err
	}
	c := aws.CallerFrom(ctx)
	var ids []string
	for range countPeers(in.permissions) {
		ids = append(ids, newID(kindRule.prefix))
	}
	var out []api.SecurityGroupRule
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, c, in.id, in.name)
		if err != nil {
			return err
		}
		rules, err := readRules(tx, c, in.permissions, in.egress)
		if err != nil {
			return err
		}
		g.Rules, out = slices.Clone(g.Rules), nil
		for i, rule := range rules {
			rule.ID = ids[i]
			if slices.ContainsFunc(g.Rules, rule.same) {
				return aws.Errorf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", rule.words())
			}
			g.Rules = append(g.Rules, rule)
			if err := putTags(tx, c, rule.ID, tags); err != nil {
				return err
			}
			out = append(out, rule.shape(tx, c, g))
		}
		if g.count(in.egress) > mostRules {
			return aws.Errorf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
		SecurityGroups.Put(tx, g)
		return dryRun(in.dryRun)
	})
	return out, err
}

// count is how many rules there are in one direction.
func (g SecurityGroup) count(egress bool) (n int) {
	for _, rule := range g.Rules {
		if rule.Egress == egress {
			n++
		}
	}
	return n
}

var securityGroupRules = listing[api.SecurityGroupRule]{
	operation: "DescribeSecurityGroupRules",
	id:        func(v api.SecurityGroupRule) string { return *v.SecurityGroupRuleId },
	tags:      func(v api.SecurityGroupRule) []api.Tag { return v.Tags },
	missing:   kindRule.missing,
	filters: filters[api.SecurityGroupRule]{
		"group-id":               func(v api.SecurityGroupRule) []string { return text(v.GroupId) },
		"security-group-rule-id": func(v api.SecurityGroupRule) []string { return text(v.SecurityGroupRuleId) },
	},
}

// DescribeSecurityGroupRules lists rules, each with one peer.
func (s *Service) DescribeSecurityGroupRules(ctx context.Context, in *api.DescribeSecurityGroupRulesRequest) (*api.DescribeSecurityGroupRulesResult, error) {
	c, r := aws.CallerFrom(ctx), s.Store.Read()
	var all []api.SecurityGroupRule
	for _, g := range groupsOf(r, c) {
		for _, rule := range g.Rules {
			all = append(all, rule.shape(r, c, g))
		}
	}
	q := query{ids: in.SecurityGroupRuleIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := securityGroupRules.page(ctx, s, q, all)
	if err != nil {
		return nil, err
	}
	return &api.DescribeSecurityGroupRulesResult{SecurityGroupRules: list, NextToken: token}, nil
}

// ModifySecurityGroupRules gives rules other contents; their IDs and directions stay.
func (s *Service) ModifySecurityGroupRules(ctx context.Context, in *api.ModifySecurityGroupRulesRequest) (*api.ModifySecurityGroupRulesResult, error) {
	c := aws.CallerFrom(ctx)
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, c, in.GroupId, nil)
		if err != nil {
			return err
		}
		g.Rules = slices.Clone(g.Rules)
		for _, update := range in.SecurityGroupRules {
			if err := g.modify(tx, c, update); err != nil {
				return err
			}
		}
		SecurityGroups.Put(tx, g)
		return dryRun(in.DryRun)
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifySecurityGroupRulesResult{Return: new(true)}, nil
}

// modify replaces one of the group's rules in place.
func (g *SecurityGroup) modify(tx *store.Tx, c aws.Caller, update api.SecurityGroupRuleUpdate) error {
	id := aws.Value(update.SecurityGroupRuleId)
	i := slices.IndexFunc(g.Rules, func(rule Rule) bool { return rule.ID == id })
	if i < 0 {
		return kindRule.missing(id)
	}
	want := aws.Value(update.SecurityGroupRule)
	rules, err := readRules(tx, c, []api.IpPermission{permissionOf(want)}, g.Rules[i].Egress)
	if err != nil {
		return err
	}
	if len(rules) != 1 {
		return aws.Errorf("InvalidParameterCombination", "A rule has exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId.")
	}
	next := rules[0]
	next.ID = id
	if slices.ContainsFunc(g.Rules, func(other Rule) bool { return other.ID != id && next.same(other) }) {
		return aws.Errorf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", next.words())
	}
	g.Rules[i] = next
	return nil
}

// same says whether two rules let the same through; IDs and descriptions don't count.
func (rule Rule) same(other Rule) bool {
	other.ID, other.Description = rule.ID, rule.Description
	return rule == other
}

// hasPorts says whether From and To mean something.
func (rule Rule) hasPorts() bool {
	return slices.Contains([]string{"tcp", "udp", "icmp", "icmpv6"}, rule.Protocol)
}

// ruleByID finds a rule, and its group.
func ruleByID(r store.Reader, account, region, id string) (SecurityGroup, Rule, bool) {
	for _, g := range groupsOf(r, aws.Caller{Account: account, Region: region}) {
		for _, rule := range g.Rules {
			if rule.ID == id {
				return g, rule, true
			}
		}
	}
	return SecurityGroup{}, Rule{}, false
}

func (rule Rule) shape(r store.Reader, c aws.Caller, g SecurityGroup) api.SecurityGroupRule {
	out := api.SecurityGroupRule{
		SecurityGroupRuleId: &rule.ID, GroupId: &g.ID, GroupOwnerId: &g.Account, IsEgress: &rule.Egress, IpProtocol: &rule.Protocol,
		FromPort: &rule.From, ToPort: &rule.To, Tags: tagsOf(r, c, rule.ID),
		SecurityGroupRuleArn: new(aws.NewARN("ec2", g.Region, g.Account, "security-group-rule/"+rule.ID).String()),
	}
	if rule.Description != "" {
		out.Description = &rule.Description
	}
	switch {
	case rule.Group != "":
		out.ReferencedGroupInfo = &api.ReferencedSecurityGroup{GroupId: &rule.Group, UserId: &g.Account, VpcId: &g.VPC}
	case strings.Contains(rule.CIDR, ":"):
		out.CidrIpv6 = &rule.CIDR
	default:
		out.CidrIpv4 = &rule.CIDR
	}
	return out
}
