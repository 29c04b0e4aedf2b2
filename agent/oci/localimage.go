package oci

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/storage"

	"berth/agent"
)

// local finds the image that is stored under the name.
func (im *Images) local(named reference.Named) (agent.Image, bool) {
	stored, err := im.store.Image(named.String())
	if err != nil {
		// An image that was pulled by its tag is as good: a digest says what it is, whatever its name.
		d, ok := named.(reference.Digested)
		if !ok {
			return agent.Image{}, false
		}
		same, err := im.store.ImagesByDigest(d.Digest())
		if err != nil || len(same) == 0 {
			return agent.Image{}, false
		}
		stored = same[0]
	}
	img, err := im.describe(stored)
	if err != nil {
		im.log.Warn("stored image cannot be read", "image", named.String(), "err", err)
		return agent.Image{}, false
	}
	if d, ok := named.(reference.Digested); ok {
		img.Digest = d.Digest().String()
	}
	return img, true
}

// same finds the image that is stored under the name if it is what the registry has.
func (im *Images) same(named reference.Named, top *remote.Descriptor) (agent.Image, bool) {
	stored, err := im.store.Image(named.String())
	if err != nil || !slices.Contains(stored.Digests, digest.Digest(top.Digest.String())) {
		return agent.Image{}, false
	}
	img, err := im.describe(stored)
	img.Digest = top.Digest.String()
	return img, err == nil
}

// describe reads an image's configuration.
func (im *Images) describe(stored *storage.Image) (agent.Image, error) {
	im.mu.Lock()
	img, ok := im.known[stored.ID]
	im.mu.Unlock()
	if !ok {
		raw, err := im.store.ImageBigData(stored.ID, "sha256:"+stored.ID)
		if err != nil {
			return agent.Image{}, fmt.Errorf("image %s: read configuration: %w", stored.ID, err)
		}
		var c imgspec.Image
		if err := json.Unmarshal(raw, &c); err != nil {
			return agent.Image{}, fmt.Errorf("image %s: read configuration: %w", stored.ID, err)
		}
		img = agent.Image{ID: stored.ID, Config: agent.ImageConfig{
			Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd, Env: c.Config.Env, WorkingDir: c.Config.WorkingDir,
			User: c.Config.User, StopSignal: c.Config.StopSignal, Labels: c.Config.Labels,
		}}
		for v := range c.Config.Volumes {
			img.Config.Volumes = append(img.Config.Volumes, v)
		}
		slices.Sort(img.Config.Volumes)
		im.mu.Lock()
		im.known[stored.ID] = img
		im.mu.Unlock()
	}
	img.Digest = stored.Digest.String()
	return img, nil
}
