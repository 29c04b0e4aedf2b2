package ec2

import (
	"context"
	"time"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// ofAttachment makes a filter by a member of the attachment.
func ofAttachment(values func(api.NetworkInterfaceAttachment) []string) func(api.NetworkInterface) []string {
	return func(v api.NetworkInterface) []string {
		if v.Attachment == nil {
			return nil
		}
		return values(*v.Attachment)
	}
}

var networkInterfaces = listing[api.NetworkInterface]{
	operation: "DescribeNetworkInterfaces",
	id:        func(v api.NetworkInterface) string { return *v.NetworkInterfaceId },
	tags:      func(v api.NetworkInterface) []api.Tag { return v.TagSet },
	missing:   kindInterface.missing,
	filters: filters[api.NetworkInterface]{
		"addresses.association.owner-id":  none[api.NetworkInterface],
		"addresses.association.public-ip": none[api.NetworkInterface],
		"addresses.primary": func(v api.NetworkInterface) []string {
			return each(v.PrivateIpAddresses, func(a api.NetworkInterfacePrivateIpAddress) []string { return flag(a.Primary) })
		},
		"addresses.private-ip-address": func(v api.NetworkInterface) []string {
			return each(v.PrivateIpAddresses, func(a api.NetworkInterfacePrivateIpAddress) []string { return text(a.PrivateIpAddress) })
		},
		"association.allocation-id":   none[api.NetworkInterface],
		"association.association-id":  none[api.NetworkInterface],
		"association.ip-owner-id":     none[api.NetworkInterface],
		"association.public-ip":       none[api.NetworkInterface],
		"association.public-dns-name": none[api.NetworkInterface],
		"attachment.attach-time": ofAttachment(func(a api.NetworkInterfaceAttachment) []string {
			return []string{a.AttachTime.Format("2006-01-02T15:04:05.000Z")}
		}),
		"attachment.attachment-id":         ofAttachment(func(a api.NetworkInterfaceAttachment) []string { return text(a.AttachmentId) }),
		"attachment.delete-on-termination": ofAttachment(func(a api.NetworkInterfaceAttachment) []string { return flag(a.DeleteOnTermination) }),
		"attachment.device-index":          ofAttachment(func(a api.NetworkInterfaceAttachment) []string { return number(a.DeviceIndex) }),
		"attachment.instance-id":           none[api.NetworkInterface],
		"attachment.instance-owner-id":     ofAttachment(func(a api.NetworkInterfaceAttachment) []string { return text(a.InstanceOwnerId) }),
		"attachment.status":                ofAttachment(func(a api.NetworkInterfaceAttachment) []string { return []string{string(a.Status)} }),
		"availability-zone":                func(v api.NetworkInterface) []string { return text(v.AvailabilityZone) },
		"availability-zone-id":             func(v api.NetworkInterface) []string { return text(v.AvailabilityZoneId) },
		"description":                      func(v api.NetworkInterface) []string { return text(v.Description) },
		"group-id": func(v api.NetworkInterface) []string {
			return each(v.Groups, func(g api.GroupIdentifier) []string { return text(g.GroupId) })
		},
		"group-name": func(v api.NetworkInterface) []string {
			return each(v.Groups, func(g api.GroupIdentifier) []string { return text(g.GroupName) })
		},
		"interface-type":              func(v api.NetworkInterface) []string { return []string{string(v.InterfaceType)} },
		"ipv6-addresses.ipv6-address": none[api.NetworkInterface],
		"mac-address":                 none[api.NetworkInterface],
		"network-interface-id":        func(v api.NetworkInterface) []string { return text(v.NetworkInterfaceId) },
		"operator.managed":            func(v api.NetworkInterface) []string { return []string{"false"} },
		"operator.principal":          none[api.NetworkInterface],
		"owner-id":                    func(v api.NetworkInterface) []string { return text(v.OwnerId) },
		"private-dns-name":            none[api.NetworkInterface],
		"private-ip-address":          func(v api.NetworkInterface) []string { return text(v.PrivateIpAddress) },
		"requester-id":                func(v api.NetworkInterface) []string { return text(v.RequesterId) },
		"requester-managed":           func(v api.NetworkInterface) []string { return flag(v.RequesterManaged) },
		"source-dest-check":           func(v api.NetworkInterface) []string { return flag(v.SourceDestCheck) },
		"status":                      func(v api.NetworkInterface) []string { return []string{string(v.Status)} },
		"subnet-id":                   func(v api.NetworkInterface) []string { return text(v.SubnetId) },
		"vpc-id":                      func(v api.NetworkInterface) []string { return text(v.VpcId) },
	},
}

// DescribeNetworkInterfaces has those of load balancers. IncludeManagedResources changes nothing: none are hidden.
func (s *Service) DescribeNetworkInterfaces(ctx context.Context, in *api.DescribeNetworkInterfacesRequest) (*api.DescribeNetworkInterfacesResult, error) {
	c, r := aws.CallerFrom(ctx), s.Store.Read()
	zones := map[string]string{}
	for _, z := range zonesOf(r, c.Account, c.Region) {
		zones[z.Name] = z.ID()
	}
	var all []api.NetworkInterface
	for v := range Interfaces.Prefix(r, key(c.Account, c.Region, "")) {
		all = append(all, v.shape(r, c, zones[v.Zone]))
	}
	q := query{ids: in.NetworkInterfaceIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := networkInterfaces.page(ctx, s, q, all)
	if err != nil {
		return nil, err
	}
	return &api.DescribeNetworkInterfacesResult{NetworkInterfaces: list, NextToken: token}, nil
}

// shape is the interface as it is shown. It has no MAC address and no DNS name: its address is one of the load balancer's
// process, which has no network card.
func (v Interface) shape(r store.Reader, c aws.Caller, zoneID string) api.NetworkInterface {
	out := api.NetworkInterface{
		NetworkInterfaceId: &v.ID, OwnerId: &v.Account, SubnetId: &v.Subnet, VpcId: &v.VPC, AvailabilityZone: &v.Zone, AvailabilityZoneId: &zoneID,
		Description: &v.Description, InterfaceType: v.Type, PrivateIpAddress: new(v.Address.String()), TagSet: tagsOf(r, c, v.ID),
		Status: api.NetworkInterfaceStatusAvailable, RequesterManaged: new(v.RequesterID != ""), Groups: []api.GroupIdentifier{},
		SourceDestCheck: new(v.Type == api.NetworkInterfaceTypeInterface), Ipv6Addresses: []api.NetworkInterfaceIpv6Address{},
		PrivateIpAddresses: []api.NetworkInterfacePrivateIpAddress{{Primary: new(true), PrivateIpAddress: new(v.Address.String())}},
		Operator:           &api.OperatorResponse{Managed: new(false)},
	}
	for _, id := range v.Groups {
		g, _ := GroupByID(r, v.Account, v.Region, id)
		out.Groups = append(out.Groups, api.GroupIdentifier{GroupId: &id, GroupName: &g.Name})
	}
	if v.RequesterID != "" {
		out.RequesterId, out.Status = &v.RequesterID, api.NetworkInterfaceStatusInUse
		out.Attachment = &api.NetworkInterfaceAttachment{
			AttachmentId: new(derive("ela-attach", v.Account, v.Region, v.ID)), InstanceOwnerId: &v.RequesterID, DeviceIndex: new(int32(1)),
			DeleteOnTermination: new(false), Status: api.AttachmentStatusAttached, AttachTime: aws.NewTime(time.UnixMilli(v.Created)),
		}
	}
	return out
}
