package ecr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/store"
)

// Image is the index record of a manifest. Written by: a push, a deletion, and the repository reconciler.
// Pulled is written by pulls, at most once a day, and by nobody else.
type Image struct {
	Account   string   `json:"a"`
	Region    string   `json:"r"`
	Name      string   `json:"n"` // of the repository
	Digest    string   `json:"i"`
	Tags      []string `json:"t,omitzero"` // sorted
	MediaType string   `json:"m"`
	Artifact  string   `json:"f,omitzero"` // artifactType, or the media type of the configuration
	Size      int64    `json:"s"`
	Pushed    int64    `json:"c"` // ms since the epoch
	Pulled    int64    `json:"p,omitzero"`
	Subject   string   `json:"j,omitzero"`
	Children  []string `json:"h,omitzero"` // of an index
}

// Key is account/region/repository:digest.
func (i Image) Key() string { return i.repositoryKey() + ":" + i.Digest }

func (i Image) repositoryKey() string { return repositoryKey(i.Account, i.Region, i.Name) }

// Images is the table of images. Indexes: "tag" and "subject" and "child", with the repository's key before them.
var Images = store.NewTable("ecr/image", Image.Key,
	store.Index("tag", func(i Image) []string { return prefixed(i.repositoryKey(), i.Tags) }),
	store.Index("subject", func(i Image) []string {
		if i.Subject == "" {
			return nil
		}
		return []string{i.repositoryKey() + ":" + i.Subject}
	}),
	store.Index("child", func(i Image) []string { return prefixed(i.repositoryKey(), i.Children) }),
)

func prefixed(key string, values []string) []string {
	out := make([]string, len(values))
	for n, v := range values {
		out[n] = key + ":" + v
	}
	return out
}

// tagged finds the image of a tag.
func tagged(r store.Reader, key, tag string) (Image, bool) {
	for i := range Images.By(r, "tag", key+":"+tag) {
		return i, true
	}
	return Image{}, false
}

// newImage describes a manifest. The size of an index is that of its largest image.
func newImage(r store.Reader, repo Repository, dgst, mediaType string, payload []byte, pushed time.Time) (Image, error) {
	d, err := parseDocument(payload)
	if err != nil {
		return Image{}, err
	}
	i := Image{
		Account: repo.Account, Region: repo.Region, Name: repo.Name, Digest: dgst, MediaType: d.mediaType(mediaType),
		Artifact: d.ArtifactType, Size: d.size(), Pushed: pushed.UnixMilli(),
	}
	if i.Artifact == "" && d.Config != nil {
		i.Artifact = d.Config.MediaType
	}
	if d.Subject != nil {
		i.Subject = d.Subject.Digest.String()
	}
	for _, m := range d.Manifests {
		i.Children = append(i.Children, m.Digest.String())
		if child, ok := Images.Get(r, repo.Key()+":"+m.Digest.String()); ok {
			i.Size = max(i.Size, child.Size)
		}
	}
	return i, nil
}

// recordPush writes the record of a manifest that was just stored, and moves the tag to it.
func (s *Service) recordPush(ctx context.Context, repo Repository, dgst, mediaType, tag string, payload []byte) (Image, error) {
	now := time.Now()
	var out Image
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		i, err := newImage(tx, repo, dgst, mediaType, payload, now)
		if err != nil {
			return err
		}
		if old, there := Images.Get(tx, i.Key()); there {
			i.Tags, i.Pushed, i.Pulled = old.Tags, old.Pushed, old.Pulled
		}
		if tag != "" {
			if old, there := tagged(tx, repo.Key(), tag); there && old.Digest != dgst {
				old.Tags = without(old.Tags, tag)
				Images.Put(tx, old)
			}
			i.Tags = with(i.Tags, tag)
		}
		Images.Put(tx, i)
		out = i
		return nil
	})
	return out, err
}

// with and without return changed copies.
func with(tags []string, tag string) []string {
	n, there := slices.BinarySearch(tags, tag)
	if there {
		return tags
	}
	return slices.Insert(slices.Clone(tags), n, tag)
}

func without(tags []string, tag string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return t == tag })
}

// reindex makes the repository's records say what its files say. The caller holds the repository's lock.
func (s *Service) reindex(ctx context.Context, repo Repository) error {
	stored, err := s.files.manifests(ctx, repo.Key())
	if err != nil {
		return err
	}
	tags, err := s.files.tags(ctx, repo.Key())
	if err != nil {
		return err
	}
	byDigest := map[digest.Digest][]string{}
	for _, t := range slices.Sorted(maps.Keys(tags)) {
		byDigest[tags[t]] = append(byDigest[tags[t]], t)
	}
	snap := s.Store.Read()
	var puts []Image
	var gone []string
	for i := range Images.Prefix(snap, repo.Key()+":") {
		dgst := digest.Digest(i.Digest)
		if _, there := stored[dgst]; !there {
			gone = append(gone, i.Key())
		} else if !slices.Equal(i.Tags, byDigest[dgst]) {
			i.Tags = byDigest[dgst]
			puts = append(puts, i)
		}
		delete(stored, dgst)
	}
	for dgst, pushed := range stored {
		payload, err := s.files.manifest(ctx, dgst)
		if err != nil {
			return fmt.Errorf("read manifest %s of %s: %w", dgst, repo.Key(), err)
		}
		i, err := newImage(snap, repo, dgst.String(), "", payload, pushed)
		if err != nil {
			return fmt.Errorf("manifest %s of %s: %w", dgst, repo.Key(), err)
		}
		i.Tags = byDigest[dgst]
		puts = append(puts, i)
	}
	if len(puts)+len(gone) == 0 {
		return nil
	}
	s.Log.Info("images were indexed again", "repository", repo.Key(), "written", len(puts), "removed", len(gone))
	return s.writeImages(ctx, puts, gone)
}

// writeImages writes and removes records in transactions of bounded size.
func (s *Service) writeImages(ctx context.Context, puts []Image, gone []string) error {
	for len(puts)+len(gone) > 0 {
		p, g := puts[:min(len(puts), deletionBatch)], gone[:min(len(gone), deletionBatch)]
		puts, gone = puts[len(p):], gone[len(g):]
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			for _, k := range g {
				Images.Delete(tx, k)
			}
			for _, i := range p {
				Images.Put(tx, i)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pullPeriod is how exact the time of the last pull is. Source: ImageDetail, lastRecordedPullTime.
const pullPeriod = 24 * time.Hour

// recordPull notes that an image was pulled, at most once a day.
func (s *Service) recordPull(ctx context.Context, key, ref string, now time.Time) {
	snap := s.Store.Read()
	i, ok := Images.Get(snap, key+":"+ref)
	if !ok {
		i, ok = tagged(snap, key, ref)
	}
	if !ok || now.Sub(time.UnixMilli(i.Pulled)) < pullPeriod {
		return
	}
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		if now2, ok := Images.Get(tx, i.Key()); ok {
			now2.Pulled = now.UnixMilli()
			Images.Put(tx, now2)
		}
		return nil
	})
	if err != nil {
		s.Log.Warn("time of the last pull was not written", "image", i.Key(), "err", err)
	}
}
