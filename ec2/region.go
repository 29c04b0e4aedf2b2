package ec2

import (
	"context"
	"slices"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// firstRegion is there for every account. Source: many clients ask for the list of regions there.
const firstRegion = "us-east-1"

var regions = filters[api.Region]{
	"endpoint":      func(v api.Region) []string { return text(v.Endpoint) },
	"opt-in-status": func(v api.Region) []string { return text(v.OptInStatus) },
	"region-name":   func(v api.Region) []string { return text(v.RegionName) },
}

// DescribeRegions lists regions by name: that of the request, us-east-1, and those in which the account has something.
// Differs: any region's name works at once, so there is no list of all that there could be. AllRegions changes nothing.
func (s *Service) DescribeRegions(ctx context.Context, in *api.DescribeRegionsRequest) (*api.DescribeRegionsResult, error) {
	all := []api.Region{}
	for _, name := range s.regionsOf(s.Store.Read(), aws.CallerFrom(ctx)) {
		v := api.Region{RegionName: &name, OptInStatus: new(string(api.AvailabilityZoneOptInStatusOptInNotRequired))}
		if s.Endpoint != nil {
			if at := s.Endpoint(); at != "" {
				v.Endpoint = &at
			}
		}
		all = append(all, v)
	}
	for _, name := range in.RegionNames {
		if !slices.ContainsFunc(all, func(v api.Region) bool { return *v.RegionName == name }) {
			return nil, aws.Errorf("InvalidParameterValue", "Invalid region name: '%s'. There is nothing in it.", name)
		}
	}
	if len(in.RegionNames) > 0 {
		all = slices.DeleteFunc(all, func(v api.Region) bool { return !slices.Contains(in.RegionNames, *v.RegionName) })
	}
	all, err := regions.keep(all, in.Filters, nil)
	if err != nil {
		return nil, err
	}
	return &api.DescribeRegionsResult{Regions: all}, dryRun(in.DryRun)
}

// regionsOf are the names of the regions that an account sees, sorted.
func (s *Service) regionsOf(r store.Reader, c aws.Caller) []string {
	out := slices.Concat(
		[]string{firstRegion, c.Region},
		regionsIn(r, Zones, c.Account, func(z Zone) string { return z.Region }),
		regionsIn(r, SecurityGroups, c.Account, func(g SecurityGroup) string { return g.Region }),
		regionsIn(r, Interfaces, c.Account, func(v Interface) string { return v.Region }),
		regionsIn(r, tagSets, c.Account, func(t tagSet) string { return t.Region }),
	)
	if s.Regions != nil {
		out = append(out, s.Regions(r, c.Account)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// regionsIn finds the regions of an account's records, one step for each region. Keys are account/region/ID.
func regionsIn[T any](r store.Reader, table *store.Table[T], account string, region func(T) string) (out []string) {
	for after, more := "", true; more; {
		more = false
		for v := range table.From(r, account+"/", after) {
			out = append(out, region(v))
			after, more = key(account, region(v), "\xff"), true
			break
		}
	}
	return out
}
