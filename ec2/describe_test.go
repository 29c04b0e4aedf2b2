package ec2

import (
	"slices"
	"strings"
	"testing"

	api "berth/api/ec2"
	"berth/aws"
)

// answers asks every filter of a listing about an item; a filter that its own answer does not match is wrong.
func answers[T any](t *testing.T, l listing[T], item T) {
	t.Helper()
	for name, of := range l.filters {
		for _, v := range of(item) {
			v = strings.ReplaceAll(v, "*", `\*`)
			got, err := l.filters.keep([]T{item}, []api.Filter{{Name: &name, Values: []string{"x", v}}}, l.tags)
			if err != nil || len(got) != 1 {
				t.Errorf("%s %s=%s: %v %v", l.operation, name, v, got, err)
			}
		}
	}
}

func TestEveryFilterWorksOnWhatIsThere(t *testing.T) {
	s, ctx := service(t)
	v, err := add(t, s.Store, account, DefaultGroupID(account, region))
	if err != nil {
		t.Fatal(err)
	}
	vpcList, err := s.DescribeVpcs(ctx, &api.DescribeVpcsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, vpcs, vpcList.Vpcs[0])
	subnetList, err := s.DescribeSubnets(ctx, &api.DescribeSubnetsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, subnets, subnetList.Subnets[0])
	if n := *subnetList.Subnets[0].AvailableIpAddressCount; n != 4090 {
		t.Errorf("%d addresses are free", n)
	}
	tables, err := s.DescribeRouteTables(ctx, &api.DescribeRouteTablesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, routeTables, tables.RouteTables[0])
	gateways, err := s.DescribeInternetGateways(ctx, &api.DescribeInternetGatewaysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, internetGateways, gateways.InternetGateways[0])
	acls, err := s.DescribeNetworkAcls(ctx, &api.DescribeNetworkAclsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, networkACLs, acls.NetworkAcls[0])
	groups, err := s.DescribeSecurityGroups(ctx, &api.DescribeSecurityGroupsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, securityGroups, groups.SecurityGroups[0])
	interfaces, err := s.DescribeNetworkInterfaces(ctx, &api.DescribeNetworkInterfacesRequest{NetworkInterfaceIds: []string{v.ID}})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, networkInterfaces, interfaces.NetworkInterfaces[0])
	if got := interfaces.NetworkInterfaces[0]; got.Attachment != nil || got.Status != api.NetworkInterfaceStatusAvailable {
		t.Errorf("an interface of nobody's: %+v", got)
	}
}

func TestInterfacesOfLoadBalancersAreShownAsClientsLookForThem(t *testing.T) {
	s, _ := service(t)
	v, err := add(t, s.Store, account, DefaultGroupID(account, region))
	if err != nil {
		t.Fatal(err)
	}
	v.RequesterID, v.Description, v.Created = "amazon-elb", "ELB app/web/50dc6c495c0c9188", 1700000000000
	shape := v.shape(s.Store.Read(), aws.RootCaller(account, region, "AKIA"), "euw1-az1")
	answers(t, networkInterfaces, shape)
	got, err := networkInterfaces.filters.keep([]api.NetworkInterface{shape}, []api.Filter{
		{Name: new("attachment.instance-owner-id"), Values: []string{"amazon-elb"}}, {Name: new("description"), Values: []string{"ELB app/web/*"}},
	}, networkInterfaces.tags)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v %v", got, err)
	}
	if a := got[0].Attachment; a.Status != api.AttachmentStatusAttached || !strings.HasPrefix(*a.AttachmentId, "ela-attach-") || *got[0].Groups[0].GroupName != "default" {
		t.Errorf("got %+v", got[0])
	}
}

func TestPagesHaveEverythingOnce(t *testing.T) {
	s, ctx := service(t)
	var want, got []string
	for range 23 {
		v, err := add(t, s.Store, account)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, v.ID)
	}
	slices.Sort(want)
	in := &api.DescribeNetworkInterfacesRequest{MaxResults: new(int32(5)), Filters: []api.Filter{{Name: new("subnet-id"), Values: []string{"subnet-*"}}}}
	for {
		out, err := s.DescribeNetworkInterfaces(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.NetworkInterfaces {
			got = append(got, *v.NetworkInterfaceId)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
		other := &api.DescribeNetworkInterfacesRequest{NextToken: out.NextToken}
		if _, err := s.DescribeNetworkInterfaces(ctx, other); codeOf(err) != "InvalidNextToken" {
			t.Errorf("the token of another list: %v", err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
