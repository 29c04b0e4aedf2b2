package servicediscovery

import (
	"context"
	"math/rand/v2"
	"slices"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// DiscoverInstances lists instances in random order, so that clients spread over them.
func (s *Service) DiscoverInstances(ctx context.Context, in *api.DiscoverInstancesRequest) (*api.DiscoverInstancesResponse, error) {
	r := s.Store.Read()
	n, v, err := discovered(ctx, r, in.NamespaceName, in.ServiceName, in.OwnerAccount)
	if err != nil {
		return nil, err
	}
	var list, both []Instance
	for i := range Instances.By(r, byInstanceService, v.Key()) {
		if !matches(i, in.QueryParameters) {
			continue
		}
		list = append(list, i)
		if matches(i, in.OptionalParameters) {
			both = append(both, i)
		}
	}
	if len(both) > 0 {
		list = both
	}
	if v.CustomHealth {
		list = ofHealth(list, in.HealthStatus)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	most := 100
	if in.MaxResults != nil {
		most = int(*in.MaxResults)
	}
	out := &api.DiscoverInstancesResponse{Instances: []api.HttpInstanceSummary{}, InstancesRevision: new(v.Revision)}
	for _, i := range list[:min(most, len(list))] {
		out.Instances = append(out.Instances, api.HttpInstanceSummary{
			InstanceId: new(i.ID), NamespaceName: new(n.HTTPName), ServiceName: new(v.Name), HealthStatus: i.health(), Attributes: i.Attributes,
		})
	}
	return out, nil
}

// DiscoverInstancesRevision tells a number that grows with every change of what DiscoverInstances finds.
func (s *Service) DiscoverInstancesRevision(ctx context.Context, in *api.DiscoverInstancesRevisionRequest) (*api.DiscoverInstancesRevisionResponse, error) {
	_, v, err := discovered(ctx, s.Store.Read(), in.NamespaceName, in.ServiceName, in.OwnerAccount)
	if err != nil {
		return nil, err
	}
	return &api.DiscoverInstancesRevisionResponse{InstancesRevision: new(v.Revision)}, nil
}

// discovered finds a service by the names that discovery has for it. Namespaces of other accounts are not shared.
func discovered(ctx context.Context, r store.Reader, namespace, service, owner *string) (Namespace, ServiceRecord, error) {
	at := callerPlace(ctx)
	if owner == nil || *owner == aws.CallerFrom(ctx).Account {
		for n := range Namespaces.By(r, byNamespaceHTTPName, at+aws.Value(namespace)) {
			v, ok := serviceNamed(r, n, aws.Value(service))
			if !ok {
				return n, v, aws.Errorf("ServiceNotFound", "The service %s was not found in the namespace %s.", aws.Value(service), n.HTTPName)
			}
			return n, v, nil
		}
	}
	return Namespace{}, ServiceRecord{}, aws.Errorf("NamespaceNotFound", "The namespace %s was not found.", aws.Value(namespace))
}

// serviceNamed finds a service by its name. DNS names that differ in case only are one.
func serviceNamed(r store.Reader, n Namespace, name string) (ServiceRecord, bool) {
	v, ok := sameName(r, ServiceRecord{Account: n.Account, Region: n.Region, Namespace: n.ID, Name: name, Type: api.ServiceTypeHTTP})
	return v, ok
}

func matches(i Instance, want map[string]string) bool {
	for k, v := range want {
		if have, ok := i.Attributes[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// ofHealth keeps the instances that a filter asks for. Without a filter the healthy ones, or all if none is healthy.
func ofHealth(list []Instance, want api.HealthStatusFilter) []Instance {
	with := func(h api.HealthStatus) []Instance {
		return slices.DeleteFunc(slices.Clone(list), func(i Instance) bool { return i.Health != h })
	}
	switch want {
	case api.HealthStatusFilterAll:
		return list
	case api.HealthStatusFilterHealthy:
		return with(api.HealthStatusHealthy)
	case api.HealthStatusFilterUnhealthy:
		return with(api.HealthStatusUnhealthy)
	}
	if healthy := with(api.HealthStatusHealthy); len(healthy) > 0 {
		return healthy
	}
	return list
}
