package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/pkg/compression"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"
)

// guard watches the blobs of one pull: it reports progress, ends silent connections, and unpacks each layer beside
// the layer store, counting, so that an image that is too large ends before its layer is unpacked to disk.
type guard struct {
	limits   Limits
	dir      string // on the store's file system
	progress func(done, total int64)

	layers map[digest.Digest]bool
	total  int64
	done   atomic.Int64
	bytes  atomic.Int64 // of the archives
	sizes  atomic.Int64 // that the archives' headers promise; sparse files are larger than their archives
	files  atomic.Int64
}

var errInactive = errors.New("inactivity time exceeded timeout")

// expect is told the layers before any is fetched.
func (g *guard) expect(layers []types.BlobInfo) error {
	g.layers, g.total = map[digest.Digest]bool{}, 0
	for _, l := range layers {
		if err := l.Digest.Validate(); err != nil {
			return fmt.Errorf("layer %q: %w", l.Digest, err)
		}
		if l.Size > g.limits.Bytes {
			return fmt.Errorf("layer %s has %d bytes, an image may have %d", l.Digest, l.Size, g.limits.Bytes)
		}
		if !g.layers[l.Digest] {
			g.total += max(l.Size, 0)
		}
		g.layers[l.Digest] = true
	}
	return nil
}

// watch wraps the body of a blob.
func (g *guard) watch(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, d digest.Digest) io.ReadCloser {
	w := &watchedBody{ctx: ctx, cancel: cancel, body: body, g: g}
	w.timer = time.AfterFunc(g.limits.Inactivity, func() { cancel(errInactive) })
	w.timer.Stop()
	if g.layers[d] {
		w.layer = true
		pr, pw := io.Pipe()
		w.scan = pw
		w.scanned.Go(func() {
			err := g.count(pr)
			_ = pr.CloseWithError(err)
			w.scanErr = err
		})
	}
	return w
}

type watchedBody struct {
	ctx    context.Context //nolint:containedctx // the life of one request
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	g      *guard
	timer  *time.Timer
	layer  bool

	scan    *io.PipeWriter
	scanned sync.WaitGroup
	scanErr error
}

func (w *watchedBody) Read(p []byte) (int, error) {
	w.timer.Reset(w.g.limits.Inactivity)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && context.Cause(w.ctx) != nil {
		err = context.Cause(w.ctx)
	}
	if w.layer && n > 0 {
		done := w.g.done.Add(int64(n))
		if w.g.progress != nil {
			w.g.progress(done, w.g.total)
		}
	}
	if w.scan == nil {
		return n, err
	}
	if n > 0 {
		if _, serr := w.scan.Write(p[:n]); serr != nil {
			return 0, serr
		}
	}
	if err != nil {
		_ = w.scan.CloseWithError(err)
		w.scanned.Wait()
		w.scan = nil
		if errors.Is(err, io.EOF) && w.scanErr != nil {
			return n, w.scanErr
		}
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.timer.Stop()
	if w.scan != nil {
		_ = w.scan.CloseWithError(io.ErrUnexpectedEOF)
		w.scanned.Wait()
	}
	w.cancel(nil)
	return w.body.Close()
}

// count unpacks a layer to nowhere.
func (g *guard) count(compressed io.Reader) error {
	format, decompress, rest, err := compression.DetectCompressionFormat(compressed)
	if err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	plain := io.NopCloser(rest)
	if decompress != nil {
		// Other formats are in no registry's layers, and let a header ask for gigabytes of memory.
		if name := format.Name(); name != compression.Gzip.Name() && name != compression.Zstd.Name() && name != compression.ZstdChunked.Name() {
			return fmt.Errorf("layer is compressed with %s: only gzip and zstd are supported", name)
		}
		if plain, err = decompress(rest); err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		defer plain.Close()
	}
	counted := &countingReader{r: plain, g: g}
	archive := tar.NewReader(counted)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("layer is not a tar archive: %w", err)
		}
		if files := g.files.Add(1); files > g.limits.Files {
			return fmt.Errorf("image has more than %d files", g.limits.Files)
		}
		if g.sizes.Add(max(h.Size, 0)) > g.limits.Bytes {
			return g.tooLarge()
		}
	}
	// What follows the archive's end counts as well: the layer's digest is over all of it.
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, rest); err != nil {
		return err
	}
	// It is unpacked next. Ending here keeps the last bytes for the store's own books.
	if full(g.dir, counted.seen+g.limits.FreeBytes) {
		return fmt.Errorf("unpack layer of %d bytes: %w", counted.seen, syscall.ENOSPC)
	}
	return nil
}

func (g *guard) tooLarge() error {
	return fmt.Errorf("image unpacks to more than %d bytes", g.limits.Bytes)
}

// full says whether the store's file system has less left than a pull may leave.
func full(dir string, least int64) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && int64(fs.Bavail)*fs.Bsize < least
}

type countingReader struct {
	r    io.Reader
	g    *guard
	next int64 // when to look at the disk again
	seen int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.seen += int64(n)
	if c.g.bytes.Add(int64(n)) > c.g.limits.Bytes {
		return n, c.g.tooLarge()
	}
	if c.seen >= c.next {
		c.next = c.seen + 16<<20
		if full(c.g.dir, c.g.limits.FreeBytes) {
			return n, fmt.Errorf("unpack layer: %w", syscall.ENOSPC)
		}
	}
	return n, err
}
