//go:build !race

// The race detector is not used with real images: go.podman.io/storage asserts that its lock is held by a read that it
// does not guard.

package agent_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.podman.io/image/v5/oci/archive"

	"berth/agent"
	"berth/agent/oci"
	"berth/agent/vpc"
	"berth/agent/vpc/portproxy"
	ecs "berth/api/ecs"
	"berth/test/image"
)

// TestMain lets the test program be what the agent runs of itself.
func TestMain(m *testing.M) {
	if oci.Init() {
		return
	}
	switch {
	case len(os.Args) == 4 && os.Args[1] == "port-proxy":
		_ = portproxy.Run(context.Background(), os.Args[3])
		return
	case len(os.Args) == 2 && os.Args[1] == "pause":
		_ = agent.Pause()
		return
	}
	os.Exit(m.Run())
}

// local serves one imported image for every reference.
type local struct{ image agent.Image }

func (l local) Pull(context.Context, string, agent.PullOptions) (agent.Image, error) {
	return l.image, nil
}
func (l local) Collect(context.Context) error { return nil }

type real struct {
	*agent.Bench
	t       testing.TB
	dir     string
	run     string
	runtime *oci.Runtime
	network *vpc.Network
}

func binary(t testing.TB, name string) string {
	t.Helper()
	if p, err := filepath.Abs("../bin/" + name); err == nil {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: run make build", name)
	}
	return p
}

// newReal is an agent with real containers and a real network in a directory of its own.
func newReal(t testing.TB) *real {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	dir, err := os.MkdirTemp("", "bagent")
	if err != nil {
		t.Fatal(err)
	}
	r := &real{t: t, dir: dir, run: "berth-test/" + strings.ToLower(rand.Text()[:8])}
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ociConfig := oci.Config{Dir: filepath.Join(dir, "oci"), Conmon: binary(t, "conmon"), Runtimes: map[string]string{"runc": binary(t, "runc")}, CgroupRoot: r.run, Log: log}
	vpcConfig := vpc.Config{Dir: filepath.Join(dir, "vpc"), PortProxy: []string{"/proc/self/exe", "port-proxy"}, Log: log}
	if r.runtime, err = oci.Open(ociConfig); err != nil {
		t.Fatal(err)
	}
	if r.network, err = vpc.Open(t.Context(), vpcConfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for _, err := range []error{agent.CleanUp(filepath.Join(dir, "agent")), r.runtime.Cleanup(ctx), r.runtime.Close(), r.network.Close(), vpc.Cleanup(ctx, vpcConfig), os.RemoveAll(dir)} {
			if err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	path, err := image.FromGo(t.Context(), filepath.Join(dir, "images"), "./oci/testdata/probe", image.Config{Cmd: []string{"exit", "0"}},
		image.File{Path: "data/"}, image.File{Path: "data/seed", Content: "from the image\n"})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := archive.NewReference(path, "")
	if err != nil {
		t.Fatal(err)
	}
	img, err := r.runtime.Images().Import(t.Context(), ref, "probe")
	if err != nil {
		t.Fatal(err)
	}
	r.Bench = agent.NewBench(t, agent.Config{DataDir: filepath.Join(dir, "agent"), CgroupRoot: r.run, Log: log,
		PauseCommand: []string{"/proc/self/exe", "pause"},
		Deps:         agent.Deps{Images: local{img}, Runtime: r.runtime, Exits: r.runtime, Execer: r.runtime, Cgroups: r.runtime, Network: r.network}})
	r.Boot()
	return r
}

type testLog struct{ t testing.TB }

func (w testLog) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func arn(n int) string {
	return fmt.Sprintf("arn:aws:ecs:us-east-1:000000000000:task/default/%032x", n)
}

func container(name string, command ...string) ecs.ContainerDefinition {
	return ecs.ContainerDefinition{Name: &name, Image: new("probe"), Command: command, LogConfiguration: &ecs.LogConfiguration{
		LogDriver: ecs.LogDriverAwslogs, Options: map[string]string{"awslogs-group": "g", "awslogs-stream-prefix": "p", "awslogs-region": "us-east-1"}}}
}

func definition(containers ...ecs.ContainerDefinition) *ecs.TaskDefinition {
	return &ecs.TaskDefinition{ContainerDefinitions: containers}
}

func stream(container string, n int) string { return fmt.Sprintf("p/%s/%032x", container, n) }

// awaitLogs waits until the stream has an event that ok accepts.
func (r *real) awaitLogs(stream string, ok func(all []string) bool) []string {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		all := r.Logs(stream)
		if ok(all) {
			return all
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("stream %s has %d events: %.300q", stream, len(all), all)
		}
	}
}

func some(all []string) bool { return len(all) > 0 }

func TestRealTasksRunAndStop(t *testing.T) {
	r := newReal(t)
	r.Assign("RUNNING", definition(container("web", "term", "3")), arn(1), arn(2), arn(3))
	r.Await("RUNNING", arn(1), arn(2), arn(3))
	r.awaitLogs(stream("web", 1), some) // it handles SIGTERM from here on
	r.awaitLogs(stream("web", 2), some)
	r.awaitLogs(stream("web", 3), some)
	r.Assign("STOPPED", nil, arn(1), arn(2), arn(3))
	for _, s := range r.Await("STOPPED", arn(1), arn(2), arn(3)) {
		if c := s.Containers[0]; c.ExitCode == nil || *c.ExitCode != 3 {
			t.Errorf("got %+v", c)
		}
	}
	if left, err := r.runtime.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if left, err := r.network.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestRealAgentRestartAdopts(t *testing.T) {
	r := newReal(t)
	r.Assign("RUNNING", definition(container("web", "sleep")), arn(1), arn(2))
	r.Await("RUNNING", arn(1), arn(2))
	before, err := r.runtime.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Kill()
	for _, c := range before {
		if c.TaskArn == arn(2) {
			if err := r.runtime.Signal(t.Context(), c.ID, 9, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.Boot()
	s := r.Await("STOPPED", arn(2))[arn(2)]
	if c := s.Containers[0]; c.ExitCode == nil || *c.ExitCode != 137 || s.StopCode != "EssentialContainerExited" {
		t.Errorf("got %+v", s)
	}
	after, err := r.runtime.List(t.Context())
	if err != nil || len(after) != 1 {
		t.Fatalf("containers %v, %v", after, err)
	}
	for _, c := range before {
		if c.ID == after[0].ID && c.PID != after[0].PID {
			t.Errorf("process %d became %d", c.PID, after[0].PID)
		}
	}
}

func TestRealHealthOrderVolumesAndLinks(t *testing.T) {
	r := newReal(t)
	db, web, reader := container("db", "term", "0"), container("web", "term", "0"), container("reader", "cat", "/etc/hosts")
	db.HealthCheck = &ecs.HealthCheck{Command: []string{"CMD", "/probe", "exit", "0"}}
	web.DependsOn = []ecs.ContainerDependency{{ContainerName: new("db"), Condition: ecs.ContainerConditionHealthy}}
	web.MountPoints = []ecs.MountPoint{{SourceVolume: new("seeded"), ContainerPath: new("/data")}}
	reader.Links, reader.Essential = []string{"db:database"}, new(false)
	copied := container("copied", "cat", "/data/seed")
	copied.VolumesFrom, copied.Essential = []ecs.VolumeFrom{{SourceContainer: new("web"), ReadOnly: new(true)}}, new(false)
	def := definition(db, web, reader, copied)
	def.Volumes = []ecs.Volume{{Name: new("seeded")}}
	r.Assign("RUNNING", def, arn(1))
	s := r.Await("RUNNING", arn(1))[arn(1)]
	if s.HealthStatus != "HEALTHY" {
		t.Errorf("health %s", s.HealthStatus)
	}
	hosts := r.awaitLogs(stream("reader", 1), func(all []string) bool { return len(all) > 3 })
	if !strings.Contains(strings.Join(hosts, "\n"), "\tdatabase db") {
		t.Errorf("hosts %q", hosts)
	}
	if seed := r.awaitLogs(stream("copied", 1), some); seed[0] != "from the image" {
		t.Errorf("volume has %q", seed)
	}
	r.awaitLogs(stream("web", 1), some)
	r.Assign("STOPPED", nil, arn(1))
	s = r.Await("STOPPED", arn(1))[arn(1)]
	if db, web := s.Containers[0], s.Containers[1]; db.FinishedAt.Before(web.FinishedAt) {
		t.Errorf("db ended at %v before web at %v", db.FinishedAt, web.FinishedAt)
	}
}

func TestRealSharedNamespaces(t *testing.T) {
	r := newReal(t)
	def := definition(container("a", "term", "0"), container("b", "report"))
	def.ContainerDefinitions[1].Essential = new(false)
	def.PidMode, def.IpcMode = ecs.PidModeTask, ecs.IpcModeTask
	r.Assign("RUNNING", def, arn(1))
	r.Await("RUNNING", arn(1))
	if got := r.awaitLogs(stream("b", 1), some)[0]; strings.Contains(got, `"pid":1,`) {
		t.Errorf("b is the first process: %s", got)
	}
	r.Assign("STOPPED", nil, arn(1))
	r.Await("STOPPED", arn(1))
}

func TestRealFloodIsBoundedInMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 300 MiB")
	}
	r := newReal(t)
	flood, calm := container("web", "flood", "300"), container("web", "term", "0")
	began := time.Now()
	r.Assign("RUNNING", definition(flood), arn(1))
	r.Assign("RUNNING", definition(calm), arn(2))
	r.Await("RUNNING", arn(2))
	r.awaitLogs(stream("web", 2), some)
	t.Logf("the other task's line came after %v", time.Since(began))
	var most uint64
	for ended := false; !ended; {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.Sys-m.HeapReleased)
		ended = r.Has("STOPPED", arn(1))
		r.Forget(stream("web", 1)) // what the server has is not the agent's
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("flood of 300 MiB ended after %v, most memory %d MiB", time.Since(began), most>>20)
	if most > 256<<20 {
		t.Errorf("%d MiB in use", most>>20)
	}
}

// BenchmarkStart is the time from an assignment to RUNNING, one task at a time.
func BenchmarkStart(b *testing.B) {
	r := newReal(b)
	def := definition(container("web", "sleep"))
	for n := 0; b.Loop(); n++ {
		r.Assign("RUNNING", def, arn(n))
		r.Await("RUNNING", arn(n))
	}
}

// BenchmarkWave is the time from one assignment of 50 tasks until all are reported RUNNING.
func BenchmarkWave(b *testing.B) {
	r := newReal(b)
	def := definition(container("web", "term", "0"))
	for n := 0; b.Loop(); n++ {
		var all []string
		for i := range 50 {
			all = append(all, arn(1000*(n+1)+i))
		}
		r.Assign("RUNNING", def, all...)
		r.Await("RUNNING", all...)
		b.StopTimer()
		r.Assign("STOPPED", nil, all...)
		r.Await("STOPPED", all...)
		b.StartTimer()
	}
}
