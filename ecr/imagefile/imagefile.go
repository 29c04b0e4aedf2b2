// Package imagefile reads an image from a file or folder and pushes it to a registry.
//
//	OCI layout           a folder or tar with oci-layout and index.json
//	docker save          a tar with manifest.json
//	root file system     any other folder; it becomes one layer
package imagefile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Options of Push.
type Options struct {
	Username, Password string
	// PlainHTTP pushes without TLS to hosts that are not loopback too.
	PlainHTTP bool
	// Progress is called with bytes done and bytes in total, from one goroutine.
	Progress func(done, total int64)

	// The rest is for root file systems only.

	// Config is the image's configuration: command, environment, user, ports.
	Config v1.Config
	// Architecture is the image's; empty means this machine's.
	Architecture string
	// KeepTimes keeps the files' times of modification. Without it they are all zero, so that the same content gives
	// the same digest wherever it was unpacked.
	KeepTimes bool
}

// Result is what was pushed.
type Result struct {
	Reference string // host/repository:tag
	Digest    string // of the manifest or index
	Kind      string // "OCI layout", "docker archive" or "root file system"
}

// image is one image or one index.
type image struct {
	v1.Image
	v1.ImageIndex
	kind string
}

// Push reads path and pushes it as ref, which is host:port/repository:tag.
func Push(ctx context.Context, path, ref string, o Options) (Result, error) {
	var nameOptions []name.Option
	if o.PlainHTTP {
		nameOptions = append(nameOptions, name.Insecure)
	}
	target, err := name.NewTag(ref, nameOptions...)
	if err != nil {
		return Result{}, fmt.Errorf("target %s: %w", ref, err)
	}
	scratch, err := os.MkdirTemp("", "berth-image-")
	if err != nil {
		return Result{}, fmt.Errorf("make a folder for the image: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	img, err := open(path, target.TagStr(), scratch, o)
	if err != nil {
		return Result{}, fmt.Errorf("read %s: %w", path, err)
	}
	digest, err := img.push(ctx, target, o)
	if err != nil {
		return Result{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return Result{Reference: target.Name(), Digest: digest.String(), Kind: img.kind}, nil
}

func (i image) push(ctx context.Context, target name.Tag, o Options) (v1.Hash, error) {
	options := []remote.Option{remote.WithContext(ctx), remote.WithJobs(4)}
	if o.Password != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: o.Username, Password: o.Password}))
	}
	write := func() (v1.Hash, error) {
		if i.ImageIndex != nil {
			digest, err := i.ImageIndex.Digest()
			if err != nil {
				return digest, err
			}
			return digest, remote.WriteIndex(target, i.ImageIndex, options...)
		}
		digest, err := i.Image.Digest()
		if err != nil {
			return digest, err
		}
		return digest, remote.Write(target, i.Image, options...)
	}
	if o.Progress == nil {
		return write()
	}
	updates := make(chan v1.Update, 64)
	options = append(options, remote.WithProgress(updates))
	var digest v1.Hash
	var err error
	written := make(chan struct{})
	go func() {
		defer close(written)
		digest, err = write()
	}()
	total := show(updates, written, o.Progress)
	<-written
	if err == nil {
		o.Progress(total, total) // what the registry had already is not reported
	}
	return digest, err
}

// show passes updates on until they end or everything is written, and returns the total.
func show(updates <-chan v1.Update, written <-chan struct{}, progress func(done, total int64)) (total int64) {
	for {
		select {
		case u, more := <-updates:
			if !more {
				return total
			}
			total = u.Total
			progress(u.Complete, u.Total)
		case <-written:
			return total
		}
	}
}

// open finds out what path is. tag chooses among several images of an archive.
func open(path, tag, scratch string, o Options) (image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return image{}, err
	}
	if !info.IsDir() {
		return openTar(path, tag, scratch)
	}
	if isFile(filepath.Join(path, "oci-layout")) && isFile(filepath.Join(path, "index.json")) {
		return openLayout(path, tag)
	}
	img, err := packRootFS(path, scratch, o)
	return image{Image: img, kind: "root file system"}, err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func openLayout(path, tag string) (image, error) {
	p, err := layout.FromPath(path)
	if err != nil {
		return image{}, fmt.Errorf("OCI layout: %w", err)
	}
	index, err := p.ImageIndex()
	if err != nil {
		return image{}, fmt.Errorf("OCI layout: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return image{}, fmt.Errorf("OCI layout: %w", err)
	}
	d, whole, err := choose(manifest.Manifests, tag)
	if err != nil {
		return image{}, err
	}
	out := image{kind: "OCI layout"}
	switch {
	case whole:
		out.ImageIndex = index
	case d.MediaType.IsIndex():
		out.ImageIndex, err = index.ImageIndex(d.Digest)
	default:
		out.Image, err = index.Image(d.Digest)
	}
	return out, err
}

// refName is the annotation with the tag of an image in a layout. Source: OCI image specification, annotations.
const refName = "org.opencontainers.image.ref.name"

// choose picks the image with the tag, the only one, or says that the whole index is one image for several platforms.
func choose(all []v1.Descriptor, tag string) (d v1.Descriptor, whole bool, err error) {
	if len(all) == 1 {
		return all[0], false, nil
	}
	var names []string
	platforms := len(all) > 0
	for _, d := range all {
		n := d.Annotations[refName]
		if n == tag || n != "" && strings.HasSuffix(n, ":"+tag) {
			return d, false, nil
		}
		names = append(names, n)
		platforms = platforms && d.Platform != nil
	}
	if platforms {
		return d, true, nil
	}
	slices.Sort(names)
	return d, false, fmt.Errorf("the layout has %d images and none is named %q; there are %q", len(all), tag, names)
}

func openTar(path, tag, scratch string) (image, error) {
	isLayout, isDocker, err := look(path)
	switch {
	case err != nil:
		return image{}, err
	case isLayout:
		if err := unpack(path, scratch); err != nil {
			return image{}, err
		}
		return openLayout(scratch, tag)
	case isDocker:
		img, err := openDocker(path, tag)
		return image{Image: img, kind: "docker archive"}, err
	}
	return image{}, errors.New("the file is neither a docker save archive nor an OCI layout")
}

func openDocker(path, tag string) (v1.Image, error) {
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("docker archive: %w", err)
	}
	if len(manifest) <= 1 {
		return tarball.Image(open, nil)
	}
	var names []string
	for _, m := range manifest {
		for _, n := range m.RepoTags {
			if names = append(names, n); strings.HasSuffix(n, ":"+tag) {
				t, err := name.NewTag(n)
				if err != nil {
					return nil, fmt.Errorf("docker archive: %w", err)
				}
				return tarball.Image(open, &t)
			}
		}
	}
	return nil, fmt.Errorf("the archive has %d images and none is tagged %q; there are %q", len(manifest), tag, names)
}

// look says what an archive has at its top.
func look(path string) (isLayout, isDocker bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = f.Close() }()
	index := false
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return isLayout && index, isDocker, nil
		}
		if err != nil {
			return false, false, fmt.Errorf("read the archive: %w", err)
		}
		switch filepath.Clean(h.Name) {
		case "oci-layout":
			isLayout = true
		case "index.json":
			index = true
		case "manifest.json":
			isDocker = true
		}
	}
}

// unpack writes the regular files of a layout's archive; nothing gets outside of dir.
func unpack(path, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, filepath.Clean(h.Name), r); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func unpackFile(root *os.Root, name string, from io.Reader) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
