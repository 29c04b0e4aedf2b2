package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	api "berth/api/ec2"
	product "berth/ec2"
)

// ec2In is a client for a region.
func (w *world) ec2In(region string) *ec2.Client {
	c := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.credentials, nil })
	return ec2.New(ec2.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
}

// filter makes filters of pairs: a name and its values, separated by commas.
func filter(pairs ...string) (out []types.Filter) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Filter{Name: &pairs[i], Values: strings.Split(pairs[i+1], ",")})
	}
	return out
}

func TestEC2DefaultVPC(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.ec2In(region), t.Context()
	vpc := product.DefaultVPCID(w.account, region)
	t.Run("DescribeVpcs", func(t *testing.T) {
		out := must(c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("isDefault", "true", "cidr", "172.31.*")}))(t)
		if len(out.Vpcs) != 1 || *out.Vpcs[0].VpcId != vpc || *out.Vpcs[0].CidrBlock != "172.31.0.0/16" || out.Vpcs[0].State != types.VpcStateAvailable || *out.Vpcs[0].OwnerId != w.account {
			t.Errorf("got %+v", out.Vpcs)
		}
		out = must(c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("is-default", "false")}))(t)
		if len(out.Vpcs) != 0 {
			t.Errorf("got %+v", out.Vpcs)
		}
		_, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{vpc, "vpc-01234567"}})
		wantError(t, err, "InvalidVpcID.NotFound", "The vpc ID 'vpc-01234567' does not exist")
		_, err = w.ec2In("eu-west-1").DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{vpc}})
		wantError(t, err, "InvalidVpcID.NotFound", "The vpc ID '"+vpc+"' does not exist")
	})
	t.Run("DescribeVpcAttribute", func(t *testing.T) {
		for attribute, of := range map[types.VpcAttributeName]func(*ec2.DescribeVpcAttributeOutput) *types.AttributeBooleanValue{
			types.VpcAttributeNameEnableDnsSupport:   func(o *ec2.DescribeVpcAttributeOutput) *types.AttributeBooleanValue { return o.EnableDnsSupport },
			types.VpcAttributeNameEnableDnsHostnames: func(o *ec2.DescribeVpcAttributeOutput) *types.AttributeBooleanValue { return o.EnableDnsHostnames },
		} {
			out := must(c.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &vpc, Attribute: attribute}))(t)
			if v := of(out); v == nil || !*v.Value || *out.VpcId != vpc {
				t.Errorf("%s: %+v", attribute, out)
			}
		}
	})
	t.Run("DescribeSubnets", func(t *testing.T) {
		var got []string
		for pages := ec2.NewDescribeSubnetsPaginator(c, &ec2.DescribeSubnetsInput{Filters: filter("vpc-id", vpc, "default-for-az", "true")}); pages.HasMorePages(); {
			for _, s := range must(pages.NextPage(ctx))(t).Subnets {
				got = append(got, *s.AvailabilityZone+" "+*s.AvailabilityZoneId+" "+*s.CidrBlock)
				if *s.SubnetArn != "arn:aws:ec2:"+region+":"+w.account+":subnet/"+*s.SubnetId || *s.AvailableIpAddressCount > 4091 || *s.AvailableIpAddressCount < 1 {
					t.Errorf("got %+v", s)
				}
			}
		}
		want := []string{"us-east-1a use1-az1 172.31.0.0/20", "us-east-1b use1-az2 172.31.16.0/20", "us-east-1c use1-az3 172.31.32.0/20"}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Error(diff)
		}
		_, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-x"}})
		wantError(t, err, "InvalidSubnetId.Malformed", `Invalid id: "subnet-x" (expecting "subnet-...")`)
	})
	t.Run("DescribeRouteTables, DescribeInternetGateways", func(t *testing.T) {
		gateways := must(c.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{Filters: filter("attachment.vpc-id", vpc, "attachment.state", "available")}))(t)
		tables := must(c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filter("association.main", "true", "vpc-id", vpc)}))(t)
		if len(gateways.InternetGateways) != 1 || len(tables.RouteTables) != 1 {
			t.Fatalf("got %+v %+v", gateways.InternetGateways, tables.RouteTables)
		}
		routes := tables.RouteTables[0].Routes
		if len(routes) != 2 || *routes[0].GatewayId != "local" || *routes[0].DestinationCidrBlock != "172.31.0.0/16" ||
			*routes[1].GatewayId != *gateways.InternetGateways[0].InternetGatewayId || *routes[1].DestinationCidrBlock != "0.0.0.0/0" {
			t.Errorf("got %+v", routes)
		}
	})
	t.Run("DescribeNetworkAcls", func(t *testing.T) {
		out := must(c.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: filter("default", "true", "vpc-id", vpc, "entry.rule-action", "deny")}))(t)
		if len(out.NetworkAcls) != 1 || len(out.NetworkAcls[0].Associations) != 3 || len(out.NetworkAcls[0].Entries) != 4 {
			t.Errorf("got %+v", out.NetworkAcls)
		}
	})
	t.Run("DescribeAvailabilityZones", func(t *testing.T) {
		out := must(c.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1b"}, Filters: filter("state", "available", "opt-in-status", "opt-in-not-required")}))(t)
		if len(out.AvailabilityZones) != 1 || *out.AvailabilityZones[0].ZoneId != "use1-az2" || *out.AvailabilityZones[0].RegionName != region {
			t.Errorf("got %+v", out.AvailabilityZones)
		}
		_, err := c.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1z"}})
		wantError(t, err, "InvalidParameterValue", "Invalid availability zone: [us-east-1z]")
	})
	t.Run("DescribeRegions", func(t *testing.T) {
		other := w.ec2In("eu-west-1")
		must(other.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: new("web"), Description: new("d")}))(t)
		var got []string
		for _, r := range must(w.ec2In("ap-south-1").DescribeRegions(ctx, &ec2.DescribeRegionsInput{}))(t).Regions {
			got = append(got, *r.RegionName)
		}
		if diff := cmp.Diff(got, []string{"ap-south-1", "eu-west-1", "us-east-1"}); diff != "" {
			t.Error(diff)
		}
		_, err := c.DescribeRegions(ctx, &ec2.DescribeRegionsInput{RegionNames: []string{"sa-east-1"}})
		wantError(t, err, "InvalidParameterValue", "Invalid region name: 'sa-east-1'. There is nothing in it.")
	})
	t.Run("what there is none of", func(t *testing.T) {
		if out := must(c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: filter("attachment.instance-owner-id", "amazon-elb")}))(t); len(out.NetworkInterfaces) != 0 {
			t.Errorf("got %+v", out.NetworkInterfaces)
		}
		_, err := c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{"eni-01234567"}})
		wantError(t, err, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID 'eni-01234567' does not exist")
		if out := must(c.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: filter("domain", "vpc", "tag:a", "b")}))(t); len(out.Addresses) != 0 {
			t.Errorf("got %+v", out.Addresses)
		}
		if out := must(c.DescribeAddressesAttribute(ctx, &ec2.DescribeAddressesAttributeInput{}))(t); len(out.Addresses) != 0 {
			t.Errorf("got %+v", out.Addresses)
		}
		if out := must(c.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{Filter: filter("vpc-id", vpc)}))(t); len(out.NatGateways) != 0 {
			t.Errorf("got %+v", out.NatGateways)
		}
	})
	t.Run("what is not built is refused", func(t *testing.T) {
		_, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")})
		wantError(t, err, "UnsupportedOperation", "The operation CreateVpc of EC2 is not supported by this Berth.")
		for name := range product.Refused() {
			if api.API.Operation(name) == nil {
				t.Errorf("no operation %s", name)
			}
		}
	})
	t.Run("bad input", func(t *testing.T) {
		_, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("colour", "red")})
		wantError(t, err, "InvalidParameterValue", "The filter 'colour' is invalid")
		_, err = c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{MaxResults: new(int32(1))})
		wantError(t, err, "InvalidParameterValue", "Value (1) for parameter MaxResults is invalid. Member must have value greater than or equal to 5")
		_, err = c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{NextToken: new("x")})
		wantError(t, err, "InvalidNextToken", "The token 'x' is invalid")
		_, err = c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{DryRun: new(true)})
		wantError(t, err, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	})
}

func TestEC2SecurityGroups(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.ec2In(region), t.Context()
	made := must(c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: new("web"), Description: new("the web"), VpcId: new(product.DefaultVPCID(w.account, region)),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: []types.Tag{{Key: new("Name"), Value: new("w")}}}},
	}))(t)
	id := made.GroupId
	if *made.SecurityGroupArn != "arn:aws:ec2:"+region+":"+w.account+":security-group/"+*id || len(made.Tags) != 1 {
		t.Errorf("made %+v", made)
	}
	group := func() types.SecurityGroup {
		t.Helper()
		return must(c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*id}}))(t).SecurityGroups[0]
	}
	t.Run("AuthorizeSecurityGroupIngress, AuthorizeSecurityGroupEgress", func(t *testing.T) {
		in := &ec2.AuthorizeSecurityGroupIngressInput{GroupId: id, IpPermissions: []types.IpPermission{{
			IpProtocol: new("tcp"), FromPort: new(int32(80)), ToPort: new(int32(81)),
			IpRanges:         []types.IpRange{{CidrIp: new("0.0.0.0/0"), Description: new("all")}, {CidrIp: new("10.0.0.1/8")}},
			Ipv6Ranges:       []types.Ipv6Range{{CidrIpv6: new("::/0")}},
			UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: id}},
		}}, TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroupRule, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}}}}
		out := must(c.AuthorizeSecurityGroupIngress(ctx, in))(t)
		if !*out.Return || len(out.SecurityGroupRules) != 4 || *out.SecurityGroupRules[1].CidrIpv4 != "10.0.0.0/8" || len(out.SecurityGroupRules[0].Tags) != 1 {
			t.Errorf("got %+v", out.SecurityGroupRules)
		}
		_, err := c.AuthorizeSecurityGroupIngress(ctx, in)
		wantError(t, err, "InvalidPermission.Duplicate", `the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 81, ALLOW" already exists`)
		must(c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupName: new("web"), IpProtocol: new("udp"), FromPort: new(int32(53)), ToPort: new(int32(53)), CidrIp: new("10.0.0.0/8")}))(t)
		must(c.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: id, IpPermissions: []types.IpPermission{{
			IpProtocol: new("icmp"), FromPort: new(int32(-1)), ToPort: new(int32(-1)), IpRanges: []types.IpRange{{CidrIp: new("10.0.0.0/8")}},
		}}}))(t)
	})
	t.Run("DescribeSecurityGroups", func(t *testing.T) {
		g := group()
		if len(g.IpPermissions) != 2 || len(g.IpPermissions[0].IpRanges) != 2 || *g.IpPermissions[0].IpRanges[0].Description != "all" ||
			*g.IpPermissions[0].UserIdGroupPairs[0].UserId != w.account || len(g.IpPermissionsEgress) != 2 || g.IpPermissionsEgress[0].FromPort != nil {
			t.Errorf("got %+v", g)
		}
		for want, f := range map[string][]types.Filter{
			"web": filter("ip-permission.from-port", "80", "ip-permission.cidr", "0.0.0.0/0", "tag:Name", "w"), "default": filter("group-name", "def*"),
			"web default": filter("egress.ip-permission.protocol", "-1"), "": filter("ip-permission.to-port", "9"),
		} {
			var got []string
			for _, g := range must(c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: f}))(t).SecurityGroups {
				got = append(got, *g.GroupName)
			}
			slices.SortFunc(got, func(a, b string) int { return strings.Compare(b, a) })
			if strings.Join(got, " ") != want {
				t.Errorf("%v: got %v, want %s", *f[0].Name, got, want)
			}
		}
		_, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupNames: []string{"none"}})
		wantError(t, err, "InvalidGroup.NotFound", "The security group 'none' does not exist in default VPC '"+*group().VpcId+"'")
	})
	t.Run("DescribeSecurityGroupRules", func(t *testing.T) {
		n, first := 0, types.SecurityGroupRule{}
		for pages := ec2.NewDescribeSecurityGroupRulesPaginator(c, &ec2.DescribeSecurityGroupRulesInput{Filters: filter("group-id", *id), MaxResults: new(int32(5))}); pages.HasMorePages(); {
			for _, rule := range must(pages.NextPage(ctx))(t).SecurityGroupRules {
				n, first = n+1, rule
			}
		}
		if n != 7 || *first.GroupId != *id || *first.GroupOwnerId != w.account {
			t.Errorf("got %d, %+v", n, first)
		}
		tagged := must(c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filter("tag:a", "b")}))(t)
		if len(tagged.SecurityGroupRules) != 4 {
			t.Errorf("got %+v", tagged.SecurityGroupRules)
		}
	})
	t.Run("ModifySecurityGroupRules", func(t *testing.T) {
		rule := must(c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filter("tag:a", "b")}))(t).SecurityGroupRules[0].SecurityGroupRuleId
		update := func(cidr string) error {
			_, err := c.ModifySecurityGroupRules(ctx, &ec2.ModifySecurityGroupRulesInput{GroupId: id, SecurityGroupRules: []types.SecurityGroupRuleUpdate{{
				SecurityGroupRuleId: rule, SecurityGroupRule: &types.SecurityGroupRuleRequest{IpProtocol: new("tcp"), FromPort: new(int32(443)), ToPort: new(int32(443)), CidrIpv4: &cidr, Description: new("tls")},
			}}})
			return err
		}
		if err := update("192.0.2.0/24"); err != nil {
			t.Error(err)
		}
		got := must(c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*rule}}))(t).SecurityGroupRules[0]
		if *got.CidrIpv4 != "192.0.2.0/24" || *got.FromPort != 443 || *got.Description != "tls" || *got.IsEgress || len(got.Tags) != 1 {
			t.Errorf("got %+v", got)
		}
		wantError(t, update("x"), "InvalidParameterValue", "CIDR block x is malformed")
		rule = new("sgr-01234567")
		wantError(t, update("10.0.0.0/8"), "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID 'sgr-01234567' does not exist")
	})
	t.Run("RevokeSecurityGroupIngress, RevokeSecurityGroupEgress", func(t *testing.T) {
		udp := &ec2.RevokeSecurityGroupIngressInput{GroupName: new("web"), IpProtocol: new("udp"), FromPort: new(int32(53)), ToPort: new(int32(53)), CidrIp: new("10.0.0.0/8")}
		if out := must(c.RevokeSecurityGroupIngress(ctx, udp))(t); len(out.RevokedSecurityGroupRules) != 1 || len(out.UnknownIpPermissions) != 0 {
			t.Errorf("got %+v", out)
		}
		if out := must(c.RevokeSecurityGroupIngress(ctx, udp))(t); len(out.RevokedSecurityGroupRules) != 0 || len(out.UnknownIpPermissions) != 1 {
			t.Errorf("again: %+v", out)
		}
		var ids []string
		for _, rule := range must(c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filter("group-id", *id)}))(t).SecurityGroupRules {
			if *rule.IsEgress {
				ids = append(ids, *rule.SecurityGroupRuleId)
			}
		}
		if out := must(c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: id, SecurityGroupRuleIds: ids}))(t); len(out.RevokedSecurityGroupRules) != 2 {
			t.Errorf("got %+v", out)
		}
		_, err := c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: id, SecurityGroupRuleIds: ids})
		wantError(t, err, "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '"+ids[0]+"' does not exist")
	})
	t.Run("CreateTags, DescribeTags, DeleteTags", func(t *testing.T) {
		vpc := *group().VpcId
		must(c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{vpc, *id}, Tags: []types.Tag{{Key: new("x"), Value: new("1")}, {Key: new("y"), Value: new("")}}}))(t)
		list := func(pairs ...string) (got []string) {
			for _, tag := range must(c.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: filter(pairs...)}))(t).Tags {
				got = append(got, string(tag.ResourceType)+" "+*tag.Key+"="+*tag.Value)
			}
			return got
		}
		if diff := cmp.Diff(list("resource-id", *id), []string{"security-group Name=w", "security-group x=1", "security-group y="}); diff != "" {
			t.Error(diff)
		}
		must(c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{vpc}, Tags: []types.Tag{{Key: new("x"), Value: new("other")}, {Key: new("y")}}}))(t)
		if diff := cmp.Diff(list("resource-type", "vpc"), []string{"vpc x=1"}); diff != "" {
			t.Error(diff)
		}
		must(c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{vpc, *id}}))(t)
		if got := list("key", "x"); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		_, err := c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{"thing"}, Tags: []types.Tag{{Key: new("x")}}})
		wantError(t, err, "InvalidID", "The ID 'thing' is not valid")
	})
	t.Run("DeleteSecurityGroup", func(t *testing.T) {
		_, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: new("web"), Description: new("d")})
		wantError(t, err, "InvalidGroup.Duplicate", "The security group 'web' already exists for VPC '"+*group().VpcId+"'")
		if out := must(c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: id}))(t); !*out.Return || *out.GroupId != *id {
			t.Errorf("got %+v", out)
		}
		_, err = c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*id}})
		wantError(t, err, "InvalidGroup.NotFound", "The security group '"+*id+"' does not exist")
		standard := product.DefaultGroupID(w.account, region)
		_, err = c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &standard})
		wantError(t, err, "CannotDelete", `the specified group: "`+standard+`" name: "default" cannot be deleted by a user`)
	})
}

// The zone of a machine becomes a zone of the account and region, with a subnet.
func TestEC2ZonesOfMachines(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	must(w.ecs.RegisterContainerInstance(ctx, &ecs.RegisterContainerInstanceInput{
		Cluster:                  new(w.cluster("zones")),
		InstanceIdentityDocument: new(`{"instanceId":"i-0123456789abcdef0","availabilityZone":"rack-7"}`),
		TotalResources:           []ecstypes.Resource{{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: 1024}, {Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: 1024}},
	}))(t)
	eventually(t, "the zone has a subnet", func() bool {
		out := must(w.ec2In(region).DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filter("availability-zone", "rack-7")}))(t)
		return len(out.Subnets) == 1 && *out.Subnets[0].CidrBlock == "172.31.48.0/20" && *out.Subnets[0].AvailabilityZoneId == "use1-az4"
	})
}
