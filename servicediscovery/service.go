package servicediscovery

import (
	"context"
	"fmt"
	"strings"
	"time"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// ServiceRecord is the record of one service: a name under which instances are found.
type ServiceRecord struct {
	// Written by: CreateService, EnsureHTTPService.
	Account   string          `json:"a"`
	Region    string          `json:"r"`
	ID        string          `json:"i"`
	Namespace string          `json:"ns"` // ID of the namespace
	Name      string          `json:"n"`
	Type      api.ServiceType `json:"k"` // HTTP or DNS_HTTP
	Created   int64           `json:"c"` // ms since the epoch
	Creator   string          `json:"cr"`
	// Policy is that of DNS answers. Of DNS_HTTP.
	Policy api.RoutingPolicy `json:"p,omitzero"`
	// CustomHealth says that instances have a health that is set by UpdateInstanceCustomHealthStatus.
	CustomHealth bool `json:"ch,omitzero"`

	// Written by: the same, UpdateService.
	Description string          `json:"d,omitzero"`
	Records     []api.DnsRecord `json:"rr,omitzero"` // of DNS_HTTP

	// Written by: UpdateServiceAttributes, DeleteServiceAttributes.
	Attributes map[string]string `json:"at,omitzero"`
	// Revision grows with every change of the service's instances and their health. Written by: touch.
	Revision int64 `json:"rev"`
	// Written by: CreateService, EnsureHTTPService, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
}

// Indexes of Services.
const (
	byServiceNamespace = "namespace" // key of the namespace
	byServiceName      = "name"      // key of the namespace, a bar and the name; in lower case if DNS knows it
)

// Services is the table of services, by account/region/ID.
var Services = store.NewTable("servicediscovery/service", ServiceRecord.Key,
	store.Index(byServiceNamespace, func(v ServiceRecord) []string { return []string{v.NamespaceKey()} }),
	store.Index(byServiceName, func(v ServiceRecord) []string { return []string{v.NamespaceKey() + "|" + strings.ToLower(v.Name)} }),
)

func (v ServiceRecord) place() string { return place(v.Account, v.Region) }

// Key is account/region/ID.
func (v ServiceRecord) Key() string { return v.place() + v.ID }

// NamespaceKey is the key of the service's namespace.
func (v ServiceRecord) NamespaceKey() string { return v.place() + v.Namespace }

// ARN names the service.
func (v ServiceRecord) ARN() aws.ARN {
	return aws.NewARN("servicediscovery", v.Region, v.Account, "service/"+v.ID)
}

// has says whether DNS has records of a type for the service.
func (v ServiceRecord) has(kind api.RecordType) bool {
	_, ok := v.ttl(kind)
	return ok
}

// ttl is the TTL of the service's records of a type, in seconds.
func (v ServiceRecord) ttl(kind api.RecordType) (int64, bool) {
	for _, r := range v.Records {
		if r.Type == kind {
			return *r.TTL, true
		}
	}
	return 0, false
}

// CreateService makes a service. The same CreatorRequestId gives the same service again.
func (s *Service) CreateService(ctx context.Context, in *api.CreateServiceRequest) (*api.CreateServiceResponse, error) {
	v, err := s.newService(ctx, in)
	if err != nil {
		return nil, err
	}
	namespace := aws.Value(in.NamespaceId)
	if namespace == "" && in.DnsConfig != nil {
		namespace = aws.Value(in.DnsConfig.NamespaceId)
	}
	if namespace == "" {
		return nil, invalid("NamespaceId is required.")
	}
	var out *api.Service
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		n, err := findNamespace(tx, callerPlace(ctx), namespace)
		if err != nil {
			return err
		}
		v := v
		v.Namespace = n.ID
		if err := checkService(&v, n, in); err != nil {
			return err
		}
		old, there := sameName(tx, v)
		switch {
		case there && old.Creator == v.Creator && old.Type == v.Type && old.Name == v.Name:
			v = old
		case there:
			return aws.Errorf("ServiceAlreadyExists", "A service with the name %s exists already in the namespace %s.", v.Name, n.ID).
				With("CreatorRequestId", old.Creator).With("ServiceId", old.ID).With("ServiceArn", old.ARN().String())
		default:
			Services.Put(tx, v)
		}
		out = v.shape(tx)
		return nil
	})
	return &api.CreateServiceResponse{Service: out}, err
}

// newService makes the record of a request, of which only what needs the namespace is unchecked yet.
func (s *Service) newService(ctx context.Context, in *api.CreateServiceRequest) (ServiceRecord, error) {
	c := aws.CallerFrom(ctx)
	v := ServiceRecord{
		Account: c.Account, Region: c.Region, ID: newID("srv-"), Name: *in.Name, Created: s.Now().UnixMilli(), Creator: orNew(in.CreatorRequestId),
		Description: aws.Value(in.Description), CustomHealth: in.HealthCheckCustomConfig != nil, Revision: 1,
	}
	var err error
	if v.Tags, err = tagMap(in.Tags); err != nil {
		return v, err
	}
	if err := checkServiceName(v.Name); err != nil {
		return v, err
	}
	return v, checkHealthConfig(in.HealthCheckConfig, in.HealthCheckCustomConfig)
}

// sameName finds the service of the same namespace that has the name already. Names that differ in case only are the same to DNS.
func sameName(r store.Reader, v ServiceRecord) (ServiceRecord, bool) {
	for old := range Services.By(r, byServiceName, v.NamespaceKey()+"|"+strings.ToLower(v.Name)) {
		if old.Name == v.Name || old.Type != api.ServiceTypeHTTP && v.Type != api.ServiceTypeHTTP {
			return old, true
		}
	}
	return ServiceRecord{}, false
}

func findService(r store.Reader, place, idOrARN string) (ServiceRecord, error) {
	v, ok := Services.Get(r, keyOf(place, "service", idOrARN))
	if !ok {
		return v, aws.Errorf("ServiceNotFound", "The service %s was not found.", idOrARN)
	}
	return v, nil
}

// GetService shows one service.
func (s *Service) GetService(ctx context.Context, in *api.GetServiceRequest) (*api.GetServiceResponse, error) {
	r := s.Store.Read()
	v, err := findService(r, callerPlace(ctx), *in.Id)
	if err != nil {
		return nil, err
	}
	return &api.GetServiceResponse{Service: v.shape(r)}, nil
}

// ListServices lists the account's services of the region.
func (s *Service) ListServices(ctx context.Context, in *api.ListServicesRequest) (*api.ListServicesResponse, error) {
	r, at := s.Store.Read(), callerPlace(ctx)
	keep, err := serviceFilter(at, in.Filters)
	if err != nil {
		return nil, err
	}
	all := func(yield func(ServiceRecord) bool) {
		for v := range Services.Prefix(r, at) {
			if keep(v) && !yield(v) {
				return
			}
		}
	}
	list, next, err := page(s, fmt.Sprintf("ListServices %s %s", at, scopeOf(in.Filters)), in.NextToken, in.MaxResults, 100, all, ServiceRecord.Key)
	if err != nil {
		return nil, err
	}
	out := &api.ListServicesResponse{Services: []api.ServiceSummary{}, NextToken: next}
	for _, v := range list {
		f := v.shape(r)
		out.Services = append(out.Services, api.ServiceSummary{
			Id: f.Id, Arn: f.Arn, ResourceOwner: f.ResourceOwner, Name: f.Name, Type: f.Type, Description: f.Description, InstanceCount: f.InstanceCount,
			DnsConfig: f.DnsConfig, HealthCheckCustomConfig: f.HealthCheckCustomConfig, CreateDate: f.CreateDate, CreatedByAccount: f.CreatedByAccount,
		})
	}
	return out, nil
}

// UpdateService changes the description and the TTLs of DNS records. Records that it does not name are removed from DNS.
func (s *Service) UpdateService(ctx context.Context, in *api.UpdateServiceRequest) (*api.UpdateServiceResponse, error) {
	if err := checkHealthConfig(in.Service.HealthCheckConfig, nil); err != nil {
		return nil, err
	}
	op := s.newOperation(ctx, api.OperationTypeUpdateService)
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findService(tx, callerPlace(ctx), *in.Id)
		if err != nil {
			return err
		}
		if v.Type != api.ServiceTypeHTTP {
			if v.Records, err = changedRecords(v, in.Service.DnsConfig); err != nil {
				return err
			}
		} else if in.Service.DnsConfig != nil {
			return invalid("The service %s is found by DiscoverInstances only: it has no DNS records.", v.ID)
		}
		if in.Service.Description != nil {
			v.Description = *in.Service.Description
		}
		Services.Put(tx, v)
		op.done(tx, targetService, v.ID)
		return nil
	})
	return &api.UpdateServiceResponse{OperationId: new(op.ID)}, err
}

// DeleteService removes a service without instances.
func (s *Service) DeleteService(ctx context.Context, in *api.DeleteServiceRequest) (*api.DeleteServiceResponse, error) {
	return &api.DeleteServiceResponse{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findService(tx, callerPlace(ctx), *in.Id)
		if err != nil {
			return err
		}
		if Instances.CountBy(tx, byInstanceService, v.Key()) > 0 {
			return aws.Errorf("ResourceInUse", "The service %s has registered instances. Deregister them first.", v.ID)
		}
		Services.Delete(tx, v.Key())
		return nil
	})
}

func (v ServiceRecord) shape(r store.Reader) *api.Service {
	out := &api.Service{
		Id: new(v.ID), Arn: new(v.ARN().String()), ResourceOwner: new(v.Account), Name: new(v.Name), NamespaceId: new(v.Namespace),
		Description: optional(v.Description), InstanceCount: new(int32(Instances.CountBy(r, byInstanceService, v.Key()))), Type: v.Type,
		CreateDate: aws.NewTime(time.UnixMilli(v.Created)), CreatorRequestId: new(v.Creator), CreatedByAccount: new(v.Account),
	}
	if len(v.Records) > 0 {
		out.DnsConfig = &api.DnsConfig{NamespaceId: new(v.Namespace), RoutingPolicy: v.Policy, DnsRecords: v.Records}
	}
	if v.CustomHealth {
		out.HealthCheckCustomConfig = &api.HealthCheckCustomConfig{FailureThreshold: new(int32(1))}
	}
	return out
}

// touch notes that the service's instances have changed.
func (v ServiceRecord) touch(tx *store.Tx) {
	v.Revision++
	Services.Put(tx, v)
}
