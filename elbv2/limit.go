package elbv2

import (
	"context"
	"strconv"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
)

// DescribeAccountLimits shows the limits of this Berth, under the names that AWS gives them.
func (s *Service) DescribeAccountLimits(ctx context.Context, in *api.DescribeAccountLimitsInput) (*api.DescribeAccountLimitsOutput, error) {
	var all []api.Limit
	for _, l := range []struct {
		name string
		most int
	}{
		{"application-load-balancers", haproxy.MaxNumber},
		{"certificates-per-application-load-balancer", maxCertificates},
		{"certificates-per-network-load-balancer", maxCertificates},
		{"condition-values-per-alb-rule", maxConditionValues},
		{"condition-wildcards-per-alb-rule", maxWildcards},
		{"listeners-per-application-load-balancer", maxListeners},
		{"listeners-per-network-load-balancer", maxListeners},
		{"network-load-balancers", haproxy.MaxNumber},
		{"rules-per-application-load-balancer", maxRules},
		{"target-groups-per-action-on-application-load-balancer", maxForwardGroups},
		{"target-groups-per-action-on-network-load-balancer", maxForwardGroups},
		{"target-groups-per-application-load-balancer", maxBalancedGroups},
		{"target-groups-per-network-load-balancer", maxBalancedGroups},
	} {
		all = append(all, api.Limit{Name: new(l.name), Max: new(strconv.Itoa(l.most))})
	}
	scope := scopeOf("DescribeAccountLimits", aws.CallerFrom(ctx))
	page, next, err := paged(s, scope, in.Marker, in.PageSize, all, func(l api.Limit) string { return *l.Name })
	if err != nil {
		return nil, err
	}
	return &api.DescribeAccountLimitsOutput{Limits: page, NextMarker: next}, nil
}

// DescribeCapacityReservation shows that a load balancer has no capacity reserved.
func (s *Service) DescribeCapacityReservation(ctx context.Context, in *api.DescribeCapacityReservationInput) (*api.DescribeCapacityReservationOutput, error) {
	if _, err := findLoadBalancer(ctx, s.Store.Read(), in.LoadBalancerArn); err != nil {
		return nil, err
	}
	return &api.DescribeCapacityReservationOutput{CapacityReservationState: []api.ZonalCapacityReservationState{}}, nil
}

// ModifyCapacityReservation takes a reset only: no capacity is ever reserved.
func (s *Service) ModifyCapacityReservation(ctx context.Context, in *api.ModifyCapacityReservationInput) (*api.ModifyCapacityReservationOutput, error) {
	if _, err := findLoadBalancer(ctx, s.Store.Read(), in.LoadBalancerArn); err != nil {
		return nil, err
	}
	if in.MinimumLoadBalancerCapacity != nil || !aws.Value(in.ResetCapacityReservation) {
		return nil, aws.Errorf(codeNotPermitted, "Capacity cannot be reserved on this Berth: load balancers have the machines' whole capacity")
	}
	return &api.ModifyCapacityReservationOutput{CapacityReservationState: []api.ZonalCapacityReservationState{}}, nil
}

// ModifyIpPools is refused.
func (s *Service) ModifyIpPools(ctx context.Context, in *api.ModifyIpPoolsInput) (*api.ModifyIpPoolsOutput, error) {
	if _, err := findLoadBalancer(ctx, s.Store.Read(), in.LoadBalancerArn); err != nil {
		return nil, err
	}
	return nil, aws.Errorf(codeNotPermitted, "IPAM pools are not supported by this Berth")
}

// GetResourcePolicy finds none: resources cannot be shared.
func (s *Service) GetResourcePolicy(_ context.Context, in *api.GetResourcePolicyInput) (*api.GetResourcePolicyOutput, error) {
	return nil, aws.Errorf("ResourceNotFound", "The resource '%s' has no policy: resources cannot be shared on this Berth", short(*in.ResourceArn))
}
