package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a fake of everything below the agent: images, containers, cgroups and network. It remembers what it was
// told and lives on when the agent restarts, as conmon does.
type machine struct {
	mu         sync.Mutex
	containers map[string]*fakeContainer
	attached   map[string]NetworkRequest
	cgroups    map[string]bool
	calls      []string         // "create web"
	lives      map[string]int   // how often each container's process was started
	fail       map[string]error // by call
	deaf       map[string]bool  // containers that ignore the stop signal
	sick       map[string]bool  // containers whose check fails
	gate       map[string]chan struct{}
	// trap makes the call of that number (from 1) hang until its agent is killed; before its effect, or after it with late.
	trap    int
	late    bool
	trapped string // the call that hung
}

type fakeContainer struct {
	spec  Container
	state ContainerState
	ended chan struct{}
}

func newMachine() *machine {
	return &machine{containers: map[string]*fakeContainer{}, attached: map[string]NetworkRequest{}, cgroups: map[string]bool{},
		lives: map[string]int{}, fail: map[string]error{}, deaf: map[string]bool{}, sick: map[string]bool{}, gate: map[string]chan struct{}{}}
}

func (m *machine) deps() Deps {
	return Deps{Images: m, Runtime: m, Exits: m, Execer: m, Cgroups: m, Network: fakeNetwork{m}, Endpoints: fakeEndpoints{}}
}

// called notes a call, waits for its gate and returns its error. It must be called without mu.
func (m *machine) called(ctx context.Context, call string) error {
	m.mu.Lock()
	m.calls = append(m.calls, call)
	gate, err := m.gate[call], m.fail[call]
	hang := len(m.calls) == m.trap
	if hang {
		m.trapped = call
	}
	hang = hang && !m.late
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

// linger hangs after the effect of the call, if that is the trapped one.
func (m *machine) linger(ctx context.Context, call string) {
	m.mu.Lock()
	hang := m.late && m.trapped == call && len(m.calls) >= m.trap && m.trap > 0
	if hang {
		m.trap = 0
	}
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
}

func (m *machine) Pull(ctx context.Context, ref string, _ PullOptions) (Image, error) {
	if err := m.called(ctx, "pull "+ref); err != nil {
		return Image{}, err
	}
	return Image{ID: ref, Digest: "sha256:" + strings.Repeat("0", 64)}, nil
}

func (m *machine) Collect(ctx context.Context) error { return m.called(ctx, "collect") }

func (m *machine) Create(ctx context.Context, c Container) error {
	defer m.linger(ctx, "create "+c.Name)
	if err := m.called(ctx, "create "+c.Name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.cgroups[c.CgroupParent] {
		return fmt.Errorf("cgroup %s is not there", c.CgroupParent)
	}
	if m.containers[c.ID] != nil {
		return nil
	}
	m.containers[c.ID] = &fakeContainer{spec: c, ended: make(chan struct{}),
		state: ContainerState{ID: c.ID, TaskArn: c.TaskArn, Name: c.Name, Phase: PhaseCreated}}
	return nil
}

func (m *machine) Start(ctx context.Context, id string) error {
	m.mu.Lock()
	c := m.containers[id]
	m.mu.Unlock()
	if c == nil {
		return errors.New("no such container")
	}
	defer m.linger(ctx, "start "+c.spec.Name)
	if err := m.called(ctx, "start "+c.spec.Name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.state.Phase != PhaseCreated {
		return nil
	}
	m.lives[c.spec.Name]++
	c.state.Phase, c.state.StartedAt, c.state.PID = PhaseRunning, time.Now(), 4242
	return nil
}

func (m *machine) Signal(ctx context.Context, id string, signal int, _ bool) error {
	m.mu.Lock()
	c := m.containers[id]
	m.mu.Unlock()
	if c == nil {
		return errors.New("no such container")
	}
	defer m.linger(ctx, fmt.Sprintf("signal %s %d", c.spec.Name, signal))
	if err := m.called(ctx, fmt.Sprintf("signal %s %d", c.spec.Name, signal)); err != nil {
		return err
	}
	if signal == int(unix.SIGKILL) || !m.deaf[c.spec.Name] {
		m.end(c.spec.Name, 128+signal)
	}
	return nil
}

// end makes the container's process exit.
func (m *machine) end(name string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		if c.spec.Name == name && c.state.Phase == PhaseRunning {
			c.state.Phase, c.state.ExitCode, c.state.ExitKnown, c.state.FinishedAt = PhaseExited, code, true, time.Now()
			close(c.ended)
		}
	}
}

func (m *machine) Remove(ctx context.Context, id string) error {
	m.mu.Lock()
	c := m.containers[id]
	m.mu.Unlock()
	name := id
	if c != nil {
		name = c.spec.Name
	}
	defer m.linger(ctx, "remove "+name)
	if err := m.called(ctx, "remove "+name); err != nil {
		return err
	}
	m.end(name, 137)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.containers, id)
	return nil
}

func (m *machine) List(context.Context) ([]ContainerState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []ContainerState
	for _, id := range slices.Sorted(maps.Keys(m.containers)) {
		all = append(all, m.containers[id].state)
	}
	return all, nil
}

func (m *machine) Wait(ctx context.Context, id string) (ContainerState, error) {
	m.mu.Lock()
	c := m.containers[id]
	m.mu.Unlock()
	if c == nil {
		return ContainerState{}, errors.New("no such container")
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		return ContainerState{}, ctx.Err()
	}
	return m.State(ctx, id)
}

func (m *machine) State(_ context.Context, id string) (ContainerState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.containers[id]; c != nil {
		return c.state, nil
	}
	return ContainerState{}, errors.New("no such container")
}

func (m *machine) Exec(ctx context.Context, id string, args []string, _ io.Writer) (int, error) {
	m.mu.Lock()
	c := m.containers[id]
	sick := c != nil && m.sick[c.spec.Name]
	m.mu.Unlock()
	if sick {
		return 1, nil
	}
	return 0, nil
}

func (m *machine) PrepareTask(ctx context.Context, parent string, _, _, _ int32) error {
	defer m.linger(ctx, "cgroup")
	if err := m.called(ctx, "cgroup"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cgroups[parent] = true
	return nil
}

func (m *machine) RemoveTask(ctx context.Context, parent string) error {
	defer m.linger(ctx, "remove cgroup")
	if err := m.called(ctx, "remove cgroup"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.cgroups, parent)
	return nil
}

type fakeNetwork struct{ m *machine }

func (n fakeNetwork) Attach(ctx context.Context, req NetworkRequest) (NetworkResult, error) {
	defer n.m.linger(ctx, "attach")
	if err := n.m.called(ctx, "attach"); err != nil {
		return NetworkResult{}, err
	}
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	n.m.attached[req.ID] = req
	res := NetworkResult{NetNS: "/run/netns/" + req.ID, IPv4: "10.9.0.2"}
	for _, p := range req.Ports {
		if p.HostPort == 0 {
			p.HostPort = 32768
		}
		res.Bindings = append(res.Bindings, PortBinding{PortRequest: p, BindIPs: []string{"0.0.0.0", "::"}})
	}
	return res, nil
}

func (n fakeNetwork) Detach(ctx context.Context, id string) error {
	defer n.m.linger(ctx, "detach")
	if err := n.m.called(ctx, "detach"); err != nil {
		return err
	}
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	delete(n.m.attached, id)
	return nil
}

func (n fakeNetwork) List(context.Context) ([]string, error) {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	return slices.Sorted(maps.Keys(n.m.attached)), nil
}

// left says what the machine still has.
func (m *machine) left() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("containers=%d networks=%d cgroups=%d", len(m.containers), len(m.attached), len(m.cgroups))
}

func (m *machine) count(call string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.calls {
		if c == call {
			n++
		}
	}
	return n
}

// testConfig is a Config for a node on m.
func testConfig(t testing.TB, m *machine, dir string) *Config {
	t.Helper()
	cfg := &Config{DataDir: dir, Server: "https://127.0.0.1:1", CgroupRoot: "berth/test", Deps: m.deps()}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}
