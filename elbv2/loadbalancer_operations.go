package elbv2

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/ec2"
	"berth/elbv2/haproxy"
	"berth/store"
)

// hostedZone is a name for the DNS zone of a region's load balancers of a kind, as Route 53 has IDs. There is no Route 53 behind it.
func hostedZone(region, kind string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(region + "/" + kind)) // never fails
	return "Z" + strings.ToUpper(strconv.FormatUint(h.Sum64(), 36))
}

// wire is what the API shows of a load balancer. It is active as soon as it is written.
func (v LoadBalancer) wire() api.LoadBalancer {
	out := api.LoadBalancer{
		LoadBalancerArn: new(v.ARN().String()), DNSName: new(v.DNSName()), CanonicalHostedZoneId: new(hostedZone(v.Region, v.Kind)),
		CreatedTime: aws.NewTime(time.UnixMilli(v.Created)), LoadBalancerName: new(v.Name), Scheme: v.Scheme, VpcId: new(v.VPC),
		State: &api.LoadBalancerState{Code: api.LoadBalancerStateEnumActive}, Type: api.LoadBalancerTypeEnum(v.Kind),
		AvailabilityZones: v.wireZones(), SecurityGroups: v.SecurityGroups, IpAddressType: v.AddressType,
	}
	if v.Kind == haproxy.Network {
		out.EnablePrefixForIpv6SourceNat = api.EnablePrefixForIpv6SourceNatEnumOff
		if len(v.SecurityGroups) > 0 {
			out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = new(string(api.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnumOn))
		}
	}
	return out
}

func (v LoadBalancer) wireZones() []api.AvailabilityZone {
	out := []api.AvailabilityZone{}
	for _, z := range v.Zones {
		out = append(out, api.AvailabilityZone{ZoneName: new(z.Zone), SubnetId: new(z.Subnet), LoadBalancerAddresses: []api.LoadBalancerAddress{}})
	}
	return out
}

// mostNamed is how many load balancers or listeners one request may name. Source: the model.
const mostNamed = 20

// DescribeLoadBalancers shows all load balancers, or those of the ARNs or names.
func (s *Service) DescribeLoadBalancers(ctx context.Context, in *api.DescribeLoadBalancersInput) (*api.DescribeLoadBalancersOutput, error) {
	caller, r := aws.CallerFrom(ctx), s.Store.Read()
	if len(in.LoadBalancerArns) > 0 && len(in.Names) > 0 {
		return nil, invalid("You can specify either load balancer names or load balancer ARNs, but not both")
	}
	if len(in.LoadBalancerArns) > mostNamed || len(in.Names) > mostNamed {
		return nil, invalid("Up to '%d' load balancers can be described", mostNamed)
	}
	var found []LoadBalancer
	for _, arn := range in.LoadBalancerArns {
		v, err := findLoadBalancer(ctx, r, &arn)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	for _, name := range in.Names {
		n := len(found)
		for v := range LoadBalancers.By(r, byLoadBalancerName, caller.Account+"/"+caller.Region+"/"+strings.ReplaceAll(name, "\x00", "")) {
			found = append(found, v)
		}
		if len(found) == n {
			return nil, aws.Errorf(codeLoadBalancerNotFound, "Load balancers '[%s]' not found", short(name))
		}
	}
	if len(in.LoadBalancerArns)+len(in.Names) == 0 {
		found = slices.Collect(LoadBalancers.Prefix(r, caller.Account+"/"+caller.Region+"/"))
	}
	slices.SortFunc(found, func(a, b LoadBalancer) int { return strings.Compare(a.Key(), b.Key()) })
	found = slices.CompactFunc(found, func(a, b LoadBalancer) bool { return a.Key() == b.Key() })
	scope := scopeOf("DescribeLoadBalancers", caller) + fmt.Sprint(in.LoadBalancerArns, in.Names)
	page, next, err := paged(s, scope, in.Marker, in.PageSize, found, LoadBalancer.Key)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeLoadBalancersOutput{LoadBalancers: []api.LoadBalancer{}, NextMarker: next}
	for _, v := range page {
		out.LoadBalancers = append(out.LoadBalancers, v.wire())
	}
	return out, nil
}

// DeleteLoadBalancer removes a load balancer with its listeners, rules and network interfaces. One that is not there is no error.
func (s *Service) DeleteLoadBalancer(ctx context.Context, in *api.DeleteLoadBalancerInput) (*api.DeleteLoadBalancerOutput, error) {
	if keyOf(*in.LoadBalancerArn, aLoadBalancer.kind) == "" {
		_, err := aLoadBalancer.key(ctx, in.LoadBalancerArn)
		return nil, err
	}
	return &api.DeleteLoadBalancerOutput{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findLoadBalancer(ctx, tx, in.LoadBalancerArn)
		if err != nil {
			return nil // there is none
		}
		if attributesOf(v)[attrDeletionProtection] == "true" {
			return aws.Errorf(codeNotPermitted, "Load balancer '%s' cannot be deleted because deletion protection is enabled", v.ARN())
		}
		for l := range Listeners.Prefix(tx, v.Key()+"/") {
			deleteListener(tx, l)
		}
		for _, z := range v.Zones {
			ec2.DeleteInterface(tx, v.interfaceKey(z))
		}
		LoadBalancers.Delete(tx, v.Key())
		return nil
	})
}

// changeLoadBalancer changes one load balancer of the caller.
func (s *Service) changeLoadBalancer(ctx context.Context, arn *string, change func(*store.Tx, *LoadBalancer) error) (out LoadBalancer, err error) {
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findLoadBalancer(ctx, tx, arn)
		if err != nil {
			return err
		}
		if err := change(tx, &v); err != nil {
			return err
		}
		LoadBalancers.Put(tx, v)
		out = v
		return nil
	})
	return out, err
}

// SetSubnets puts a load balancer into other zones. Zones that it keeps keep their addresses.
func (s *Service) SetSubnets(ctx context.Context, in *api.SetSubnetsInput) (*api.SetSubnetsOutput, error) {
	if in.EnablePrefixForIpv6SourceNat == api.EnablePrefixForIpv6SourceNatEnumOn {
		return nil, configuration("Source NAT with IPv6 prefixes is not supported by this Berth")
	}
	if in.IpAddressType != "" {
		if err := checkAddressType(in.IpAddressType); err != nil {
			return nil, err
		}
	}
	at, ids := s.Now().UnixMilli(), newInterfaceIDs(len(in.Subnets)+len(in.SubnetMappings))
	v, err := s.changeLoadBalancer(ctx, in.LoadBalancerArn, func(tx *store.Tx, v *LoadBalancer) error {
		named, err := namedSubnets(v.Kind, in.Subnets, in.SubnetMappings)
		if err != nil {
			return err
		}
		subnets, err := zonesOf(tx, *v, named)
		if err != nil {
			return err
		}
		zones, err := attach(tx, *v, subnets, ids, at)
		if err != nil {
			return err
		}
		for _, z := range v.Zones {
			if !slices.Contains(zones, z) {
				ec2.DeleteInterface(tx, v.interfaceKey(z))
			}
		}
		v.Zones = zones
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.SetSubnetsOutput{AvailabilityZones: v.wireZones(), IpAddressType: v.AddressType}, nil
}

// SetSecurityGroups gives a load balancer and its network interfaces other security groups.
func (s *Service) SetSecurityGroups(ctx context.Context, in *api.SetSecurityGroupsInput) (*api.SetSecurityGroupsOutput, error) {
	if in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic == api.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnumOff {
		return nil, configuration("There is no PrivateLink on this Berth, so its traffic cannot be exempt from security groups")
	}
	v, err := s.changeLoadBalancer(ctx, in.LoadBalancerArn, func(tx *store.Tx, v *LoadBalancer) error {
		if v.Kind == haproxy.Network && len(v.SecurityGroups) == 0 {
			return configuration("You cannot set security groups on a network load balancer that was created without any")
		}
		if len(in.SecurityGroups) == 0 {
			return configuration("At least one security group must be specified")
		}
		groups, err := checkSecurityGroups(tx, *v, in.SecurityGroups)
		if err != nil {
			return err
		}
		v.SecurityGroups = groups
		for _, z := range v.Zones {
			if err := ec2.SetInterfaceGroups(tx, v.interfaceKey(z), groups); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &api.SetSecurityGroupsOutput{SecurityGroupIds: v.SecurityGroups}
	if v.Kind == haproxy.Network {
		out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = api.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnumOn
	}
	return out, nil
}

// SetIpAddressType takes what every load balancer has already: ipv4.
func (s *Service) SetIpAddressType(ctx context.Context, in *api.SetIpAddressTypeInput) (*api.SetIpAddressTypeOutput, error) {
	v, err := findLoadBalancer(ctx, s.Store.Read(), in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if err := checkAddressType(in.IpAddressType); err != nil {
		return nil, err
	}
	return &api.SetIpAddressTypeOutput{IpAddressType: v.AddressType}, nil
}
