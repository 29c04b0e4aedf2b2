package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// taskIDPattern is what may become a file name and part of a container's ID.
var taskIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,51}$`)

// node runs the tasks of one machine: a runner per task, the journal and the outbox. It knows nothing of sessions;
// without one it goes on with what it has.
type node struct {
	cfg     *Config
	log     *slog.Logger
	journal *journal
	outbox  *outbox
	logs    *logShipper
	// endpoints is nil if containers do not reach this agent.
	endpoints *endpoints

	mu      sync.Mutex // guards runners
	runners map[string]*runner
	running sync.WaitGroup
	filling sync.Mutex // held while a volume is filled
	// creating and removing are held while a container is made or removed: more at once than this only get in each other's way. One
	// that cannot be removed holds its place for long, so there are more of those.
	creating, removing chan struct{}
	// welcome is closed at the first welcome of this process, when it is known how registries are reached.
	welcome     chan struct{}
	welcomeOnce sync.Once
	// spawn runs a runner as long as the node; set by start.
	spawn func(*runner)
}

// openNode reads the journal. Nothing runs until start.
func openNode(cfg *Config) (*node, error) {
	for _, d := range []string{cfg.tasksDir(), cfg.logsDir(), filepath.Join(cfg.DataDir, "etc"), filepath.Join(cfg.DataDir, "volumes")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make agent directory: %w", err)
		}
	}
	j, err := openJournal(cfg.tasksDir(), cfg.Log)
	if err != nil {
		return nil, err
	}
	seq, err := openSequence(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	ends, err := openEndpoints(cfg)
	if err != nil {
		return nil, err
	}
	n := &node{cfg: cfg, log: cfg.Log, journal: j, outbox: newOutbox(seq), endpoints: ends, runners: map[string]*runner{},
		creating: make(chan struct{}, max(4, 2*runtime.NumCPU())), removing: make(chan struct{}, max(16, 4*runtime.NumCPU())), welcome: make(chan struct{})}
	n.logs = newLogShipper(cfg.logsDir(), cfg.Log)
	return n, nil
}

// start adopts what the journal and the runtime have and runs it.
func (n *node) start(ctx context.Context) error {
	n.spawn = func(r *runner) { n.running.Go(func() { r.loop(ctx) }) }
	tasks, err := n.journal.load()
	if err != nil {
		return err
	}
	states, err := n.cfg.Deps.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	known := map[string]*task{}
	for _, t := range tasks {
		known[t.Want.Arn] = t
	}
	found := map[string][]ContainerState{}
	for _, s := range states {
		found[s.TaskArn] = append(found[s.TaskArn], s)
		if known[s.TaskArn] == nil {
			t := newTask(proto.Task{Arn: s.TaskArn, DesiredStatus: statusRunning}, nil)
			t.Cgroup, t.Volumes = true, true // taken away at its end
			known[s.TaskArn] = t
			tasks = append(tasks, t)
			n.log.Warn("task is rebuilt from the runtime's state", "task", s.TaskArn)
		}
	}
	ids := map[string]bool{}
	for _, t := range tasks {
		for _, c := range t.Containers {
			ids[c.ID] = !c.Removed
		}
	}
	for _, s := range states {
		ids[s.ID] = true
	}
	n.logs.start(ctx, func(id string) bool { return ids[id] })
	networks, err := n.sweepNetworks(ctx, ids)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	for _, t := range tasks {
		if t.Namespaces != nil && !t.Namespaces.alive() {
			t.Namespaces = nil
		}
		n.sweep(ctx, t, found[t.Want.Arn])
		t.adopt(found[t.Want.Arn], networks, now)
		r := n.add(t)
		r.adopted = true
		n.spawn(r)
	}
	return nil
}

// welcomed notes that the first session has begun: the server takes logs now.
func (n *node) welcomed(id *Identity) {
	n.welcomeOnce.Do(func() {
		n.logs.connect(id, n.cfg)
		close(n.welcome)
	})
}

// awaitWelcome waits for the first session. An agent that has just started does not know before it how the server's
// registry is reached, and the server takes no logs from it; but a server that is away must not hold tasks up for ever.
func (n *node) awaitWelcome(ctx context.Context) error {
	select {
	case <-n.welcome:
	case <-time.After(welcomePatience):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// sweep takes away containers that a stopped task left when they could not be removed then.
func (n *node) sweep(ctx context.Context, t *task, states []ContainerState) {
	if t.Status != statusStopped {
		return
	}
	for _, s := range states {
		if err := errors.Join(n.cfg.Deps.Runtime.Remove(ctx, s.ID), n.cfg.Deps.Network.Detach(ctx, s.ID)); err != nil {
			n.log.Warn("container of a stopped task stays", "task", t.Want.Arn, "container", s.ID, "err", err)
		}
	}
}

// sweepNetworks detaches what belongs to no container any more and returns the rest.
func (n *node) sweepNetworks(ctx context.Context, containers map[string]bool) ([]string, error) {
	all, err := n.cfg.Deps.Network.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	return slices.DeleteFunc(all, func(id string) bool {
		if containers[id] {
			return false
		}
		if err := n.cfg.Deps.Network.Detach(ctx, id); err != nil {
			n.log.Warn("network of no container stays", "container", id, "err", err)
		}
		return true
	}), nil
}

// add makes the task's runner known. The caller runs it.
func (n *node) add(t *task) *runner {
	r := &runner{node: n, t: t, arn: t.Want.Arn, log: n.log.With("task", t.Want.Arn), events: make(chan event), gone: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.runners[r.arn] = r
	return r
}

// apply takes a complete assignment. Tasks that it does not name stay and are reported again; nothing stops because
// it is missing. With first every task is told, else only those for which something changed.
func (n *node) apply(ctx context.Context, a proto.Assignment, definition func(string) *ecs.TaskDefinition, first bool) {
	named := map[string]bool{}
	sortTasks(a.Tasks)
	for _, want := range a.Tasks {
		if !taskIDPattern.MatchString(taskID(want.Arn)) {
			n.log.Warn("assignment names what is no task", "task", want.Arn)
			continue
		}
		named[want.Arn] = true
		n.assign(ctx, want, definition(want.Definition), first)
	}
	n.mu.Lock()
	var others []*runner
	for arn, r := range n.runners {
		if !named[arn] && (first || r.told != nil || !r.unnamed) {
			r.told, r.unnamed = nil, true
			others = append(others, r)
		}
	}
	n.mu.Unlock()
	for _, r := range others {
		r.post(ctx, func(t *task, _ time.Time) {
			if t.Unassigned = true; !t.Acked {
				n.outbox.again(t.Want.Arn)
			}
		})
	}
}

func (n *node) assign(ctx context.Context, want proto.Task, def *ecs.TaskDefinition, first bool) {
	n.mu.Lock()
	r := n.runners[want.Arn]
	same := r != nil && r.told != nil && !first && reflect.DeepEqual(*r.told, want)
	if r != nil {
		r.told, r.unnamed = &want, false
	}
	n.mu.Unlock()
	if same || (r != nil && r.post(ctx, func(*task, time.Time) { r.assigned(want, def) })) || ctx.Err() != nil {
		return
	}
	if def == nil && want.DesiredStatus != statusStopped {
		n.log.Warn("assignment names a definition that it does not bring", "task", want.Arn, "definition", want.Definition)
		return
	}
	r = n.add(newTask(want, def))
	n.mu.Lock()
	r.told = &want
	n.mu.Unlock()
	n.spawn(r)
}

// forget drops a task that the server has stored as STOPPED and no longer assigns.
func (n *node) forget(r *runner) {
	n.mu.Lock()
	if n.runners[r.arn] == r {
		delete(n.runners, r.arn)
	}
	n.mu.Unlock()
	n.outbox.forget(r.arn)
	n.endpoints.forget(r.t)
	if err := n.journal.remove(taskID(r.arn)); err != nil {
		n.log.Warn("journal entry stays", "task", r.arn, "err", err)
	}
}

// wait returns when every runner has ended.
func (n *node) wait() {
	n.running.Wait()
	n.logs.wait()
}
