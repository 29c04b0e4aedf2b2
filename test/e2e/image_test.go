package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// probeRoot builds the probe program once and returns a root file system with it.
var probeRoot = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "berth-probe-")
	if err != nil {
		return "", err
	}
	for _, d := range []string{"bin", "tmp", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "bin", "probe"), "./probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	return dir, nil
})

// sideBySide is how many tests run at once: they wait more than they work.
const sideBySide = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if runtime.NumCPU() < sideBySide {
		_ = flag.Set("test.parallel", strconv.Itoa(sideBySide))
	}
	code := m.Run()
	if common.Berth != nil {
		if err := common.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "the common Berth:", err)
			code = 1
		}
	}
	if dir, err := probeRoot(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// probe pushes the probe image into Berth's registry and returns its URI.
func (b *Berth) probe() string {
	b.t.Helper()
	dir, err := probeRoot()
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(b.berth("image", "push", dir, "probe:1", "-o", "name"))
}

// probeWith pushes the probe image with one more file, /data/extra, and returns its URI.
func (b *Berth) probeWith(name, extra string) string {
	b.t.Helper()
	dir, err := probeRoot()
	if err != nil {
		b.t.Fatal(err)
	}
	root := b.t.TempDir()
	if err := os.CopyFS(root, os.DirFS(dir)); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "data", "extra"), []byte(extra), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(b.berth("image", "push", root, name+":1", "-o", "name"))
}

// define registers a definition with one container that runs the probe; extra is JSON that goes into the container.
func (b *Berth) define(family, command, extra string) string {
	b.t.Helper()
	if extra != "" {
		extra = "," + extra
	}
	return b.register(`{"family":"` + family + `","containerDefinitions":[{"name":"main","image":"` + b.image() +
		`","memory":64,"command":["/bin/probe",` + command + `]` + extra + `}]}`)
}
