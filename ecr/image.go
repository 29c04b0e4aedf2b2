package ecr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"

	api "berth/api/ecr"
	"berth/aws"
	"berth/store"
)

// PutImage stores a manifest whose layers are there, under a tag if one is given.
func (s *Service) PutImage(ctx context.Context, in *api.PutImageRequest) (*api.PutImageResponse, error) {
	account, region, err := place(ctx, in.RegistryId, aws.Value(in.RepositoryName))
	if err != nil {
		return nil, err
	}
	payload, tag := []byte(aws.Value(in.ImageManifest)), aws.Value(in.ImageTag)
	dgst := digest.FromBytes(payload)
	if in.ImageDigest != nil && *in.ImageDigest != dgst.String() {
		return nil, aws.Errorf("ImageDigestDoesNotMatchException", "The provided digest '%s' does not match the image's digest '%s'", *in.ImageDigest, dgst)
	}
	var image Image
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	err = s.locked(repositoryKey(account, region, aws.Value(in.RepositoryName)), func() error {
		snap := s.Store.Read()
		r, err := findRepository(snap, account, region, aws.Value(in.RepositoryName))
		if err != nil {
			return err
		}
		if err := checkTag(snap, r, tag, dgst.String()); err != nil {
			return err
		}
		if old, there := Images.Get(snap, r.Key()+":"+dgst.String()); there && (tag == "" || slices.Contains(old.Tags, tag)) {
			return aws.Errorf("ImageAlreadyExistsException", "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'",
				dgst, cmpOr(tag, "null"), r.Name, r.Account)
		}
		if err := s.putManifest(ctx, r, payload, aws.Value(in.ImageManifestMediaType), tag); err != nil {
			return err
		}
		image, err = s.recordPush(ctx, r, dgst.String(), aws.Value(in.ImageManifestMediaType), tag, payload)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &api.Image{
		RegistryId: new(image.Account), RepositoryName: new(image.Name), ImageManifest: in.ImageManifest, ImageManifestMediaType: new(image.MediaType),
		ImageId: &api.ImageIdentifier{ImageDigest: new(image.Digest), ImageTag: in.ImageTag},
	}
	return &api.PutImageResponse{Image: out}, nil
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// checkTag refuses to move a tag that is immutable.
func checkTag(r store.Reader, repo Repository, tag, dgst string) error {
	if tag == "" || !repo.immutable(tag) {
		return nil
	}
	if old, there := tagged(r, repo.Key(), tag); there && old.Digest != dgst {
		return aws.Errorf("ImageTagAlreadyExistsException",
			"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", tag, repo.Name)
	}
	return nil
}

func (s *Service) putManifest(ctx context.Context, repo Repository, payload []byte, mediaType, tag string) error {
	d, err := parseDocument(payload)
	if err != nil {
		return invalid("ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")
	}
	m, desc, err := distribution.UnmarshalManifest(d.mediaType(mediaType), payload)
	if err != nil {
		return invalid("ImageManifest' failed to satisfy constraint: '%s'", err)
	}
	r, err := s.files.repository(ctx, repo.Key())
	if err != nil {
		return err
	}
	ms, err := r.Manifests(ctx)
	if err != nil {
		return fmt.Errorf("manifests of %s: %w", repo.Key(), err)
	}
	if _, err := ms.Put(ctx, m); err != nil {
		return s.missing(repo, d, err)
	}
	if tag == "" {
		return nil
	}
	if err := r.Tags(ctx).Tag(ctx, tag, desc); err != nil {
		return fmt.Errorf("tag %s:%s: %w", repo.Key(), tag, err)
	}
	return nil
}

// missing turns the storage's verification errors into those of PutImage.
func (s *Service) missing(repo Repository, d document, err error) error {
	broken, ok := errors.AsType[distribution.ErrManifestVerification](err)
	if !ok {
		return fmt.Errorf("store manifest in %s: %w", repo.Key(), err)
	}
	for _, e := range broken {
		if unknown, ok := errors.AsType[distribution.ErrManifestBlobUnknown](e); ok {
			if len(d.Manifests) > 0 {
				return aws.Errorf("ReferencedImagesNotFoundException", "The image '%s' referenced by the manifest list does not exist in the repository with name '%s' in the registry with id '%s'",
					unknown.Digest, repo.Name, repo.Account)
			}
			return aws.Errorf("LayersNotFoundException", "The layer with digest '%s' required by the image does not exist in the repository with name '%s' in the registry with id '%s'",
				unknown.Digest, repo.Name, repo.Account)
		}
	}
	return invalid("ImageManifest' failed to satisfy constraint: '%s'", err)
}

// ListImages lists digests and tags.
func (s *Service) ListImages(ctx context.Context, in *api.ListImagesRequest) (*api.ListImagesResponse, error) {
	snap := s.Store.Read()
	r, err := s.repository(ctx, snap, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var status api.TagStatus
	if in.Filter != nil {
		if status = in.Filter.TagStatus; !wantsActive(in.Filter.ImageStatus) {
			return &api.ListImagesResponse{ImageIds: []api.ImageIdentifier{}}, nil
		}
	}
	scope := scopeOf("ListImages", r, status)
	after, n, err := s.page(scope, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	out := &api.ListImagesResponse{ImageIds: []api.ImageIdentifier{}}
	// The cursor is "digest tag"; all tags of that digest after tag are still to come.
	digestDone, tagDone, _ := strings.Cut(after, " ")
	for i := range Images.Prefix(snap, r.Key()+":") {
		if i.Digest < digestDone || !hasStatus(i, status) {
			continue
		}
		for _, tag := range orNone(i.Tags) {
			if i.Digest == digestDone && tag <= tagDone {
				continue
			}
			if len(out.ImageIds) == n {
				last := out.ImageIds[n-1]
				out.NextToken = new(s.Pages.Seal(scope, *last.ImageDigest+" "+aws.Value(last.ImageTag)))
				return out, nil
			}
			out.ImageIds = append(out.ImageIds, identifier(i.Digest, tag))
		}
	}
	return out, nil
}

func orNone(tags []string) []string {
	if len(tags) == 0 {
		return []string{""}
	}
	return tags
}

func identifier(dgst, tag string) api.ImageIdentifier {
	id := api.ImageIdentifier{ImageDigest: new(dgst)}
	if tag != "" {
		id.ImageTag = new(tag)
	}
	return id
}

// wantsActive says whether a filter by status lets ACTIVE images through. All are ACTIVE: none is ever archived.
func wantsActive(filter api.ImageStatusFilter) bool {
	return filter == "" || filter == api.ImageStatusFilterActive || filter == api.ImageStatusFilterAny
}

func hasStatus(i Image, status api.TagStatus) bool {
	switch status {
	case api.TagStatusTagged:
		return len(i.Tags) > 0
	case api.TagStatusUntagged:
		return len(i.Tags) == 0
	}
	return true
}

// DescribeImages shows images, all or those that are named.
func (s *Service) DescribeImages(ctx context.Context, in *api.DescribeImagesRequest) (*api.DescribeImagesResponse, error) {
	snap := s.Store.Read()
	r, err := s.repository(ctx, snap, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeImagesResponse{ImageDetails: []api.ImageDetail{}}
	if in.ImageIds != nil {
		for _, id := range in.ImageIds {
			i, failure := find(snap, r, id)
			if failure != nil {
				return nil, aws.Errorf("ImageNotFoundException", "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
					cmpOr(aws.Value(id.ImageDigest), "null"), cmpOr(aws.Value(id.ImageTag), "null"), r.Name, r.Account)
			}
			out.ImageDetails = append(out.ImageDetails, i.detail())
		}
		return out, nil
	}
	var status api.TagStatus
	if in.Filter != nil {
		if status = in.Filter.TagStatus; !wantsActive(in.Filter.ImageStatus) {
			return out, nil
		}
	}
	scope := scopeOf("DescribeImages", r, status)
	after, n, err := s.page(scope, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	for i := range Images.From(snap, r.Key()+":", after) {
		if !hasStatus(i, status) {
			continue
		}
		if len(out.ImageDetails) == n {
			out.NextToken = new(s.Pages.Seal(scope, r.Key()+":"+*out.ImageDetails[n-1].ImageDigest))
			break
		}
		out.ImageDetails = append(out.ImageDetails, i.detail())
	}
	return out, nil
}

func (i Image) detail() api.ImageDetail {
	d := api.ImageDetail{
		RegistryId: new(i.Account), RepositoryName: new(i.Name), ImageDigest: new(i.Digest), ImageTags: i.Tags, ImageSizeInBytes: new(i.Size),
		ImagePushedAt: millisTime(i.Pushed), ImageManifestMediaType: new(i.MediaType), LastRecordedPullTime: millisTime(i.Pulled),
		ImageStatus: api.ImageStatusActive,
	}
	if i.Artifact != "" {
		d.ArtifactMediaType = new(i.Artifact)
	}
	if i.Subject != "" {
		d.SubjectManifestDigest = new(i.Subject)
	}
	return d
}

// find is the image that an identifier means, or why there is none.
func find(r store.Reader, repo Repository, id api.ImageIdentifier) (Image, *api.ImageFailure) {
	fail := func(code api.ImageFailureCode, reason string) *api.ImageFailure {
		return &api.ImageFailure{ImageId: &id, FailureCode: code, FailureReason: new(reason)}
	}
	var i Image
	var ok bool
	switch {
	case id.ImageDigest == nil && id.ImageTag == nil:
		return i, fail(api.ImageFailureCodeMissingDigestAndTag, "Invalid request parameters: both tag and digest cannot be null")
	case id.ImageDigest != nil:
		if digest.Digest(*id.ImageDigest).Validate() != nil {
			return i, fail(api.ImageFailureCodeInvalidImageDigest, "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'")
		}
		if i, ok = Images.Get(r, repo.Key()+":"+*id.ImageDigest); ok && id.ImageTag != nil && !slices.Contains(i.Tags, *id.ImageTag) {
			return i, fail(api.ImageFailureCodeImageTagDoesNotMatchDigest, "Requested image digest and tag do not belong to the same image")
		}
	default:
		i, ok = tagged(r, repo.Key(), *id.ImageTag)
	}
	if !ok {
		return i, fail(api.ImageFailureCodeImageNotFound, "Requested image not found")
	}
	return i, nil
}

// BatchGetImage returns manifests.
func (s *Service) BatchGetImage(ctx context.Context, in *api.BatchGetImageRequest) (*api.BatchGetImageResponse, error) {
	snap := s.Store.Read()
	r, err := s.repository(ctx, snap, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	out := &api.BatchGetImageResponse{Images: []api.Image{}, Failures: []api.ImageFailure{}}
	for _, id := range in.ImageIds {
		i, failure := find(snap, r, id)
		if failure != nil {
			out.Failures = append(out.Failures, *failure)
			continue
		}
		payload, err := s.files.manifest(ctx, digest.Digest(i.Digest))
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", i.Key(), err)
		}
		out.Images = append(out.Images, api.Image{
			RegistryId: new(i.Account), RepositoryName: new(i.Name), ImageManifest: new(string(payload)), ImageManifestMediaType: new(i.MediaType),
			ImageId: &api.ImageIdentifier{ImageDigest: new(i.Digest), ImageTag: id.ImageTag},
		})
	}
	return out, nil
}

// BatchDeleteImage removes images by digest, and tags by tag; the last tag takes its image along.
func (s *Service) BatchDeleteImage(ctx context.Context, in *api.BatchDeleteImageRequest) (*api.BatchDeleteImageResponse, error) {
	account, region, err := place(ctx, in.RegistryId, aws.Value(in.RepositoryName))
	if err != nil {
		return nil, err
	}
	out := &api.BatchDeleteImageResponse{ImageIds: []api.ImageIdentifier{}, Failures: []api.ImageFailure{}}
	err = s.locked(repositoryKey(account, region, aws.Value(in.RepositoryName)), func() error {
		r, err := findRepository(s.Store.Read(), account, region, aws.Value(in.RepositoryName))
		if err != nil {
			return err
		}
		for _, id := range in.ImageIds {
			gone, failure, err := s.deleteImage(ctx, r, id)
			if err != nil {
				return err
			}
			if failure != nil {
				out.Failures = append(out.Failures, *failure)
			}
			out.ImageIds = append(out.ImageIds, gone...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// deleteImage removes an image, or only its tag where it has others. The caller holds the repository's lock.
func (s *Service) deleteImage(ctx context.Context, r Repository, id api.ImageIdentifier) ([]api.ImageIdentifier, *api.ImageFailure, error) {
	snap := s.Store.Read()
	i, failure := find(snap, r, id)
	if failure != nil {
		return nil, failure, nil
	}
	if tag := aws.Value(id.ImageTag); id.ImageDigest == nil && len(i.Tags) > 1 {
		if err := s.files.untag(ctx, r.Key(), tag); err != nil {
			return nil, nil, err
		}
		i.Tags = without(i.Tags, tag)
		return []api.ImageIdentifier{identifier(i.Digest, tag)}, nil, s.writeImages(ctx, []Image{i}, nil)
	}
	for range Images.By(snap, "child", i.Key()) {
		return nil, &api.ImageFailure{ImageId: &id, FailureCode: api.ImageFailureCodeImageReferencedByManifestList,
			FailureReason: new("Requested image referenced by manifest list")}, nil
	}
	if err := s.files.remove(ctx, r.Key(), i.Digest, i.Tags); err != nil {
		return nil, nil, err
	}
	var gone []api.ImageIdentifier
	for _, tag := range orNone(i.Tags) {
		gone = append(gone, identifier(i.Digest, tag))
	}
	return gone, nil, s.writeImages(ctx, nil, []string{i.Key()})
}
