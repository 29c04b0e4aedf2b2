package ecs

import (
	"context"

	api "berth/api/ecs"
	"berth/aws"
	"berth/servicediscovery"
	"berth/store"
)

const codeNamespaceNotFound = "NamespaceNotFoundException"

// connectNamespace finds a namespace of the account and region by its name or ARN.
func connectNamespace(r store.Reader, account, region, nameOrARN string) (servicediscovery.Namespace, error) {
	n, ok := servicediscovery.NamespaceByNameOrARN(r, account, region, nameOrARN)
	if !ok {
		return n, aws.Errorf(codeNamespaceNotFound, "The namespace %s was not found.", nameOrARN)
	}
	return n, nil
}

// ListServicesByNamespace lists the active services, of all clusters, whose primary deployment uses Service Connect in a namespace.
func (s *Service) ListServicesByNamespace(ctx context.Context, in *api.ListServicesByNamespaceRequest) (*api.ListServicesByNamespaceResponse, error) {
	size := 10
	if in.MaxResults != nil {
		var err error
		if size, err = pageSize(in.MaxResults, maxPage); err != nil {
			return nil, err
		}
	}
	if value(in.Namespace) == "" {
		return nil, invalid("Namespace can not be blank.")
	}
	r, caller := s.store.Read(), aws.CallerFrom(ctx)
	n, err := connectNamespace(r, caller.Account, caller.Region, *in.Namespace)
	if err != nil {
		return nil, err
	}
	scope := "ecs/ListServicesByNamespace|" + n.Key()
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.ListServicesByNamespaceResponse{ServiceArns: []string{}}
	last := ""
	for d := range Deployments.ByFrom(r, byDeploymentNamespace, n.Key(), after) {
		v, ok := Services.Get(r, d.ServiceKey())
		if !ok || v.Status() != statusActive || v.Primary != d.Number {
			continue
		}
		if len(out.ServiceArns) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		out.ServiceArns = append(out.ServiceArns, string(v.ARN()))
		last = d.Key()
	}
	return out, nil
}
