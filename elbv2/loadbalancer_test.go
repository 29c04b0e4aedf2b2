package elbv2

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/ec2"
	"berth/store"
)

func TestLoadBalancerHasAnInterfaceInEachZone(t *testing.T) {
	w := newAPIWorld(t)
	out := do[api.CreateLoadBalancerOutput](w, "CreateLoadBalancer", `{"Name":"Web","Subnets":["SUBNET1","SUBNET2"],"Scheme":"internal"}`)
	v := out.LoadBalancers[0]
	if v.State.Code != api.LoadBalancerStateEnumActive || v.Type != api.LoadBalancerTypeEnumApplication || len(v.AvailabilityZones) != 2 ||
		!slices.Equal(v.SecurityGroups, []string{ec2.DefaultGroupID(testAccount, testRegion)}) || v.IpAddressType != api.IpAddressTypeIpv4 {
		t.Errorf("got %+v", v)
	}
	if name := *v.DNSName; !strings.HasPrefix(name, "internal-web-") || !strings.HasSuffix(name, "."+testRegion+".elb.berth.internal") || len(name) != len("internal-web-0123456789."+testRegion+".elb.berth.internal") {
		t.Errorf("got %s", name)
	}
	record := slices.Collect(LoadBalancers.All(w.Store.Read()))[0]
	interfaces := slices.Collect(ec2.Interfaces.All(w.Store.Read()))
	if record.Number != 1 || len(interfaces) != 2 || interfaces[0].Description != "ELB "+record.Path() {
		t.Errorf("got %+v, %+v", record, interfaces)
	}
	for _, z := range record.Zones {
		if !slices.ContainsFunc(interfaces, func(i ec2.Interface) bool { return i.ID == z.Interface && i.Address == z.Address && i.Zone == z.Zone }) {
			t.Errorf("no interface for %+v", z)
		}
	}
	do[api.DeleteLoadBalancerOutput](w, "DeleteLoadBalancer", `{"LoadBalancerArn":"`+*v.LoadBalancerArn+`"}`)
	if r := w.Store.Read(); LoadBalancers.Len(r)+ec2.Interfaces.Len(r) != 0 {
		t.Error("something is left")
	}
	do[api.DeleteLoadBalancerOutput](w, "DeleteLoadBalancer", `{"LoadBalancerArn":"`+*v.LoadBalancerArn+`"}`)
}

func TestSameSettingsGiveTheSameLoadBalancer(t *testing.T) {
	w := newAPIWorld(t)
	first := w.balancer("web", "application")
	again := do[api.CreateLoadBalancerOutput](w, "CreateLoadBalancer", `{"Name":"web","Subnets":["SUBNET2","SUBNET1"]}`)
	if *again.LoadBalancers[0].LoadBalancerArn != first {
		t.Errorf("got %s, want %s", *again.LoadBalancers[0].LoadBalancerArn, first)
	}
	w.refuses([]badInput{
		{"CreateLoadBalancer", `{"Name":"web","Subnets":["SUBNET1","SUBNET3"]}`, "DuplicateLoadBalancerName: A load balancer with the same name 'web' exists, but with different settings"},
		{"CreateLoadBalancer", `{"Name":"web","Type":"network","Subnets":["SUBNET1","SUBNET2"]}`, "DuplicateLoadBalancerName"},
		{"CreateLoadBalancer", `{"Name":"web","Subnets":["SUBNET1","SUBNET2"],"Tags":[{"Key":"a"}]}`, "DuplicateLoadBalancerName"},
	})
}

func TestTheLowestFreeNumberIsTaken(t *testing.T) {
	w := newAPIWorld(t)
	a, _, c := w.balancer("a", "application"), w.balancer("b", "network"), w.balancer("c", "network")
	do[api.DeleteLoadBalancerOutput](w, "DeleteLoadBalancer", `{"LoadBalancerArn":"`+a+`"}`)
	w.balancer("d", "application")
	var got []string
	for v := range LoadBalancers.All(w.Store.Read()) {
		got = append(got, fmt.Sprint(v.Name, v.Number))
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"b2", "c3", "d1"}) {
		t.Errorf("got %v", got)
	}
	_ = c
}

func TestLoadBalancersAreFull(t *testing.T) {
	w := newAPIWorld(t)
	if err := w.Store.Update(w.ctx, func(tx *store.Tx) error {
		for n := 1; n <= 1022; n++ {
			LoadBalancers.Put(tx, LoadBalancer{Account: "1", Region: "r", Kind: "network", Name: fmt.Sprint(n), ID: "1", Number: n})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.refuses([]badInput{{"CreateLoadBalancer", `{"Name":"web","Subnets":["SUBNET1","SUBNET2"]}`, "TooManyLoadBalancers"}})
}

func TestBadLoadBalancers(t *testing.T) {
	w := newAPIWorld(t)
	web, net := w.balancer("web", "application"), w.balancer("net", "network")
	gone := strings.Replace(web, "/web/", "/gone/", 1)
	foreign := strings.Replace(web, testAccount, "999988887777", 1)
	create := func(more string) string { return `{"Name":"x","Subnets":["SUBNET1","SUBNET2"]` + more + `}` }
	w.refuses([]badInput{
		{"CreateLoadBalancer", `{"Name":"` + strings.Repeat("x", 33) + `","Subnets":["SUBNET1","SUBNET2"]}`, "ValidationError: The load balancer name"},
		{"CreateLoadBalancer", `{"Name":"a_b","Subnets":["SUBNET1","SUBNET2"]}`, "ValidationError: The load balancer name 'a_b' can only contain characters that are alphanumeric characters or hyphens(-)"},
		{"CreateLoadBalancer", `{"Name":"-a","Subnets":["SUBNET1","SUBNET2"]}`, "ValidationError: The load balancer name '-a' cannot begin or end with a hyphen(-)"},
		{"CreateLoadBalancer", `{"Name":"internal-a","Subnets":["SUBNET1","SUBNET2"]}`, "ValidationError: The load balancer name 'internal-a' cannot begin with 'internal-'"},
		{"CreateLoadBalancer", `{"Name":"","Subnets":["SUBNET1","SUBNET2"]}`, "ValidationError: The load balancer name"},
		{"CreateLoadBalancer", create(`,"Type":"gateway"`), "InvalidConfigurationRequest: Gateway load balancers"},
		{"CreateLoadBalancer", create(`,"Type":"x"`), "model: "},
		{"CreateLoadBalancer", create(`,"IpAddressType":"dualstack"`), "InvalidConfigurationRequest: The IP address type 'dualstack'"},
		{"CreateLoadBalancer", create(`,"CustomerOwnedIpv4Pool":"ipv4pool-coip-1"`), "InvalidConfigurationRequest: "},
		{"CreateLoadBalancer", create(`,"IpamPools":{"Ipv4IpamPoolId":"ipam-pool-1"}`), "InvalidConfigurationRequest: "},
		{"CreateLoadBalancer", create(`,"EnablePrefixForIpv6SourceNat":"on"`), "InvalidConfigurationRequest: "},
		{"CreateLoadBalancer", create(`,"SubnetMappings":[{"SubnetId":"SUBNET1"}]`), "ValidationError: You can specify either subnets or subnet mappings, but not both"},
		{"CreateLoadBalancer", create(`,"SecurityGroups":["sg-1"]`), "InvalidSecurityGroup: The security group 'sg-1' does not exist"},
		{"CreateLoadBalancer", create(`,"Tags":[{"Key":"a"},{"Key":"a"}]`), "DuplicateTagKeys: "},
		{"CreateLoadBalancer", create(`,"Tags":[{"Key":"aws:a"}]`), "ValidationError: "},
		{"CreateLoadBalancer", `{"Name":"x"}`, "ValidationError: At least two subnets in two different Availability Zones must be specified"},
		{"CreateLoadBalancer", `{"Name":"x","Subnets":["SUBNET1"]}`, "ValidationError: At least two subnets"},
		{"CreateLoadBalancer", `{"Name":"x","Type":"network"}`, "ValidationError: At least one subnet must be specified"},
		{"CreateLoadBalancer", `{"Name":"x","Subnets":["SUBNET1","subnet-1"]}`, "SubnetNotFound: The subnet ID 'subnet-1' does not exist"},
		{"CreateLoadBalancer", `{"Name":"x","Subnets":["SUBNET1","SUBNET1"]}`, "ValidationError: The subnet ID"},
		{"CreateLoadBalancer", `{"Name":"x","Type":"network","SubnetMappings":[{"SubnetId":"SUBNET1","AllocationId":"eipalloc-1"}]}`, "InvalidConfigurationRequest: Elastic IP"},
		{"CreateLoadBalancer", `{"Name":"x","Type":"network","SubnetMappings":[{"SubnetId":"SUBNET1","PrivateIPv4Address":"172.31.0.9"}]}`, "InvalidConfigurationRequest: The private addresses"},
		{"DescribeLoadBalancers", `{"LoadBalancerArns":["` + gone + `"]}`, "LoadBalancerNotFound: Load balancer '" + gone + "' not found"},
		{"DescribeLoadBalancers", `{"LoadBalancerArns":["` + foreign + `"]}`, "LoadBalancerNotFound: "},
		{"DescribeLoadBalancers", `{"LoadBalancerArns":["x"]}`, "ValidationError: 'x' is not a valid load balancer ARN"},
		{"DescribeLoadBalancers", `{"Names":["nobody"]}`, "LoadBalancerNotFound: Load balancers '[nobody]' not found"},
		{"DescribeLoadBalancers", `{"Names":["web"],"LoadBalancerArns":["` + web + `"]}`, "ValidationError: "},
		{"DescribeLoadBalancers", `{"Marker":"x"}`, "ValidationError: Marker 'x' is not valid"},
		{"DescribeLoadBalancers", `{"PageSize":401}`, "model: "},
		{"DeleteLoadBalancer", `{"LoadBalancerArn":"x"}`, "ValidationError: 'x' is not a valid load balancer ARN"},
		{"SetSubnets", `{"LoadBalancerArn":"` + web + `","Subnets":["SUBNET1"]}`, "ValidationError: At least two subnets"},
		{"SetSubnets", `{"LoadBalancerArn":"` + gone + `","Subnets":["SUBNET1","SUBNET2"]}`, "LoadBalancerNotFound: "},
		{"SetSecurityGroups", `{"LoadBalancerArn":"` + web + `","SecurityGroups":["sg-1"]}`, "InvalidSecurityGroup: "},
		{"SetSecurityGroups", `{"LoadBalancerArn":"` + web + `","SecurityGroups":[]}`, "InvalidConfigurationRequest: At least one security group"},
		{"SetSecurityGroups", `{"LoadBalancerArn":"` + net + `","SecurityGroups":["` + ec2.DefaultGroupID(testAccount, testRegion) + `"]}`, "InvalidConfigurationRequest: "},
		{"SetIpAddressType", `{"LoadBalancerArn":"` + web + `","IpAddressType":"dualstack"}`, "InvalidConfigurationRequest: "},
		{"ModifyCapacityReservation", `{"LoadBalancerArn":"` + web + `","MinimumLoadBalancerCapacity":{"CapacityUnits":100}}`, "OperationNotPermitted: "},
		{"ModifyIpPools", `{"LoadBalancerArn":"` + web + `"}`, "OperationNotPermitted: "},
		{"GetResourcePolicy", `{"ResourceArn":"` + web + `"}`, "ResourceNotFound: "},
		{"CreateTrustStore", `{"Name":"t","CaCertificatesBundleS3Bucket":"b","CaCertificatesBundleS3Key":"k"}`, "OperationNotPermitted: "},
		{"DeleteTrustStore", `{"TrustStoreArn":"` + strings.Replace(web, "loadbalancer/app", "truststore", 1) + `"}`, "TrustStoreNotFound: "},
		{"DescribeTrustStores", `{"Names":["t"]}`, "TrustStoreNotFound: "},
		{"DescribeSSLPolicies", `{"Names":["nobody"]}`, "SSLPolicyNotFound: "},
	})
}

func TestSetSubnetsKeepsTheAddressesOfZonesThatStay(t *testing.T) {
	w := newAPIWorld(t)
	web := w.balancer("web", "application")
	before, _ := LoadBalancers.Get(w.Store.Read(), keyOf(web, "loadbalancer"))
	out := do[api.SetSubnetsOutput](w, "SetSubnets", `{"LoadBalancerArn":"`+web+`","Subnets":["SUBNET3","SUBNET2"]}`)
	after, _ := LoadBalancers.Get(w.Store.Read(), keyOf(web, "loadbalancer"))
	if len(out.AvailabilityZones) != 2 || after.Zones[1] != before.Zones[1] || after.Zones[0].Subnet != w.subnets[2] || !after.Zones[0].Address.IsValid() {
		t.Errorf("got %+v after %+v", after.Zones, before.Zones)
	}
	if n := ec2.Interfaces.Len(w.Store.Read()); n != 2 {
		t.Errorf("got %d interfaces", n)
	}
}

func TestDeletionProtection(t *testing.T) {
	w := newAPIWorld(t)
	web := w.balancer("web", "application")
	protect := func(v string) {
		do[api.ModifyLoadBalancerAttributesOutput](w, "ModifyLoadBalancerAttributes", `{"LoadBalancerArn":"`+web+`","Attributes":[{"Key":"deletion_protection.enabled","Value":"`+v+`"}]}`)
	}
	protect("true")
	w.refuses([]badInput{{"DeleteLoadBalancer", `{"LoadBalancerArn":"` + web + `"}`, "OperationNotPermitted: Load balancer '" + web + "' cannot be deleted because deletion protection is enabled"}})
	protect("false")
	do[api.DeleteLoadBalancerOutput](w, "DeleteLoadBalancer", `{"LoadBalancerArn":"`+web+`"}`)
}

func TestPagesOfLoadBalancers(t *testing.T) {
	w := newAPIWorld(t)
	for _, n := range []string{"a", "b", "c"} {
		w.balancer(n, "network")
	}
	var got []string
	for marker := ""; ; {
		out := do[api.DescribeLoadBalancersOutput](w, "DescribeLoadBalancers", `{"PageSize":1`+marker+`}`)
		for _, v := range out.LoadBalancers {
			got = append(got, *v.LoadBalancerName)
		}
		if out.NextMarker == nil {
			break
		}
		marker = `,"Marker":"` + *out.NextMarker + `"`
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %v", got)
	}
}

func TestTags(t *testing.T) {
	w := newAPIWorld(t)
	web, group := w.balancer("web", "application"), w.targetGroup("g", "HTTP", "")
	listener := w.listener(web, group, `"Protocol":"HTTP","Port":80`)
	rules := do[api.DescribeRulesOutput](w, "DescribeRules", `{"ListenerArn":"`+listener+`"}`)
	all := []string{web, group, listener, *rules.Rules[0].RuleArn}
	quoted := `"` + strings.Join(all, `","`) + `"`
	do[api.AddTagsOutput](w, "AddTags", `{"ResourceArns":[`+quoted+`],"Tags":[{"Key":"a","Value":"1"},{"Key":"b"}]}`)
	do[api.RemoveTagsOutput](w, "RemoveTags", `{"ResourceArns":[`+quoted+`],"TagKeys":["b","none"]}`)
	for i, d := range do[api.DescribeTagsOutput](w, "DescribeTags", `{"ResourceArns":[`+quoted+`]}`).TagDescriptions {
		if *d.ResourceArn != all[i] || len(d.Tags) != 1 || *d.Tags[0].Key != "a" || *d.Tags[0].Value != "1" {
			t.Errorf("got %+v", d)
		}
	}
	var many []string
	for n := range 50 {
		many = append(many, fmt.Sprintf(`{"Key":"k%d"}`, n))
	}
	w.refuses([]badInput{
		{"AddTags", `{"ResourceArns":["` + web + `"],"Tags":[` + strings.Join(many, ",") + `]}`, "TooManyTags: "},
		{"AddTags", `{"ResourceArns":["` + web + `","` + strings.Replace(web, "/web/", "/gone/", 1) + `"],"Tags":[{"Key":"x"}]}`, "LoadBalancerNotFound: "},
		{"AddTags", `{"ResourceArns":["x"],"Tags":[{"Key":"x"}]}`, "ValidationError: "},
		{"DescribeTags", `{"ResourceArns":["` + strings.Replace(group, "/g/", "/gone/", 1) + `"]}`, "TargetGroupNotFound: "},
		{"DescribeTags", `{"ResourceArns":["` + strings.Replace(web, "loadbalancer/app", "truststore", 1) + `"]}`, "TrustStoreNotFound: "},
	})
}

func TestWhatThereIsNot(t *testing.T) {
	w := newAPIWorld(t)
	web := w.balancer("web", "application")
	if out := do[api.DescribeCapacityReservationOutput](w, "DescribeCapacityReservation", `{"LoadBalancerArn":"`+web+`"}`); out.MinimumLoadBalancerCapacity != nil {
		t.Errorf("got %+v", out)
	}
	do[api.ModifyCapacityReservationOutput](w, "ModifyCapacityReservation", `{"LoadBalancerArn":"`+web+`","ResetCapacityReservation":true}`)
	if out := do[api.DescribeTrustStoresOutput](w, "DescribeTrustStores", `{}`); len(out.TrustStores) != 0 {
		t.Errorf("got %+v", out)
	}
	if out := do[api.DescribeAccountLimitsOutput](w, "DescribeAccountLimits", `{"PageSize":3}`); len(out.Limits) != 3 || out.NextMarker == nil {
		t.Errorf("got %+v", out)
	}
	out := do[api.DescribeSSLPoliciesOutput](w, "DescribeSSLPolicies", `{"Names":["ELBSecurityPolicy-TLS13-1-2-2021-06","ELBSecurityPolicy-2016-08"]}`)
	if len(out.SslPolicies) != 2 || !slices.Equal(out.SslPolicies[0].SslProtocols, []string{"TLSv1", "TLSv1.1", "TLSv1.2"}) ||
		!slices.Equal(out.SslPolicies[1].SslProtocols, []string{"TLSv1.2", "TLSv1.3"}) || *out.SslPolicies[1].Ciphers[0].Name != "TLS_AES_128_GCM_SHA256" {
		t.Errorf("got %+v", out)
	}
	if v := aws.Value(do[api.SetIpAddressTypeOutput](w, "SetIpAddressType", `{"LoadBalancerArn":"`+web+`","IpAddressType":"ipv4"}`)); v.IpAddressType != api.IpAddressTypeIpv4 {
		t.Errorf("got %+v", v)
	}
}
