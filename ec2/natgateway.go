package ec2

import (
	"context"

	api "berth/api/ec2"
	"berth/aws"
)

var natGateways = filters[api.NatGateway]{
	"nat-gateway-id": none[api.NatGateway], "state": none[api.NatGateway], "subnet-id": none[api.NatGateway], "vpc-id": none[api.NatGateway],
}

// DescribeNatGateways has none: they cannot be made yet.
func (s *Service) DescribeNatGateways(_ context.Context, in *api.DescribeNatGatewaysRequest) (*api.DescribeNatGatewaysResult, error) {
	if len(in.NatGatewayIds) > 0 {
		return nil, aws.Errorf("NatGatewayNotFound", "The Nat Gateway %s was not found", in.NatGatewayIds[0])
	}
	if err := noToken(in.NextToken); err != nil {
		return nil, err
	}
	if _, err := natGateways.keep(nil, in.Filter, func(v api.NatGateway) []api.Tag { return v.Tags }); err != nil {
		return nil, err
	}
	return &api.DescribeNatGatewaysResult{NatGateways: []api.NatGateway{}}, dryRun(in.DryRun)
}
