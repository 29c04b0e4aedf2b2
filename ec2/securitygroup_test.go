package ec2

import (
	"context"
	"slices"
	"strings"
	"testing"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

func service(t *testing.T) (*Service, context.Context) {
	t.Helper()
	s := New(Deps{Store: open(t), Pages: aws.NewPages([]byte("key"))})
	return s, aws.WithCaller(t.Context(), aws.RootCaller(account, region, "AKIA"))
}

// permission is one rule for a TCP port in the form of requests.
func permission(port int32, cidrs ...string) api.IpPermission {
	p := api.IpPermission{IpProtocol: new("tcp"), FromPort: new(port), ToPort: new(port)}
	for _, c := range cidrs {
		p.IpRanges = append(p.IpRanges, api.IpRange{CidrIp: &c})
	}
	return p
}

func TestRulesAreReadAndRefused(t *testing.T) {
	s, ctx := service(t)
	mine := DefaultGroupID(account, region)
	ranges := []api.IpRange{{CidrIp: new("10.1.2.3/8")}}
	p := func(protocol string, from, to int32) api.IpPermission {
		return api.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to, IpRanges: ranges}
	}
	for name, c := range map[string]struct {
		in   api.IpPermission
		want string
	}{
		"tcp":                    {p("TCP", 80, 90), "peer: 10.0.0.0/8, TCP, from port: 80, to port: 90, ALLOW"},
		"number of tcp":          {p("6", 80, 80), "peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW"},
		"all":                    {p("all", 1, 2), "peer: 10.0.0.0/8, ALL, ALLOW"},
		"icmp":                   {p("icmp", 8, -1), "peer: 10.0.0.0/8, ICMP, from port: 8, to port: -1, ALLOW"},
		"another number":         {p("50", 1, 2), "peer: 10.0.0.0/8, 50, ALLOW"},
		"the group itself":       {api.IpPermission{IpProtocol: new("-1"), UserIdGroupPairs: []api.UserIdGroupPair{{GroupName: new("default"), UserId: new(account)}}}, "peer: " + mine + ", ALL, ALLOW"},
		"IPv6":                   {api.IpPermission{IpProtocol: new("-1"), Ipv6Ranges: []api.Ipv6Range{{CidrIpv6: new("2001:db8::1/32")}}}, "peer: 2001:db8::/32, ALL, ALLOW"},
		"no protocol":            {api.IpPermission{IpRanges: ranges}, "MissingParameter"},
		"unknown protocol":       {p("sctpx", 1, 2), "InvalidParameterValue"},
		"number out of range":    {p("256", 1, 2), "InvalidParameterValue"},
		"number with zeros":      {p("006", 1, 2), "InvalidParameterValue"},
		"no ports":               {api.IpPermission{IpProtocol: new("udp"), IpRanges: ranges}, "InvalidParameterValue"},
		"ports the wrong way":    {p("tcp", 90, 80), "InvalidParameterValue"},
		"negative port":          {p("tcp", -1, 80), "InvalidParameterValue"},
		"high port":              {p("tcp", 1, 65536), "InvalidParameterValue"},
		"ICMP code of any type":  {p("icmp", -1, 3), "InvalidParameterValue"},
		"no peer":                {api.IpPermission{IpProtocol: new("-1")}, "MissingParameter"},
		"no prefix":              {permission(80, "10.0.0.1"), "InvalidParameterValue"},
		"empty prefix":           {permission(80, ""), "InvalidParameterValue"},
		"IPv6 as IPv4":           {permission(80, "::/0"), "InvalidParameterValue"},
		"the same twice":         {permission(80, "10.0.0.0/8", "10.0.0.1/8"), "InvalidParameterValue"},
		"unknown group":          {api.IpPermission{IpProtocol: new("-1"), UserIdGroupPairs: []api.UserIdGroupPair{{GroupId: new("sg-00000000")}}}, "InvalidGroup.NotFound"},
		"malformed group":        {api.IpPermission{IpProtocol: new("-1"), UserIdGroupPairs: []api.UserIdGroupPair{{GroupId: new("x")}}}, "InvalidGroupId.Malformed"},
		"no group":               {api.IpPermission{IpProtocol: new("-1"), UserIdGroupPairs: []api.UserIdGroupPair{{}}}, "MissingParameter"},
		"group of another":       {api.IpPermission{IpProtocol: new("-1"), UserIdGroupPairs: []api.UserIdGroupPair{{GroupId: &mine, UserId: new("444455556666")}}}, "InvalidGroup.NotFound"},
		"prefix list":            {api.IpPermission{IpProtocol: new("-1"), PrefixListIds: []api.PrefixListId{{PrefixListId: new("pl-1")}}}, "InvalidPrefixListID.NotFound"},
		"bad description":        {api.IpPermission{IpProtocol: new("-1"), IpRanges: []api.IpRange{{CidrIp: new("10.0.0.0/8"), Description: new("a\nb")}}}, "InvalidParameterValue"},
		"description with space": {api.IpPermission{IpProtocol: new("-1"), IpRanges: []api.IpRange{{CidrIp: new("10.0.0.0/8"), Description: new("a b")}}}, "peer: 10.0.0.0/8, ALL, ALLOW"},
	} {
		rules, err := readRules(s.Store.Read(), aws.CallerFrom(ctx), []api.IpPermission{c.in}, false)
		got := codeOf(err)
		if err == nil {
			got = rules[0].words()
		}
		if got != c.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, c.want)
		}
	}
}

func TestTheDefaultGroupIsWrittenWhenItIsChanged(t *testing.T) {
	s, ctx := service(t)
	id := DefaultGroupID(account, region)
	before, _ := GroupByID(s.Store.Read(), account, region, id)
	if SecurityGroups.Len(s.Store.Read()) != 0 || len(before.Rules) != 2 {
		t.Errorf("before: %+v", before)
	}
	in := &api.AuthorizeSecurityGroupIngressRequest{GroupName: new("default"), IpPermissions: []api.IpPermission{permission(80, everywhere)}}
	if _, err := s.AuthorizeSecurityGroupIngress(ctx, in); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AuthorizeSecurityGroupIngress(ctx, in); codeOf(err) != "InvalidPermission.Duplicate" {
		t.Errorf("twice: %v", err)
	}
	after, _ := GroupByID(s.Store.Read(), account, region, id)
	if !slices.Equal(after.Rules[:2], before.Rules) || len(after.Rules) != 3 {
		t.Errorf("after: %+v", after)
	}
	if other, _ := GroupByID(s.Store.Read(), account, "us-east-1", DefaultGroupID(account, "us-east-1")); len(other.Rules) != 2 {
		t.Errorf("another region: %+v", other)
	}
	if _, err := s.CreateSecurityGroup(ctx, &api.CreateSecurityGroupRequest{GroupName: new("Default"), Description: new("d")}); codeOf(err) != "InvalidParameterValue" {
		t.Errorf("a second default: %v", err)
	}
	if _, err := s.DeleteSecurityGroup(ctx, &api.DeleteSecurityGroupRequest{GroupId: &id}); codeOf(err) != "CannotDelete" {
		t.Errorf("deleted: %v", err)
	}
}

func TestAGroupInUseStays(t *testing.T) {
	s, ctx := service(t)
	made, err := s.CreateSecurityGroup(ctx, &api.CreateSecurityGroupRequest{GroupName: new("web"), Description: new("d")})
	if err != nil {
		t.Fatal(err)
	}
	v, err := add(t, s.Store, account, *made.GroupId)
	if err != nil {
		t.Fatal(err)
	}
	remove := func() string {
		_, err := s.DeleteSecurityGroup(ctx, &api.DeleteSecurityGroupRequest{GroupId: made.GroupId})
		return codeOf(err)
	}
	if got := remove(); got != "DependencyViolation" {
		t.Errorf("with an interface: %s", got)
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		return SetInterfaceGroups(tx, v.Key(), []string{DefaultGroupID(account, region)})
	})
	if err != nil {
		t.Fatal(err)
	}
	peer := []api.IpPermission{{IpProtocol: new("-1"), UserIdGroupPairs: []api.UserIdGroupPair{{GroupId: made.GroupId}}}}
	for _, id := range []string{*made.GroupId, DefaultGroupID(account, region)} {
		if _, err := s.AuthorizeSecurityGroupIngress(ctx, &api.AuthorizeSecurityGroupIngressRequest{GroupId: &id, IpPermissions: peer}); err != nil {
			t.Fatal(err)
		}
	}
	if got := remove(); got != "DependencyViolation" {
		t.Errorf("named by another group: %s", got)
	}
	in := &api.RevokeSecurityGroupIngressRequest{GroupName: new("default"), IpPermissions: peer}
	if out, err := s.RevokeSecurityGroupIngress(ctx, in); err != nil || len(out.RevokedSecurityGroupRules) != 1 {
		t.Errorf("revoke: %+v %v", out, err)
	}
	if out, err := s.RevokeSecurityGroupIngress(ctx, in); err != nil || len(out.UnknownIpPermissions) != 1 || len(out.RevokedSecurityGroupRules) != 0 {
		t.Errorf("revoke again: %+v %v", out, err)
	}
	if got := remove(); got != "<nil>" {
		t.Errorf("named by itself only: %s", got)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	s, ctx := service(t)
	yes, id := new(true), DefaultGroupID(account, region)
	list := []api.IpPermission{permission(80, everywhere)}
	for name, call := range map[string]func() error{
		"CreateSecurityGroup": func() error {
			_, err := s.CreateSecurityGroup(ctx, &api.CreateSecurityGroupRequest{GroupName: new("web"), Description: new("d"), DryRun: yes})
			return err
		},
		"AuthorizeSecurityGroupIngress": func() error {
			_, err := s.AuthorizeSecurityGroupIngress(ctx, &api.AuthorizeSecurityGroupIngressRequest{GroupId: &id, IpPermissions: list, DryRun: yes})
			return err
		},
		"AuthorizeSecurityGroupEgress": func() error {
			_, err := s.AuthorizeSecurityGroupEgress(ctx, &api.AuthorizeSecurityGroupEgressRequest{GroupId: &id, IpPermissions: list, DryRun: yes})
			return err
		},
		"CreateTags": func() error {
			_, err := s.CreateTags(ctx, &api.CreateTagsRequest{Resources: []string{id}, Tags: []api.Tag{{Key: new("a"), Value: new("b")}}, DryRun: yes})
			return err
		},
		"DescribeVpcs": func() error {
			_, err := s.DescribeVpcs(ctx, &api.DescribeVpcsRequest{DryRun: yes})
			return err
		},
	} {
		if got := codeOf(call()); got != "DryRunOperation" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if r := s.Store.Read(); SecurityGroups.Len(r)+tagSets.Len(r) != 0 {
		t.Error("something was written")
	}
}

func TestAGroupHasAtMostSixtyRulesInEachDirection(t *testing.T) {
	s, ctx := service(t)
	id := DefaultGroupID(account, region)
	var list []api.IpPermission
	for port := range int32(mostRules - 1) {
		list = append(list, permission(port, everywhere))
	}
	if _, err := s.AuthorizeSecurityGroupIngress(ctx, &api.AuthorizeSecurityGroupIngressRequest{GroupId: &id, IpPermissions: list}); err != nil {
		t.Fatal(err)
	}
	more := []api.IpPermission{permission(1000, everywhere)}
	if _, err := s.AuthorizeSecurityGroupIngress(ctx, &api.AuthorizeSecurityGroupIngressRequest{GroupId: &id, IpPermissions: more}); codeOf(err) != "RulesPerSecurityGroupLimitExceeded" {
		t.Errorf("got %v", err)
	}
	if _, err := s.AuthorizeSecurityGroupEgress(ctx, &api.AuthorizeSecurityGroupEgressRequest{GroupId: &id, IpPermissions: more}); err != nil {
		t.Errorf("the other direction: %v", err)
	}
}

func TestTagsAreChecked(t *testing.T) {
	s, ctx := service(t)
	many := make([]api.Tag, mostTags+1)
	for i := range many {
		many[i] = api.Tag{Key: new(strings.Repeat("k", i+1)), Value: new("")}
	}
	vpc := DefaultVPCID(account, region)
	for name, c := range map[string]struct {
		id   string
		tags []api.Tag
		want string
	}{
		"no key":         {vpc, []api.Tag{{Value: new("v")}}, "InvalidParameterValue"},
		"reserved":       {vpc, []api.Tag{{Key: new("AWS:x"), Value: new("v")}}, "InvalidParameterValue"},
		"long key":       {vpc, []api.Tag{{Key: new(strings.Repeat("k", 129))}}, "InvalidParameterValue"},
		"long value":     {vpc, []api.Tag{{Key: new("k"), Value: new(strings.Repeat("v", 257))}}, "InvalidParameterValue"},
		"twice":          {vpc, []api.Tag{{Key: new("k")}, {Key: new("k")}}, "InvalidParameterValue"},
		"too many":       {vpc, many, "TagLimitExceeded"},
		"no such kind":   {"i-12345678", many[:1], "InvalidID"},
		"no such VPC":    {"vpc-12345678", many[:1], "InvalidVpcID.NotFound"},
		"malformed":      {"eni-", many[:1], "InvalidNetworkInterfaceId.Malformed"},
		"no such rule":   {"sgr-12345678", many[:1], "InvalidSecurityGroupRuleId.NotFound"},
		"fifty are good": {vpc, many[:mostTags], "<nil>"},
	} {
		if _, err := s.CreateTags(ctx, &api.CreateTagsRequest{Resources: []string{c.id}, Tags: c.tags}); codeOf(err) != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestTheTagsOfAGroupGoWithIt(t *testing.T) {
	s, ctx := service(t)
	tags := func(of api.ResourceType) []api.TagSpecification {
		return []api.TagSpecification{{ResourceType: of, Tags: []api.Tag{{Key: new("a"), Value: new("b")}}}}
	}
	made, err := s.CreateSecurityGroup(ctx, &api.CreateSecurityGroupRequest{
		GroupName: new("web"), Description: new("d"), TagSpecifications: tags(api.ResourceTypeSecurityGroup),
	})
	if err != nil {
		t.Fatal(err)
	}
	var list []api.IpPermission
	for port := range int32(mostRules) {
		list = append(list, permission(port, everywhere))
	}
	_, err = s.AuthorizeSecurityGroupIngress(ctx, &api.AuthorizeSecurityGroupIngressRequest{
		GroupId: made.GroupId, IpPermissions: list, TagSpecifications: tags(api.ResourceTypeSecurityGroupRule),
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := tagSets.Len(s.Store.Read()); n != mostRules+1 {
		t.Errorf("%d sets of tags", n)
	}
	if _, err := s.DeleteSecurityGroup(ctx, &api.DeleteSecurityGroupRequest{GroupId: made.GroupId}); err != nil {
		t.Fatal(err)
	}
	if n := tagSets.Len(s.Store.Read()); n != 0 {
		t.Errorf("%d sets of tags are left", n)
	}
}
