package ec2

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// flatRule is the old form of a rule: members of the request itself.
type flatRule struct {
	protocol                     *string
	from, to                     *int32
	cidr, sourceGroup, sourceOwn *string
}

func (f flatRule) given() bool { return f != flatRule{} }

// permissions are those of the request in one form. There must be some.
func (f flatRule) permissions(list []api.IpPermission) ([]api.IpPermission, error) {
	switch {
	case f.given() && len(list) > 0:
		return nil, aws.Errorf("InvalidParameterCombination", "The parameter ipPermissions may not be used with ipProtocol, fromPort, toPort, cidrIp or sourceSecurityGroupName.")
	case !f.given():
		return list, nil
	}
	p := api.IpPermission{IpProtocol: f.protocol, FromPort: f.from, ToPort: f.to}
	if f.cidr != nil {
		p.IpRanges = []api.IpRange{{CidrIp: f.cidr}}
	}
	if f.sourceGroup != nil {
		p.UserIdGroupPairs = []api.UserIdGroupPair{{GroupName: f.sourceGroup, UserId: f.sourceOwn}}
		if f.protocol == nil {
			p.IpProtocol = new("-1")
		}
	}
	return []api.IpPermission{p}, nil
}

// refuse is for outbound rules, which EC2 takes as IP permissions only.
func (f flatRule) refuse() error {
	if f.given() {
		return aws.Errorf("InvalidParameterValue", "Outbound rules are given as ipPermissions only.")
	}
	return nil
}

// permissionOf is the permission that a rule of ModifySecurityGroupRules is.
func permissionOf(v api.SecurityGroupRuleRequest) api.IpPermission {
	p := api.IpPermission{IpProtocol: v.IpProtocol, FromPort: v.FromPort, ToPort: v.ToPort}
	if v.CidrIpv4 != nil {
		p.IpRanges = []api.IpRange{{CidrIp: v.CidrIpv4, Description: v.Description}}
	}
	if v.CidrIpv6 != nil {
		p.Ipv6Ranges = []api.Ipv6Range{{CidrIpv6: v.CidrIpv6, Description: v.Description}}
	}
	if v.ReferencedGroupId != nil {
		p.UserIdGroupPairs = []api.UserIdGroupPair{{GroupId: v.ReferencedGroupId, Description: v.Description}}
	}
	if v.PrefixListId != nil {
		p.PrefixListIds = []api.PrefixListId{{PrefixListId: v.PrefixListId}}
	}
	return p
}

// countPeers is how many rules permissions become.
func countPeers(list []api.IpPermission) (n int) {
	for _, p := range list {
		n += len(p.IpRanges) + len(p.Ipv6Ranges) + len(p.UserIdGroupPairs) + len(p.PrefixListIds)
	}
	return n
}

// readRules checks permissions and makes one rule of each peer, without an ID.
func readRules(r store.Reader, c aws.Caller, list []api.IpPermission, egress bool) ([]Rule, error) {
	if len(list) == 0 {
		return nil, aws.Errorf("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	var out []Rule
	for _, p := range list {
		base, err := readPorts(p)
		if err != nil {
			return nil, err
		}
		base.Egress = egress
		rules, err := readPeers(r, c, p, base)
		if err != nil {
			return nil, err
		}
		for _, rule := range rules {
			if slices.ContainsFunc(out, rule.same) {
				return nil, aws.Errorf("InvalidParameterValue", "The same permission must not appear multiple times")
			}
			out = append(out, rule)
		}
	}
	return out, nil
}

// protocols are the names of IP protocols that have one. Source: EC2 API reference, IpPermission.
var protocols = map[string]string{"all": "-1", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}

// readPorts reads protocol and ports, or ICMP's type and code.
func readPorts(p api.IpPermission) (Rule, error) {
	if p.IpProtocol == nil {
		return Rule{}, aws.Errorf("MissingParameter", "The request must contain the parameter ipProtocol")
	}
	name := strings.ToLower(*p.IpProtocol)
	if known, ok := protocols[name]; ok {
		name = known
	}
	rule := Rule{Protocol: name, From: -1, To: -1}
	switch name {
	case "tcp", "udp":
		if p.FromPort == nil || p.ToPort == nil {
			return Rule{}, aws.Errorf("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		rule.From, rule.To = *p.FromPort, *p.ToPort
		if rule.From < 0 || rule.To > 65535 || rule.From > rule.To {
			return Rule{}, aws.Errorf("InvalidParameterValue", "Invalid %s port range: %d to %d.", strings.ToUpper(name), rule.From, rule.To)
		}
	case "icmp", "icmpv6":
		if p.FromPort != nil {
			rule.From = *p.FromPort
		}
		if p.ToPort != nil {
			rule.To = *p.ToPort
		}
		if rule.From < -1 || rule.From > 255 || rule.To < -1 || rule.To > 255 || rule.From == -1 && rule.To != -1 {
			return Rule{}, aws.Errorf("InvalidParameterValue", "ICMP code (%d) for type (%d) is invalid", rule.To, rule.From)
		}
	default:
		n, err := strconv.Atoi(name)
		if err != nil || n < -1 || n > 255 || strconv.Itoa(n) != name {
			return Rule{}, aws.Errorf("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", *p.IpProtocol)
		}
	}
	return rule, nil
}

// readPeers makes a rule of each peer of a permission.
func readPeers(r store.Reader, c aws.Caller, p api.IpPermission, base Rule) (out []Rule, err error) {
	add := func(cidr, group string, description *string) {
		rule := base
		rule.CIDR, rule.Group, rule.Description = cidr, group, aws.Value(description)
		if err == nil && !ruleText.MatchString(rule.Description) {
			err = aws.Errorf("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings of up to 255 characters of a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
		}
		out = append(out, rule)
	}
	for _, v := range p.IpRanges {
		cidr, err := readCIDR(aws.Value(v.CidrIp), false)
		if err != nil {
			return nil, err
		}
		add(cidr, "", v.Description)
	}
	for _, v := range p.Ipv6Ranges {
		cidr, err := readCIDR(aws.Value(v.CidrIpv6), true)
		if err != nil {
			return nil, err
		}
		add(cidr, "", v.Description)
	}
	for _, v := range p.UserIdGroupPairs {
		g, err := peerGroup(r, c, v)
		if err != nil {
			return nil, err
		}
		add("", g.ID, v.Description)
	}
	for _, v := range p.PrefixListIds {
		return nil, aws.Errorf("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist", aws.Value(v.PrefixListId))
	}
	if len(out) == 0 {
		return nil, aws.Errorf("MissingParameter", "Each of ipPermissions must have an IP range or a security group")
	}
	return out, err
}

// ruleText is what descriptions of rules consist of. Source: EC2 API reference, IpRange.
var ruleText = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)

// peerGroup finds the group that a rule names. Only the caller's own exist: there is no peering of VPCs.
func peerGroup(r store.Reader, c aws.Caller, v api.UserIdGroupPair) (SecurityGroup, error) {
	if owner := aws.Value(v.UserId); owner != "" && owner != c.Account {
		return SecurityGroup{}, aws.Errorf("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
	}
	if v.VpcId != nil && *v.VpcId != DefaultVPCID(c.Account, c.Region) {
		return SecurityGroup{}, kindVPC.missing(*v.VpcId)
	}
	if v.VpcPeeringConnectionId != nil {
		return SecurityGroup{}, aws.Errorf("InvalidVpcPeeringConnectionID.NotFound", "The vpcPeeringConnection ID '%s' does not exist", *v.VpcPeeringConnectionId)
	}
	return findGroup(r, c, v.GroupId, v.GroupName)
}

// readCIDR reads a prefix, and clears the bits behind it, as EC2 does.
func readCIDR(s string, six bool) (string, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is6() != six || p.Addr().Is4In6() {
		return "", aws.Errorf("InvalidParameterValue", "CIDR block %s is malformed", s)
	}
	return p.Masked().String(), nil
}

// words names a rule as EC2's errors do.
func (rule Rule) words() string {
	peer := rule.CIDR + rule.Group
	if rule.Protocol == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	if !rule.hasPorts() {
		return fmt.Sprintf("peer: %s, %s, ALLOW", peer, rule.Protocol)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(rule.Protocol), rule.From, rule.To)
}
