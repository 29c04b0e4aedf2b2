// Package image builds container images for tests without a registry, Docker or the network's images: from a static
// Go program, or from Debian packages. An image is an OCI layout in one tar file; the same input gives the same digest.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Config is what the image says of the container. Architecture is this machine's when empty.
type Config struct {
	Entrypoint, Cmd, Env         []string
	WorkingDir, User, StopSignal string
	Volumes, Ports               []string
	Labels                       map[string]string
	Architecture                 string
}

// File is one entry of a layer. Content, Source (a host file) and Link (a symbolic link's target) exclude each
// other; without any of them and with a path that ends in / it is a directory.
type File struct {
	Path    string
	Mode    fs.FileMode // 0: 0755 for directories and Source, 0644 otherwise
	UID     int
	GID     int
	Content string
	Source  string
	Link    string
}

// blob is a finished file of the layout.
type blob struct {
	path   string
	digest digest.Digest
	size   int64
}

// Write builds an image of one layer for each list of files at the path dst and returns the manifest's digest.
func Write(dst string, cfg Config, layers ...[]File) (string, error) {
	fill := make([]func(*tar.Writer) error, len(layers))
	for i, files := range layers {
		fill[i] = func(w *tar.Writer) error {
			for _, f := range files {
				if err := addFile(w, f); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return write(dst, cfg, fill)
}

// WriteTree builds an image whose first layer is a directory tree, followed by a layer of files if there are any.
func WriteTree(dst string, cfg Config, tree string, files ...File) (string, error) {
	fill := []func(*tar.Writer) error{func(w *tar.Writer) error { return addTree(w, tree) }}
	if len(files) > 0 {
		fill = append(fill, func(w *tar.Writer) error {
			for _, f := range files {
				if err := addFile(w, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return write(dst, cfg, fill)
}

func write(dst string, cfg Config, fill []func(*tar.Writer) error) (string, error) {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dst), ".image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	img := imgspec.Image{Config: cfg.spec(), RootFS: imgspec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	img.OS, img.Architecture = "linux", cfg.Architecture
	if img.Architecture == "" {
		img.Architecture = runtime.GOARCH
	}
	m := imgspec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imgspec.MediaTypeImageManifest, Layers: []imgspec.Descriptor{}}
	var blobs []blob
	for i, f := range fill {
		b, diff, err := writeLayer(filepath.Join(tmp, fmt.Sprintf("layer%d", i)), f)
		if err != nil {
			return "", fmt.Errorf("image layer %d: %w", i, err)
		}
		blobs = append(blobs, b)
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, diff)
		m.Layers = append(m.Layers, imgspec.Descriptor{MediaType: imgspec.MediaTypeImageLayerGzip, Digest: b.digest, Size: b.size})
	}
	config, err := writeBlob(filepath.Join(tmp, "config"), img)
	if err != nil {
		return "", err
	}
	m.Config = imgspec.Descriptor{MediaType: imgspec.MediaTypeImageConfig, Digest: config.digest, Size: config.size}
	manifest, err := writeBlob(filepath.Join(tmp, "manifest"), m)
	if err != nil {
		return "", err
	}
	index := imgspec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imgspec.MediaTypeImageIndex,
		Manifests: []imgspec.Descriptor{{MediaType: imgspec.MediaTypeImageManifest, Digest: manifest.digest, Size: manifest.size}}}
	if err := writeLayout(dst, index, append(blobs, config, manifest)); err != nil {
		return "", err
	}
	return manifest.digest.String(), nil
}

func (c Config) spec() imgspec.ImageConfig {
	s := imgspec.ImageConfig{Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, WorkingDir: c.WorkingDir, User: c.User,
		StopSignal: c.StopSignal, Labels: c.Labels}
	for _, v := range c.Volumes {
		if s.Volumes == nil {
			s.Volumes = map[string]struct{}{}
		}
		s.Volumes[v] = struct{}{}
	}
	for _, p := range c.Ports {
		if s.ExposedPorts == nil {
			s.ExposedPorts = map[string]struct{}{}
		}
		s.ExposedPorts[p] = struct{}{}
	}
	return s
}

func writeLayer(name string, fill func(*tar.Writer) error) (blob, digest.Digest, error) {
	f, err := os.Create(name)
	if err != nil {
		return blob{}, "", err
	}
	defer f.Close()
	packed, plain := sha256.New(), sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, packed), gzip.BestSpeed)
	if err != nil {
		return blob{}, "", err
	}
	w := tar.NewWriter(io.MultiWriter(z, plain))
	if err := fill(w); err != nil {
		return blob{}, "", err
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return blob{}, "", err
	}
	fi, err := f.Stat()
	if err != nil {
		return blob{}, "", err
	}
	return blob{name, digest.NewDigest(digest.SHA256, packed), fi.Size()}, digest.NewDigest(digest.SHA256, plain), nil
}

func writeBlob(name string, v any) (blob, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return blob{}, err
	}
	return blob{name, digest.FromBytes(raw), int64(len(raw))}, os.WriteFile(name, raw, 0o600)
}

func writeLayout(dst string, index imgspec.Index, blobs []blob) error {
	tmp := dst + ".new"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	files := []File{
		{Path: "oci-layout", Content: `{"imageLayoutVersion":"1.0.0"}`}, {Path: "index.json", Content: string(raw)},
		{Path: "blobs/"}, {Path: "blobs/sha256/"},
	}
	seen := map[digest.Digest]bool{}
	for _, b := range blobs {
		if !seen[b.digest] {
			files = append(files, File{Path: "blobs/sha256/" + b.digest.Encoded(), Source: b.path, Mode: 0o644})
		}
		seen[b.digest] = true
	}
	for _, file := range files {
		if err := addFile(w, file); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, dst)
}

func addFile(w *tar.Writer, f File) error {
	h := &tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Uid: f.UID, Gid: f.GID, Mode: unixMode(f.Mode), Typeflag: tar.TypeReg}
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.Source != "":
		return addSource(w, h, f)
	case strings.HasSuffix(f.Path, "/"):
		h.Typeflag, h.Mode = tar.TypeDir, orMode(f.Mode, 0o755)
	default:
		h.Mode, h.Size = orMode(f.Mode, 0o644), int64(len(f.Content))
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.WriteString(w, f.Content)
	return err
}

func addSource(w *tar.Writer, h *tar.Header, f File) error {
	src, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	h.Mode, h.Size = orMode(f.Mode, 0o755), fi.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, src)
	return err
}

func orMode(m fs.FileMode, or int64) int64 {
	if m == 0 {
		return or
	}
	return unixMode(m)
}

func unixMode(m fs.FileMode) int64 {
	out := int64(m.Perm())
	for bit, unix := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			out |= unix
		}
	}
	return out
}

// addTree adds a directory tree in lexical order, with owners and modes and without times.
func addTree(w *tar.Writer, tree string) error {
	return filepath.WalkDir(tree, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == tree {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		link := ""
		if fi.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(p); err != nil {
				return err
			}
		}
		rel, err := filepath.Rel(tree, p)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: rel, Mode: unixMode(fi.Mode()), Linkname: link}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			h.Uid, h.Gid = int(st.Uid), int(st.Gid)
		}
		switch {
		case fi.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, rel+"/"
		case link != "":
			h.Typeflag = tar.TypeSymlink
		case fi.Mode().IsRegular():
			h.Typeflag, h.Size = tar.TypeReg, fi.Size()
		default:
			return nil
		}
		if err := w.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}

// Digest reads the manifest's digest from an image that Write made.
func Digest(archive string) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("%s: no index: %w", archive, err)
		}
		if path.Clean(h.Name) != "index.json" {
			continue
		}
		var index imgspec.Index
		if err := json.NewDecoder(r).Decode(&index); err != nil {
			return "", fmt.Errorf("%s: %w", archive, err)
		}
		if len(index.Manifests) != 1 {
			return "", fmt.Errorf("%s: %d manifests", archive, len(index.Manifests))
		}
		return index.Manifests[0].Digest.String(), nil
	}
}

// key names a cache entry by everything that went into it.
func key(v ...any) string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:8])
}
