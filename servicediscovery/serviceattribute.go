package servicediscovery

import (
	"context"
	"maps"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// GetServiceAttributes shows the attributes of a service.
func (s *Service) GetServiceAttributes(ctx context.Context, in *api.GetServiceAttributesRequest) (*api.GetServiceAttributesResponse, error) {
	v, err := findService(s.Store.Read(), callerPlace(ctx), *in.ServiceId)
	if err != nil {
		return nil, err
	}
	attributes := v.Attributes
	if attributes == nil {
		attributes = map[string]string{}
	}
	return &api.GetServiceAttributesResponse{ServiceAttributes: &api.ServiceAttributes{
		ServiceArn: new(v.ARN().String()), ResourceOwner: new(v.Account), Attributes: attributes,
	}}, nil
}

// UpdateServiceAttributes adds attributes to a service; values of keys that it has are replaced.
func (s *Service) UpdateServiceAttributes(ctx context.Context, in *api.UpdateServiceAttributesRequest) (*api.UpdateServiceAttributesResponse, error) {
	return &api.UpdateServiceAttributesResponse{}, s.changeAttributes(ctx, *in.ServiceId, func(attributes map[string]string) error {
		maps.Copy(attributes, in.Attributes)
		if len(attributes) > maxServiceAttributes {
			return aws.Errorf("ServiceAttributesLimitExceededException", "A service can have at most %d attributes.", maxServiceAttributes)
		}
		return nil
	})
}

// DeleteServiceAttributes removes attributes; keys that the service does not have are ignored.
func (s *Service) DeleteServiceAttributes(ctx context.Context, in *api.DeleteServiceAttributesRequest) (*api.DeleteServiceAttributesResponse, error) {
	return &api.DeleteServiceAttributesResponse{}, s.changeAttributes(ctx, *in.ServiceId, func(attributes map[string]string) error {
		for _, k := range in.Attributes {
			delete(attributes, k)
		}
		return nil
	})
}

func (s *Service) changeAttributes(ctx context.Context, id string, change func(map[string]string) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findService(tx, callerPlace(ctx), id)
		if err != nil {
			return err
		}
		attributes := map[string]string{}
		maps.Copy(attributes, v.Attributes)
		if err := change(attributes); err != nil {
			return err
		}
		v.Attributes = attributes
		Services.Put(tx, v)
		return nil
	})
}
