package servicediscovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// Namespace is the record of one namespace.
type Namespace struct {
	// Written by: CreateHttpNamespace, CreatePrivateDnsNamespace, EnsureHTTPNamespace.
	Account string            `json:"a"`
	Region  string            `json:"r"`
	ID      string            `json:"i"`
	Name    string            `json:"n"`
	Type    api.NamespaceType `json:"k"`
	Created int64             `json:"c"`           // ms since the epoch
	VPC     string            `json:"vp,omitzero"` // of DNS_PRIVATE
	Creator string            `json:"cr"`          // CreatorRequestId
	By      string            `json:"op,omitzero"` // ID of the operation that made it
	// HTTPName is what DiscoverInstances calls it: unique in its account and region.
	HTTPName string `json:"h"`

	// Written by: the same, UpdateHttpNamespace, UpdatePrivateDnsNamespace.
	Description string `json:"d,omitzero"`
	// TTL is that of the zone's SOA record, in seconds, and so of the answer that a name does not exist. Of DNS_PRIVATE.
	TTL int64 `json:"ttl,omitzero"`

	// Written by: the same, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
}

// Indexes of Namespaces.
const (
	byNamespaceName     = "name"      // account/region/name in lower case
	byNamespaceHTTPName = "http-name" // account/region/HTTP name
)

// Namespaces is the table of namespaces, by account/region/ID.
var Namespaces = store.NewTable("servicediscovery/namespace", Namespace.Key,
	store.Index(byNamespaceName, func(n Namespace) []string { return []string{n.place() + strings.ToLower(n.Name)} }),
	store.Index(byNamespaceHTTPName, func(n Namespace) []string { return []string{n.place() + n.HTTPName} }),
)

func (n Namespace) place() string { return place(n.Account, n.Region) }

// Key is account/region/ID.
func (n Namespace) Key() string { return n.place() + n.ID }

// ARN names the namespace.
func (n Namespace) ARN() aws.ARN {
	return aws.NewARN("servicediscovery", n.Region, n.Account, "namespace/"+n.ID)
}

// defaultSOA is the TTL of a zone's SOA record in seconds, unless said otherwise.
const defaultSOA = 15

// zoneID is the ID of the hosted zone of a private DNS namespace. There is no Route 53 here; the ID says only which zone is which.
func (n Namespace) zoneID() string { return "Z" + derived("hosted zone of "+n.Key(), 20) }

// CreateHttpNamespace makes a namespace that is found by DiscoverInstances only.
func (s *Service) CreateHttpNamespace(ctx context.Context, in *api.CreateHttpNamespaceRequest) (*api.CreateHttpNamespaceResponse, error) {
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(*in.Name, "arn:") || !visible(*in.Name) {
		return nil, invalid("The name of the namespace must not begin with arn: and must have visible ASCII characters only.")
	}
	id, err := s.createNamespace(ctx, Namespace{
		Name: *in.Name, Type: api.NamespaceTypeHTTP, Creator: orNew(in.CreatorRequestId), Description: aws.Value(in.Description), Tags: tags,
	})
	return &api.CreateHttpNamespaceResponse{OperationId: &id}, err
}

// CreatePrivateDnsNamespace makes a namespace that is also a DNS zone, which the machines of the account and region answer.
func (s *Service) CreatePrivateDnsNamespace(ctx context.Context, in *api.CreatePrivateDnsNamespaceRequest) (*api.CreatePrivateDnsNamespaceResponse, error) {
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(*in.Name, ".")
	if err := checkZone(name); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(*in.Vpc, "vpc-") {
		return nil, invalid("The VPC ID %s is not valid.", *in.Vpc)
	}
	ttl := int64(defaultSOA)
	if in.Properties != nil {
		ttl = *in.Properties.DnsProperties.SOA.TTL
	}
	id, err := s.createNamespace(ctx, Namespace{
		Name: name, Type: api.NamespaceTypeDNSPrivate, Creator: orNew(in.CreatorRequestId), Description: aws.Value(in.Description),
		Tags: tags, VPC: *in.Vpc, TTL: ttl,
	})
	return &api.CreatePrivateDnsNamespaceResponse{OperationId: &id}, err
}

// CreatePublicDnsNamespace is refused: nobody asks Berth for names on the internet.
func (s *Service) CreatePublicDnsNamespace(context.Context, *api.CreatePublicDnsNamespaceRequest) (*api.CreatePublicDnsNamespaceResponse, error) {
	return nil, errPublic()
}

// UpdatePublicDnsNamespace is refused: there are no public namespaces.
func (s *Service) UpdatePublicDnsNamespace(ctx context.Context, in *api.UpdatePublicDnsNamespaceRequest) (*api.UpdatePublicDnsNamespaceResponse, error) {
	if _, err := findNamespace(s.Store.Read(), callerPlace(ctx), *in.Id); err != nil {
		return nil, err
	}
	return nil, errPublic()
}

func errPublic() error {
	return invalid("Public DNS namespaces are not supported: no domain is delegated to Berth. Use CreatePrivateDnsNamespace.")
}

// createNamespace writes a namespace, or finds the one that the same request has made before. It returns the ID of the operation.
func (s *Service) createNamespace(ctx context.Context, n Namespace) (string, error) {
	c, op := aws.CallerFrom(ctx), s.newOperation(ctx, api.OperationTypeCreateNamespace)
	n.Account, n.Region, n.ID, n.By, n.Created = c.Account, c.Region, newID("ns-"), op.ID, op.At
	done := op.ID
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		done = op.ID
		for old := range Namespaces.By(tx, byNamespaceName, n.place()+strings.ToLower(n.Name)) {
			switch {
			case old.Type != n.Type || n.Type == api.NamespaceTypeHTTP && old.Name != n.Name:
			case old.Creator == n.Creator && old.By != "":
				done = old.By
				return nil
			default:
				return aws.Errorf("NamespaceAlreadyExists", "A namespace with the name %s exists already.", n.Name).
					With("CreatorRequestId", old.Creator).With("NamespaceId", old.ID)
			}
		}
		if n.VPC != "" && s.VPC != nil && !s.VPC(tx, n.Account, n.Region, n.VPC) {
			return invalid("The VPC %s does not exist.", n.VPC)
		}
		return putNamespace(tx, n, op)
	})
	return done, err
}

// putNamespace writes a new namespace and the operation that made it.
func putNamespace(tx *store.Tx, n Namespace, op Operation) error {
	if err := addNamespace(tx, n); err != nil {
		return err
	}
	op.done(tx, targetNamespace, n.ID)
	return nil
}

// addNamespace writes a new namespace with a name for DiscoverInstances.
func addNamespace(tx *store.Tx, n Namespace) error {
	count := 0
	for range Namespaces.Prefix(tx, n.place()) {
		count++
	}
	if count >= maxNamespaces {
		return aws.Errorf("ResourceLimitExceeded", "The account has %d namespaces in this region, which is the limit.", maxNamespaces)
	}
	n.HTTPName = n.Name
	if Namespaces.CountBy(tx, byNamespaceHTTPName, n.place()+n.Name) > 0 {
		n.HTTPName = n.Name + "-" + strings.ToLower(derived(n.ID, 8))
	}
	Namespaces.Put(tx, n)
	return nil
}

func findNamespace(r store.Reader, place, idOrARN string) (Namespace, error) {
	n, ok := Namespaces.Get(r, keyOf(place, "namespace", idOrARN))
	if !ok {
		return n, aws.Errorf("NamespaceNotFound", "The namespace %s was not found.", idOrARN)
	}
	return n, nil
}

// GetNamespace shows one namespace.
func (s *Service) GetNamespace(ctx context.Context, in *api.GetNamespaceRequest) (*api.GetNamespaceResponse, error) {
	r := s.Store.Read()
	n, err := findNamespace(r, callerPlace(ctx), *in.Id)
	if err != nil {
		return nil, err
	}
	sum := n.summary(r)
	return &api.GetNamespaceResponse{Namespace: &api.Namespace{
		Id: sum.Id, Arn: sum.Arn, ResourceOwner: sum.ResourceOwner, Name: sum.Name, Type: sum.Type, Description: sum.Description,
		ServiceCount: sum.ServiceCount, Properties: sum.Properties, CreateDate: sum.CreateDate, CreatorRequestId: new(n.Creator),
	}}, nil
}

// ListNamespaces lists the account's namespaces of the region.
func (s *Service) ListNamespaces(ctx context.Context, in *api.ListNamespacesRequest) (*api.ListNamespacesResponse, error) {
	keep, err := namespaceFilter(in.Filters)
	if err != nil {
		return nil, err
	}
	r, at := s.Store.Read(), callerPlace(ctx)
	all := func(yield func(Namespace) bool) {
		for n := range Namespaces.Prefix(r, at) {
			if keep(n) && !yield(n) {
				return
			}
		}
	}
	list, next, err := page(s, fmt.Sprintf("ListNamespaces %s %s", at, scopeOf(in.Filters)), in.NextToken, in.MaxResults, 100, all, Namespace.Key)
	if err != nil {
		return nil, err
	}
	out := &api.ListNamespacesResponse{Namespaces: []api.NamespaceSummary{}, NextToken: next}
	for _, n := range list {
		out.Namespaces = append(out.Namespaces, n.summary(r))
	}
	return out, nil
}

// UpdateHttpNamespace changes the description.
func (s *Service) UpdateHttpNamespace(ctx context.Context, in *api.UpdateHttpNamespaceRequest) (*api.UpdateHttpNamespaceResponse, error) {
	id, err := s.updateNamespace(ctx, *in.Id, api.NamespaceTypeHTTP, func(n *Namespace) { n.Description = *in.Namespace.Description })
	return &api.UpdateHttpNamespaceResponse{OperationId: &id}, err
}

// UpdatePrivateDnsNamespace changes the description and the TTL of the SOA record; what is absent stays.
func (s *Service) UpdatePrivateDnsNamespace(ctx context.Context, in *api.UpdatePrivateDnsNamespaceRequest) (*api.UpdatePrivateDnsNamespaceResponse, error) {
	if in.Namespace.Description == nil && in.Namespace.Properties == nil {
		return nil, invalid("The request changes nothing: give Description or Properties.")
	}
	id, err := s.updateNamespace(ctx, *in.Id, api.NamespaceTypeDNSPrivate, func(n *Namespace) {
		if in.Namespace.Description != nil {
			n.Description = *in.Namespace.Description
		}
		if p := in.Namespace.Properties; p != nil {
			n.TTL = *p.DnsProperties.SOA.TTL
		}
	})
	return &api.UpdatePrivateDnsNamespaceResponse{OperationId: &id}, err
}

// updateNamespace changes a namespace of a type. UpdaterRequestId needs no memory: doing the same again changes nothing.
func (s *Service) updateNamespace(ctx context.Context, id string, kind api.NamespaceType, change func(*Namespace)) (string, error) {
	op := s.newOperation(ctx, api.OperationTypeUpdateNamespace)
	return op.ID, s.Store.Update(ctx, func(tx *store.Tx) error {
		n, err := findNamespace(tx, callerPlace(ctx), id)
		if err != nil {
			return err
		}
		if n.Type != kind {
			return invalid("The namespace %s is of the type %s.", n.ID, n.Type)
		}
		change(&n)
		Namespaces.Put(tx, n)
		op.done(tx, targetNamespace, n.ID)
		return nil
	})
}

// DeleteNamespace removes a namespace without services.
func (s *Service) DeleteNamespace(ctx context.Context, in *api.DeleteNamespaceRequest) (*api.DeleteNamespaceResponse, error) {
	op := s.newOperation(ctx, api.OperationTypeDeleteNamespace)
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		n, err := findNamespace(tx, callerPlace(ctx), *in.Id)
		if err != nil {
			return err
		}
		if Services.CountBy(tx, byServiceNamespace, n.Key()) > 0 {
			return aws.Errorf("ResourceInUse", "The namespace %s has services. Delete them first.", n.ID)
		}
		Namespaces.Delete(tx, n.Key())
		op.done(tx, targetNamespace, n.ID)
		return nil
	})
	return &api.DeleteNamespaceResponse{OperationId: new(op.ID)}, err
}

func (n Namespace) summary(r store.Reader) api.NamespaceSummary {
	p := &api.NamespaceProperties{HttpProperties: &api.HttpProperties{HttpName: new(n.HTTPName)}}
	if n.Type == api.NamespaceTypeDNSPrivate {
		p.DnsProperties = &api.DnsProperties{HostedZoneId: new(n.zoneID()), SOA: &api.SOA{TTL: new(n.TTL)}}
	}
	return api.NamespaceSummary{
		Id: new(n.ID), Arn: new(n.ARN().String()), ResourceOwner: new(n.Account), Name: new(n.Name), Type: n.Type,
		Description: optional(n.Description), Properties: p, CreateDate: aws.NewTime(time.UnixMilli(n.Created)),
		ServiceCount: new(int32(Services.CountBy(r, byServiceNamespace, n.Key()))),
	}
}

// Zone is the DNS zone in which the names of Berth's own resources are, such as those of load balancers.
const Zone = "berth.internal"

// checkZone refuses names that DNS cannot have, and Berth's own.
func checkZone(name string) error {
	if err := checkName(name); err != nil {
		return invalid("The name of the namespace is not a DNS name: %s.", err)
	}
	if lower := strings.ToLower(name); lower == Zone || strings.HasSuffix(lower, "."+Zone) {
		return invalid("The names below %s are Berth's own.", Zone)
	}
	return nil
}

// maxName is the length of the longest DNS name, in characters and without the last dot.
const maxName = 253

// checkName says why a text is no DNS name: labels of 1 to 63 letters, digits, hyphens and underscores.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("it must have 1 to %d characters", maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("each label must have 1 to 63 characters")
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return errors.New("labels have letters, digits, hyphens and underscores")
			}
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("a label must not begin or end with a hyphen")
		}
	}
	return nil
}

// visible says whether a text has only the ASCII characters from ! to ~.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] < '!' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}
