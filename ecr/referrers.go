package ecr

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	api "berth/api/ecr"
	"berth/aws"
	"berth/store"
)

const indexType = "application/vnd.oci.image.index.v1+json"

// referrer is an image that names another as its subject.
type referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// referring lists the images whose subject is dgst, of one of the types unless there are none.
func (s *Service) referring(ctx context.Context, r store.Reader, repo Repository, dgst string, types []string) ([]referrer, error) {
	out := []referrer{}
	for i := range Images.By(r, "subject", repo.Key()+":"+dgst) {
		if len(types) > 0 && !slices.Contains(types, i.Artifact) {
			continue
		}
		payload, err := s.files.manifest(ctx, digest.Digest(i.Digest))
		if err != nil {
			return nil, fmt.Errorf("read referrer %s: %w", i.Key(), err)
		}
		d, err := parseDocument(payload)
		if err != nil {
			return nil, err
		}
		out = append(out, referrer{MediaType: i.MediaType, Digest: i.Digest, Size: int64(len(payload)), ArtifactType: i.Artifact, Annotations: d.Annotations})
	}
	return out, nil
}

// referrers answers GET /v2/<name>/referrers/<digest> with an index. Source: OCI distribution specification 1.1.
func (s *Service) referrers(w http.ResponseWriter, r *http.Request, repo Repository, ref string) {
	if !isRead(r) {
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "Referrers can only be listed")
		return
	}
	if digest.Digest(ref).Validate() != nil {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "'"+ref+"' is not a digest")
		return
	}
	types := r.URL.Query()["artifactType"]
	found, err := s.referring(r.Context(), s.Store.Read(), repo, ref, types)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(types) > 0 {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	body := map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": found}
	replyAs(w, http.StatusOK, indexType, body)
}

// ListImageReferrers is the same list in the AWS API.
func (s *Service) ListImageReferrers(ctx context.Context, in *api.ListImageReferrersRequest) (*api.ListImageReferrersResponse, error) {
	snap := s.Store.Read()
	r, err := s.repository(ctx, snap, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var types []string
	if f := in.Filter; f != nil {
		types = f.ArtifactTypes
		if f.ArtifactStatus != "" && f.ArtifactStatus != api.ArtifactStatusFilterActive && f.ArtifactStatus != api.ArtifactStatusFilterAny {
			return &api.ListImageReferrersResponse{Referrers: []api.ImageReferrer{}}, nil // none is ever archived
		}
	}
	dgst := aws.Value(in.SubjectId.ImageDigest)
	scope := scopeOf("ListImageReferrers", r, dgst, types)
	after, n, err := s.page(scope, in.NextToken, in.MaxResults, 50)
	if err != nil {
		return nil, err
	}
	found, err := s.referring(ctx, snap, r, dgst, types)
	if err != nil {
		return nil, err
	}
	out := &api.ListImageReferrersResponse{Referrers: []api.ImageReferrer{}}
	for _, f := range found {
		if f.Digest <= after {
			continue
		}
		if len(out.Referrers) == n {
			out.NextToken = new(s.Pages.Seal(scope, *out.Referrers[n-1].Digest))
			break
		}
		out.Referrers = append(out.Referrers, api.ImageReferrer{
			Digest: new(f.Digest), MediaType: new(f.MediaType), ArtifactType: new(f.ArtifactType), Size: new(f.Size),
			Annotations: f.Annotations, ArtifactStatus: api.ArtifactStatusActive,
		})
	}
	return out, nil
}
