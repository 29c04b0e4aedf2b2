package store

import (
	"context"
	"iter"
	"sync"
)

// Change is one record's change: created (Old nil), deleted (New nil) or replaced. Old and New hold the record
// as its table's type; Table.Change gives them typed.
type Change struct {
	Table    string
	Key      string
	Old, New any
	Revision int64
}

// coalesceFrom is the number of waiting changes from which on a watcher's changes to one key are merged.
const coalesceFrom = 4096

// Watcher receives the changes of some tables, in the order of commits, from its snapshot on and without gaps.
// It never slows writers: what is not yet taken waits here. A watcher that is far behind gets several changes
// to a key as one, from the first Old to the last New (a record that came and went is shown as deleted).
type Watcher struct {
	snapshot *Snapshot
	ready    chan struct{}

	mu      sync.Mutex // guards the fields below
	waiting []Change
	latest  map[ref]int // where in waiting a key is; nil while not merging
	ended   bool
}

// Snapshot is the store before the first change of the feed.
func (w *Watcher) Snapshot() *Snapshot { return w.snapshot }

// Ready has an element when Take may have something to give. It is closed when the watch has ended.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take returns what has come since the last Take, possibly nothing, and never waits.
func (w *Watcher) Take() []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.waiting
	w.waiting, w.latest = nil, nil
	return out
}

// All yields changes as they come and ends with the watch's context.
func (w *Watcher) All() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for range w.ready {
			for _, c := range w.Take() {
				if !yield(c) {
					return
				}
			}
		}
	}
}

func (w *Watcher) add(table int, c Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if len(w.waiting) >= coalesceFrom {
		w.merge(table, c)
	} else {
		w.waiting = append(w.waiting, c)
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *Watcher) merge(table int, c Change) {
	if w.latest == nil {
		w.latest = map[ref]int{}
	}
	r := ref{table, c.Key}
	i, ok := w.latest[r]
	if !ok {
		w.latest[r] = len(w.waiting)
		w.waiting = append(w.waiting, c)
		return
	}
	have := &w.waiting[i]
	if have.Old == nil && c.New == nil {
		have.Old = c.Old
	}
	have.New, have.Revision = c.New, c.Revision
}

func (w *Watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		close(w.ready)
	}
}

// Watch starts a feed of the tables' changes that ends with ctx. Its snapshot is taken at the same moment: what
// is not in the snapshot will be in the feed.
func (s *Store) Watch(ctx context.Context, tables ...AnyTable) *Watcher {
	c := s.core
	w := &Watcher{ready: make(chan struct{}, 1)}
	var numbers []int
	for _, t := range tables {
		numbers = append(numbers, c.number(t.descriptor()))
	}
	c.mu.Lock()
	w.snapshot = &Snapshot{c, c.durable.Load()}
	for _, n := range numbers {
		c.watchers[n] = append(c.watchers[n], w)
	}
	c.mu.Unlock()
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		for _, n := range numbers {
			c.watchers[n] = without(c.watchers[n], w)
		}
		c.mu.Unlock()
		w.end()
	})
	return w
}

func without(all []*Watcher, w *Watcher) []*Watcher {
	var out []*Watcher
	for _, x := range all {
		if x != w {
			out = append(out, x)
		}
	}
	return out
}

// publish shows the state and its changes to readers and watchers. c.mu is held.
func (c *core) publish(next *state, changes []change) {
	c.durable.Store(next)
	for i := range changes {
		ch := &changes[i]
		for _, w := range c.watchers[ch.table] {
			out := Change{Table: c.tables[ch.table].name, Key: ch.key, Revision: next.revision}
			if ch.old != nil {
				out.Old = ch.old.value
			}
			if ch.new != nil {
				out.New = ch.new.value
			}
			w.add(ch.table, out)
		}
	}
}
