package ec2

import (
	"strings"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

var securityGroups = listing[api.SecurityGroup]{
	operation: "DescribeSecurityGroups",
	id:        func(g api.SecurityGroup) string { return *g.GroupId },
	tags:      func(g api.SecurityGroup) []api.Tag { return g.Tags },
	missing:   kindGroup.missing,
	filters:   groupFilters(),
}

// groupFilters has the filters by the group itself, and those by its rules, which are alike for both directions.
func groupFilters() filters[api.SecurityGroup] {
	out := filters[api.SecurityGroup]{
		"description": func(g api.SecurityGroup) []string { return text(g.Description) },
		"group-id":    func(g api.SecurityGroup) []string { return text(g.GroupId) },
		"group-name":  func(g api.SecurityGroup) []string { return text(g.GroupName) },
		"owner-id":    func(g api.SecurityGroup) []string { return text(g.OwnerId) },
		"vpc-id":      func(g api.SecurityGroup) []string { return text(g.VpcId) },
	}
	pairs := func(of func(api.UserIdGroupPair) []string) func(api.IpPermission) []string {
		return func(p api.IpPermission) []string { return each(p.UserIdGroupPairs, of) }
	}
	for name, of := range map[string]func(api.IpPermission) []string{
		"cidr": func(p api.IpPermission) []string {
			return each(p.IpRanges, func(v api.IpRange) []string { return text(v.CidrIp) })
		},
		"ipv6-cidr": func(p api.IpPermission) []string {
			return each(p.Ipv6Ranges, func(v api.Ipv6Range) []string { return text(v.CidrIpv6) })
		},
		"from-port":      func(p api.IpPermission) []string { return number(p.FromPort) },
		"to-port":        func(p api.IpPermission) []string { return number(p.ToPort) },
		"protocol":       func(p api.IpPermission) []string { return text(p.IpProtocol) },
		"group-id":       pairs(func(v api.UserIdGroupPair) []string { return text(v.GroupId) }),
		"group-name":     pairs(func(v api.UserIdGroupPair) []string { return text(v.GroupName) }),
		"user-id":        pairs(func(v api.UserIdGroupPair) []string { return text(v.UserId) }),
		"prefix-list-id": none[api.IpPermission],
	} {
		out["ip-permission."+name] = func(g api.SecurityGroup) []string { return each(g.IpPermissions, of) }
		out["egress.ip-permission."+name] = func(g api.SecurityGroup) []string { return each(g.IpPermissionsEgress, of) }
	}
	return out
}

func (g SecurityGroup) shape(r store.Reader, c aws.Caller) api.SecurityGroup {
	return api.SecurityGroup{
		GroupId: &g.ID, GroupName: &g.Name, Description: &g.Description, VpcId: &g.VPC, OwnerId: &g.Account,
		SecurityGroupArn: new(g.ARN().String()), Tags: tagsOf(r, c, g.ID),
		IpPermissions: permissions(g, false), IpPermissionsEgress: permissions(g, true),
	}
}

// permissions gathers the rules of one direction by protocol and ports.
func permissions(g SecurityGroup, egress bool) []api.IpPermission {
	out := []api.IpPermission{}
	place := map[Rule]int{}
	for _, rule := range g.Rules {
		if rule.Egress != egress {
			continue
		}
		kind := Rule{Protocol: rule.Protocol, From: rule.From, To: rule.To}
		i, ok := place[kind]
		if !ok {
			i = len(out)
			place[kind] = i
			p := api.IpPermission{
				IpProtocol: &rule.Protocol, IpRanges: []api.IpRange{}, Ipv6Ranges: []api.Ipv6Range{},
				UserIdGroupPairs: []api.UserIdGroupPair{}, PrefixListIds: []api.PrefixListId{},
			}
			if rule.hasPorts() {
				p.FromPort, p.ToPort = &rule.From, &rule.To
			}
			out = append(out, p)
		}
		rule.addTo(&out[i], g.Account)
	}
	return out
}

// addTo adds the rule's peer to a permission.
func (rule Rule) addTo(p *api.IpPermission, account string) {
	var description *string
	if rule.Description != "" {
		description = &rule.Description
	}
	switch {
	case rule.Group != "":
		p.UserIdGroupPairs = append(p.UserIdGroupPairs, api.UserIdGroupPair{GroupId: &rule.Group, UserId: &account, Description: description})
	case strings.Contains(rule.CIDR, ":"):
		p.Ipv6Ranges = append(p.Ipv6Ranges, api.Ipv6Range{CidrIpv6: &rule.CIDR, Description: description})
	default:
		p.IpRanges = append(p.IpRanges, api.IpRange{CidrIp: &rule.CIDR, Description: description})
	}
}
