package ec2

import (
	"slices"

	"berth/aws"
	"berth/store"
)

// SecurityGroup is a security group. That of the default VPC named "default" is not written until it is changed.
type SecurityGroup struct {
	// Written by: CreateSecurityGroup.
	Account     string `json:"a"`
	Region      string `json:"r"`
	ID          string `json:"i"`
	VPC         string `json:"vp"`
	Name        string `json:"n"`
	Description string `json:"d"`
	// Rules are in the order in which they were made. Written by: CreateSecurityGroup, AuthorizeSecurityGroupIngress and -Egress,
	// RevokeSecurityGroupIngress and -Egress, ModifySecurityGroupRules.
	Rules []Rule `json:"ru,omitzero"`
}

// Rule is one rule of a security group: one peer, one range of ports.
type Rule struct {
	ID     string `json:"i"`
	Egress bool   `json:"e,omitzero"`
	// Protocol is tcp, udp, icmp, icmpv6, a number in decimal, or -1 for all.
	Protocol string `json:"p"`
	// From and To are ports; for ICMP its type and code; -1 means all of them.
	From int32 `json:"f"`
	To   int32 `json:"t"`
	// One of these is the peer: a prefix of addresses, or the ID of a security group.
	CIDR  string `json:"c,omitzero"`
	Group string `json:"g,omitzero"`

	Description string `json:"d,omitzero"`
}

// Indexes of SecurityGroups.
const (
	byGroupVPC  = "vpc"  // account/region/VPC
	byGroupName = "name" // account/region/VPC/name
	byGroupPeer = "peer" // account/region/ID of a security group that a rule names
)

// SecurityGroups is the table of security groups, by account/region/ID.
var SecurityGroups = store.NewTable("ec2/security-group", SecurityGroup.Key,
	store.Index(byGroupVPC, func(g SecurityGroup) []string { return []string{key(g.Account, g.Region, g.VPC)} }),
	store.Index(byGroupName, func(g SecurityGroup) []string { return []string{key(g.Account, g.Region, g.VPC+"/"+g.Name)} }),
	store.Index(byGroupPeer, func(g SecurityGroup) []string {
		var out []string
		for _, rule := range g.Rules {
			if rule.Group != "" {
				out = append(out, key(g.Account, g.Region, rule.Group))
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}),
)

// Key is account/region/ID.
func (g SecurityGroup) Key() string { return key(g.Account, g.Region, g.ID) }

// ARN names the security group.
func (g SecurityGroup) ARN() aws.ARN {
	return aws.NewARN("ec2", g.Region, g.Account, "security-group/"+g.ID)
}

const defaultGroupName = "default"

// everywhere is every IPv4 address.
const everywhere = "0.0.0.0/0"

// DefaultGroupID is the ID of the security group "default" of the default VPC.
func DefaultGroupID(account, region string) string {
	return derive(kindGroup.prefix, account, region)
}

// defaultGroup is the group as it is before it is changed: its members may reach each other, and everything outside.
// Source: VPC user guide, "Default security groups".
func defaultGroup(account, region string) SecurityGroup {
	id := DefaultGroupID(account, region)
	return SecurityGroup{
		Account: account, Region: region, ID: id, VPC: DefaultVPCID(account, region),
		Name: defaultGroupName, Description: "default VPC security group",
		Rules: []Rule{
			{ID: derive(kindRule.prefix, account, region, id, "in"), Protocol: "-1", From: -1, To: -1, Group: id},
			{ID: derive(kindRule.prefix, account, region, id, "out"), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: everywhere},
		},
	}
}

// GroupByID finds a security group of an account and region.
func GroupByID(r store.Reader, account, region, id string) (SecurityGroup, bool) {
	if g, ok := SecurityGroups.Get(r, key(account, region, id)); ok {
		return g, true
	}
	if id == DefaultGroupID(account, region) {
		return defaultGroup(account, region), true
	}
	return SecurityGroup{}, false
}

// MissingGroup is the error for the ID of a security group that does not exist: InvalidGroup.NotFound or InvalidGroupId.Malformed.
func MissingGroup(id string) *aws.Error { return kindGroup.missing(id) }
