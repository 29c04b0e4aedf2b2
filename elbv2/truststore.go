package elbv2

import (
	"context"

	api "berth/api/elbv2"
	"berth/aws"
)

// There are no trust stores, as there is no mutual authentication: they can't be made, and none is found.

// CreateTrustStore is refused.
func (s *Service) CreateTrustStore(context.Context, *api.CreateTrustStoreInput) (*api.CreateTrustStoreOutput, error) {
	return nil, aws.Errorf(codeNotPermitted, "Trust stores are not supported by this Berth: there is no mutual authentication")
}

// noTrustStore is the answer for any ARN of a trust store.
func noTrustStore(ctx context.Context, arn *string) error {
	if _, err := aTrustStore.key(ctx, arn); err != nil {
		return err
	}
	return aTrustStore.missing(*arn)
}

// DescribeTrustStores finds none.
func (s *Service) DescribeTrustStores(ctx context.Context, in *api.DescribeTrustStoresInput) (*api.DescribeTrustStoresOutput, error) {
	if len(in.TrustStoreArns) > 0 {
		return nil, noTrustStore(ctx, &in.TrustStoreArns[0])
	}
	if len(in.Names) > 0 {
		return nil, aws.Errorf(codeTrustStoreNotFound, "Trust store '%s' not found", short(in.Names[0]))
	}
	return &api.DescribeTrustStoresOutput{TrustStores: []api.TrustStore{}}, nil
}

// ModifyTrustStore finds none.
func (s *Service) ModifyTrustStore(ctx context.Context, in *api.ModifyTrustStoreInput) (*api.ModifyTrustStoreOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// DeleteTrustStore finds none.
func (s *Service) DeleteTrustStore(ctx context.Context, in *api.DeleteTrustStoreInput) (*api.DeleteTrustStoreOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// DescribeTrustStoreAssociations finds none.
func (s *Service) DescribeTrustStoreAssociations(ctx context.Context, in *api.DescribeTrustStoreAssociationsInput) (*api.DescribeTrustStoreAssociationsOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// DeleteSharedTrustStoreAssociation finds none.
func (s *Service) DeleteSharedTrustStoreAssociation(ctx context.Context, in *api.DeleteSharedTrustStoreAssociationInput) (*api.DeleteSharedTrustStoreAssociationOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// GetTrustStoreCaCertificatesBundle finds none.
func (s *Service) GetTrustStoreCaCertificatesBundle(ctx context.Context, in *api.GetTrustStoreCaCertificatesBundleInput) (*api.GetTrustStoreCaCertificatesBundleOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// AddTrustStoreRevocations finds none.
func (s *Service) AddTrustStoreRevocations(ctx context.Context, in *api.AddTrustStoreRevocationsInput) (*api.AddTrustStoreRevocationsOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// DescribeTrustStoreRevocations finds none.
func (s *Service) DescribeTrustStoreRevocations(ctx context.Context, in *api.DescribeTrustStoreRevocationsInput) (*api.DescribeTrustStoreRevocationsOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// RemoveTrustStoreRevocations finds none.
func (s *Service) RemoveTrustStoreRevocations(ctx context.Context, in *api.RemoveTrustStoreRevocationsInput) (*api.RemoveTrustStoreRevocationsOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}

// GetTrustStoreRevocationContent finds none.
func (s *Service) GetTrustStoreRevocationContent(ctx context.Context, in *api.GetTrustStoreRevocationContentInput) (*api.GetTrustStoreRevocationContentOutput, error) {
	return nil, noTrustStore(ctx, in.TrustStoreArn)
}
