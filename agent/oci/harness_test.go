package oci_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.podman.io/image/v5/oci/archive"

	"berth/agent"
	"berth/agent/oci"
	"berth/test/image"
)

func TestMain(m *testing.M) {
	if oci.Init() {
		return
	}
	if job := os.Getenv(crashVariable); job != "" {
		fmt.Println(crashChild(job))
		os.Exit(1)
	}
	code := m.Run()
	if probeDir != "" {
		_ = os.RemoveAll(probeDir)
	}
	os.Exit(code)
}

var (
	probeOnce  sync.Once
	probeDir   string
	probeImage string
	errProbe   error
)

// probe returns the archive of an image with testdata/probe, built once.
func probe(t testing.TB) string {
	t.Helper()
	probeOnce.Do(func() {
		if probeDir, errProbe = os.MkdirTemp("", "berth-oci-"); errProbe != nil {
			return
		}
		probeImage, errProbe = image.FromGo(context.Background(), probeDir, "./testdata/probe", image.Config{
			Cmd: []string{"exit", "0"}, Env: []string{"FROM=image", "BOTH=image"}, WorkingDir: "/work/dir",
		}, image.File{Path: "etc/passwd", Content: "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234::/home/app:/bin/sh\n"},
			image.File{Path: "etc/group", Content: "root:x:0:\napp:x:1234:\nextra:x:4321:app\n"},
			image.File{Path: "data/"}, image.File{Path: "data/seed", Content: "from the image", UID: 1234, GID: 1234, Mode: 0o640},
			image.File{Path: "data/link", Link: "seed"}, image.File{Path: "tmp/", Mode: 0o777 | os.ModeSticky})
	})
	if errProbe != nil {
		t.Fatal(errProbe)
	}
	return probeImage
}

// lab is a runtime in a directory of its own that removes everything at the end of the test.
type lab struct {
	*oci.Runtime
	t     testing.TB
	cfg   oci.Config
	image agent.Image
	dir   string
	task  string
	count int
}

func program(t testing.TB, name string) string {
	t.Helper()
	local, err := filepath.Abs("../../bin/" + name)
	if err == nil {
		if _, err = os.Stat(local); err == nil {
			return local
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: run make build", name)
	}
	return p
}

func newLab(t testing.TB) *lab {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("", "boci")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return newLabAt(t, dir)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
}

// newLabAt has its files below dir.
func newLabAt(t testing.TB, dir string) *lab {
	t.Helper()
	run := strings.ToLower(rand.Text()[:8])
	runtime := cmp.Or(os.Getenv("BERTH_OCI_RUNTIME"), "runc")
	l := &lab{t: t, dir: dir, task: "berth-test/" + run + "/task", cfg: oci.Config{
		Dir: filepath.Join(dir, "oci"), Conmon: program(t, "conmon"),
		Runtimes: map[string]string{runtime: program(t, runtime)}, DefaultRuntime: runtime,
		CgroupRoot: "berth-test/" + run, Limits: oci.Limits{Tries: 2}, Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}}
	if p, err := exec.LookPath("tini-static"); err == nil {
		l.cfg.Init = p
	}
	l.open()
	t.Cleanup(l.clean)
	ref, err := archive.NewReference(probe(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if l.image, err = l.Images().Import(t.Context(), ref, "probe"); err != nil {
		t.Fatal(err)
	}
	l.must(l.PrepareTask(t.Context(), l.task, 0, 0, 0))
	return l
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *lab) open() {
	l.t.Helper()
	r, err := oci.Open(l.cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Runtime = r
}

// reopen is a restart of the agent.
func (l *lab) reopen() {
	l.t.Helper()
	l.must(l.Close())
	l.open()
}

func (l *lab) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Cleanup(ctx); err != nil {
		l.t.Errorf("clean up: %v", err)
	}
	if err := l.Close(); err != nil {
		l.t.Errorf("close: %v", err)
	}
	if left := mountsBelow(l.t, l.cfg.Dir); left != "" {
		l.t.Errorf("mounts are left: %s", left)
	}
	for _, c := range []string{"pids", "memory", "cpu", "freezer", "systemd", "unified", ""} {
		if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", c, l.cfg.CgroupRoot)); err == nil {
			l.t.Errorf("cgroup %s is left", c)
		}
	}
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// container describes a container that runs the probe with args.
func (l *lab) container(args ...string) agent.Container {
	l.count++
	id := fmt.Sprintf("c%d", l.count)
	c := agent.Container{ID: id, TaskArn: "arn:task", Name: "probe", Image: l.image, Hostname: "box", CgroupParent: l.task,
		LogPath: filepath.Join(l.dir, "logs", id+".log")}
	c.Definition.Command = args
	return c
}

func (l *lab) start(c agent.Container) {
	l.t.Helper()
	l.must(l.Create(l.t.Context(), c))
	l.must(l.Start(l.t.Context(), c.ID))
}

func (l *lab) wait(id string) agent.ContainerState {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	st, err := l.Wait(ctx, id)
	l.must(err)
	return st
}

// run starts a container, waits for its end, and returns its state and output.
func (l *lab) run(c agent.Container) (agent.ContainerState, string) {
	l.t.Helper()
	l.start(c)
	st := l.wait(c.ID)
	return st, l.output(c)
}

// output joins the log lines of the container.
func (l *lab) output(c agent.Container) string {
	raw, err := os.ReadFile(c.LogPath)
	if err != nil {
		l.t.Fatal(err)
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(raw)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) < 4 {
			continue
		}
		out.WriteString(f[3])
		if f[2] == "F" {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// until waits for a condition.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			l.t.Fatalf("no %s after 30 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *lab) untilOutput(c agent.Container, text string) {
	l.t.Helper()
	l.until(text, func() bool {
		raw, _ := os.ReadFile(c.LogPath)
		return bytes.Contains(raw, []byte(text))
	})
}

func (l *lab) report(c agent.Container) map[string]any {
	l.t.Helper()
	c.Definition.Command = append([]string{"report"}, c.Definition.Command...)
	_, out := l.run(c)
	var m map[string]any
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		l.t.Fatalf("report: %v: %s", err, out)
	}
	return m
}

func errorName(err error) string {
	var e *agent.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}

func (l *lab) pidfile(c agent.Container, name string) int {
	l.t.Helper()
	raw, err := os.ReadFile(filepath.Join(l.cfg.Dir, "containers", c.ID, name))
	l.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	l.must(err)
	return pid
}

// processes lists what runs in the container's cgroup.
func (l *lab) processes(c agent.Container) []string {
	return strings.Fields(l.cgroupFile("pids", c.CgroupParent+"/"+c.ID, "cgroup.procs"))
}

// cgroupFile reads a file of a cgroup: the controller's on cgroup v1, the only one on cgroup v2.
func (l *lab) cgroupFile(controller, group, file string) string {
	root := filepath.Join("/sys/fs/cgroup", controller)
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		root = "/sys/fs/cgroup"
	}
	raw, _ := os.ReadFile(filepath.Join(root, group, file))
	return strings.TrimSpace(string(raw))
}

func contains(list any, want any) bool {
	items, _ := list.([]any)
	return slices.Contains(items, want)
}

func itoa(n int) string { return strconv.Itoa(n) }

func mountsBelow(t testing.TB, dir string) string {
	raw, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, " "+dir+"/") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// netns makes a network namespace that lasts as long as the test and returns its path.
func (l *lab) netns() string {
	l.t.Helper()
	cmd := exec.Command("sleep", "3600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	l.must(cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
}
