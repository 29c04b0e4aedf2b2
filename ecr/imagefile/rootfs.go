package imagefile

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// packRootFS makes an image of one layer from a folder. Owners, modes, links, devices and file capabilities are kept.
func packRootFS(dir, scratch string, o Options) (v1.Image, error) {
	l, err := packLayer(dir, filepath.Join(scratch, "layer.tar.gz"), o.KeepTimes)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.AppendLayers(img, l)
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config = "linux", o.Architecture, o.Config
	if c.Architecture == "" {
		c.Architecture = runtime.GOARCH
	}
	return mutate.ConfigFile(img, c)
}

// packed is a layer in a file.
type packed struct {
	path           string
	digest, diffID v1.Hash
	size           int64
}

func (p packed) Digest() (v1.Hash, error)            { return p.digest, nil }
func (p packed) DiffID() (v1.Hash, error)            { return p.diffID, nil }
func (p packed) Size() (int64, error)                { return p.size, nil }
func (p packed) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (p packed) Compressed() (io.ReadCloser, error)  { return os.Open(p.path) }
func (p packed) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return unzipped{z, f}, nil
}

type unzipped struct {
	*gzip.Reader
	file *os.File
}

func (u unzipped) Close() error { return errors.Join(u.Reader.Close(), u.file.Close()) }

// counter counts and hashes what is written.
type counter struct {
	hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hash.Write(p)
}

func (c *counter) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.Sum(nil))}
}

func packLayer(dir, out string, keepTimes bool) (packed, error) {
	f, err := os.Create(out)
	if err != nil {
		return packed{}, err
	}
	defer func() { _ = f.Close() }()
	zipped, plain := &counter{Hash: sha256.New()}, &counter{Hash: sha256.New()}
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, zipped), gzip.BestSpeed)
	if err != nil {
		return packed{}, err
	}
	w := &layerWriter{tar: tar.NewWriter(io.MultiWriter(z, plain)), dir: dir, keepTimes: keepTimes, links: map[[2]uint64]string{}}
	if err := filepath.WalkDir(dir, w.add); err != nil {
		return packed{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := errors.Join(w.tar.Close(), z.Close(), f.Close()); err != nil {
		return packed{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	return packed{path: out, digest: zipped.digest(), diffID: plain.digest(), size: zipped.n}, nil
}

type layerWriter struct {
	tar       *tar.Writer
	dir       string
	keepTimes bool
	links     map[[2]uint64]string // first name by device and inode
}

// add writes one entry. WalkDir visits in the order of names, so the same folder gives the same bytes.
func (w *layerWriter) add(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(w.dir, path)
	if err != nil || rel == "." {
		return err
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	w.describe(h, filepath.ToSlash(rel), info)
	if h.Typeflag == tar.TypeReg {
		w.capabilities(h, path)
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(w.tar, f)
	return errors.Join(err, f.Close())
}

// describe takes out of the header what differs from machine to machine, and makes second names hard links.
func (w *layerWriter) describe(h *tar.Header, name string, info fs.FileInfo) {
	h.Name, h.Format = name, tar.FormatPAX
	if info.IsDir() {
		h.Name += "/"
	}
	h.Uname, h.Gname, h.AccessTime, h.ChangeTime = "", "", time.Time{}, time.Time{}
	h.ModTime = h.ModTime.Truncate(time.Second)
	if !w.keepTimes {
		h.ModTime = time.Unix(0, 0)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || st.Nlink < 2 {
		return
	}
	id := [2]uint64{st.Dev, st.Ino}
	if first, seen := w.links[id]; seen {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		return
	}
	w.links[id] = name
}

// capabilityAttr is kept, as programs such as ping need it.
const capabilityAttr = "security.capability"

func (w *layerWriter) capabilities(h *tar.Header, path string) {
	buf := make([]byte, 64)
	n, err := unix.Lgetxattr(path, capabilityAttr, buf)
	if err == nil && n > 0 {
		h.PAXRecords = map[string]string{"SCHILY.xattr." + capabilityAttr: strings.Clone(string(buf[:n]))}
	}
}
