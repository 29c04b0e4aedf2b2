package elbv2

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/ec2"
	"berth/elbv2/haproxy"
	"berth/store"
)

const (
	maxGroups   = 5 // security groups of a load balancer. Source: VPC quotas, security groups per network interface
	requesterID = "amazon-elb"
)

// loadBalancerName is what names are made of. Source: the model, CreateLoadBalancerInput$Name.
var loadBalancerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// CreateLoadBalancer makes an application or network load balancer with a network interface in each zone. One that exists with the
// same settings is returned.
func (s *Service) CreateLoadBalancer(ctx context.Context, in *api.CreateLoadBalancerInput) (*api.CreateLoadBalancerOutput, error) {
	caller, now := aws.CallerFrom(ctx), s.Now()
	want, err := newLoadBalancer(caller, in)
	if err != nil {
		return nil, err
	}
	want.ID, want.Created = aws.NewHexID()[:16], now.UnixMilli()
	subnets, err := namedSubnets(want.Kind, in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	interfaces := newInterfaceIDs(len(subnets))
	var out LoadBalancer
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		v := want
		zones, err := zonesOf(tx, v, subnets)
		if err != nil {
			return err
		}
		if v.SecurityGroups, err = checkSecurityGroups(tx, v, in.SecurityGroups); err != nil {
			return err
		}
		for have := range LoadBalancers.By(tx, byLoadBalancerName, v.Account+"/"+v.Region+"/"+v.Name) {
			if !have.same(v, zones) {
				return aws.Errorf("DuplicateLoadBalancerName", "A load balancer with the same name '%s' exists, but with different settings", v.Name)
			}
			out = have
			return nil
		}
		if v.Number = freeNumber(tx); v.Number == 0 {
			return aws.Errorf("TooManyLoadBalancers", "This Berth has its maximum of %d load balancers", haproxy.MaxNumber)
		}
		if v.Zones, err = attach(tx, v, zones, interfaces, now.UnixMilli()); err != nil {
			return err
		}
		LoadBalancers.Put(tx, v)
		out = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateLoadBalancerOutput{LoadBalancers: []api.LoadBalancer{out.wire()}}, nil
}

// newLoadBalancer is what an input asks for, without its ID, zones and security groups.
func newLoadBalancer(c aws.Caller, in *api.CreateLoadBalancerInput) (v LoadBalancer, err error) {
	v = LoadBalancer{
		Account: c.Account, Region: c.Region, Kind: string(cmp.Or(in.Type, api.LoadBalancerTypeEnumApplication)), Name: *in.Name,
		Scheme: cmp.Or(in.Scheme, api.LoadBalancerSchemeEnumInternetFacing), AddressType: cmp.Or(in.IpAddressType, api.IpAddressTypeIpv4),
		VPC: ec2.DefaultVPCID(c.Account, c.Region),
	}
	switch name := v.Name; {
	case len(name) > 32:
		return v, invalid("The load balancer name '%s' cannot be longer than '32' characters", short(name))
	case !loadBalancerName.MatchString(name):
		return v, invalid("The load balancer name '%s' can only contain characters that are alphanumeric characters or hyphens(-)", name)
	case strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-"):
		return v, invalid("The load balancer name '%s' cannot begin or end with a hyphen(-)", name)
	case strings.HasPrefix(name, "internal-"):
		return v, invalid("The load balancer name '%s' cannot begin with 'internal-'", name)
	case v.Kind == string(api.LoadBalancerTypeEnumGateway):
		return v, configuration("Gateway load balancers are not supported by this Berth")
	case in.CustomerOwnedIpv4Pool != nil:
		return v, configuration("Customer-owned address pools are not supported by this Berth")
	case in.IpamPools != nil:
		return v, configuration("IPAM pools are not supported by this Berth")
	case in.EnablePrefixForIpv6SourceNat == api.EnablePrefixForIpv6SourceNatEnumOn:
		return v, configuration("Source NAT with IPv6 prefixes is not supported by this Berth")
	}
	if err := checkAddressType(v.AddressType); err != nil {
		return v, err
	}
	v.Tags, err = newTags(in.Tags)
	return v, err
}

func checkAddressType(t api.IpAddressType) error {
	if t != api.IpAddressTypeIpv4 {
		return configuration("The IP address type '%s' is not supported by this Berth: there is no IPv6", t)
	}
	return nil
}

// same says whether a load balancer has the settings of another that is asked for.
func (v LoadBalancer) same(want LoadBalancer, zones []ec2.Subnet) bool {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	var have, asked []string
	for _, z := range v.Zones {
		have = append(have, z.Subnet)
	}
	for _, z := range zones {
		asked = append(asked, z.ID)
	}
	return v.Kind == want.Kind && v.Scheme == want.Scheme && v.AddressType == want.AddressType && maps.Equal(v.Tags, want.Tags) &&
		slices.Equal(sorted(have), sorted(asked)) && slices.Equal(sorted(v.SecurityGroups), sorted(want.SecurityGroups))
}

// namedSubnets are the IDs of subnets that an input names in one of two ways.
func namedSubnets(kind string, subnets []string, mappings []api.SubnetMapping) ([]string, error) {
	if len(subnets) > 0 && len(mappings) > 0 {
		return nil, invalid("You can specify either subnets or subnet mappings, but not both")
	}
	for _, m := range mappings {
		switch {
		case m.SubnetId == nil:
			return nil, invalid("A subnet mapping must have a subnet ID")
		case m.AllocationId != nil:
			return nil, configuration("Elastic IP addresses are not supported by this Berth")
		case m.PrivateIPv4Address != nil:
			return nil, configuration("The private addresses of load balancers cannot be chosen on this Berth")
		case m.IPv6Address != nil || m.SourceNatIpv6Prefix != nil:
			return nil, configuration("IPv6 is not supported by this Berth")
		}
		subnets = append(subnets, *m.SubnetId)
	}
	switch {
	case len(subnets) == 0 && kind == haproxy.Network:
		return nil, invalid("At least one subnet must be specified")
	case len(subnets) == 0:
		return nil, invalid(fewZones)
	}
	return subnets, nil
}

const fewZones = "At least two subnets in two different Availability Zones must be specified"

// zonesOf finds subnets and checks that they are in different zones, and in enough of them.
func zonesOf(r store.Reader, v LoadBalancer, subnets []string) (out []ec2.Subnet, err error) {
	for _, id := range subnets {
		subnet, ok := ec2.SubnetByID(r, v.Account, v.Region, id)
		if !ok {
			return nil, aws.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", short(id))
		}
		if slices.ContainsFunc(out, func(o ec2.Subnet) bool { return o.ID == id }) {
			return nil, invalid("The subnet ID '%s' is specified more than once", id)
		}
		if slices.ContainsFunc(out, func(o ec2.Subnet) bool { return o.Zone == subnet.Zone }) {
			return nil, configuration("A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		out = append(out, subnet)
	}
	if v.Kind == haproxy.Application && len(out) < 2 {
		return nil, invalid(fewZones)
	}
	return out, nil
}

// checkSecurityGroups finds security groups. An application load balancer without any gets the default one.
func checkSecurityGroups(r store.Reader, v LoadBalancer, ids []string) ([]string, error) {
	if len(ids) == 0 && v.Kind == haproxy.Application {
		return []string{ec2.DefaultGroupID(v.Account, v.Region)}, nil
	}
	if len(ids) > maxGroups {
		return nil, configuration("A load balancer can have at most %d security groups", maxGroups)
	}
	for i, id := range ids {
		if _, ok := ec2.GroupByID(r, v.Account, v.Region, id); !ok {
			return nil, aws.Errorf("InvalidSecurityGroup", "The security group '%s' does not exist", short(id))
		}
		if slices.Contains(ids[:i], id) {
			return nil, invalid("The security group '%s' is specified more than once", id)
		}
	}
	return ids, nil
}

// freeNumber is the lowest number that no load balancer has; 0 if there is none.
func freeNumber(r store.Reader) int {
	used := map[int]bool{}
	for v := range LoadBalancers.All(r) {
		used[v.Number] = true
	}
	for n := 1; n <= haproxy.MaxNumber; n++ {
		if !used[n] {
			return n
		}
	}
	return 0
}

func newInterfaceIDs(n int) (ids []string) {
	for range n {
		ids = append(ids, ec2.NewInterfaceID())
	}
	return ids
}

// attach makes the zones of a load balancer: those that it has stay, the others get a network interface with an ID of ids. at is in ms
// since the epoch.
func attach(tx *store.Tx, v LoadBalancer, subnets []ec2.Subnet, ids []string, at int64) (out []LoadBalancerZone, err error) {
	for n, subnet := range subnets {
		if i := slices.IndexFunc(v.Zones, func(z LoadBalancerZone) bool { return z.Subnet == subnet.ID }); i >= 0 {
			out = append(out, v.Zones[i])
			continue
		}
		made, err := ec2.CreateInterface(tx, ec2.Interface{
			ID: ids[n], Account: v.Account, Region: v.Region, Subnet: subnet.ID, Description: "ELB " + v.Path(), RequesterID: requesterID,
			Created: at, Groups: v.SecurityGroups,
		})
		if e, ok := err.(*aws.Error); ok {
			return nil, aws.Errorf("InvalidSubnet", "%s", e.Message) // codes of EC2 are not of this service
		}
		if err != nil {
			return nil, err
		}
		out = append(out, LoadBalancerZone{Zone: made.Zone, Subnet: subnet.ID, Interface: made.ID, Address: made.Address})
	}
	return out, nil
}

// interfaceKey is the key of the network interface in a zone.
func (v LoadBalancer) interfaceKey(z LoadBalancerZone) string {
	return v.Account + "/" + v.Region + "/" + z.Interface
}
