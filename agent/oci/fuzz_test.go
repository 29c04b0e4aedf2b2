package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"go.podman.io/image/v5/docker/reference"
)

// Image names come from task definitions: whatever they hold, the full form is stable and has a tag or a digest.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"nginx", "nginx:1.27", "a/b@sha256:" + strings.Repeat("a", 64), "a/b:t@sha256:" + strings.Repeat("0", 64),
		"localhost:5000/x", "127.0.0.1:4566/app:v1", "[::1]:80/x", "UPPER/x", "../x", "a//b", "x:", "@", "a b", "a\x00b", "https://x/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		named, err := parseRef(s)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "CannotPullContainerError: ") {
				t.Fatalf("%q: error %v", s, err)
			}
			return
		}
		again, err := parseRef(named.String())
		if err != nil || again.String() != named.String() {
			t.Fatalf("%q: full form %s is not stable: %v %v", s, named, again, err)
		}
		_, tagged := named.(reference.Tagged)
		_, digested := named.(reference.Digested)
		if tagged == digested || strings.Contains(named.String(), "..") && !strings.Contains(s, "..") {
			t.Fatalf("%q: got %s", s, named)
		}
	})
}

// Layers come from registries: whatever they hold, counting ends, within its limits.
func FuzzLayer(f *testing.F) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	_ = w.WriteHeader(&tar.Header{Name: "f", Size: 3, Mode: 0o644})
	_, _ = w.Write([]byte("abc"))
	_ = w.Close()
	_ = z.Close()
	f.Add(b.Bytes())
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Add([]byte("BZh9"))
	f.Add([]byte("\xfd7zXZ\x00"))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, raw []byte) {
		g := &guard{limits: Limits{Bytes: 1 << 20, Files: 100}.withDefaults(), dir: t.TempDir()}
		_ = g.count(bytes.NewReader(raw))
		if g.bytes.Load() > 1<<20+1<<16 || g.files.Load() > 101 {
			t.Fatalf("counted %d bytes, %d files", g.bytes.Load(), g.files.Load())
		}
	})
}
