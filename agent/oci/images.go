package oci

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"

	"berth/agent"
)

// Images is the machine's image store. It implements agent.Images.
type Images struct {
	dir    string
	store  storage.Store
	cfg    Config
	log    *slog.Logger
	policy *signature.PolicyContext
	sys    *types.SystemContext
	inUse  func() (map[string]bool, error) // IDs of images that containers need

	// mu guards what follows.
	mu         sync.Mutex
	registries map[string]RegistryEndpoint
	transports map[string]*registryTransport
	pullers    map[pullerKey]*remote.Puller
	pulls      map[string]*sharedPull
	known      map[string]agent.Image // by image ID, without Digest
}

type pullerKey struct {
	host string
	cred [32]byte
}

func openImages(cfg Config, inUse func() (map[string]bool, error)) (*Images, error) {
	dir := filepath.Join(cfg.Dir, "images")
	tmp := filepath.Join(dir, "tmp")
	// Downloads of a killed process.
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("clear image downloads: %w", err)
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("make image store: %w", err)
	}
	store, err := storage.GetStore(storage.StoreOptions{
		GraphRoot:       dir,
		RunRoot:         filepath.Join(cfg.Dir, "images-run"),
		GraphDriverName: "overlay",
		// The option keeps the driver from mounting its directory over itself.
		GraphDriverOptions: []string{"overlay.skip_mount_home=true"},
	})
	if err != nil {
		return nil, fmt.Errorf("open image store %s: %w", dir, err)
	}
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		return nil, fmt.Errorf("image policy: %w", err)
	}
	im := &Images{
		dir: dir, store: store, cfg: cfg, log: cfg.Log, policy: policy, inUse: inUse,
		sys: &types.SystemContext{
			ArchitectureChoice: runtime.GOARCH, OSChoice: "linux",
			BigFilesTemporaryDir: tmp, BlobInfoCacheDir: dir,
			SystemRegistriesConfPath: os.DevNull, SystemRegistriesConfDirPath: os.DevNull, RegistriesDirPath: os.DevNull,
		},
		registries: map[string]RegistryEndpoint{}, transports: map[string]*registryTransport{},
		pullers: map[pullerKey]*remote.Puller{}, pulls: map[string]*sharedPull{}, known: map[string]agent.Image{},
	}
	for host, e := range cfg.Registries {
		if err := im.SetRegistry(host, e); err != nil {
			return nil, errors.Join(err, im.close())
		}
	}
	return im, nil
}

func (im *Images) close() error {
	im.mu.Lock()
	for _, t := range im.transports {
		if h, ok := t.next.(*http.Transport); ok {
			h.CloseIdleConnections()
		}
	}
	im.mu.Unlock()
	_ = im.policy.Destroy()
	if _, err := im.store.Shutdown(false); err != nil {
		return fmt.Errorf("close image store: %w", err)
	}
	return nil
}

// SetRegistry says from now on how the registry host is reached.
func (im *Images) SetRegistry(host string, e RegistryEndpoint) error {
	host = wireHost(host)
	t, err := newRegistryTransport(host, e)
	if err != nil {
		return err
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	for k := range im.pullers {
		if k.host == host || host == AnyECR && ecrHost.MatchString(k.host) {
			delete(im.pullers, k)
			delete(im.transports, k.host)
		}
	}
	im.registries[host], im.transports[host] = e, t
	return nil
}

// wireHost is the host that serves a registry; only Docker Hub's name is not its host.
func wireHost(host string) string {
	if host == "docker.io" {
		return name.DefaultRegistry
	}
	return host
}

// AnyECR stands for the registries of all AWS accounts in SetRegistry.
const AnyECR = "*.dkr.ecr.*.amazonaws.com"

var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com|on\.aws)$`)

// endpoint says how a registry is reached. The caller holds mu.
func (im *Images) endpoint(host string) RegistryEndpoint {
	if e, ok := im.registries[host]; ok || !ecrHost.MatchString(host) {
		return e
	}
	return im.registries[AnyECR]
}

// puller returns the client for one registry and one login. It remembers tokens.
func (im *Images) puller(host string, opts agent.PullOptions) (*remote.Puller, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	e := im.endpoint(host)
	user, pass := opts.Username, opts.Password
	if user == "" && pass == "" {
		user, pass = e.Username, e.Password
	}
	key := pullerKey{host, sha256.Sum256([]byte(user + "\x00" + pass))}
	if p := im.pullers[key]; p != nil {
		return p, nil
	}
	t := im.transports[host]
	if t == nil {
		var err error
		if t, err = newRegistryTransport(host, e); err != nil {
			return nil, err
		}
		im.transports[host] = t
	}
	o := []remote.Option{remote.WithTransport(t), remote.WithUserAgent("berth"), remote.WithJobs(8),
		remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Factor: 3, Steps: 1})}
	if user != "" || pass != "" {
		o = append(o, remote.WithAuth(&authn.Basic{Username: user, Password: pass}))
	}
	p, err := remote.NewPuller(o...)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", host, err)
	}
	im.pullers[key] = p
	return p, nil
}

// forget drops a client, so that a token that was refused is asked for again.
func (im *Images) forget(p *remote.Puller) {
	im.mu.Lock()
	defer im.mu.Unlock()
	for k, v := range im.pullers {
		if v == p {
			delete(im.pullers, k)
		}
	}
}

// parseRef turns an image name into its full form. A name with neither tag nor digest means latest; one with both
// means the digest.
func parseRef(ref string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, pullError(fmt.Sprintf("invalid reference format: %q: %s", clip(ref, 200), err), err)
	}
	if d, ok := named.(reference.Digested); ok {
		return reference.WithDigest(reference.TrimNamed(named), d.Digest())
	}
	return reference.TagNameOnly(named), nil
}

// Pull makes the image present. A name pinned to a digest that is here already needs no network; otherwise the
// registry is asked, and when it fails an image that is here under the name is taken (by the default behaviour).
func (im *Images) Pull(ctx context.Context, ref string, opts agent.PullOptions) (agent.Image, error) {
	named, err := parseRef(ref)
	if err != nil {
		return agent.Image{}, err
	}
	local, found := im.local(named)
	_, pinned := named.(reference.Digested)
	behavior := orDefault(im.cfg.PullBehavior, "default")
	if found && (pinned || behavior == "once" || behavior == "prefer-cached") {
		return local, im.touch(local.ID)
	}
	tries := im.cfg.Limits.Tries
	if found && behavior == "default" {
		// There is something to fall back to: a registry that is away must not hold up the task for long.
		tries = min(tries, 2)
	}
	img, err := im.pullShared(ctx, named, opts, tries)
	switch {
	case err == nil:
		return img, im.touch(img.ID)
	case found && behavior == "default" && ctx.Err() == nil:
		im.log.Warn("pull failed, the image that is here is used", "image", named.String(), "err", err)
		return local, im.touch(local.ID)
	}
	return agent.Image{}, err
}

// pull fetches the image once, with tries.
func (im *Images) pull(ctx context.Context, named reference.Named, opts agent.PullOptions, tries int) (agent.Image, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, im.cfg.Limits.Pull, errors.New("pull took longer than "+im.cfg.Limits.Pull.String()))
	defer cancel()
	src, err := im.resolve(ctx, named, opts, tries)
	if err != nil {
		return agent.Image{}, err
	}
	if img, ok := im.same(named, src.top); ok {
		return img, nil
	}
	for try := 1; ; try++ {
		img, err := im.copy(ctx, src)
		if err == nil {
			return img, nil
		}
		if c := context.Cause(ctx); c != nil {
			err = fmt.Errorf("%w (%w)", c, err)
		}
		if try >= tries || permanent(err) || ctx.Err() != nil || !wait(ctx, try) {
			return agent.Image{}, copyError(named.String(), try, err)
		}
	}
}

// wait sleeps between tries: about 0.5, 1, 2, 4 seconds. It returns false when ctx ended.
func wait(ctx context.Context, try int) bool {
	d := 500 * time.Millisecond << (try - 1)
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// resolve asks the registry for the manifest.
func (im *Images) resolve(ctx context.Context, named reference.Named, opts agent.PullOptions, tries int) (*registryImage, error) {
	host := reference.Domain(named)
	wire := wireHost(host)
	var o []name.Option
	im.mu.Lock()
	if strings.HasPrefix(im.endpoint(wire).URL, "http:") {
		o = append(o, name.Insecure)
	}
	im.mu.Unlock()
	ref, err := name.ParseReference(wire+named.String()[len(host):], o...)
	if err != nil {
		return nil, pullError("invalid reference format: "+err.Error(), err)
	}
	for try := 1; ; try++ {
		p, err := im.puller(wire, opts)
		if err != nil {
			return nil, pullError(err.Error(), err)
		}
		mctx, cancel := context.WithTimeoutCause(ctx, im.cfg.Limits.Manifest, context.DeadlineExceeded)
		top, err := p.Get(mctx, ref)
		cancel()
		if err == nil {
			return &registryImage{named: named, repo: ref.Context(), puller: p, top: top,
				guard: &guard{limits: im.cfg.Limits, dir: im.dir, progress: opts.Progress}}, nil
		}
		im.forget(p)
		if c := context.Cause(ctx); c != nil {
			return nil, pullError(c.Error(), c)
		}
		if try >= tries || permanent(err) || !wait(ctx, try) {
			return nil, resolveError(named.String(), try, err)
		}
	}
}

// copy fetches what is missing and commits the image.
func (im *Images) copy(ctx context.Context, src *registryImage) (agent.Image, error) {
	again := *src
	again.guard = &guard{limits: src.guard.limits, dir: src.guard.dir, progress: src.guard.progress}
	if err := again.inspect(ctx, im.sys, im.cfg.Limits); err != nil {
		return agent.Image{}, err
	}
	if full(im.dir, im.cfg.Limits.FreeBytes) {
		return agent.Image{}, fmt.Errorf("image store: %w", errNoSpace)
	}
	return im.commit(ctx, &again, src.named, digest.Digest(src.top.Digest.String()))
}

// commit copies an image from anywhere into the store under a name.
func (im *Images) commit(ctx context.Context, from types.ImageReference, named reference.Named, top digest.Digest) (agent.Image, error) {
	dest, err := istorage.Transport.NewStoreReference(im.store, named, "")
	if err != nil {
		return agent.Image{}, fmt.Errorf("image store: %w", err)
	}
	var resolved types.ImageReference
	if _, err := copy.Image(ctx, im.policy, dest, from, &copy.Options{
		SourceCtx: im.sys, DestinationCtx: im.sys, MaxParallelDownloads: 4, RemoveSignatures: true,
		ReportResolvedReference: &resolved,
	}); err != nil {
		return agent.Image{}, err
	}
	if resolved == nil {
		resolved = dest
	}
	_, stored, err := istorage.ResolveReference(resolved)
	if err != nil {
		return agent.Image{}, fmt.Errorf("image store: %w", err)
	}
	img, err := im.describe(stored)
	if top != "" {
		img.Digest = top.String()
	}
	return img, err
}

// Import puts an image from a local archive into the store under a name: "oci-archive:" and "docker-archive:" files
// and "oci:" directories. It is not reachable from a container definition.
func (im *Images) Import(ctx context.Context, from types.ImageReference, ref string) (agent.Image, error) {
	named, err := parseRef(ref)
	if err != nil {
		return agent.Image{}, err
	}
	img, err := im.commit(ctx, from, named, "")
	if err != nil {
		return agent.Image{}, fmt.Errorf("import %s: %w", named, err)
	}
	return img, im.touch(img.ID)
}
