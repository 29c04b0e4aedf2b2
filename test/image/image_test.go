package image_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"berth/test/image"
)

func TestSameInputGivesTheSameDigest(t *testing.T) {
	source := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(source, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	var digests []string
	for range 2 {
		dst := filepath.Join(t.TempDir(), "image.tar")
		written, err := image.Write(dst, image.Config{Cmd: []string{"/bin/x"}, Volumes: []string{"/b", "/a"}, Ports: []string{"80/tcp"}},
			[]image.File{{Path: "bin/"}, {Path: "bin/x", Source: source}}, []image.File{{Path: "bin/y", Link: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		read, err := image.Digest(dst)
		if err != nil || read != written {
			t.Errorf("digest read %s %v, written %s", read, err, written)
		}
		digests = append(digests, read)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %v", digests)
	}
}

func TestDebianPackagesBecomeAnImage(t *testing.T) {
	if testing.Short() || os.Getenv("BERTH_TEST_DEBIAN") == "" {
		t.Skip("downloads packages: set BERTH_TEST_DEBIAN=1")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("apt-get is not installed")
	}
	cache := t.TempDir()
	dst, err := image.FromDebian(context.Background(), cache, "redis", []string{"redis-server"}, image.Config{Entrypoint: []string{"redis-server"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := image.Digest(dst)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dst); err != nil {
		t.Fatal(err)
	}
	again, err := image.FromDebian(context.Background(), cache, "redis", []string{"redis-server"}, image.Config{Entrypoint: []string{"redis-server"}})
	if err != nil || again != dst {
		t.Fatalf("got %s %v, want %s", again, err, dst)
	}
	if second, err := image.Digest(again); err != nil || second != first {
		t.Errorf("digests differ: %s %s %v", first, second, err)
	}
	fi, err := os.Stat(dst)
	if err != nil || fi.Size() > 80<<20 {
		t.Errorf("image has %d bytes %v", fi.Size(), err)
	}
	t.Logf("%d bytes", fi.Size())
}
