package oci_test

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/test/image"
)

// registry serves images, well or badly.
type registry struct {
	t      testing.TB
	server *httptest.Server

	// mu guards what follows.
	mu    sync.Mutex
	blobs map[string][]byte
	types map[string]string
	tags  map[string]string
	gets  map[string]int // requests by kind: manifests, blobs
	hook  func(w http.ResponseWriter, r *http.Request) bool
}

func newRegistry(t testing.TB) *registry {
	t.Helper()
	g := &registry{t: t, blobs: map[string][]byte{}, types: map[string]string{}, tags: map[string]string{}, gets: map[string]int{}}
	g.server = httptest.NewServer(g)
	t.Cleanup(g.server.Close)
	return g
}

func (g *registry) host() string { return strings.TrimPrefix(g.server.URL, "http://") }

func (g *registry) count(kind string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gets[kind]
}

func (g *registry) setHook(f func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook = f
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	kind, name := "", path.Base(r.URL.Path)
	if len(parts) > 2 {
		kind = parts[len(parts)-2]
	}
	g.mu.Lock()
	g.gets[kind]++
	if d, ok := g.tags[name]; ok && kind == "manifests" {
		name = d
	}
	body, ok := g.blobs[name]
	mime, hook := g.types[name], g.hook
	g.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	switch {
	case len(parts) == 1:
		return
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
	default:
		if mime != "" {
			w.Header().Set("Content-Type", mime)
		}
		w.Header().Set("Docker-Content-Digest", name)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
		}
	}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (g *registry) put(body []byte, mime string) string {
	d := digestOf(body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blobs[d], g.types[d] = body, mime
	return d
}

// push serves an archive under a tag and returns the manifest's digest.
func (g *registry) push(archive, tag string) string {
	g.t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			g.t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			g.t.Fatal(err)
		}
		if strings.HasPrefix(h.Name, "blobs/sha256/") && len(body) > 0 {
			g.put(body, "")
		}
	}
	d, err := image.Digest(archive)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tags[tag], g.types[d] = d, imgspec.MediaTypeImageManifest
	return d
}

// pushLayers serves an image of given layer blobs, good or not, and returns the manifest's digest.
func (g *registry) pushLayers(tag string, config imgspec.Image, layers ...imgspec.Descriptor) string {
	g.t.Helper()
	if config.Architecture == "" {
		config.OS, config.Architecture = "linux", runtime.GOARCH
	}
	raw, err := json.Marshal(config)
	if err != nil {
		g.t.Fatal(err)
	}
	m := imgspec.Manifest{MediaType: imgspec.MediaTypeImageManifest, Layers: layers}
	m.SchemaVersion = 2
	m.Config = describe(imgspec.MediaTypeImageConfig, g.put(raw, ""), len(raw))
	body, err := json.Marshal(m)
	if err != nil {
		g.t.Fatal(err)
	}
	d := g.put(body, imgspec.MediaTypeImageManifest)
	g.mu.Lock()
	g.tags[tag] = d
	g.mu.Unlock()
	return d
}

func describe(mime, d string, size int) imgspec.Descriptor {
	return imgspec.Descriptor{MediaType: mime, Digest: digest.Digest(d), Size: int64(size)}
}

// simple builds an archive of one layer.
func simple(t *testing.T, cfg image.Config, files ...image.File) string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "image.tar")
	if _, err := image.Write(dst, cfg, files); err != nil {
		t.Fatal(err)
	}
	return dst
}
