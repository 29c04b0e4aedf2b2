package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/agent/oci"
	"berth/test/image"
)

func TestPullFromRegistry(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	want := g.push(probe(t), "v1")
	var done, total int64
	img, err := l.Images().Pull(t.Context(), g.host()+"/app/probe:v1", agent.PullOptions{Progress: func(d, n int64) { done, total = d, n }})
	l.must(err)
	if img.Digest != want || img.Config.WorkingDir != "/work/dir" || len(img.ID) != 64 {
		t.Errorf("got %+v, want digest %s", img, want)
	}
	_ = done + total
	l.image = img
	if st, _ := l.run(l.container("exit", "6")); st.ExitCode != 6 {
		t.Errorf("got %+v", st)
	}

	blobs := g.count("blobs")
	again, err := l.Images().Pull(t.Context(), g.host()+"/app/probe:v1", agent.PullOptions{})
	l.must(err)
	if again.Digest != want || g.count("blobs") != blobs {
		t.Errorf("second pull: got %s, %d further blobs", again.Digest, g.count("blobs")-blobs)
	}

	asked := g.count("manifests")
	pinned, err := l.Images().Pull(t.Context(), g.host()+"/app/probe@"+want, agent.PullOptions{})
	l.must(err)
	if pinned.ID != img.ID || pinned.Digest != want {
		t.Errorf("pinned: got %+v", pinned)
	}
	if n := g.count("manifests"); n != asked {
		t.Errorf("pinned to what was pulled by its tag: the registry was asked %d times", n-asked)
	}
	g.server.Close()
	requests := g.count("manifests")
	if _, err := l.Images().Pull(t.Context(), g.host()+"/app/probe@"+want, agent.PullOptions{}); err != nil || g.count("manifests") != requests {
		t.Errorf("pinned and here, registry away: got %v", err)
	}
	l.reopen()
	if img, err := l.Images().Pull(t.Context(), g.host()+"/app/probe:v1", agent.PullOptions{}); err != nil || img.Digest != want {
		t.Errorf("here, registry away: got %+v %v", img, err)
	}
}

func TestPullTellsWhyNot(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	archive := simple(t, image.Config{}, image.File{Path: "x", Content: "x"})
	g.push(archive, "ok")
	other := simple(t, image.Config{Architecture: "s390x"}, image.File{Path: "x", Content: "x"})
	g.push(other, "arch")
	missing := "sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct{ ref, want string }{
		{g.host() + "/a/b:none", "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref " + g.host() + "/a/b:none: " + g.host() + "/a/b:none: not found"},
		{g.host() + "/a/b@" + missing, "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref " + g.host() + "/a/b@" + missing + ": " + g.host() + "/a/b@" + missing + ": not found"},
		{g.host() + "/a/b:arch", "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64' (it is for 'linux/s390x')"},
		{"UPPER/case", "CannotPullContainerError: invalid reference format"},
		{"../../etc/passwd", "CannotPullContainerError: invalid reference format"},
	} {
		_, err := l.Images().Pull(t.Context(), tt.ref, agent.PullOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("pull %s: got %v, want %s", tt.ref, err, tt.want)
		}
	}
	g.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, _ := r.BasicAuth(); u == "me" && p == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return true
	})
	_, err := l.Images().Pull(t.Context(), g.host()+"/a/b:ok", agent.PullOptions{})
	if err == nil || !strings.Contains(err.Error(), "pull access denied, repository does not exist or may require authorization: unauthorized: authentication required") {
		t.Errorf("without login: got %v", err)
	}
	if _, err := l.Images().Pull(t.Context(), g.host()+"/a/b:ok", agent.PullOptions{Username: "me", Password: "secret"}); err != nil {
		t.Errorf("with login: got %v", err)
	}
}

func TestRegistryIsReachedByAnotherAddressWithACertificate(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	g.push(probe(t), "v1")
	front := httptest.NewUnstartedServer(http.StripPrefix("/agent/v1/registry", g))
	front.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	front.StartTLS()
	defer front.Close()
	roots := x509.NewCertPool()
	roots.AddCert(front.Certificate())
	l.must(l.Images().SetRegistry("registry.invalid:4566", oci.RegistryEndpoint{
		URL:       front.URL + "/agent/v1/registry",
		TLSConfig: &tls.Config{RootCAs: roots, Certificates: front.TLS.Certificates},
	}))
	if _, err := l.Images().Pull(t.Context(), "registry.invalid:4566/probe:v1", agent.PullOptions{}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestConcurrentPullsShareOneDownload(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	g.push(probe(t), "v1")
	release := make(chan struct{})
	g.setHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			<-release
		}
		return false
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := l.Images().Pull(t.Context(), g.host()+"/p:v1", agent.PullOptions{}); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	// One caller gives up; the others don't notice.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := l.Images().Pull(ctx, g.host()+"/p:v1", agent.PullOptions{})
		gone <- err
	}()
	l.until("download", func() bool { return g.count("blobs") > 0 })
	cancel()
	if err := <-gone; err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("cancelled: got %v", err)
	}
	close(release)
	wg.Wait()
	if n := g.count("manifests"); n > 2 {
		t.Errorf("%d requests for the manifest", n)
	}
}

func gzipped(fill func(w io.Writer)) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fill(z)
	_ = z.Close()
	return b.Bytes()
}

func tarOf(fill func(w *tar.Writer)) func(io.Writer) {
	return func(out io.Writer) {
		w := tar.NewWriter(out)
		fill(w)
		_ = w.Close()
	}
}

// zeros is an endless reader of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestHostileImagesAreRefused(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	l.must(l.Close())
	l.cfg.Limits = oci.Limits{Bytes: 64 << 20, Files: 1000, Tries: 1, Inactivity: 300 * time.Millisecond}
	l.open()
	layer := func(raw []byte) imgspec.Descriptor {
		return describe(imgspec.MediaTypeImageLayerGzip, g.put(raw, ""), len(raw))
	}
	bomb := layer(gzipped(tarOf(func(w *tar.Writer) {
		_ = w.WriteHeader(&tar.Header{Name: "big", Size: 256 << 20, Mode: 0o644})
		_, _ = io.CopyN(w, zeros{}, 256<<20)
	})))
	tail := layer(gzipped(func(w io.Writer) {
		tarOf(func(*tar.Writer) {})(w)
		_, _ = io.CopyN(w, zeros{}, 256<<20)
	}))
	many := layer(gzipped(tarOf(func(w *tar.Writer) {
		for i := range 1500 {
			_ = w.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Mode: 0o644})
		}
	})))
	promise := layer(gzipped(tarOf(func(w *tar.Writer) {
		_ = w.WriteHeader(&tar.Header{Name: "sparse", Size: 1 << 40, Mode: 0o644})
	})))
	escape := layer(gzipped(tarOf(func(w *tar.Writer) {
		_ = w.WriteHeader(&tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/", Mode: 0o777})
		_ = w.WriteHeader(&tar.Header{Name: "link" + l.dir + "/escaped", Size: 1, Mode: 0o644})
		_, _ = w.Write([]byte("x"))
	})))
	garbage := layer(gzipped(func(w io.Writer) { fmt.Fprint(w, strings.Repeat("no tar archive", 100)) }))
	good := layer(gzipped(tarOf(func(w *tar.Writer) { _ = w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644}) })))
	forged := good
	forged.Digest = describe("", "sha256:"+strings.Repeat("a", 64), 0).Digest
	g.mu.Lock()
	g.blobs[forged.Digest.String()] = g.blobs[good.Digest.String()]
	g.mu.Unlock()
	lots := make([]imgspec.Descriptor, 126)
	for i := range lots {
		lots[i] = good
	}
	huge := good
	huge.Size = 1 << 50
	for _, tt := range []struct {
		name, want string
		layers     []imgspec.Descriptor
	}{
		{"zip bomb", "image unpacks to more than 67108864 bytes", []imgspec.Descriptor{bomb}},
		{"bomb after the archive's end", "image unpacks to more than 67108864 bytes", []imgspec.Descriptor{tail}},
		{"promised size", "image unpacks to more than 67108864 bytes", []imgspec.Descriptor{promise}},
		{"many files", "image has more than 1000 files", []imgspec.Descriptor{many}},
		{"no archive", "layer is not a tar archive", []imgspec.Descriptor{garbage}},
		{"layer with another digest", "sha256:aaaaaa", []imgspec.Descriptor{forged}},
		{"many layers", "image has 126 layers, at most 125 are allowed", lots},
		{"huge layer", "an image may have 67108864", []imgspec.Descriptor{huge}},
	} {
		g.pushLayers("evil", imgspec.Image{}, tt.layers...)
		_, err := l.Images().Pull(t.Context(), g.host()+"/"+strings.Fields(tt.name)[0]+":evil", agent.PullOptions{})
		switch {
		case err == nil:
			t.Errorf("%s: got no error", tt.name)
		case !strings.HasPrefix(err.Error(), "CannotPullContainerError: ") || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	g.pushLayers("evil", imgspec.Image{}, escape)
	_, _ = l.Images().Pull(t.Context(), g.host()+"/way:evil", agent.PullOptions{})
	if _, err := os.Stat(l.dir + "/escaped"); err == nil {
		t.Error("a layer wrote outside of its directory")
	}
	g.pushLayers("slow", imgspec.Image{}, good)
	g.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/blobs/"+good.Digest.String()) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}
		return false
	})
	if _, err := l.Images().Pull(t.Context(), g.host()+"/slow:slow", agent.PullOptions{}); err == nil || !strings.Contains(err.Error(), "inactivity time exceeded timeout") {
		t.Errorf("silent registry: got %v", err)
	}
}

func TestManifestMustMatchItsDigest(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	d := g.push(simple(t, image.Config{}, image.File{Path: "x", Content: "x"}), "a")
	other := g.push(simple(t, image.Config{}, image.File{Path: "x", Content: "y"}), "b")
	g.mu.Lock()
	g.blobs[d] = g.blobs[other]
	g.mu.Unlock()
	if _, err := l.Images().Pull(t.Context(), g.host()+"/x@"+d, agent.PullOptions{}); err == nil {
		t.Error("other bytes than the digest says were taken")
	}
}

func TestInterruptedPullIsTriedAgain(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	g.push(probe(t), "v1")
	var mu sync.Mutex
	failures := map[string]int{}
	g.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if len(r.URL.Path) < 5 || failures[r.URL.Path] > 0 {
			return false
		}
		failures[r.URL.Path]++
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	if _, err := l.Images().Pull(t.Context(), g.host()+"/x:v1", agent.PullOptions{}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestFullDiskFailsThePullAndNothingElse(t *testing.T) {
	needRoot(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	l, g := newLabAt(t, small), newRegistry(t)
	l.must(l.Close())
	l.cfg.Limits.FreeBytes = 4 << 20
	l.open()
	noise := make([]byte, 40<<20)
	_, _ = rand.Read(noise)
	g.push(simple(t, image.Config{}, image.File{Path: "noise", Content: string(noise)}), "big")
	c := l.container("term", "3")
	l.start(c)
	l.untilOutput(c, "ready")
	_, err := l.Images().Pull(t.Context(), g.host()+"/x:big", agent.PullOptions{})
	if err == nil || err.Error() != "CannotPullContainerError: failed to register layer: no space left on device" {
		t.Errorf("got %v", err)
	}
	if st, err := l.State(t.Context(), c.ID); err != nil || st.Phase != agent.PhaseRunning {
		t.Errorf("running container: got %+v %v", st, err)
	}
	if st, _ := l.run(l.container("exit", "5")); st.ExitCode != 5 {
		t.Errorf("next container: got %+v", st)
	}
	// Now to the last byte.
	fill, err := os.Create(small + "/fill")
	l.must(err)
	_, _ = io.Copy(fill, zeros{})
	l.must(fill.Close())
	err = l.Create(t.Context(), l.container("exit", "5"))
	if errorName(err) != "CannotCreateContainerError" || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("create on a full disk: got %v", err)
	}
	l.must(l.Signal(t.Context(), c.ID, 15, false))
	l.until("end of the container", func() bool {
		st, err := l.State(t.Context(), c.ID)
		return err == nil && st.Phase == agent.PhaseExited
	})
}

func TestUnusedImagesAreCollected(t *testing.T) {
	l, g := newLab(t), newRegistry(t)
	l.must(l.Close())
	l.cfg.Collection = oci.Collection{HighWater: 1e-9, MinAge: -1, Count: 2}
	l.open()
	var ids []string
	for i := range 4 {
		g.push(simple(t, image.Config{Entrypoint: []string{"/x"}}, image.File{Path: "x", Content: fmt.Sprint(i)}), fmt.Sprint("v", i))
		img, err := l.Images().Pull(t.Context(), fmt.Sprintf("%s/x:v%d", g.host(), i), agent.PullOptions{})
		l.must(err)
		ids = append(ids, img.ID)
	}
	// The probe's image is the oldest and in use.
	l.must(l.Create(t.Context(), l.container("exit", "0")))
	l.must(l.Images().Collect(t.Context()))
	g.server.Close()
	for i, id := range ids {
		_, err := l.Images().Pull(t.Context(), fmt.Sprintf("%s/x:v%d", g.host(), i), agent.PullOptions{})
		if gone := err != nil; gone != (i < 2) {
			t.Errorf("image %d %s: gone %v (%v)", i, id, gone, err)
		}
	}
	if st, _ := l.run(l.container("exit", "8")); st.ExitCode != 8 {
		t.Errorf("image in use: got %+v", st)
	}
}
