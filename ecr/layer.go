package ecr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"

	api "berth/api/ecr"
	"berth/aws"
)

// partSize is what InitiateLayerUpload asks clients to send at once. Base64 makes 7 MB of it, below the front door's limit.
const partSize = 5 << 20

const layerType = "application/vnd.docker.image.rootfs.diff.tar.gzip"

// layers opens the blobs of the caller's repository.
func (s *Service) layers(ctx context.Context, registryID, name *string) (Repository, distribution.BlobStore, error) {
	r, err := s.repository(ctx, s.Store.Read(), registryID, name)
	if err != nil {
		return r, nil, err
	}
	d, err := s.files.repository(ctx, r.Key())
	if err != nil {
		return r, nil, err
	}
	return r, d.Blobs(ctx), nil
}

// BatchCheckLayerAvailability says which layers are there. Those that are will stay for a while.
func (s *Service) BatchCheckLayerAvailability(ctx context.Context, in *api.BatchCheckLayerAvailabilityRequest) (*api.BatchCheckLayerAvailabilityResponse, error) {
	r, blobs, err := s.layers(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	out := &api.BatchCheckLayerAvailabilityResponse{Layers: []api.Layer{}, Failures: []api.LayerFailure{}}
	for _, text := range in.LayerDigests {
		dgst := digest.Digest(text)
		if dgst.Validate() != nil {
			out.Failures = append(out.Failures, api.LayerFailure{
				LayerDigest: new(text), FailureCode: api.LayerFailureCodeInvalidLayerDigest, FailureReason: new("Invalid layer digest"),
			})
			continue
		}
		l := api.Layer{LayerDigest: new(text), LayerAvailability: api.LayerAvailabilityUnavailable}
		desc, err := blobs.Stat(ctx, dgst)
		switch {
		case err == nil:
			s.files.touch(r.Key(), dgst, time.Now())
			l.LayerAvailability, l.LayerSize, l.MediaType = api.LayerAvailabilityAvailable, new(desc.Size), new(layerType)
		case !errors.Is(err, distribution.ErrBlobUnknown):
			return nil, fmt.Errorf("look for layer %s: %w", dgst, err)
		}
		out.Layers = append(out.Layers, l)
	}
	return out, nil
}

// InitiateLayerUpload begins an upload.
func (s *Service) InitiateLayerUpload(ctx context.Context, in *api.InitiateLayerUploadRequest) (*api.InitiateLayerUploadResponse, error) {
	_, blobs, err := s.layers(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	w, err := blobs.Create(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin a layer upload: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("begin a layer upload: %w", err)
	}
	return &api.InitiateLayerUploadResponse{UploadId: new(w.ID()), PartSize: new(int64(partSize))}, nil
}

// upload runs f on an upload that nobody else uses meanwhile. f says whether it ended the upload.
func (s *Service) upload(ctx context.Context, r Repository, blobs distribution.BlobStore, id string, f func(distribution.BlobWriter) (ended bool, err error)) error {
	return s.locked("upload "+id, func() error {
		w, err := blobs.Resume(ctx, id)
		if errors.Is(err, distribution.ErrBlobUploadUnknown) || isMissing(err) {
			return aws.Errorf("UploadNotFoundException", "The upload with id '%s' does not exist in the repository with name '%s' in the registry with id '%s'", id, r.Name, r.Account)
		}
		if err != nil {
			return fmt.Errorf("resume upload %s: %w", id, err)
		}
		ended, err := f(w)
		if ended {
			return err
		}
		if cerr := w.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("write upload %s: %w", id, cerr)
		}
		return err
	})
}

// UploadLayerPart adds a part. Parts must follow each other without gaps.
func (s *Service) UploadLayerPart(ctx context.Context, in *api.UploadLayerPartRequest) (*api.UploadLayerPartResponse, error) {
	r, blobs, err := s.layers(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	id := aws.Value(in.UploadId)
	err = s.upload(ctx, r, blobs, id, func(w distribution.BlobWriter) (bool, error) {
		first, last := aws.Value(in.PartFirstByte), aws.Value(in.PartLastByte)
		if first != w.Size() || last != first+int64(len(in.LayerPartBlob))-1 {
			return false, aws.Errorf("InvalidLayerPartException", "Invalid layer part: bytes %d to %d do not follow the %d bytes that were received", first, last, w.Size()).
				With("registryId", r.Account).With("repositoryName", r.Name).With("uploadId", id).With("lastValidByteReceived", w.Size()-1)
		}
		if _, err := w.Write(in.LayerPartBlob); err != nil {
			return false, fmt.Errorf("write upload %s: %w", id, err)
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UploadLayerPartResponse{RegistryId: new(r.Account), RepositoryName: new(r.Name), UploadId: new(id), LastByteReceived: in.PartLastByte}, nil
}

// CompleteLayerUpload turns an upload into a layer, if it has the digest.
func (s *Service) CompleteLayerUpload(ctx context.Context, in *api.CompleteLayerUploadRequest) (*api.CompleteLayerUploadResponse, error) {
	r, blobs, err := s.layers(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	dgst := digest.Digest(in.LayerDigests[0])
	if dgst.Validate() != nil {
		return nil, invalid("layerDigests' failed to satisfy constraint: 'Invalid digest %s'", dgst)
	}
	id := aws.Value(in.UploadId)
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	err = s.upload(ctx, r, blobs, id, func(w distribution.BlobWriter) (bool, error) {
		if w.Size() == 0 {
			return false, aws.Errorf("EmptyUploadException", "The upload with id '%s' has no parts", id)
		}
		if _, err := blobs.Stat(ctx, dgst); err == nil {
			s.files.touch(r.Key(), dgst, time.Now())
			_ = w.Cancel(ctx) // old uploads are purged anyway
			return true, aws.Errorf("LayerAlreadyExistsException", "Layer with digest '%s' already exists in the repository with name '%s' in the registry with id '%s'", dgst, r.Name, r.Account)
		}
		_, err := w.Commit(ctx, distribution.Descriptor{Digest: dgst, Size: w.Size()})
		if _, bad := errors.AsType[distribution.ErrBlobInvalidDigest](err); bad {
			return false, aws.Errorf("InvalidLayerException", "The layer does not have the digest '%s'", dgst)
		}
		if err != nil {
			return false, fmt.Errorf("complete upload %s: %w", id, err)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CompleteLayerUploadResponse{RegistryId: new(r.Account), RepositoryName: new(r.Name), UploadId: new(id), LayerDigest: new(dgst.String())}, nil
}

// GetDownloadUrlForLayer makes a URL from which the layer can be fetched without a login for an hour.
func (s *Service) GetDownloadUrlForLayer(ctx context.Context, in *api.GetDownloadUrlForLayerRequest) (*api.GetDownloadUrlForLayerResponse, error) {
	r, blobs, err := s.layers(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	dgst := digest.Digest(aws.Value(in.LayerDigest))
	if dgst.Validate() != nil {
		return nil, invalid("layerDigest' failed to satisfy constraint: 'Invalid digest %s'", dgst)
	}
	if _, err := blobs.Stat(ctx, dgst); err != nil {
		if errors.Is(err, distribution.ErrBlobUnknown) {
			return nil, aws.Errorf("LayersNotFoundException", "The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", dgst, r.Name, r.Account)
		}
		return nil, fmt.Errorf("look for layer %s: %w", dgst, err)
	}
	return &api.GetDownloadUrlForLayerResponse{
		LayerDigest: new(dgst.String()), DownloadUrl: new(s.downloadURL("/v2/"+r.Key()+"/blobs/"+dgst.String(), time.Now())),
	}, nil
}
