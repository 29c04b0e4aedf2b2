package ec2

import (
	"context"

	api "berth/api/ec2"
	"berth/aws"
)

var addresses = filters[api.Address]{
	"allocation-id": none[api.Address], "association-id": none[api.Address], "domain": none[api.Address], "instance-id": none[api.Address],
	"network-border-group": none[api.Address], "network-interface-id": none[api.Address], "network-interface-owner-id": none[api.Address],
	"private-ip-address": none[api.Address], "public-ip": none[api.Address],
}

// DescribeAddresses has none: there are no Elastic IP addresses yet.
func (s *Service) DescribeAddresses(_ context.Context, in *api.DescribeAddressesRequest) (*api.DescribeAddressesResult, error) {
	if err := noAddress(in.AllocationIds); err != nil {
		return nil, err
	}
	if len(in.PublicIps) > 0 {
		return nil, aws.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", in.PublicIps[0])
	}
	if _, err := addresses.keep(nil, in.Filters, func(a api.Address) []api.Tag { return a.Tags }); err != nil {
		return nil, err
	}
	return &api.DescribeAddressesResult{Addresses: []api.Address{}}, dryRun(in.DryRun)
}

// DescribeAddressesAttribute has none either.
func (s *Service) DescribeAddressesAttribute(_ context.Context, in *api.DescribeAddressesAttributeRequest) (*api.DescribeAddressesAttributeResult, error) {
	if err := noAddress(in.AllocationIds); err != nil {
		return nil, err
	}
	if err := noToken(in.NextToken); err != nil {
		return nil, err
	}
	return &api.DescribeAddressesAttributeResult{Addresses: []api.AddressAttribute{}}, dryRun(in.DryRun)
}

func noAddress(ids []string) error {
	if len(ids) > 0 {
		return aws.Errorf("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", ids[0])
	}
	return nil
}

// noToken refuses the token of a list that has no pages.
func noToken(token *string) error {
	if aws.Value(token) != "" {
		return aws.Errorf("InvalidNextToken", "The token '%s' is invalid", *token)
	}
	return nil
}
