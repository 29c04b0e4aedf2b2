package ec2

import (
	"context"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

var internetGateways = listing[api.InternetGateway]{
	operation: "DescribeInternetGateways",
	id:        func(v api.InternetGateway) string { return *v.InternetGatewayId },
	tags:      func(v api.InternetGateway) []api.Tag { return v.Tags },
	missing:   kindGateway.missing,
	filters: filters[api.InternetGateway]{
		"attachment.state": func(v api.InternetGateway) []string {
			return each(v.Attachments, func(a api.InternetGatewayAttachment) []string { return []string{string(a.State)} })
		},
		"attachment.vpc-id": func(v api.InternetGateway) []string {
			return each(v.Attachments, func(a api.InternetGatewayAttachment) []string { return text(a.VpcId) })
		},
		"internet-gateway-id": func(v api.InternetGateway) []string { return text(v.InternetGatewayId) },
		"owner-id":            func(v api.InternetGateway) []string { return text(v.OwnerId) },
	},
}

// DescribeInternetGateways has that of the default VPC, the only one yet.
func (s *Service) DescribeInternetGateways(ctx context.Context, in *api.DescribeInternetGatewaysRequest) (*api.DescribeInternetGatewaysResult, error) {
	q := query{ids: in.InternetGatewayIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := internetGateways.page(ctx, s, q, []api.InternetGateway{gateway(s.Store.Read(), aws.CallerFrom(ctx))})
	if err != nil {
		return nil, err
	}
	return &api.DescribeInternetGatewaysResult{InternetGateways: list, NextToken: token}, nil
}

func gatewayID(account, region string) string { return derive(kindGateway.prefix, account, region) }

// gateway is attached to the default VPC. EC2 says available where its model has attached; clients wait for that word.
func gateway(r store.Reader, c aws.Caller) api.InternetGateway {
	id := gatewayID(c.Account, c.Region)
	return api.InternetGateway{
		InternetGatewayId: &id, OwnerId: &c.Account, Tags: tagsOf(r, c, id),
		Attachments: []api.InternetGatewayAttachment{{State: "available", VpcId: new(DefaultVPCID(c.Account, c.Region))}},
	}
}
