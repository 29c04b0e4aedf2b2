package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"

	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func TestELBv2LoadBalancerLife(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb := w.balancer("web", types.LoadBalancerTypeEnumApplication)
	byARN := &elbv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{*lb.LoadBalancerArn}}
	if err := elbv2.NewLoadBalancerAvailableWaiter(w.elb).Wait(ctx, byARN, time.Minute); err != nil {
		t.Error(err)
	}
	if err := elbv2.NewLoadBalancerExistsWaiter(w.elb).Wait(ctx, &elbv2.DescribeLoadBalancersInput{Names: []string{"web"}}, time.Minute); err != nil {
		t.Error(err)
	}
	got := must(w.elb.DescribeLoadBalancers(ctx, byARN))(t).LoadBalancers[0]
	if *got.LoadBalancerName != "web" || got.Scheme != types.LoadBalancerSchemeEnumInternetFacing || got.State.Code != types.LoadBalancerStateEnumActive || *got.VpcId != w.vpc ||
		len(got.AvailabilityZones) != 2 || len(got.SecurityGroups) != 1 || !recent(got.CreatedTime) || got.IpAddressType != types.IpAddressTypeIpv4 ||
		!strings.HasPrefix(*got.DNSName, "web-") || !strings.HasSuffix(*got.DNSName, "."+region+".elb.berth.internal") || *got.CanonicalHostedZoneId == "" {
		t.Errorf("got %+v", got)
	}
	if !strings.HasPrefix(*got.LoadBalancerArn, "arn:aws:elasticloadbalancing:"+region+":"+w.account+":loadbalancer/app/web/") {
		t.Errorf("got %s", *got.LoadBalancerArn)
	}
	if n := len(w.interfaces()); n != 2 {
		t.Errorf("got %d interfaces", n)
	}
	if again := w.balancer("web", types.LoadBalancerTypeEnumApplication); *again.LoadBalancerArn != *lb.LoadBalancerArn {
		t.Errorf("got %s", *again.LoadBalancerArn)
	}
	must(w.elb.DeleteLoadBalancer(ctx, &elbv2.DeleteLoadBalancerInput{LoadBalancerArn: lb.LoadBalancerArn}))(t)
	if err := elbv2.NewLoadBalancersDeletedWaiter(w.elb).Wait(ctx, byARN, time.Minute); err != nil {
		t.Error(err)
	}
	if left := w.interfaces(); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	_, err := w.elb.DescribeLoadBalancers(ctx, byARN)
	wantError(t, err, "LoadBalancerNotFound", "Load balancer '"+*lb.LoadBalancerArn+"' not found")
}

func TestELBv2ChangesOfALoadBalancer(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb := w.balancer("net", types.LoadBalancerTypeEnumNetwork)
	arn := lb.LoadBalancerArn
	set := must(w.elb.SetSubnets(ctx, &elbv2.SetSubnetsInput{LoadBalancerArn: arn, Subnets: w.subnets[1:2]}))(t)
	if len(set.AvailabilityZones) != 1 || *set.AvailabilityZones[0].SubnetId != w.subnets[1] {
		t.Errorf("got %+v", set)
	}
	web := w.balancer("web", types.LoadBalancerTypeEnumApplication)
	groups := must(w.elb.SetSecurityGroups(ctx, &elbv2.SetSecurityGroupsInput{LoadBalancerArn: web.LoadBalancerArn, SecurityGroups: web.SecurityGroups}))(t)
	if !slices.Equal(groups.SecurityGroupIds, web.SecurityGroups) {
		t.Errorf("got %+v", groups)
	}
	if out := must(w.elb.SetIpAddressType(ctx, &elbv2.SetIpAddressTypeInput{LoadBalancerArn: arn, IpAddressType: types.IpAddressTypeIpv4}))(t); out.IpAddressType != types.IpAddressTypeIpv4 {
		t.Errorf("got %+v", out)
	}
	attributes := must(w.elb.ModifyLoadBalancerAttributes(ctx, &elbv2.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: web.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: new("idle_timeout.timeout_seconds"), Value: new("120")}},
	}))(t).Attributes
	described := must(w.elb.DescribeLoadBalancerAttributes(ctx, &elbv2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: web.LoadBalancerArn}))(t).Attributes
	has := func(a types.LoadBalancerAttribute) bool {
		return *a.Key == "idle_timeout.timeout_seconds" && *a.Value == "120"
	}
	if len(attributes) != len(described) || !slices.ContainsFunc(described, has) {
		t.Errorf("got %+v", described)
	}
	if out := must(w.elb.DescribeCapacityReservation(ctx, &elbv2.DescribeCapacityReservationInput{LoadBalancerArn: arn}))(t); out.MinimumLoadBalancerCapacity != nil {
		t.Errorf("got %+v", out)
	}
	must(w.elb.ModifyCapacityReservation(ctx, &elbv2.ModifyCapacityReservationInput{LoadBalancerArn: arn, ResetCapacityReservation: new(true)}))(t)
}

func TestELBv2Tags(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb := w.balancer("web", types.LoadBalancerTypeEnumApplication)
	group := w.group("g", types.ProtocolEnumHttp)
	listener := w.listen(*lb.LoadBalancerArn, group, 80)
	arns := []string{*lb.LoadBalancerArn, group, listener}
	must(w.elb.AddTags(ctx, &elbv2.AddTagsInput{ResourceArns: arns, Tags: []types.Tag{{Key: new("a"), Value: new("1")}, {Key: new("b")}}}))(t)
	must(w.elb.RemoveTags(ctx, &elbv2.RemoveTagsInput{ResourceArns: arns, TagKeys: []string{"b", "made-by"}}))(t)
	for _, d := range must(w.elb.DescribeTags(ctx, &elbv2.DescribeTagsInput{ResourceArns: arns}))(t).TagDescriptions {
		if len(d.Tags) != 1 || *d.Tags[0].Key != "a" || *d.Tags[0].Value != "1" {
			t.Errorf("got %+v", d)
		}
	}
}

func TestELBv2WhatIsThereForAll(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	var names []string
	for pages := elbv2.NewDescribeAccountLimitsPaginator(w.elb, &elbv2.DescribeAccountLimitsInput{PageSize: new(int32(2))}); pages.HasMorePages(); {
		for _, l := range must(pages.NextPage(ctx))(t).Limits {
			names = append(names, *l.Name)
		}
	}
	if !slices.IsSorted(names) || !slices.Contains(names, "application-load-balancers") {
		t.Errorf("got %v", names)
	}
	policies := must(w.elb.DescribeSSLPolicies(ctx, &elbv2.DescribeSSLPoliciesInput{Names: []string{"ELBSecurityPolicy-TLS13-1-2-2021-06"}}))(t).SslPolicies
	if len(policies) != 1 || !slices.Equal(policies[0].SslProtocols, []string{"TLSv1.2", "TLSv1.3"}) || len(policies[0].Ciphers) == 0 {
		t.Errorf("got %+v", policies)
	}
	if out := must(w.elb.DescribeTrustStores(ctx, &elbv2.DescribeTrustStoresInput{}))(t); len(out.TrustStores) != 0 {
		t.Errorf("got %+v", out)
	}
	_, err := w.elb.CreateTrustStore(ctx, &elbv2.CreateTrustStoreInput{Name: new("t"), CaCertificatesBundleS3Bucket: new("b"), CaCertificatesBundleS3Key: new("k")})
	wantError(t, err, "OperationNotPermitted", "Trust stores are not supported by this Berth: there is no mutual authentication")
}

// A page token of one account is no good for another, and nothing of one is seen by the other.
func TestELBv2AccountsAreApart(t *testing.T) {
	w, stranger := newBalancing(t), newBalancing(t)
	ctx := t.Context()
	lb := w.balancer("web", types.LoadBalancerTypeEnumApplication)
	w.balancer("web2", types.LoadBalancerTypeEnumApplication)
	page := must(w.elb.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{PageSize: new(int32(1))}))(t)
	_, err := stranger.elb.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{Marker: page.NextMarker})
	if err == nil {
		t.Error("another account opens the marker")
	}
	if out := must(stranger.elb.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{}))(t); len(out.LoadBalancers) != 0 {
		t.Errorf("got %+v", out)
	}
	_, err = stranger.elb.DescribeListeners(ctx, &elbv2.DescribeListenersInput{LoadBalancerArn: lb.LoadBalancerArn})
	wantError(t, err, "LoadBalancerNotFound", "Load balancer '"+*lb.LoadBalancerArn+"' not found")
}
