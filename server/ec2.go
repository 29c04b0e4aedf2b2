package server

import (
	"strings"

	"berth/aws"
	"berth/ec2"
	"berth/ecs"
	"berth/reconcile"
	"berth/store"
)

// newEC2 makes the EC2 service, which learns from ECS which zones and regions are in use.
func (s *Server) newEC2(pages *aws.Pages) *ec2.Service {
	return ec2.New(ec2.Deps{
		Store: s.store, Pages: pages, Log: s.log,
		Machines: []reconcile.Trigger{reconcile.On(ecs.InstanceDescriptions, zonesOfMachine)},
		Regions:  regionsOfClusters,
		Endpoint: func() string { return s.api.Addr().String() },
	})
}

// zonesOfMachine is account/region/zone of a container instance.
func zonesOfMachine(d ecs.InstanceDescription) []string {
	account, rest, _ := strings.Cut(d.Key, "/")
	region, _, _ := strings.Cut(rest, "/")
	if zone := d.Zone(); zone != "" {
		return []string{account + "/" + region + "/" + zone}
	}
	return nil
}

// regionsOfClusters are the regions in which an account has clusters.
func regionsOfClusters(r store.Reader, account string) []string {
	var out []string
	for c := range ecs.Clusters.Prefix(r, account+"/") {
		if !c.Inactive && (len(out) == 0 || out[len(out)-1] != c.Region) {
			out = append(out, c.Region)
		}
	}
	return out
}
