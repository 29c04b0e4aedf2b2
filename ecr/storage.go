package ecr

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

// files is distribution's storage: its HTTP handlers, and its Go interface on the same folder.
type files struct {
	root   string
	driver driver.StorageDriver
	space  distribution.Namespace
	// http makes the handlers at the first request: they hold a goroutine that never ends.
	http func() http.Handler
}

// Paths of distribution's layout.
const (
	layout           = "/docker/registry/v2"
	repositoriesPath = layout + "/repositories"
	blobsPath        = layout + "/blobs/sha256"
)

// uploadLife is how long an upload may rest before its bytes are removed.
const uploadLife = 24 * time.Hour

func openFiles(root string, key []byte) (*files, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make the registry's folder: %w", err)
	}
	cfg := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem":  configuration.Parameters{"rootdirectory": root},
		"delete":      configuration.Parameters{"enabled": true},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	cfg.Log.AccessLog.Disabled = true
	cfg.HTTP.RelativeURLs = true
	cfg.HTTP.Secret = hex.EncodeToString(key)
	cfg.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	d := filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100})
	space, err := storage.NewRegistry(context.Background(), d, storage.EnableDelete, storage.EnableValidateImageIndexImagesExist)
	if err != nil {
		return nil, fmt.Errorf("open the registry's storage: %w", err)
	}
	// Distribution logs every 404 as an error, to logrus' standard logger and nowhere else. What matters is logged in serve.go.
	logrus.SetLevel(logrus.PanicLevel)
	app := sync.OnceValue(func() http.Handler { return handlers.NewApp(context.Background(), cfg) })
	return &files{root: root, driver: d, space: space, http: app}, nil
}

func (f *files) repository(ctx context.Context, key string) (distribution.Repository, error) {
	name, err := reference.WithName(key)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", key, err)
	}
	return f.space.Repository(ctx, name)
}

// manifest returns the bytes of a manifest.
func (f *files) manifest(ctx context.Context, dgst digest.Digest) ([]byte, error) {
	return f.driver.GetContent(ctx, dataPath(dgst))
}

func dataPath(dgst digest.Digest) string {
	h := dgst.Encoded()
	return blobsPath + "/" + h[:2] + "/" + h + "/data"
}

// linked lists the digests that have a link below the folder, with the times of the links.
func (f *files) linked(ctx context.Context, folder string) (map[digest.Digest]time.Time, error) {
	out := map[digest.Digest]time.Time{}
	entries, err := f.list(ctx, folder+"/sha256")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		dgst := digest.NewDigestFromEncoded(digest.SHA256, path.Base(e))
		if dgst.Validate() != nil {
			continue
		}
		info, err := f.driver.Stat(ctx, e+"/link")
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", folder, err)
		}
		out[dgst] = info.ModTime()
	}
	return out, nil
}

// manifests lists the digests of the repository's manifests and when each came.
func (f *files) manifests(ctx context.Context, key string) (map[digest.Digest]time.Time, error) {
	return f.linked(ctx, repositoriesPath+"/"+key+"/_manifests/revisions")
}

// tags lists the repository's tags and what they stand for.
func (f *files) tags(ctx context.Context, key string) (map[string]digest.Digest, error) {
	out := map[string]digest.Digest{}
	entries, err := f.list(ctx, repositoriesPath+"/"+key+"/_manifests/tags")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		link, err := f.driver.GetContent(ctx, e+"/current/link")
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read tag %s: %w", e, err)
		}
		if dgst, err := digest.Parse(string(link)); err == nil {
			out[path.Base(e)] = dgst
		}
	}
	return out, nil
}

func (f *files) list(ctx context.Context, folder string) ([]string, error) {
	entries, err := f.driver.List(ctx, folder)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	return entries, nil
}

func isMissing(err error) bool {
	_, ok := errors.AsType[driver.PathNotFoundError](err)
	return ok
}

// untag removes tags; a tag that is not there is no error.
func (f *files) untag(ctx context.Context, key string, tags ...string) error {
	r, err := f.repository(ctx, key)
	if err != nil {
		return err
	}
	for _, t := range tags {
		if err := r.Tags(ctx).Untag(ctx, t); err != nil && !isMissing(err) {
			return fmt.Errorf("untag %s:%s: %w", key, t, err)
		}
	}
	return nil
}

// remove removes a manifest with its tags. Its bytes stay until they are collected.
func (f *files) remove(ctx context.Context, key, dgst string, tags []string) error {
	if err := f.untag(ctx, key, tags...); err != nil {
		return err
	}
	r, err := f.repository(ctx, key)
	if err != nil {
		return err
	}
	ms, err := r.Manifests(ctx)
	if err != nil {
		return fmt.Errorf("manifests of %s: %w", key, err)
	}
	err = ms.Delete(ctx, digest.Digest(dgst))
	if err != nil && !errors.Is(err, distribution.ErrBlobUnknown) && !isMissing(err) {
		return fmt.Errorf("delete %s@%s: %w", key, dgst, err)
	}
	return nil
}

// removeRepository removes what the repository itself has, and leaves repositories whose names begin with its name.
func (f *files) removeRepository(ctx context.Context, key string) error {
	for _, part := range []string{"_manifests", "_layers", "_uploads"} {
		if err := f.driver.Delete(ctx, repositoriesPath+"/"+key+"/"+part); err != nil && !isMissing(err) {
			return fmt.Errorf("delete the files of %s: %w", key, err)
		}
	}
	return nil
}

// cancel removes what an upload has sent.
func (f *files) cancel(ctx context.Context, key, id string) error {
	if err := f.driver.Delete(ctx, repositoriesPath+"/"+key+"/_uploads/"+id); err != nil && !isMissing(err) {
		return fmt.Errorf("remove upload %s of %s: %w", id, key, err)
	}
	return nil
}

// touch makes a blob look new, so that it is not collected before the manifest comes that will name it.
func (f *files) touch(key string, dgst digest.Digest, now time.Time) {
	for _, p := range []string{dataPath(dgst), repositoriesPath + "/" + key + "/_layers/sha256/" + dgst.Encoded() + "/link"} {
		_ = os.Chtimes(filepath.Join(f.root, filepath.FromSlash(p)), now, now) // missing: there is nothing to keep
	}
}

// document is what is read of a manifest or index.
type document struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *descriptor       `json:"config"`
	Layers       []descriptor      `json:"layers"`
	Blobs        []descriptor      `json:"blobs"`
	Manifests    []descriptor      `json:"manifests"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
}

func parseDocument(payload []byte) (document, error) {
	var d document
	if err := json.Unmarshal(payload, &d); err != nil {
		return d, fmt.Errorf("read manifest: %w", err)
	}
	return d, nil
}

// blobs are the digests that the manifest needs beside other manifests.
func (d document) blobs() []digest.Digest {
	var out []digest.Digest
	if d.Config != nil {
		out = append(out, d.Config.Digest)
	}
	for _, l := range append(d.Layers[:len(d.Layers):len(d.Layers)], d.Blobs...) {
		out = append(out, l.Digest)
	}
	return out
}

// size is the sum of configuration and layers.
func (d document) size() (n int64) {
	if d.Config != nil {
		n = d.Config.Size
	}
	for _, l := range append(d.Layers[:len(d.Layers):len(d.Layers)], d.Blobs...) {
		n += l.Size
	}
	return n
}

// mediaType falls back to what the fields show, as OCI manifests may leave it out.
func (d document) mediaType(header string) string {
	switch {
	case d.MediaType != "":
		return d.MediaType
	case header != "":
		return strings.TrimSpace(strings.SplitN(header, ";", 2)[0])
	case d.Manifests != nil:
		return "application/vnd.oci.image.index.v1+json"
	}
	return "application/vnd.oci.image.manifest.v1+json"
}
