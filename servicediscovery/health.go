package servicediscovery

import (
	"context"
	"fmt"
	"slices"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// UpdateInstanceCustomHealthStatus sets the health of an instance of a service with custom health.
func (s *Service) UpdateInstanceCustomHealthStatus(ctx context.Context, in *api.UpdateInstanceCustomHealthStatusRequest) (*api.UpdateInstanceCustomHealthStatusResponse, error) {
	return &api.UpdateInstanceCustomHealthStatusResponse{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		v, i, err := findInstance(tx, callerPlace(ctx), *in.ServiceId, *in.InstanceId)
		if err != nil {
			return err
		}
		if !v.CustomHealth {
			return aws.Errorf("CustomHealthNotFound", "The service %s has no HealthCheckCustomConfig.", v.ID)
		}
		setHealth(tx, v, i, api.HealthStatus(in.Status))
		return nil
	})
}

func setHealth(tx *store.Tx, v ServiceRecord, i Instance, h api.HealthStatus) {
	if i.Health == h {
		return
	}
	i.Health = h
	Instances.Put(tx, i)
	v.touch(tx)
}

// GetInstancesHealthStatus shows the health of a service's instances; of those without custom health it is UNKNOWN.
func (s *Service) GetInstancesHealthStatus(ctx context.Context, in *api.GetInstancesHealthStatusRequest) (*api.GetInstancesHealthStatusResponse, error) {
	r := s.Store.Read()
	v, err := findService(r, callerPlace(ctx), *in.ServiceId)
	if err != nil {
		return nil, err
	}
	for _, id := range in.Instances {
		if _, ok := Instances.Get(r, v.Key()+"/"+id); !ok {
			return nil, aws.Errorf("InstanceNotFound", "The instance %s was not found in the service %s.", id, v.ID)
		}
	}
	all := func(yield func(Instance) bool) {
		for i := range Instances.By(r, byInstanceService, v.Key()) {
			if (len(in.Instances) == 0 || slices.Contains(in.Instances, i.ID)) && !yield(i) {
				return
			}
		}
	}
	list, next, err := page(s, fmt.Sprintf("GetInstancesHealthStatus %s %q", v.Key(), in.Instances), in.NextToken, in.MaxResults, 100, all, Instance.Key)
	if err != nil {
		return nil, err
	}
	out := &api.GetInstancesHealthStatusResponse{Status: map[string]api.HealthStatus{}, NextToken: next}
	for _, i := range list {
		out.Status[i.ID] = i.health()
	}
	return out, nil
}
