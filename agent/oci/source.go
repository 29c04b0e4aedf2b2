package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"
)

// registryImage is an image in a registry as go.podman.io/image sees it. That library's own client takes neither a
// path prefix nor a TLS configuration, so the wire is spoken by go-containerregistry over registryTransport.
type registryImage struct {
	named  reference.Named
	repo   name.Repository
	puller *remote.Puller
	top    *remote.Descriptor // what the reference resolved to
	guard  *guard
}

// registryScheme is the transport of registryImage; it exists for the library's sake.
type registryScheme struct{}

func (registryScheme) Name() string { return "berth-registry" }

func (registryScheme) ParseReference(string) (types.ImageReference, error) {
	return nil, errors.ErrUnsupported
}
func (registryScheme) ValidatePolicyConfigurationScope(string) error { return nil }

func (r *registryImage) Transport() types.ImageTransport         { return registryScheme{} }
func (r *registryImage) StringWithinTransport() string           { return r.named.String() }
func (r *registryImage) DockerReference() reference.Named        { return r.named }
func (r *registryImage) PolicyConfigurationIdentity() string     { return "" }
func (r *registryImage) PolicyConfigurationNamespaces() []string { return nil }

func (r *registryImage) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	return image.FromSource(ctx, sys, &registrySource{registryImage: r})
}

func (r *registryImage) NewImageSource(context.Context, *types.SystemContext) (types.ImageSource, error) {
	return &registrySource{registryImage: r}, nil
}

func (r *registryImage) NewImageDestination(context.Context, *types.SystemContext) (types.ImageDestination, error) {
	return nil, errors.ErrUnsupported
}

func (r *registryImage) DeleteImage(context.Context, *types.SystemContext) error {
	return errors.ErrUnsupported
}

type registrySource struct{ *registryImage }

func (s *registrySource) Reference() types.ImageReference { return s.registryImage }
func (s *registrySource) Close() error                    { return nil }
func (s *registrySource) HasThreadSafeGetBlob() bool      { return true }

func (s *registrySource) GetManifest(ctx context.Context, instance *digest.Digest) ([]byte, string, error) {
	if instance == nil {
		return s.top.Manifest, string(s.top.MediaType), nil
	}
	d, err := s.puller.Get(ctx, s.repo.Digest(instance.String()))
	if err != nil {
		return nil, "", err
	}
	return d.Manifest, string(d.MediaType), nil
}

func (s *registrySource) GetBlob(ctx context.Context, info types.BlobInfo, _ types.BlobInfoCache) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	layer, err := s.puller.Layer(ctx, s.repo.Digest(info.Digest.String()))
	if err != nil {
		cancel(nil)
		return nil, 0, err
	}
	body, err := layer.Compressed()
	if err != nil {
		cancel(nil)
		return nil, 0, err
	}
	return s.guard.watch(ctx, cancel, body, info.Digest), info.Size, nil
}

func (s *registrySource) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) {
	return nil, nil
}

func (s *registrySource) LayerInfosForCopy(context.Context, *digest.Digest) ([]types.BlobInfo, error) {
	return nil, nil
}

// errPlatform is returned for images that this machine cannot run.
type errPlatform struct{ want, have string }

func (e errPlatform) Error() string {
	s := "image Manifest does not contain descriptor matching platform '" + e.want + "'"
	if e.have != "" {
		s += " (it is for '" + e.have + "')"
	}
	return s
}

// inspect chooses the image's instance for this machine and checks what it says of itself before any layer is
// fetched: number and sizes of layers, operating system, architecture, and a configuration that can be used at all.
func (r *registryImage) inspect(ctx context.Context, sys *types.SystemContext, limits Limits) error {
	src := &registrySource{registryImage: r}
	unparsed := image.UnparsedInstance(src, nil)
	blob, mime, err := unparsed.Manifest(ctx)
	if err != nil {
		return err
	}
	if manifest.MIMETypeIsMultiImage(mime) {
		list, err := manifest.ListFromBlob(blob, mime)
		if err != nil {
			return err
		}
		chosen, err := list.ChooseInstance(sys)
		if err != nil {
			return errPlatform{want: "linux/" + sys.ArchitectureChoice}
		}
		unparsed = image.UnparsedInstance(src, &chosen)
	}
	img, err := image.FromUnparsedImage(ctx, sys, unparsed)
	if err != nil {
		return err
	}
	if size := img.ConfigInfo().Size; size > maxManifestBytes {
		return fmt.Errorf("image configuration of %d bytes: %w", size, errTooLarge)
	}
	layers := img.LayerInfos()
	if len(layers) > limits.Layers {
		return fmt.Errorf("image has %d layers, at most %d are allowed", len(layers), limits.Layers)
	}
	if err := r.guard.expect(layers); err != nil {
		return err
	}
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return err
	}
	if config.OS != "" && config.OS != "linux" || config.Architecture != "" && config.Architecture != sys.ArchitectureChoice {
		return errPlatform{want: "linux/" + sys.ArchitectureChoice, have: config.OS + "/" + config.Architecture}
	}
	return checkConfig(config)
}

// checkConfig refuses configurations that no runtime can use.
func checkConfig(c *imgspec.Image) error {
	raw, err := json.Marshal(c.Config)
	if err != nil {
		return err
	}
	if len(raw) > 1<<20 {
		return fmt.Errorf("image configuration is %d bytes long, at most 1 MiB is allowed", len(raw))
	}
	all := append(append(append([]string{c.Config.User, c.Config.WorkingDir}, c.Config.Env...), c.Config.Cmd...), c.Config.Entrypoint...)
	for _, s := range all {
		for i := range len(s) {
			if s[i] == 0 {
				return errors.New("image configuration has a NUL byte")
			}
		}
	}
	return nil
}
