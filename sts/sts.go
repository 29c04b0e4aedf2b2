// Package sts answers who the caller is.
package sts

import (
	"context"

	api "berth/api/sts"
	"berth/aws"
)

// Service implements STS. It keeps nothing.
type Service struct{ api.Unimplemented }

// New makes the service.
func New() *Service { return &Service{} }

// GetCallerIdentity needs no permission: it shows what the signature proved.
func (*Service) GetCallerIdentity(ctx context.Context, _ *api.GetCallerIdentityRequest) (*api.GetCallerIdentityResponse, error) {
	c := aws.CallerFrom(ctx)
	return &api.GetCallerIdentityResponse{Account: new(c.Account), Arn: new(c.ARN.String()), UserId: new(c.UserID)}, nil
}
