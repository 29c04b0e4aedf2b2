package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// BenchmarkStart compares Create and Start with bare `runc create` and `runc start` of the same bundle, in turns, one
// at a time and eight at once. It reports medians in milliseconds and their ratio.
func BenchmarkStart(b *testing.B) {
	for _, at := range []int{1, 8} {
		b.Run(fmt.Sprintf("at-once=%d", at), func(b *testing.B) {
			l := newLab(b)
			bare := newBareRunc(b, l)
			var ours, theirs []time.Duration
			// The first of each fills caches.
			for i := range b.N + 1 {
				o := together(at, func(k int) time.Duration { return l.timeStart(b, fmt.Sprintf("o%d-%d", i, k)) })
				t := together(at, func(k int) time.Duration { return bare.timeStart(b, fmt.Sprintf("t%d-%d", i, k)) })
				if i > 0 {
					ours, theirs = append(ours, o...), append(theirs, t...)
				}
			}
			o, t := median(ours), median(theirs)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(o.Microseconds())/1000, "ms-berth")
			b.ReportMetric(float64(t.Microseconds())/1000, "ms-runc")
			b.ReportMetric(float64(o)/float64(t), "ratio")
		})
	}
}

func together(n int, f func(int) time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { out[i] = f(i) })
	}
	wg.Wait()
	return out
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func (l *lab) timeStart(b *testing.B, id string) time.Duration {
	c := l.container("sleep")
	c.ID = id
	c.LogPath = filepath.Join(l.dir, id+".log")
	start := time.Now()
	if err := l.Create(context.Background(), c); err != nil {
		b.Error(err)
	}
	if err := l.Start(context.Background(), c.ID); err != nil {
		b.Error(err)
	}
	d := time.Since(start)
	if err := l.Remove(context.Background(), c.ID); err != nil {
		b.Error(err)
	}
	return d
}

// bareRunc runs bundles like those of the lab with nothing but runc.
type bareRunc struct {
	runc, dir string
	lower     string
	spec      specs.Spec
}

func newBareRunc(b *testing.B, l *lab) *bareRunc {
	b.Helper()
	c := l.container("sleep")
	l.start(c)
	bundle := filepath.Join(l.cfg.Dir, "containers", c.ID)
	raw, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	l.must(err)
	r := &bareRunc{runc: l.cfg.Runtimes["runc"], dir: filepath.Join(l.dir, "bare")}
	l.must(json.Unmarshal(raw, &r.spec))
	r.lower = filepath.Join(l.dir, "lower")
	l.must(os.MkdirAll(r.lower, 0o755))
	// The same root file system, as a directory to mount above.
	if out, err := exec.Command("cp", "-a", filepath.Join(bundle, "rootfs")+"/.", r.lower).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	r.spec.Linux.CgroupsPath = "/" + l.task
	return r
}

func (r *bareRunc) timeStart(b *testing.B, id string) time.Duration {
	dir := filepath.Join(r.dir, id)
	for _, d := range []string{"rootfs", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			b.Error(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", r.lower, dir, dir)
	if err := unix.Mount("overlay", dir+"/rootfs", "overlay", 0, options); err != nil {
		b.Error(err)
	}
	defer func() { _ = unix.Unmount(dir+"/rootfs", unix.MNT_DETACH) }()
	spec := r.spec
	linux := *spec.Linux
	linux.CgroupsPath += "/" + id
	spec.Linux = &linux
	raw, _ := json.Marshal(spec)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		b.Error(err)
	}
	start := time.Now()
	r.command(b, "create", "--bundle", dir, id)
	r.command(b, "start", id)
	d := time.Since(start)
	r.command(b, "delete", "--force", id)
	return d
}

func (r *bareRunc) command(b *testing.B, args ...string) {
	cmd := exec.Command(r.runc, append([]string{"--root", filepath.Join(r.dir, "state")}, args...)...)
	// Output goes to a file: with a pipe, waiting would last as long as the container.
	out, err := os.CreateTemp(r.dir, "out")
	if err != nil {
		b.Error(err)
		return
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		b.Errorf("runc %s: %v: %s", args[0], err, bytes.TrimSpace(said))
	}
}

// BenchmarkPullAgain is what a task start pays for an image that is here: one question to the registry, or none.
func BenchmarkPullAgain(b *testing.B) {
	l, g := newLab(b), newRegistry(b)
	d := g.push(probe(b), "v1")
	for _, ref := range []string{g.host() + "/x:v1", g.host() + "/x@" + d} {
		if _, err := l.Images().Pull(b.Context(), ref, agent.PullOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for name, ref := range map[string]string{"tag": g.host() + "/x:v1", "digest": g.host() + "/x@" + d} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := l.Images().Pull(b.Context(), ref, agent.PullOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
