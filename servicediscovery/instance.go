package servicediscovery

import (
	"context"
	"fmt"
	"maps"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// Instance is the record of one instance of a service.
type Instance struct {
	Service string `json:"s"` // key of the service. Written by: RegisterInstance, Register
	ID      string `json:"i"` // up to 64 characters. Written by: RegisterInstance, Register
	// Written by: RegisterInstance, Register.
	Attributes map[string]string `json:"a"`
	Creator    string            `json:"cr,omitzero"` // CreatorRequestId
	By         string            `json:"op,omitzero"` // ID of the operation
	Registered int64             `json:"c"`           // ms since the epoch
	// Health is HEALTHY or UNHEALTHY if the service has custom health, else empty. Written by: the same,
	// UpdateInstanceCustomHealthStatus, SetHealth.
	Health api.HealthStatus `json:"h,omitzero"`
}

const byInstanceService = "service" // key of the service

// Instances is the table of instances, by the key of the service/ID.
var Instances = store.NewTable("servicediscovery/instance", Instance.Key,
	store.Index(byInstanceService, func(i Instance) []string { return []string{i.Service} }),
)

// Key is the key of the service and the ID.
func (i Instance) Key() string { return i.Service + "/" + i.ID }

// health is the status that answers show.
func (i Instance) health() api.HealthStatus {
	if i.Health == "" {
		return api.HealthStatusUnknown
	}
	return i.Health
}

// RegisterInstance adds an instance, or replaces the one with its ID.
func (s *Service) RegisterInstance(ctx context.Context, in *api.RegisterInstanceRequest) (*api.RegisterInstanceResponse, error) {
	op := s.newOperation(ctx, api.OperationTypeRegisterInstance)
	i := Instance{ID: *in.InstanceId, Attributes: in.Attributes, Creator: orNew(in.CreatorRequestId), By: op.ID, Registered: op.At}
	done := op.ID
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		done = op.ID
		v, err := findService(tx, callerPlace(ctx), *in.ServiceId)
		if err != nil {
			return err
		}
		i := i
		i.Service = v.Key()
		if old, ok := Instances.Get(tx, i.Key()); ok && old.Creator == i.Creator && old.By != "" && maps.Equal(sent(old.Attributes, in.Attributes), in.Attributes) {
			done = old.By
			return nil
		}
		if i.Attributes, err = s.attributes(tx, v, in.Attributes); err != nil {
			return err
		}
		if err := put(tx, v, i); err != nil {
			return err
		}
		op.done(tx, targetInstance, i.ID, targetService, v.ID)
		return nil
	})
	return &api.RegisterInstanceResponse{OperationId: &done}, err
}

// sent is what a request said of the attributes that came of it: an address that was found by the EC2 instance ID was not said.
func sent(have, said map[string]string) map[string]string {
	if _, ok := said[attrIPv4]; ok || have[attrEC2] == "" {
		return have
	}
	out := maps.Clone(have)
	delete(out, attrIPv4)
	return out
}

// put writes an instance whose attributes are checked. A new one must fit into the quotas.
func put(tx *store.Tx, v ServiceRecord, i Instance) error {
	old, there := Instances.Get(tx, i.Key())
	if !there {
		if Instances.CountBy(tx, byInstanceService, v.Key()) >= maxInstances {
			return aws.Errorf("ResourceLimitExceeded", "The service %s has %d instances, which is the limit.", v.ID, maxInstances)
		}
		count := 0
		for of := range Services.By(tx, byServiceNamespace, v.NamespaceKey()) {
			count += Instances.CountBy(tx, byInstanceService, of.Key())
		}
		if count >= maxNamespaceInstances {
			return aws.Errorf("ResourceLimitExceeded", "The namespace %s has %d instances, which is the limit.", v.Namespace, maxNamespaceInstances)
		}
	}
	i.Health = ""
	if v.CustomHealth {
		i.Health = api.HealthStatusHealthy
		if h := i.Attributes[attrInitHealth]; h != "" {
			i.Health = api.HealthStatus(h)
		} else if there && old.Health != "" {
			i.Health = old.Health
		}
	}
	Instances.Put(tx, i)
	v.touch(tx)
	return nil
}

// DeregisterInstance removes an instance.
func (s *Service) DeregisterInstance(ctx context.Context, in *api.DeregisterInstanceRequest) (*api.DeregisterInstanceResponse, error) {
	op := s.newOperation(ctx, api.OperationTypeDeregisterInstance)
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		v, i, err := findInstance(tx, callerPlace(ctx), *in.ServiceId, *in.InstanceId)
		if err != nil {
			return err
		}
		Instances.Delete(tx, i.Key())
		v.touch(tx)
		op.done(tx, targetInstance, i.ID, targetService, v.ID)
		return nil
	})
	return &api.DeregisterInstanceResponse{OperationId: new(op.ID)}, err
}

func findInstance(r store.Reader, place, service, id string) (ServiceRecord, Instance, error) {
	v, err := findService(r, place, service)
	if err != nil {
		return v, Instance{}, err
	}
	i, ok := Instances.Get(r, v.Key()+"/"+id)
	if !ok {
		return v, i, aws.Errorf("InstanceNotFound", "The instance %s was not found in the service %s.", id, v.ID)
	}
	return v, i, nil
}

// GetInstance shows one instance.
func (s *Service) GetInstance(ctx context.Context, in *api.GetInstanceRequest) (*api.GetInstanceResponse, error) {
	v, i, err := findInstance(s.Store.Read(), callerPlace(ctx), *in.ServiceId, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	return &api.GetInstanceResponse{ResourceOwner: new(v.Account), Instance: &api.Instance{
		Id: new(i.ID), Attributes: i.Attributes, CreatorRequestId: optional(i.Creator), CreatedByAccount: new(v.Account),
	}}, nil
}

// ListInstances lists the instances of a service in the order of their IDs.
func (s *Service) ListInstances(ctx context.Context, in *api.ListInstancesRequest) (*api.ListInstancesResponse, error) {
	r := s.Store.Read()
	v, err := findService(r, callerPlace(ctx), *in.ServiceId)
	if err != nil {
		return nil, err
	}
	list, next, err := page(s, fmt.Sprintf("ListInstances %s", v.Key()), in.NextToken, in.MaxResults, 100, Instances.By(r, byInstanceService, v.Key()), Instance.Key)
	if err != nil {
		return nil, err
	}
	out := &api.ListInstancesResponse{ResourceOwner: new(v.Account), Instances: []api.InstanceSummary{}, NextToken: next}
	for _, i := range list {
		out.Instances = append(out.Instances, api.InstanceSummary{Id: new(i.ID), Attributes: i.Attributes, CreatedByAccount: new(v.Account)})
	}
	return out, nil
}
