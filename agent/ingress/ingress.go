package ingress

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Config of a machine's ingress. The main namespace is that of the process.
type Config struct {
	// Dir holds the state of this ingress and nothing else. Required.
	Dir string
	// Program is the path of haproxy. Required.
	Program string
	// Network is where load balancers are reached. Required.
	Network Network
	// Publish are addresses of the machine at which load balancers that face the internet answer too.
	Publish []netip.Addr
	Log     *slog.Logger
}

// Network gives load balancers their addresses on this machine. Implemented by agent/vpc.
type Network interface {
	// Loopback is the /22 of 127.0.0.0/8 that is this agent's own in the main namespace.
	Loopback() netip.Prefix
	// TaskNamespace is the path of the network namespace in which tasks reach load balancers, and what tells it from an
	// earlier one at the same path.
	TaskNamespace() (path, identity string)
	// Balance makes exactly these addresses exist there and lets tasks connect to exactly these ports of them.
	Balance(ctx context.Context, open []agent.Opening) error
	// Flows balances exactly these UDP listeners, and ends flows to targets that they do not have any more.
	Flows(ctx context.Context, listeners []agent.UDPListener) error
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// longestDir keeps the paths of sockets below the 107 bytes that the kernel allows, with what HAProxy adds while it makes them.
const longestDir = 107 - len("/"+masterSocket+".12345678.tmp")

func (c Config) validate() (Config, error) {
	dir, err := filepath.Abs(c.Dir)
	if c.Dir == "" || err != nil {
		return c, errors.Join(errors.New("ingress directory is not set"), err)
	}
	c.Dir = dir
	if len(c.Dir) > longestDir {
		return c, fmt.Errorf("directory %s is longer than %d bytes, and sockets of HAProxy are made there: use a shorter --data-dir", c.Dir, longestDir)
	}
	if c.Program == "" || c.Network == nil {
		return c, errors.New("ingress needs haproxy and a network")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Ingress carries the traffic of load balancers on this machine. It implements agent.Ingress.
type Ingress struct {
	cfg     Config
	log     *slog.Logger
	master  master
	checks  *checker
	reports chan struct{} // has room for one: something is to be told

	openFiles int // what the machine allows a process
	// Of keepSlots: what flows.json has, what the network was last told of UDP, and when.
	kept   keptFlows
	flows  []agent.UDPListener
	flowed time.Time

	wakeConfig, wakeSlots chan struct{} // have room for one
	reloaded              chan struct{} // has room for one: a worker begins to stop

	mu    sync.Mutex // guards the following
	state state
	// ctx is that of Run; nil before.
	ctx context.Context
}

// state is what is wanted and what was reached.
type state struct {
	saved
	have     bool            // a frame was ever seen
	running  running         // what HAProxy serves
	machine  haproxy.Machine // as of running
	followed uint64          // newest revision that traffic follows
	// behind says that HAProxy is about to be given another configuration: until then what leaves keeps serving, for rules may
	// still send everything there. It is false while a configuration is refused.
	behind   bool
	problems map[string]string // what hinders, by where
	loading  bool              // a new worker is being started: what old ones say of sessions is not all
	adopted  map[key]bool      // targets that an earlier agent had found healthy
	groups   map[string]string // group of each backend that any worker has
	slots    map[string][]haproxy.Slot
	open     map[key]int // of draining targets: how many looks in a row found no session; -1 for found some
	drained  map[key]bool
	held     map[int]net.Conn // of workers that must not end before their last requests are counted, by process
	// Of claim: addresses of the machine by load balancer, and listeners ("ID port") whose own address is taken.
	published map[string][]netip.Addr
	logged    map[string]haproxy.LoadBalancer // load balancers with access logs, by ID
	blocked   map[string]bool
	told      proto.IngressReport        // newest report, without its targets
	sent      map[key]proto.TargetStatus // as told
}

var _ agent.Ingress = (*Ingress)(nil)

// Open reads what an earlier agent left. Nothing runs until Run.
func Open(cfg Config) (*Ingress, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make ingress directory: %w", err)
	}
	i := &Ingress{
		cfg: cfg, log: cfg.Log, master: master{cfg.Dir}, reports: make(chan struct{}, 1),
		wakeConfig: make(chan struct{}, 1), wakeSlots: make(chan struct{}, 1),
		reloaded: make(chan struct{}, 1),
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		i.openFiles = int(min(limit.Max, 1<<20))
	}
	i.checks = newChecker(func() { wake(i.wakeSlots) })
	i.state = state{
		problems: map[string]string{}, adopted: map[key]bool{}, groups: map[string]string{}, slots: map[string][]haproxy.Slot{},
		open: map[key]int{}, drained: map[key]bool{}, sent: map[key]proto.TargetStatus{}, held: map[int]net.Conn{},
	}
	if i.state.saved, err = cfg.readSaved(); err == nil {
		i.state.have = true
		i.findLogged()
	} else if !errors.Is(err, fs.ErrNotExist) {
		i.log.Warn("what was balanced before is not known", "err", err)
	}
	if i.state.running, err = cfg.readRunning(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.log.Warn("what HAProxy serves is not known", "err", err)
	}
	return i, nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run carries traffic until ctx ends. Its end leaves HAProxy serving what it has.
func (i *Ingress) Run(ctx context.Context, post agent.Post) error {
	defer i.checks.wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	i.mu.Lock()
	i.ctx = ctx
	i.mu.Unlock()
	i.adopt(ctx)
	i.adoptFlows()
	i.watch()
	wake(i.wakeConfig)
	g, ctx := errgroup.WithContext(ctx)
	log, err := i.cfg.listen()
	if err != nil {
		return err
	}
	access := newAccessLog(i, post)
	m := &meter{Ingress: i, post: post, current: newTally(time.Now())}
	m.begin(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return log.Close() // ends the reader
	})
	g.Go(func() error { access.read(log); return nil })
	g.Go(func() error { access.send(ctx); return nil })
	g.Go(func() error { m.run(ctx); return nil })
	g.Go(func() error { i.keepConfig(ctx); return nil })
	g.Go(func() error { i.keepSlots(ctx); return nil })
	return g.Wait()
}

// adopt takes targets that serve in a running HAProxy for healthy: a restart of the agent takes nothing out of service.
func (i *Ingress) adopt(ctx context.Context) {
	procs, err := i.master.processes(ctx)
	if err != nil || len(procs.Workers) == 0 {
		return
	}
	text, err := i.master.tell(ctx, procs.Workers[0], "show servers state")
	if err != nil {
		i.log.Warn("state of HAProxy can't be read", "err", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	s := &i.state
	s.slots = haproxy.ParseState(text)
	m := i.machine()
	for _, b := range s.running.Backends {
		s.groups[b.Name] = b.Group
	}
	serving := i.servingNow()
	for _, g := range s.Frame.Groups {
		for _, t := range g.Targets {
			if at, ok := m.At(t); ok && serving[g.ID][at] {
				s.adopted[key{g.ID, t.ID, t.Since}] = true
			}
		}
	}
}

// Apply takes everything that this machine should balance. instance is the ARN of its container instance.
func (i *Ingress) Apply(instance string, in proto.Ingress) {
	i.mu.Lock()
	s := &i.state
	if in.Revision < s.followed {
		s.followed = 0 // the server has another store
	}
	s.saved = saved{Instance: instance, Ingress: in, Claims: s.Claims}
	s.have, s.behind = true, true
	i.forgetGone()
	i.findLogged()
	err := i.cfg.writeSaved(s.saved)
	i.mu.Unlock()
	if err != nil {
		i.log.Error("what to balance can't be kept; a restart of the agent without a server would not know it", "err", err)
	}
	i.watch()
	wake(i.wakeConfig)
	wake(i.wakeSlots)
}

// findLogged notes which load balancers have access logs. The caller holds mu.
func (i *Ingress) findLogged() {
	i.state.logged = map[string]haproxy.LoadBalancer{}
	for _, lb := range i.state.Frame.LoadBalancers {
		if haproxy.LogsAccess(lb) {
			i.state.logged[lb.ID] = lb
		}
	}
}

// forgetGone drops what is known of targets that are not wanted or do not drain any more. The caller holds mu.
func (i *Ingress) forgetGone() {
	draining := map[key]bool{}
	all := map[key]bool{}
	for _, g := range i.state.Frame.Groups {
		for _, t := range g.Targets {
			all[key{g.ID, t.ID, t.Since}] = true
			draining[key{g.ID, t.ID, t.Since}] = t.Draining
		}
	}
	maps.DeleteFunc(i.state.open, func(k key, _ int) bool { return !draining[k] })
	maps.DeleteFunc(i.state.drained, func(k key, _ bool) bool { return !draining[k] })
	maps.DeleteFunc(i.state.sent, func(k key, _ proto.TargetStatus) bool { return !all[k] })
	maps.DeleteFunc(i.state.adopted, func(k key, _ bool) bool { return !all[k] || draining[k] })
}

// watch makes the targets of the newest frame what is checked.
func (i *Ingress) watch() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ctx == nil {
		return
	}
	m := i.machine()
	want := map[key]checked{}
	for _, g := range i.state.Frame.Groups {
		for _, t := range g.Targets {
			if c, ok := checkedTarget(m, g, t); ok && !t.Draining {
				want[key{g.ID, t.ID, t.Since}] = c
			}
		}
	}
	i.checks.set(i.ctx, want, i.state.adopted)
}

// mostThreads of HAProxy: more gain nothing below 50,000 requests a second.
const mostThreads = 4

// machine describes this machine to the renderer. The caller holds mu.
func (i *Ingress) machine() haproxy.Machine {
	path, _ := i.cfg.Network.TaskNamespace()
	return haproxy.Machine{
		Instance: i.state.Instance, Loopback: i.cfg.Network.Loopback(), Namespace: path,
		StatsSocket: i.cfg.path(statsSocket), LateDir: i.cfg.Dir, LogSocket: i.cfg.path(logSocket), OpenFiles: i.openFiles,
		Threads: min(runtime.NumCPU(), mostThreads),
	}
}

// problem notes what hinders traffic in one respect; an empty text takes the note back.
func (i *Ingress) problem(where, text string) {
	i.mu.Lock()
	was := i.state.problems[where]
	if text == "" {
		delete(i.state.problems, where)
	} else {
		i.state.problems[where] = text
	}
	i.mu.Unlock()
	if was == text {
		return
	}
	if text != "" {
		i.log.Error("load balancers are hindered", "problem", text)
	} else {
		i.log.Info("load balancers are no longer hindered", "problem", was)
	}
	wake(i.reports)
}

// problemText is all that hinders. The caller holds mu.
func (i *Ingress) problemText() string {
	var all []string
	for _, where := range slices.Sorted(maps.Keys(i.state.problems)) {
		all = append(all, i.state.problems[where])
	}
	return strings.Join(all, "; ")
}

// retryPause is the time after which what failed is tried again.
const retryPause = 2 * time.Second
