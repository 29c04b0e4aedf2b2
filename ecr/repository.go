package ecr

import (
	"context"
	"slices"
	"strings"
	"time"

	api "berth/api/ecr"
	"berth/aws"
	"berth/ecr/lifecycle"
	"berth/store"
)

// Repository is the record of a repository. Written by: its operations, and a push that creates it.
type Repository struct {
	Account    string                 `json:"a"`
	Region     string                 `json:"r"`
	Name       string                 `json:"n"`
	Created    int64                  `json:"c"` // ms since the epoch
	Mutability api.ImageTagMutability `json:"m,omitzero"`
	Exclusions []string               `json:"x,omitzero"` // wildcards of tags that Mutability does not hold for
	ScanOnPush bool                   `json:"s,omitzero"`
	Tags       map[string]string      `json:"t,omitzero"`
	Policy     string                 `json:"p,omitzero"`
	Lifecycle  string                 `json:"l,omitzero"`
	Evaluated  int64                  `json:"e,omitzero"` // ms; written by the lifecycle reconciler
	// Deleting is set when the repository is gone for clients but its files may not be.
	Deleting bool `json:"d,omitzero"`
}

// Key is account/region/name; the registry's path of the repository is the same.
func (r Repository) Key() string { return repositoryKey(r.Account, r.Region, r.Name) }

func repositoryKey(account, region, name string) string { return account + "/" + region + "/" + name }

// Repositories is the table of repositories.
var Repositories = store.NewTable("ecr/repository", Repository.Key)

// ARN names the repository.
func (r Repository) ARN() string {
	return aws.NewARN("ecr", r.Region, r.Account, "repository/"+r.Name).String()
}

// immutable says whether a tag that exists must stay with its image.
func (r Repository) immutable(tag string) bool {
	excluded := slices.ContainsFunc(r.Exclusions, func(p string) bool { return lifecycle.Wildcard(p, tag) })
	switch r.Mutability {
	case api.ImageTagMutabilityImmutable:
		return true
	case api.ImageTagMutabilityImmutableWithExclusion:
		return !excluded
	case api.ImageTagMutabilityMutableWithExclusion:
		return excluded
	}
	return false
}

// CreateRepository makes an empty repository.
func (s *Service) CreateRepository(ctx context.Context, in *api.CreateRepositoryRequest) (*api.CreateRepositoryResponse, error) {
	name := aws.Value(in.RepositoryName)
	account, region, err := place(ctx, in.RegistryId, name)
	if err != nil {
		return nil, err
	}
	r := Repository{Account: account, Region: region, Name: name, Created: time.Now().UnixMilli()}
	if r.Mutability, r.Exclusions, err = mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	if e := in.EncryptionConfiguration; e != nil && e.EncryptionType != api.EncryptionTypeAES256 {
		return nil, invalid("encryptionConfiguration' failed to satisfy constraint: 'Berth does not encrypt with KMS keys'")
	}
	if in.ImageScanningConfiguration != nil {
		r.ScanOnPush = aws.Value(in.ImageScanningConfiguration.ScanOnPush)
	}
	if r.Tags, err = withTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if err := s.create(ctx, r); err != nil {
		return nil, err
	}
	shape := s.repositoryShape(r)
	return &api.CreateRepositoryResponse{Repository: &shape}, nil
}

func (s *Service) create(ctx context.Context, r Repository) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if _, there := Repositories.Get(tx, r.Key()); there {
			return aws.Errorf("RepositoryAlreadyExistsException",
				"The repository with name '%s' already exists in the registry with id '%s'", r.Name, r.Account)
		}
		Repositories.Put(tx, r)
		return nil
	})
}

// mutability checks the setting and its exclusions. Source: API reference of PutImageTagMutability.
func mutability(m api.ImageTagMutability, filters []api.ImageTagMutabilityExclusionFilter) (api.ImageTagMutability, []string, error) {
	with := m == api.ImageTagMutabilityImmutableWithExclusion || m == api.ImageTagMutabilityMutableWithExclusion
	if with != (len(filters) > 0) {
		return "", nil, invalid("imageTagMutabilityExclusionFilters' failed to satisfy constraint: " +
			"'Exclusion filters are required with, and only allowed with, IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION'")
	}
	var out []string
	for _, f := range filters {
		p := aws.Value(f.Filter)
		if strings.Count(p, "*") > 2 {
			return "", nil, invalid("imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'A filter can have at most two wildcards'")
		}
		out = append(out, p)
	}
	if m == "" {
		m = api.ImageTagMutabilityMutable
	}
	return m, out, nil
}

// DescribeRepositories lists repositories, all or those that are named.
func (s *Service) DescribeRepositories(ctx context.Context, in *api.DescribeRepositoriesRequest) (*api.DescribeRepositoriesResponse, error) {
	account, region, err := place(ctx, in.RegistryId, strings.Join(in.RepositoryNames, ", "))
	if err != nil {
		return nil, err
	}
	out := &api.DescribeRepositoriesResponse{Repositories: []api.Repository{}}
	snap := s.Store.Read()
	if in.RepositoryNames != nil {
		if in.NextToken != nil || in.MaxResults != nil {
			return nil, invalid("maxResults' failed to satisfy constraint: 'Paging cannot be used with repositoryNames'")
		}
		for _, name := range in.RepositoryNames {
			r, err := findRepository(snap, account, region, name)
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, s.repositoryShape(r))
		}
		return out, nil
	}
	scope := "DescribeRepositories " + account + "/" + region
	after, n, err := s.page(scope, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	for r := range Repositories.From(snap, repositoryKey(account, region, ""), after) {
		if r.Deleting {
			continue
		}
		if len(out.Repositories) == n {
			last := out.Repositories[n-1]
			out.NextToken = new(s.Pages.Seal(scope, repositoryKey(account, region, *last.RepositoryName)))
			break
		}
		out.Repositories = append(out.Repositories, s.repositoryShape(r))
	}
	return out, nil
}

// DeleteRepository removes a repository; force removes one with images too.
func (s *Service) DeleteRepository(ctx context.Context, in *api.DeleteRepositoryRequest) (*api.DeleteRepositoryResponse, error) {
	account, region, err := place(ctx, in.RegistryId, aws.Value(in.RepositoryName))
	if err != nil {
		return nil, err
	}
	var shape api.Repository
	key := repositoryKey(account, region, aws.Value(in.RepositoryName))
	err = s.locked(key, func() error {
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			r, err := findRepository(tx, account, region, aws.Value(in.RepositoryName))
			if err != nil {
				return err
			}
			if !aws.Value(in.Force) {
				for range Images.Prefix(tx, key+":") {
					return aws.Errorf("RepositoryNotEmptyException",
						"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.Name, r.Account)
				}
			}
			shape = s.repositoryShape(r)
			r.Deleting = true
			Repositories.Put(tx, r)
			return nil
		})
		if err != nil {
			return err
		}
		return s.finishDeletion(ctx, key)
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteRepositoryResponse{Repository: &shape}, nil
}

// deletionBatch is how many image records one transaction removes.
const deletionBatch = 200

// finishDeletion removes files, then image records, then the record of a repository that is Deleting.
func (s *Service) finishDeletion(ctx context.Context, key string) error {
	if err := s.files.removeRepository(ctx, key); err != nil {
		return err
	}
	for done := false; !done; {
		var keys []string
		for i := range Images.Prefix(s.Store.Read(), key+":") {
			if keys = append(keys, i.Key()); len(keys) == deletionBatch {
				break
			}
		}
		done = len(keys) < deletionBatch
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			for _, k := range keys {
				Images.Delete(tx, k)
			}
			if done {
				Repositories.Delete(tx, key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// PutImageTagMutability says whether tags may move to other images.
func (s *Service) PutImageTagMutability(ctx context.Context, in *api.PutImageTagMutabilityRequest) (*api.PutImageTagMutabilityResponse, error) {
	m, exclusions, err := mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters)
	if err != nil {
		return nil, err
	}
	r, err := s.change(ctx, in.RegistryId, in.RepositoryName, func(r *Repository) error {
		r.Mutability, r.Exclusions = m, exclusions
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutImageTagMutabilityResponse{
		RegistryId: new(r.Account), RepositoryName: new(r.Name), ImageTagMutability: m,
		ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
	}, nil
}

// PutImageScanningConfiguration keeps scanOnPush; nothing is scanned.
func (s *Service) PutImageScanningConfiguration(ctx context.Context, in *api.PutImageScanningConfigurationRequest) (*api.PutImageScanningConfigurationResponse, error) {
	r, err := s.change(ctx, in.RegistryId, in.RepositoryName, func(r *Repository) error {
		r.ScanOnPush = aws.Value(in.ImageScanningConfiguration.ScanOnPush)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutImageScanningConfigurationResponse{
		RegistryId: new(r.Account), RepositoryName: new(r.Name), ImageScanningConfiguration: in.ImageScanningConfiguration,
	}, nil
}

// DescribeRegistry shows the account's registry; there is no replication.
func (s *Service) DescribeRegistry(ctx context.Context, _ *api.DescribeRegistryRequest) (*api.DescribeRegistryResponse, error) {
	return &api.DescribeRegistryResponse{
		RegistryId: new(aws.CallerFrom(ctx).Account), ReplicationConfiguration: &api.ReplicationConfiguration{Rules: []api.ReplicationRule{}},
	}, nil
}

// change applies f to the record of the caller's repository and returns what was written.
func (s *Service) change(ctx context.Context, registryID, name *string, f func(*Repository) error) (out Repository, err error) {
	account, region, err := place(ctx, registryID, aws.Value(name))
	if err != nil {
		return out, err
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		r, err := findRepository(tx, account, region, aws.Value(name))
		if err != nil {
			return err
		}
		if err := f(&r); err != nil {
			return err
		}
		Repositories.Put(tx, r)
		out = r
		return nil
	})
	return out, err
}

func findRepository(r store.Reader, account, region, name string) (Repository, error) {
	repo, ok := Repositories.Get(r, repositoryKey(account, region, name))
	if !ok || repo.Deleting {
		return Repository{}, noRepository(name, account)
	}
	return repo, nil
}

// repository finds the caller's repository.
func (s *Service) repository(ctx context.Context, r store.Reader, registryID, name *string) (Repository, error) {
	account, region, err := place(ctx, registryID, aws.Value(name))
	if err != nil {
		return Repository{}, err
	}
	return findRepository(r, account, region, aws.Value(name))
}

func (s *Service) repositoryShape(r Repository) api.Repository {
	out := api.Repository{
		RepositoryArn: new(r.ARN()), RegistryId: new(r.Account), RepositoryName: new(r.Name),
		RepositoryUri: new(s.Host() + "/" + r.Key()), CreatedAt: millisTime(r.Created), ImageTagMutability: r.Mutability,
		ImageScanningConfiguration: &api.ImageScanningConfiguration{ScanOnPush: new(r.ScanOnPush)},
		EncryptionConfiguration:    &api.EncryptionConfiguration{EncryptionType: api.EncryptionTypeAES256},
	}
	for _, p := range r.Exclusions {
		out.ImageTagMutabilityExclusionFilters = append(out.ImageTagMutabilityExclusionFilters,
			api.ImageTagMutabilityExclusionFilter{FilterType: api.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: new(p)})
	}
	return out
}
