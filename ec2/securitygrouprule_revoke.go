package ec2

import (
	"context"
	"slices"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// RevokeSecurityGroupIngress removes rules by ID or by what they say. In a default VPC, and there is no other yet, what names
// no rule is no error: it is listed in the answer.
func (s *Service) RevokeSecurityGroupIngress(ctx context.Context, in *api.RevokeSecurityGroupIngressRequest) (*api.RevokeSecurityGroupIngressResult, error) {
	flat := flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}
	list, err := flat.permissions(in.IpPermissions)
	if err != nil {
		return nil, err
	}
	removed, unknown, err := s.revoke(ctx, change{id: in.GroupId, name: in.GroupName, permissions: list, ruleIDs: in.SecurityGroupRuleIds, dryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	return &api.RevokeSecurityGroupIngressResult{Return: new(true), RevokedSecurityGroupRules: removed, UnknownIpPermissions: unknown}, nil
}

// RevokeSecurityGroupEgress is RevokeSecurityGroupIngress for outbound rules.
func (s *Service) RevokeSecurityGroupEgress(ctx context.Context, in *api.RevokeSecurityGroupEgressRequest) (*api.RevokeSecurityGroupEgressResult, error) {
	flat := flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}
	if err := flat.refuse(); err != nil {
		return nil, err
	}
	removed, unknown, err := s.revoke(ctx, change{id: in.GroupId, egress: true, permissions: in.IpPermissions, ruleIDs: in.SecurityGroupRuleIds, dryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	return &api.RevokeSecurityGroupEgressResult{Return: new(true), RevokedSecurityGroupRules: removed, UnknownIpPermissions: unknown}, nil
}

// revoke removes rules from a group, and their tags.
func (s *Service) revoke(ctx context.Context, in change) (removed []api.RevokedSecurityGroupRule, unknown []api.IpPermission, err error) {
	if len(in.ruleIDs) > 0 && len(in.permissions) > 0 {
		return nil, nil, aws.Errorf("InvalidParameterCombination", "The parameter securityGroupRuleIds may not be used with ipPermissions.")
	}
	c := aws.CallerFrom(ctx)
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		removed, unknown = nil, nil
		g, err := findGroup(tx, c, in.id, in.name)
		if err != nil {
			return err
		}
		gone, missing, err := in.rulesOf(tx, c, g)
		if err != nil {
			return err
		}
		for _, rule := range missing {
			unknown = append(unknown, rule.permission(g.Account))
		}
		for _, rule := range gone {
			removed = append(removed, rule.revoked(g))
			dropTags(tx, c, rule.ID)
		}
		if len(gone) > 0 {
			g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(rule Rule) bool { return slices.Contains(gone, rule) })
			SecurityGroups.Put(tx, g)
		}
		return dryRun(in.dryRun)
	})
	return removed, unknown, err
}

// rulesOf finds the rules of g that a request names, and those that it names and g has not.
func (in change) rulesOf(r store.Reader, c aws.Caller, g SecurityGroup) (found, missing []Rule, err error) {
	for _, id := range in.ruleIDs {
		i := slices.IndexFunc(g.Rules, func(rule Rule) bool { return rule.ID == id && rule.Egress == in.egress })
		if i < 0 {
			return nil, nil, kindRule.missing(id)
		}
		if !slices.Contains(found, g.Rules[i]) {
			found = append(found, g.Rules[i])
		}
	}
	if len(in.ruleIDs) > 0 {
		return found, nil, nil
	}
	named, err := readRules(r, c, in.permissions, in.egress)
	if err != nil {
		return nil, nil, err
	}
	for _, rule := range named {
		if i := slices.IndexFunc(g.Rules, rule.same); i >= 0 {
			found = append(found, g.Rules[i])
		} else {
			missing = append(missing, rule)
		}
	}
	return found, missing, nil
}

// permission is the rule as a permission of its own.
func (rule Rule) permission(account string) api.IpPermission {
	p := api.IpPermission{IpProtocol: &rule.Protocol}
	if rule.hasPorts() {
		p.FromPort, p.ToPort = &rule.From, &rule.To
	}
	rule.addTo(&p, account)
	return p
}

func (rule Rule) revoked(g SecurityGroup) api.RevokedSecurityGroupRule {
	out := api.RevokedSecurityGroupRule{
		SecurityGroupRuleId: &rule.ID, GroupId: &g.ID, IsEgress: &rule.Egress, IpProtocol: &rule.Protocol, FromPort: &rule.From, ToPort: &rule.To,
	}
	if rule.Description != "" {
		out.Description = &rule.Description
	}
	switch {
	case rule.Group != "":
		out.ReferencedGroupId = &rule.Group
	case strings.Contains(rule.CIDR, ":"):
		out.CidrIpv6 = &rule.CIDR
	default:
		out.CidrIpv4 = &rule.CIDR
	}
	return out
}
