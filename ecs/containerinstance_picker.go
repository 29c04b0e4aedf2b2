package ecs

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"

	"berth/ecs/placement"
	"berth/store"
)

// placing keeps a placement.Index for each cluster that tasks are placed in. It is a cache of the instance
// records and may be behind or ahead of what a transaction sees: every pick is checked on the record itself, inside
// the transaction, and whatever turns out wrong is put right and the pick made again. So a stale cache costs time,
// never a task on an instance that has no room.
type placing struct {
	store *store.Store
	watch func() *store.Watcher // starts the feed when first called

	mu    sync.Mutex // guards the fields below
	pools map[string]*pool
	// pending counts, for each instance, the picks whose transactions have not ended yet.
	pending map[string]int
	// doubtful are instances that the cache knows from a transaction that did not commit.
	doubtful map[string]bool
}

// pool is the cache of one cluster.
type pool struct {
	index *placement.Index
	known map[string]cached // by instance ID
}

// cached is what an index entry was made from.
type cached struct {
	version, described int64
	attributes         map[string]string
	agentVersion       string
	running            int
}

func newPlacing(st *store.Store) *placing {
	p := &placing{store: st, pools: map[string]*pool{}, pending: map[string]int{}, doubtful: map[string]bool{}}
	p.watch = sync.OnceValue(func() *store.Watcher {
		// The feed lives as long as the store; catchUp takes from it.
		return st.Watch(context.Background(), ContainerInstances, InstanceDescriptions)
	})
	return p
}

// picker picks instances for the tasks of one call. Make it before the transaction, pick inside, end after:
//
//	p := s.placing.picker(clusterKey, rand.Uint64())
//	err := s.store.Update(ctx, func(tx *store.Tx) error {
//		picks := p.pick(tx, tasks, strategy)
//		... write the tasks ...
//	})
//	p.end(err == nil)
type picker struct {
	placing *placing
	cluster string // key
	seed    uint64
	touched []string // keys of the instances picked in this run of the transaction
}

// pick is the answer for one task.
type pick struct {
	Instance string      // ID; empty if no instance takes the task
	Held     Reservation // for Task.Reserved
	// Refusals says of each instance why it does not take the task, if none does. Those that are not
	// Considered are no failures.
	Refusals []placement.Refusal
}

// picker prepares picks in the cluster with the key. seed decides between equally good instances.
func (p *placing) picker(cluster string, seed uint64) *picker {
	p.watch()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pools[cluster] == nil {
		pl := &pool{index: placement.NewIndex(), known: map[string]cached{}}
		r := p.store.Read()
		for c := range ContainerInstances.By(r, byInstanceStatus, instanceStatusKey(cluster, anyStatus)) {
			pl.sync(r, c.Key(), true)
		}
		p.pools[cluster] = pl
	}
	return &picker{placing: p, cluster: cluster, seed: seed}
}

// pick chooses an instance for each task, in order, and reserves there. It writes the instances' records. The answer
// has one pick per task.
func (k *picker) pick(tx *store.Tx, tasks []placement.Task, strategy []placement.Strategy) []pick {
	p := k.placing
	p.mu.Lock()
	defer p.mu.Unlock()
	k.forget(false) // an earlier run of the transaction
	p.catchUp()
	pl, rnd := p.pools[k.cluster], rand.New(rand.NewPCG(k.seed, uint64(len(tasks))))
	out := make([]pick, len(tasks))
	for i := range tasks {
		if tasks[i].CountsRunning() {
			pl.countRunning(p.store.Read(), k.cluster)
		}
		out[i] = k.one(tx, pl, &tasks[i], strategy, rnd)
	}
	return out
}

func (k *picker) one(tx *store.Tx, pl *pool, t *placement.Task, strategy []placement.Strategy, rnd *rand.Rand) pick {
	for rechecked := false; ; {
		r := pl.index.Place([]placement.Task{*t}, strategy, rnd)
		id := r.Chosen[0]
		if id == "" {
			if !rechecked && k.recheck(tx, pl) {
				rechecked = true
				continue
			}
			return pick{Refusals: r.Refusals[0]}
		}
		key := k.cluster + "/" + id
		c, ok := ContainerInstances.Get(tx, key)
		have := pl.known[id]
		on := c.placed(have.attributes, have.agentVersion)
		on.Running = have.running
		if _, fits := placement.Check(t, &on); !ok || !fits {
			pl.sync(tx, key, true)
			continue
		}
		same := c.Version == have.version
		held := c.take(t)
		ContainerInstances.Put(tx, c)
		if have.version = c.Version; !same {
			on = c.placed(have.attributes, have.agentVersion)
			on.Running = have.running
			pl.index.Upsert(on)
		}
		pl.known[id] = have
		k.touched = append(k.touched, key)
		k.placing.pending[key]++
		return pick{Instance: id, Held: held}
	}
}

// recheck brings those instances that other transactions are placing on to what this transaction sees, as theirs may
// never commit. It reports whether there were any.
func (k *picker) recheck(tx *store.Tx, pl *pool) bool {
	found := false
	for key := range k.placing.pending {
		if clusterOf(key) == k.cluster {
			pl.sync(tx, key, true)
			found = true
		}
	}
	return found
}

// end tells whether the transaction was committed.
func (k *picker) end(committed bool) {
	k.placing.mu.Lock()
	defer k.placing.mu.Unlock()
	k.forget(committed)
}

func (k *picker) forget(committed bool) {
	p := k.placing
	for _, key := range k.touched {
		if p.pending[key]--; p.pending[key] <= 0 {
			delete(p.pending, key)
		}
		if !committed {
			p.doubtful[key] = true
		}
	}
	k.touched = nil
}

// catchUp takes the changes that are durable by now. p.mu is held.
func (p *placing) catchUp() {
	changes := p.watch().Take()
	if len(changes) == 0 && len(p.doubtful) == 0 {
		return
	}
	r := p.store.Read()
	for _, c := range changes {
		if pl := p.pools[clusterOf(c.Key)]; pl != nil {
			pl.sync(r, c.Key, false)
		}
	}
	for key := range p.doubtful {
		if pl := p.pools[clusterOf(key)]; pl != nil {
			pl.sync(r, key, true)
		}
	}
	clear(p.doubtful)
}

// drain keeps the feed short while nothing is placed.
func (p *placing) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pools) > 0 {
		p.catchUp()
	}
}

// sync brings one instance up to what the reader shows; without force only if that is newer.
func (pl *pool) sync(r store.Reader, key string, force bool) {
	id := key[strings.LastIndexByte(key, '/')+1:]
	c, ok := ContainerInstances.Get(r, key)
	if !ok || c.Status == InstanceInactive {
		pl.index.Remove(id)
		delete(pl.known, id)
		return
	}
	d, _ := InstanceDescriptions.Get(r, key)
	have, known := pl.known[id]
	if known && !force && c.Version <= have.version && d.Version <= have.described {
		return
	}
	if !known || d.Version != have.described {
		have.described, have.attributes, have.agentVersion = d.Version, d.attributes(), d.AgentVersion
	}
	have.version = c.Version
	on := c.placed(have.attributes, have.agentVersion)
	on.Running = have.running
	pl.index.Upsert(on)
	pl.known[id] = have
}

// countRunning brings the numbers of running tasks up to date. They are not on the records, and seldom asked for.
func (pl *pool) countRunning(r store.Reader, cluster string) {
	for id, have := range pl.known {
		running := CountTasks(r, cluster+"/"+id).Running
		if running == have.running {
			continue
		}
		have.running = running
		pl.known[id] = have
		on := *pl.index.Instance(id)
		on.Running = running
		pl.index.Upsert(on)
	}
}

// clusterOf is the cluster's key in an instance's key.
func clusterOf(key string) string { return key[:strings.LastIndexByte(key, '/')] }
