package ecr

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/opencontainers/go-digest"
)

// Collected is what a collection removed.
type Collected struct {
	Blobs, Links, Uploads int
	Bytes                 int64
}

// Collect removes the blobs that no manifest names and that are older than KeepUnused, and uploads that nobody went on
// with for a day. Pushes of manifests wait meanwhile; pulls and uploads go on. If any manifest can't be read, it
// removes nothing.
func (s *Service) Collect(ctx context.Context) (Collected, error) {
	var out Collected
	now := time.Now()
	if _, err := s.files.driver.Stat(ctx, repositoriesPath); err != nil {
		if isMissing(err) {
			return out, nil // nothing was ever pushed
		}
		return out, fmt.Errorf("look at the registry's files: %w", err)
	}
	deleted, errs := storage.PurgeUploads(ctx, s.files.driver, now.Add(-uploadLife), true)
	out.Uploads = len(deleted)
	for _, err := range errs {
		s.Log.Warn("old upload was not removed", "err", err)
	}
	s.sweep.Lock()
	defer s.sweep.Unlock()
	named := map[digest.Digest]bool{}
	var loose []string // layer links of repositories that none of their manifests needs
	before := now.Add(-s.KeepUnused)
	for r := range Repositories.All(s.Store.Read()) {
		links, err := s.mark(ctx, r, named, before)
		if err != nil {
			return out, err
		}
		loose = append(loose, links...)
	}
	for _, l := range loose {
		if err := s.files.driver.Delete(ctx, l); err != nil && !isMissing(err) {
			return out, fmt.Errorf("remove %s: %w", l, err)
		}
		out.Links++
	}
	if err := s.sweepBlobs(ctx, named, before, &out); err != nil {
		return out, err
	}
	if out.Blobs+out.Uploads > 0 {
		s.Log.Info("unused image data was removed", "blobs", out.Blobs, "bytes", out.Bytes, "uploads", out.Uploads)
	}
	return out, nil
}

// mark adds everything that the repository's manifests name, and returns its old layer links that they do not.
func (s *Service) mark(ctx context.Context, r Repository, named map[digest.Digest]bool, before time.Time) ([]string, error) {
	manifests, err := s.files.manifests(ctx, r.Key())
	if err != nil {
		return nil, err
	}
	own := map[digest.Digest]bool{}
	for dgst := range manifests {
		named[dgst] = true
		payload, err := s.files.manifest(ctx, dgst)
		if err != nil {
			return nil, fmt.Errorf("read manifest %s of %s: %w", dgst, r.Key(), err)
		}
		d, err := parseDocument(payload)
		if err != nil {
			return nil, fmt.Errorf("manifest %s of %s: %w", dgst, r.Key(), err)
		}
		for _, b := range d.blobs() {
			named[b], own[b] = true, true
		}
	}
	layers, err := s.files.linked(ctx, repositoriesPath+"/"+r.Key()+"/_layers")
	if err != nil {
		return nil, err
	}
	var loose []string
	for dgst, at := range layers {
		switch {
		case own[dgst]:
		case at.Before(before):
			loose = append(loose, repositoriesPath+"/"+r.Key()+"/_layers/sha256/"+dgst.Encoded())
		default:
			named[dgst] = true
		}
	}
	return loose, nil
}

func (s *Service) sweepBlobs(ctx context.Context, named map[digest.Digest]bool, before time.Time, out *Collected) error {
	shards, err := s.files.list(ctx, blobsPath)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		blobs, err := s.files.list(ctx, shard)
		if err != nil {
			return err
		}
		for _, b := range blobs {
			dgst := digest.NewDigestFromEncoded(digest.SHA256, path.Base(b))
			if dgst.Validate() != nil || named[dgst] {
				continue
			}
			info, err := s.files.driver.Stat(ctx, b+"/data")
			if isMissing(err) || err == nil && info.ModTime().After(before) {
				continue
			}
			if err != nil {
				return fmt.Errorf("look at blob %s: %w", dgst, err)
			}
			if err := s.files.driver.Delete(ctx, b); err != nil && !isMissing(err) {
				return fmt.Errorf("remove blob %s: %w", dgst, err)
			}
			out.Blobs++
			out.Bytes += info.Size()
		}
	}
	return nil
}
