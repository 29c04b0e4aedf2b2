package ec2

import (
	"context"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// inAssociations and inRoutes make filters by a member of a list of the table.
func inAssociations(values func(api.RouteTableAssociation) []string) func(api.RouteTable) []string {
	return func(v api.RouteTable) []string { return each(v.Associations, values) }
}

func inRoutes(values func(api.Route) []string) func(api.RouteTable) []string {
	return func(v api.RouteTable) []string { return each(v.Routes, values) }
}

var routeTables = listing[api.RouteTable]{
	operation: "DescribeRouteTables",
	id:        func(v api.RouteTable) string { return *v.RouteTableId },
	tags:      func(v api.RouteTable) []api.Tag { return v.Tags },
	missing:   kindTable.missing,
	filters: filters[api.RouteTable]{
		"association.gateway-id": inAssociations(func(a api.RouteTableAssociation) []string { return text(a.GatewayId) }),
		"association.route-table-association-id": inAssociations(func(a api.RouteTableAssociation) []string {
			return text(a.RouteTableAssociationId)
		}),
		"association.route-table-id":            inAssociations(func(a api.RouteTableAssociation) []string { return text(a.RouteTableId) }),
		"association.subnet-id":                 inAssociations(func(a api.RouteTableAssociation) []string { return text(a.SubnetId) }),
		"association.main":                      inAssociations(func(a api.RouteTableAssociation) []string { return flag(a.Main) }),
		"owner-id":                              func(v api.RouteTable) []string { return text(v.OwnerId) },
		"route-table-id":                        func(v api.RouteTable) []string { return text(v.RouteTableId) },
		"route.destination-cidr-block":          inRoutes(func(r api.Route) []string { return text(r.DestinationCidrBlock) }),
		"route.destination-ipv6-cidr-block":     none[api.RouteTable],
		"route.destination-prefix-list-id":      none[api.RouteTable],
		"route.egress-only-internet-gateway-id": none[api.RouteTable],
		"route.gateway-id":                      inRoutes(func(r api.Route) []string { return text(r.GatewayId) }),
		"route.instance-id":                     none[api.RouteTable],
		"route.nat-gateway-id":                  none[api.RouteTable],
		"route.transit-gateway-id":              none[api.RouteTable],
		"route.origin":                          inRoutes(func(r api.Route) []string { return []string{string(r.Origin)} }),
		"route.state":                           inRoutes(func(r api.Route) []string { return []string{string(r.State)} }),
		"route.vpc-peering-connection-id":       none[api.RouteTable],
		"vpc-id":                                func(v api.RouteTable) []string { return text(v.VpcId) },
	},
}

// DescribeRouteTables has the main route table of the default VPC, the only one yet.
func (s *Service) DescribeRouteTables(ctx context.Context, in *api.DescribeRouteTablesRequest) (*api.DescribeRouteTablesResult, error) {
	q := query{ids: in.RouteTableIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := routeTables.page(ctx, s, q, []api.RouteTable{mainTable(s.Store.Read(), aws.CallerFrom(ctx))})
	if err != nil {
		return nil, err
	}
	return &api.DescribeRouteTablesResult{RouteTables: list, NextToken: token}, nil
}

func mainTableID(account, region string) string { return derive(kindTable.prefix, account, region) }

// mainTable routes within the VPC and to the internet gateway.
func mainTable(r store.Reader, c aws.Caller) api.RouteTable {
	id := mainTableID(c.Account, c.Region)
	return api.RouteTable{
		RouteTableId: &id, VpcId: new(DefaultVPCID(c.Account, c.Region)), OwnerId: &c.Account, Tags: tagsOf(r, c, id),
		PropagatingVgws: []api.PropagatingVgw{},
		Associations: []api.RouteTableAssociation{{
			Main: new(true), RouteTableAssociationId: new(derive("rtbassoc", c.Account, c.Region)), RouteTableId: &id,
			AssociationState: &api.RouteTableAssociationState{State: api.RouteTableAssociationStateCodeAssociated},
		}},
		Routes: []api.Route{
			{
				DestinationCidrBlock: new(vpcCIDR.String()), GatewayId: new("local"),
				Origin: api.RouteOriginCreateRouteTable, State: api.RouteStateActive,
			},
			{
				DestinationCidrBlock: new(everywhere), GatewayId: new(gatewayID(c.Account, c.Region)),
				Origin: api.RouteOriginCreateRoute, State: api.RouteStateActive,
			},
		},
	}
}
