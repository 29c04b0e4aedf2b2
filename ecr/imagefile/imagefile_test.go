package imagefile

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func newRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New())
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func push(t *testing.T, path, ref string, o Options) Result {
	t.Helper()
	return must[Result](t)(Push(t.Context(), path, ref, o))
}

func digestOf(t *testing.T, x interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	return must[v1.Hash](t)(x.Digest()).String()
}

// archive packs a folder as `tar -C dir -cf file .` does.
func archive(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "a.tar")
	f := must[*os.File](t)(os.Create(out))
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPushOfAnOCILayout(t *testing.T) {
	host := newRegistry(t)
	img := must[v1.Image](t)(random.Image(500, 2))
	index := must[v1.ImageIndex](t)(random.Index(500, 1, 2))
	one := filepath.Join(t.TempDir(), "one")
	p := must[layout.Path](t)(layout.Write(one, empty.Index))
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	many := filepath.Join(t.TempDir(), "many")
	p = must[layout.Path](t)(layout.Write(many, empty.Index))
	if err := errors.Join(
		p.AppendImage(img, layout.WithAnnotations(map[string]string{refName: "a"})),
		p.AppendIndex(index, layout.WithAnnotations(map[string]string{refName: "b"})),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, tag, want string }{
		{one, "v1", digestOf(t, img)}, {archive(t, one), "v2", digestOf(t, img)},
		{many, "a", digestOf(t, img)}, {archive(t, many), "b", digestOf(t, index)},
	} {
		got := push(t, c.path, host+"/web:"+c.tag, Options{})
		if got.Digest != c.want || got.Kind != "OCI layout" {
			t.Errorf("%s: got %+v, want %s", c.path, got, c.want)
		}
		d := must[*v1.Descriptor](t)(remote.Head(must[name.Reference](t)(name.ParseReference(host + "/web:" + c.tag))))
		if d.Digest.String() != c.want {
			t.Errorf("%s: the registry has %s", c.path, d.Digest)
		}
	}
	if _, err := Push(t.Context(), many, host+"/web:none", Options{}); err == nil || !strings.Contains(err.Error(), `["a" "b"]`) {
		t.Errorf("layout with several images: %v", err)
	}
}

func TestPushOfADockerArchive(t *testing.T) {
	host := newRegistry(t)
	a, b := must[v1.Image](t)(random.Image(500, 2)), must[v1.Image](t)(random.Image(500, 1))
	file := filepath.Join(t.TempDir(), "saved.tar")
	err := tarball.MultiRefWriteToFile(file, map[name.Reference]v1.Image{must[name.Tag](t)(name.NewTag("web:a")): a, must[name.Tag](t)(name.NewTag("web:b")): b})
	if err != nil {
		t.Fatal(err)
	}
	var done, total int64
	got := push(t, file, host+"/web:b", Options{Progress: func(d, n int64) { done, total = d, n }})
	pulled := must[v1.Image](t)(remote.Image(must[name.Reference](t)(name.ParseReference(host + "/web:b"))))
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
	want, have := must[v1.Hash](t)(b.ConfigName()), must[v1.Hash](t)(pulled.ConfigName())
	if got.Kind != "docker archive" || want != have || digestOf(t, pulled) != got.Digest {
		t.Errorf("got %+v with configuration %s, want %s", got, have, want)
	}
	if done == 0 || done != total {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if _, err := Push(t.Context(), file, host+"/web:c", Options{}); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("archive with several images: %v", err)
	}
}

func rootFS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, mode fs.FileMode, content string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/app", 0o755, "program")
	write("etc/app.conf", 0o640, "a=b")
	if err := errors.Join(
		os.Symlink("app", filepath.Join(dir, "bin/link")), os.Link(filepath.Join(dir, "bin/app"), filepath.Join(dir, "bin/same")),
		os.Mkdir(filepath.Join(dir, "tmp"), 0o777), os.Chmod(filepath.Join(dir, "tmp"), 0o777|fs.ModeSticky),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPushOfARootFileSystem(t *testing.T) {
	host := newRegistry(t)
	o := Options{Config: v1.Config{Entrypoint: []string{"/bin/app"}, Env: []string{"A=b"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}}, Architecture: "arm64"}
	got := push(t, rootFS(t), host+"/web:v1", o)
	img := must[v1.Image](t)(remote.Image(must[name.Reference](t)(name.ParseReference(host + "/web:v1"))))
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	c := must[*v1.ConfigFile](t)(img.ConfigFile())
	if got.Kind != "root file system" || c.OS != "linux" || c.Architecture != "arm64" || !slices.Equal(c.Config.Entrypoint, o.Config.Entrypoint) || !slices.Equal(c.Config.Env, o.Config.Env) {
		t.Errorf("%+v, configuration %+v", got, c)
	}
	var entries []string
	content := mutate.Extract(img)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname)
	}
	want := []string{
		"drwxr-xr-x bin ", "-rwxr-xr-x bin/app ", "Lrwxrwxrwx bin/link app", "-rwxr-xr-x bin/same bin/app",
		"drwxr-xr-x etc ", "-rw-r----- etc/app.conf ", "dtrwxrwxrwx tmp ",
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
}

func TestTheSameFilesGiveTheSameDigest(t *testing.T) {
	host := newRegistry(t)
	a, b := rootFS(t), rootFS(t)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(b, "bin/app"), old, old); err != nil {
		t.Fatal(err)
	}
	first, second := push(t, a, host+"/web:a", Options{}), push(t, b, host+"/web:b", Options{})
	if first.Digest != second.Digest {
		t.Errorf("%s and %s", first.Digest, second.Digest)
	}
	if third := push(t, b, host+"/web:c", Options{KeepTimes: true}); third.Digest == second.Digest {
		t.Error("KeepTimes made no difference")
	}
}

func TestPushRefuses(t *testing.T) {
	host := newRegistry(t)
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("not an archive, but longer than one block of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	escape := filepath.Join(dir, "escape.tar")
	f := must[*os.File](t)(os.Create(escape))
	w := tar.NewWriter(f)
	for _, n := range []string{"oci-layout", "index.json", "../../outside"} {
		if err := w.WriteHeader(&tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, ref, want string }{
		{filepath.Join(dir, "none"), host + "/web:v1", "no such file"},
		{junk, host + "/web:v1", "read"},
		{escape, host + "/web:v1", "escapes"},
		{rootFS(t), host + "/Web:v1", "target"},
	} {
		if _, err := Push(t.Context(), c.path, c.ref, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.path, err, c.want)
		}
	}
}
