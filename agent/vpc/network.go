package vpc

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/agent"
	"berth/agent/vpc/portproxy"
)

// checkEvery is how often the network's frame is compared with what it should be: a firewall reload or an
// administrator may have removed the tables.
const checkEvery = 30 * time.Second

// Network gives containers their network namespaces. It implements agent.Network.
type Network struct {
	cfg    Config
	fabric fabric
	main   *namespace
	bridge *namespace
	proxy  *portproxy.Client
	ids    keyLock

	// repairing is held by who checks or repairs the port proxy and the tables.
	repairing chan struct{}

	// frame is held for writing while whole tables are written from the records, and for reading while one container's entries
	// and its record change together. It spans netlink calls on purpose.
	frame sync.RWMutex
	open  []agent.Opening // ports of load balancers; guarded by frame
	// UDP of load balancers, and whether the kernel is known to have all of it; guarded by frame.
	flows      []agent.UDPListener
	flowsKnown bool

	mu      sync.Mutex // guards the following
	records map[string]*record
	addrs   addresses
	ipv6    bool

	stop func()
	done sync.WaitGroup
}

var _ agent.Network = (*Network)(nil)

// Open brings the network of cfg.Dir up, or takes it over from an earlier agent without touching what runs, and keeps its
// frame in order until Close. The calling thread's network namespace becomes the main namespace.
func Open(ctx context.Context, cfg Config) (*Network, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{cfg.Dir, cfg.path("ns"), cfg.path("containers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make network directory: %w", err)
		}
	}
	n := &Network{cfg: cfg, proxy: portproxy.NewClient(cfg.Dir), repairing: make(chan struct{}, 1)}
	if err := n.bringUp(ctx); err != nil {
		n.closeNamespaces()
		return nil, fmt.Errorf("open network in %s: %w", cfg.Dir, err)
	}
	background, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.done.Go(func() { n.keepProxy(background) })
	n.done.Go(func() { n.keepFrame(background) })
	return n, nil
}

func (n *Network) bringUp(ctx context.Context) (err error) {
	if n.main, err = currentNamespace(); err != nil {
		return err
	}
	if n.records, err = readRecords(n.cfg); err != nil {
		return err
	}
	if n.open, err = readBalancers(n.cfg); err != nil {
		return err
	}
	if n.fabric, err = planFabric(n.cfg, n.main, len(n.records)); err != nil {
		return err
	}
	fresh := false
	if n.bridge, fresh, err = ensureBridge(n.cfg, n.fabric); err != nil {
		return err
	}
	n.addrs = addresses{pool: n.fabric.Pool, used: map[netip.Addr]string{}}
	if err := n.dropUnfinished(fresh); err != nil {
		return err
	}
	if err := ensureUplink(n.cfg, n.fabric, n.main, n.bridge); err != nil {
		return err
	}
	if err := n.balancerAddresses(n.open); err != nil {
		return err
	}
	if err := n.replaceTables(); err != nil {
		return err
	}
	return n.repairProxy(ctx, true)
}

// dropUnfinished removes what an agent that was killed in the middle of Attach left, and everything that a lost bridge
// namespace took with it; it counts the addresses of the rest as used.
func (n *Network) dropUnfinished(fresh bool) error {
	for id, r := range n.records {
		keep := r.Ready && !(fresh && r.Address.IsValid())
		if keep {
			var err error
			if keep, err = kept(n.cfg.namespacePath(id)); err != nil {
				return err
			}
		}
		if keep {
			if r.Address.IsValid() {
				n.addrs.used[r.Address] = id
				if n.addrs.last.Less(r.Address) {
					n.addrs.last = r.Address
				}
			}
			continue
		}
		n.cfg.Log.Warn("network of container was lost or never finished", "container", id, "task", r.TaskArn)
		if r.Address.IsValid() {
			if err := deleteLink(n.bridge, r.linkName(n.fabric.Pool)); err != nil {
				return err
			}
		}
		if err := removeNamespace(n.cfg.namespacePath(id)); err != nil {
			return err
		}
		if err := os.Remove(n.cfg.recordPath(id)); err != nil {
			return fmt.Errorf("remove network record: %w", err)
		}
		delete(n.records, id)
	}
	return n.dropUnknownNamespaces()
}

// dropUnknownNamespaces removes namespaces without a record.
func (n *Network) dropUnknownNamespaces() error {
	entries, err := os.ReadDir(n.cfg.path("ns"))
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "bridge" {
			continue
		}
		if id, ok := strings.CutPrefix(e.Name(), "c-"); ok && n.records[id] != nil {
			continue
		}
		if err := removeNamespace(n.cfg.path("ns", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// replaceTables writes both rule tables anew from the records of finished containers.
func (n *Network) replaceTables() error {
	n.frame.Lock()
	defer n.frame.Unlock()
	var hostEl, bridgeEl []element
	n.mu.Lock()
	for _, r := range n.records {
		if r.Ready {
			hostEl = append(hostEl, r.hostElements()...)
			bridgeEl = append(bridgeEl, r.bridgeElements(n.fabric.Pool)...)
		}
	}
	n.mu.Unlock()
	bridgeEl = append(bridgeEl, openingElements(n.open)...)
	if err := n.bridge.nft.replace(bridgeTable, []setRef{portTargets, ownAddresses, balancerPorts}, bridgeRules(n.fabric), bridgeEl); err != nil {
		return fmt.Errorf("rules of the bridge namespace: %w", err)
	}
	if err := n.main.nft.replace(n.hostTable(), []setRef{publishedPorts, flowTargets}, hostRules(n.cfg, n.fabric), append(hostEl, targetElements(n.fabric, n.flows)...)); err != nil {
		return fmt.Errorf("rules of the main namespace: %w", err)
	}
	return nil
}

func (n *Network) hostTable() string { return hostTablePrefix + n.cfg.runID() }

// Close ends the keeping of this Network and leaves everything in place.
func (n *Network) Close() error {
	n.stop()
	n.done.Wait()
	n.closeNamespaces()
	return nil
}

func (n *Network) closeNamespaces() {
	n.bridge.Close()
	n.main.Close()
}

// List returns the containers that have a network.
func (n *Network) List(context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for id := range n.records {
		all = append(all, id)
	}
	slices.Sort(all)
	return all, nil
}

func (n *Network) proxyConfig() portproxy.Config {
	return portproxy.Config{
		Version: portproxy.Version, Target: n.fabric.Far, Namespace: n.cfg.path("ns", "bridge"), DNS: n.fabric.gateway(),
		Resolvers: n.cfg.Resolvers, Refuse: !n.cfg.Egress, Loopback: n.Loopback(), Instance: n.bridge.identity() + n.main.identity(),
	}
}

// lockRepair waits for its turn to repair; the returned function ends the turn.
func (n *Network) lockRepair(ctx context.Context) (func(), error) {
	select {
	case n.repairing <- struct{}{}:
		return func() { <-n.repairing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// repairProxy sees to it that the port proxy runs with the right configuration and holds what the records say. Only
// at the start (settle) may it free what no record names: later a container may be between port and record.
func (n *Network) repairProxy(ctx context.Context, settle bool) error {
	unlock, err := n.lockRepair(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	want := n.proxyConfig()
	hello, err := n.proxy.Hello(ctx)
	if err != nil || hello.Version != portproxy.Version || !reflect.DeepEqual(hello.Config, want) {
		if err := n.proxy.Stop(ctx); err != nil {
			return err
		}
		if err := portproxy.WriteConfig(n.cfg.Dir, want); err != nil {
			return err
		}
		if err := n.main.run(func() error { return n.proxy.Start(ctx, n.cfg.PortProxy) }); err != nil {
			return err
		}
		if hello, err = n.proxy.Hello(ctx); err != nil {
			return err
		}
		n.cfg.Log.Info("port proxy started", "pid", hello.PID)
	}
	n.mu.Lock()
	n.ipv6 = hello.IPv6
	n.mu.Unlock()
	return n.settlePorts(ctx, settle)
}

func (n *Network) settlePorts(ctx context.Context, settle bool) error {
	owners, err := n.proxy.Owners(ctx)
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, id := range owners {
		held[id] = true
	}
	var missing []record
	n.mu.Lock()
	for id, r := range n.records {
		if r.Ready && len(r.Bindings) > 0 && !held[id] {
			missing = append(missing, *r)
		}
		delete(held, id)
	}
	n.mu.Unlock()
	for _, r := range missing {
		if _, err := n.proxy.Open(ctx, r.ID, r.ports()); err != nil {
			// Its IPv4 traffic flows all the same; the next check tries again.
			n.cfg.Log.Error("published ports are not held", "container", r.ID, "task", r.TaskArn, "err", err)
		}
	}
	if settle {
		for id := range held {
			if err := n.proxy.Close(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepProxy starts the port proxy again when it ends.
func (n *Network) keepProxy(ctx context.Context) {
	const slowest = 10 * time.Second
	for pause := 50 * time.Millisecond; ctx.Err() == nil; {
		if n.proxy.Wait(ctx) != nil {
			return
		}
		err := n.repairProxy(ctx, false)
		if err == nil {
			pause = 50 * time.Millisecond
			continue
		}
		n.cfg.Log.Warn("port proxy does not start", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, slowest)
	}
}

// keepFrame puts links, routes and tables back when somebody removed them.
func (n *Network) keepFrame(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := n.Check(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("network could not be put right", "err", err)
		}
	}
}

// Check compares links, tables and held ports with what they should be and puts them right.
func (n *Network) Check(ctx context.Context) error {
	if err := n.checkFrame(ctx); err != nil {
		return err
	}
	return n.repairProxy(ctx, false)
}

func (n *Network) checkFrame(ctx context.Context) error {
	unlock, err := n.lockRepair(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	host, err := n.main.nft.exists(n.hostTable())
	if err != nil {
		return err
	}
	inside, err := n.bridge.nft.exists(bridgeTable)
	if err != nil {
		return err
	}
	if err := ensureUplink(n.cfg, n.fabric, n.main, n.bridge); err != nil {
		return err
	}
	if host && inside {
		return nil
	}
	n.cfg.Log.Warn("rules were removed by somebody; writing them again", "table", n.hostTable())
	return n.replaceTables()
}
