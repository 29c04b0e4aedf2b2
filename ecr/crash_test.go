package ecr

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"
)

// TestKilledRegistryKeepsWhatItAcknowledged runs itself as a child that serves a registry until it is killed.
func TestKilledRegistryKeepsWhatItAcknowledged(t *testing.T) {
	if root := os.Getenv("BERTH_TEST_REGISTRY"); root != "" {
		fmt.Println("url", openWorld(t, root).url)
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent is gone
		return
	}
	root := filepath.Join(t.TempDir(), "registry")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledRegistryKeepsWhatItAcknowledged$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "BERTH_TEST_REGISTRY="+root)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "url ")
	if !ok {
		t.Fatalf("child said %q, %v", line, err)
	}
	w := openWorld(t, filepath.Join(t.TempDir(), "unused"))
	w.url = url
	pushed := map[string]string{}
	for n := 0; ; n++ {
		if n == 12 {
			// The next push meets the kill somewhere on its way.
			go func() { _ = cmd.Process.Kill() }()
		}
		img, err := random.Image(20_000, 3)
		if err != nil {
			t.Fatal(err)
		}
		tag := fmt.Sprint("v", n)
		if err := remote.Write(w.ref(t, "web:"+tag), img, w.auth(), remote.WithRetryPredicate(func(error) bool { return false })); err != nil {
			if n < 12 {
				t.Fatal(err)
			}
			break
		}
		d, _ := img.Digest()
		pushed[tag] = d.String()
	}
	_ = cmd.Wait()
	again := openWorld(t, root)
	must[*sdkecr.CreateRepositoryOutput](t)(again.CreateRepository(t.Context(), &sdkecr.CreateRepositoryInput{RepositoryName: new("web")}))
	if _, err := (repositories{again.service}).Reconcile(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	listed := again.images(t, "web")
	for tag, dgst := range pushed {
		if listed[dgst] != tag {
			t.Errorf("%s is listed with tags %q", tag, listed[dgst])
		}
	}
	for dgst := range listed {
		img := must[v1.Image](t)(remote.Image(again.ref(t, "web@"+dgst), again.auth()))
		if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", dgst, err)
		}
	}
}

func TestFullDiskRefusesAPushAndLeavesNoHalfImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("cannot mount tmpfs:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	w := openWorld(t, filepath.Join(dir, "registry"))
	kept := w.push(t, "web:kept")
	big, err := random.Image(6<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	err = remote.Write(w.ref(t, "web:big"), big, w.auth(), remote.WithRetryPredicate(func(error) bool { return false }))
	refused, ok := errors.AsType[*transport.Error](err)
	if !ok || refused.StatusCode != http.StatusInternalServerError || !strings.Contains(err.Error(), "disk is full") || strings.Contains(err.Error(), dir) {
		t.Fatalf("push to a full disk: %v", err)
	}
	listed := w.images(t, "web")
	if len(listed) != 1 || listed[kept] != "kept" {
		t.Errorf("images: %v", listed)
	}
	img := must[v1.Image](t)(remote.Image(w.ref(t, "web:kept"), w.auth()))
	if err := validate.Image(img); err != nil {
		t.Error("an older image on the full disk:", err)
	}
	age(t, w.root)
	if _, err := w.service.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Nothing of the failed uploads is left, so there is room again.
	w.push(t, "web:after")
}
