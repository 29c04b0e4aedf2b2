package ec2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// Zone is the record of an availability zone beyond the three that every region has: machines are in it. It stays when
// they leave, so that its subnet keeps its addresses.
type Zone struct {
	// Written by: EnsureZone.
	Account string `json:"a"`
	Region  string `json:"r"`
	Name    string `json:"n"`
	// Number is the zone's place among the zones of the account and region, from 0. The first three are not recorded. It
	// decides which part of the VPC is the zone's subnet.
	Number int `json:"no"`
}

// Zones is the table of zones, by account/region/name.
var Zones = store.NewTable("ec2/zone", func(z Zone) string { return key(z.Account, z.Region, z.Name) })

// firstZones are the ends of the names of the zones that every region has.
var firstZones = [...]string{"a", "b", "c"}

// key joins what records of an account and region are found by.
func key(account, region, id string) string { return account + "/" + region + "/" + id }

// zonesOf are the zones of an account and region, by number.
func zonesOf(r store.Reader, account, region string) []Zone {
	var out []Zone
	for i, letter := range firstZones {
		out = append(out, Zone{Account: account, Region: region, Name: region + letter, Number: i})
	}
	for z := range Zones.Prefix(r, key(account, region, "")) {
		out = append(out, z)
	}
	slices.SortFunc(out, func(a, b Zone) int { return a.Number - b.Number })
	return out
}

// EnsureZone records a zone that machines are in, unless it is known.
func EnsureZone(tx *store.Tx, account, region, name string) {
	known := zonesOf(tx, account, region)
	if name == "" || slices.ContainsFunc(known, func(z Zone) bool { return z.Name == name }) {
		return
	}
	Zones.Put(tx, Zone{Account: account, Region: region, Name: name, Number: known[len(known)-1].Number + 1})
}

// ID is the zone's ID in the form of AWS: the region's abbreviation, "-az" and the number from 1, such as use1-az1.
func (z Zone) ID() string { return abbreviate(z.Region) + "-az" + strconv.Itoa(z.Number+1) }

// abbreviate shortens a region's name as zone IDs do: us-east-1 is use1, ap-southeast-2 is apse2, us-gov-west-1 is usgw1.
func abbreviate(region string) string {
	var b strings.Builder
	for i, part := range strings.Split(region, "-") {
		switch {
		case part == "":
		case i == 0, part[0] >= '0' && part[0] <= '9':
			b.WriteString(part)
		default:
			b.WriteByte(part[0])
			for _, end := range []string{"east", "west"} {
				if rest, ok := strings.CutSuffix(part, end); ok && rest != "" {
					b.WriteByte(end[0])
				}
			}
		}
	}
	return b.String()
}

var availabilityZones = filters[api.AvailabilityZone]{
	"group-long-name":  none[api.AvailabilityZone],
	"group-name":       func(z api.AvailabilityZone) []string { return text(z.GroupName) },
	"message":          none[api.AvailabilityZone],
	"opt-in-status":    func(z api.AvailabilityZone) []string { return []string{string(z.OptInStatus)} },
	"parent-zone-id":   none[api.AvailabilityZone],
	"parent-zone-name": none[api.AvailabilityZone],
	"region-name":      func(z api.AvailabilityZone) []string { return text(z.RegionName) },
	"state":            func(z api.AvailabilityZone) []string { return []string{string(z.State)} },
	"zone-id":          func(z api.AvailabilityZone) []string { return text(z.ZoneId) },
	"zone-name":        func(z api.AvailabilityZone) []string { return text(z.ZoneName) },
	"zone-type":        func(z api.AvailabilityZone) []string { return text(z.ZoneType) },
}

// DescribeAvailabilityZones has the region's a, b and c, and the zones that machines are or were in.
// AllAvailabilityZones changes nothing: there are no zones that one has not opted in to.
func (s *Service) DescribeAvailabilityZones(ctx context.Context, in *api.DescribeAvailabilityZonesRequest) (*api.DescribeAvailabilityZonesResult, error) {
	c := aws.CallerFrom(ctx)
	all := []api.AvailabilityZone{}
	for _, z := range zonesOf(s.Store.Read(), c.Account, c.Region) {
		all = append(all, api.AvailabilityZone{
			ZoneName: &z.Name, ZoneId: new(z.ID()), RegionName: &c.Region, GroupName: &c.Region, NetworkBorderGroup: &c.Region,
			ZoneType: new("availability-zone"), State: api.AvailabilityZoneStateAvailable, Messages: []api.AvailabilityZoneMessage{},
			OptInStatus: api.AvailabilityZoneOptInStatusOptInNotRequired,
		})
	}
	for _, ask := range []struct {
		values []string
		of     func(api.AvailabilityZone) string
	}{
		{in.ZoneNames, func(z api.AvailabilityZone) string { return *z.ZoneName }},
		{in.ZoneIds, func(z api.AvailabilityZone) string { return *z.ZoneId }},
	} {
		for _, v := range ask.values {
			if !slices.ContainsFunc(all, func(z api.AvailabilityZone) bool { return ask.of(z) == v }) {
				return nil, aws.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", v)
			}
		}
		if len(ask.values) > 0 {
			all = slices.DeleteFunc(all, func(z api.AvailabilityZone) bool { return !slices.Contains(ask.values, ask.of(z)) })
		}
	}
	all, err := availabilityZones.keep(all, in.Filters, nil)
	if err != nil {
		return nil, err
	}
	return &api.DescribeAvailabilityZonesResult{AvailabilityZones: all}, dryRun(in.DryRun)
}
