// Package reconcile runs reconcilers: small, level-triggered functions that bring one key's state nearer to what
// is wanted, and are woken when something that they depend on changes.
//
//	store feed ──▶ keys of triggers ──▶ queue of ready keys ──▶ workers ──▶ Reconcile(key)
//	                                          ▲                                │ again, error, panic
//	                                          └──── keys that wait, by time ◀──┘
//
// One goroutine owns the queue of one reconciler (queue.go); a key never runs twice at once, and a key that is
// woken while it runs, runs once more.
package reconcile

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/store"
)

// Reconciler brings the state behind one key nearer to what is wanted.
type Reconciler interface {
	// Name is lower-case with a dot: "ecs.service". Log field and metric label.
	Name() string
	// Triggers say which changes wake which keys. They are asked once.
	Triggers() []Trigger
	// Reconcile reads, decides and writes, in one transaction. An error makes it run again after a growing,
	// random pause; again > 0 makes it run again then; both zero: when something changes.
	Reconcile(ctx context.Context, key string) (again time.Duration, err error)
}

// Waiter is a reconciler that waits for others than the store, so that more of its keys have to run at once than of those that work.
type Waiter interface {
	Reconciler
	// AtOnce is how many keys run at once at most. It is asked once.
	AtOnce() int
}

// Trigger says which keys a change in one table wakes.
type Trigger struct {
	table store.AnyTable
	keys  func(c store.Change) []string
	all   func(r store.Reader) iter.Seq[string]
}

// On wakes the keys that the function gives for a record, before and after a change of it. At the start it wakes
// the keys of all records.
func On[T any](table *store.Table[T], keys func(v T) []string) Trigger {
	return Trigger{
		table: table,
		keys: func(c store.Change) []string {
			old, next, _ := table.Change(c)
			var out []string
			if old != nil {
				out = append(out, keys(*old)...)
			}
			if next != nil {
				out = append(out, keys(*next)...)
			}
			return out
		},
		all: func(r store.Reader) iter.Seq[string] {
			return func(yield func(string) bool) {
				for v := range table.All(r) {
					for _, k := range keys(v) {
						if !yield(k) {
							return
						}
					}
				}
			}
		},
	}
}

// OnChange wakes the keys that the function gives for a change; old is nil for a new record, next for a removed one. It
// wakes none at the start: some other trigger must.
func OnChange[T any](table *store.Table[T], keys func(old, next *T) []string) Trigger {
	return Trigger{
		table: table,
		keys: func(c store.Change) []string {
			old, next, _ := table.Change(c)
			return keys(old, next)
		},
		all: func(store.Reader) iter.Seq[string] { return func(func(string) bool) {} },
	}
}

// OnSelf wakes the changed record's own key.
func OnSelf[T any](table *store.Table[T]) Trigger {
	return On(table, func(v T) []string { return []string{table.Key(v)} })
}

// Loop runs reconcilers.
type Loop struct {
	queues []*queue
}

// New prepares a loop. logger may be nil.
func New(st *store.Store, logger *slog.Logger, reconcilers ...Reconciler) *Loop {
	if logger == nil {
		logger = slog.Default()
	}
	l := &Loop{}
	for _, r := range reconcilers {
		l.queues = append(l.queues, newQueue(st, r, logger.With("reconciler", r.Name())))
	}
	return l
}

// Run runs until ctx ends and everything has stopped. Every key runs once at the start.
func (l *Loop) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, q := range l.queues {
		g.Go(func() error { q.run(ctx); return nil })
	}
	return g.Wait()
}

// Stats are the counts of one reconciler since the start.
type Stats struct {
	Name                string
	Runs, Errors, Panic uint64
	Busy                time.Duration // time spent in Reconcile
	Waiting             int           // keys ready to run, running, or backing off after an error
	Quarantined         []string      // keys that are left alone because they make Reconcile panic
}

// Stats gives the counts of each reconciler, in the order of New.
func (l *Loop) Stats() []Stats {
	out := make([]Stats, 0, len(l.queues))
	for _, q := range l.queues {
		out = append(out, q.stats())
	}
	return out
}

// Run runs the reconcilers until ctx ends.
func Run(ctx context.Context, st *store.Store, reconcilers ...Reconciler) error {
	return New(st, nil, reconcilers...).Run(ctx)
}
