package ecr

import (
	"context"
	"encoding/json"

	api "berth/api/ecr"
	"berth/aws"
	"berth/ecr/lifecycle"
)

// PutLifecyclePolicy sets the rules by which images expire. The lifecycle reconciler carries them out.
func (s *Service) PutLifecyclePolicy(ctx context.Context, in *api.PutLifecyclePolicyRequest) (*api.PutLifecyclePolicyResponse, error) {
	text := aws.Value(in.LifecyclePolicyText)
	if _, err := lifecycle.Parse(text); err != nil {
		return nil, invalid("LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: %s'", err)
	}
	r, err := s.change(ctx, in.RegistryId, in.RepositoryName, func(r *Repository) error {
		r.Lifecycle = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutLifecyclePolicyResponse{RegistryId: new(r.Account), RepositoryName: new(r.Name), LifecyclePolicyText: new(text)}, nil
}

// GetLifecyclePolicy shows the rules.
func (s *Service) GetLifecyclePolicy(ctx context.Context, in *api.GetLifecyclePolicyRequest) (*api.GetLifecyclePolicyResponse, error) {
	r, err := s.repository(ctx, s.Store.Read(), in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if r.Lifecycle == "" {
		return nil, noLifecycle(r)
	}
	return &api.GetLifecyclePolicyResponse{
		RegistryId: new(r.Account), RepositoryName: new(r.Name), LifecyclePolicyText: new(r.Lifecycle), LastEvaluatedAt: millisTime(r.Evaluated),
	}, nil
}

// DeleteLifecyclePolicy removes the rules.
func (s *Service) DeleteLifecyclePolicy(ctx context.Context, in *api.DeleteLifecyclePolicyRequest) (*api.DeleteLifecyclePolicyResponse, error) {
	var old Repository
	_, err := s.change(ctx, in.RegistryId, in.RepositoryName, func(r *Repository) error {
		if old = *r; r.Lifecycle == "" {
			return noLifecycle(*r)
		}
		r.Lifecycle, r.Evaluated = "", 0
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteLifecyclePolicyResponse{
		RegistryId: new(old.Account), RepositoryName: new(old.Name), LifecyclePolicyText: new(old.Lifecycle), LastEvaluatedAt: millisTime(old.Evaluated),
	}, nil
}

func noLifecycle(r Repository) error {
	return aws.Errorf("LifecyclePolicyNotFoundException",
		"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.Account)
}

// SetRepositoryPolicy keeps the policy. It is stored only: nobody but the account's root calls Berth yet.
func (s *Service) SetRepositoryPolicy(ctx context.Context, in *api.SetRepositoryPolicyRequest) (*api.SetRepositoryPolicyResponse, error) {
	text := aws.Value(in.PolicyText)
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil || document["Statement"] == nil {
		return nil, invalid("PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'")
	}
	r, err := s.change(ctx, in.RegistryId, in.RepositoryName, func(r *Repository) error {
		r.Policy = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.SetRepositoryPolicyResponse{RegistryId: new(r.Account), RepositoryName: new(r.Name), PolicyText: new(text)}, nil
}

// GetRepositoryPolicy shows the policy.
func (s *Service) GetRepositoryPolicy(ctx context.Context, in *api.GetRepositoryPolicyRequest) (*api.GetRepositoryPolicyResponse, error) {
	r, err := s.repository(ctx, s.Store.Read(), in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if r.Policy == "" {
		return nil, noPolicy(r)
	}
	return &api.GetRepositoryPolicyResponse{RegistryId: new(r.Account), RepositoryName: new(r.Name), PolicyText: new(r.Policy)}, nil
}

// DeleteRepositoryPolicy removes the policy.
func (s *Service) DeleteRepositoryPolicy(ctx context.Context, in *api.DeleteRepositoryPolicyRequest) (*api.DeleteRepositoryPolicyResponse, error) {
	var old Repository
	_, err := s.change(ctx, in.RegistryId, in.RepositoryName, func(r *Repository) error {
		if old = *r; r.Policy == "" {
			return noPolicy(*r)
		}
		r.Policy = ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteRepositoryPolicyResponse{RegistryId: new(old.Account), RepositoryName: new(old.Name), PolicyText: new(old.Policy)}, nil
}

func noPolicy(r Repository) error {
	return aws.Errorf("RepositoryPolicyNotFoundException",
		"Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.Account)
}
