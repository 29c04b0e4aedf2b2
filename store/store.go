package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
)

// Config of a store. Tables lists every table that will be used with it.
type Config struct {
	Tables []AnyTable
	Log    Log          // nil: in memory only
	Logger *slog.Logger // nil: slog.Default()
}

// Store is a set of tables. All methods may be called by any goroutine.
type Store struct {
	core  *core
	fence *Fence
}

// core is what all views of one store share.
type core struct {
	tables  []*descriptor
	numbers map[*descriptor]int
	names   map[string]int
	log     Log
	limits  Limits
	logger  *slog.Logger

	durable atomic.Pointer[state]
	wake    chan struct{} // something is queued
	stop    context.CancelFunc
	ended   sync.WaitGroup

	mu         sync.Mutex // guards the fields below; never held during I/O
	seq        uint64
	head       *state // newest: durable plus flight plus queue
	gen        uint64 // rises when states that were not durable are thrown away
	recent     []record
	dropped    uint64 // highest seq no longer in recent
	queue      []*pending
	flight     []*pending
	flightID   uint64        // of the last batch sent
	flightDone uint64        // how many batches were answered
	moved      chan struct{} // closed and replaced whenever durable moves
	watchers   map[int][]*Watcher
	closed     bool
	stalled    bool  // a commit has been under way for stallAfter
	broken     error // why a shared log can't be followed now
}

// record of what one commit changed, for conflict checks.
type record struct {
	seq     uint64
	changes []change
}

// keepRecent is the number of commits against which a transaction can still be checked; an older one runs again.
const keepRecent = 4096

// Open reads the log into memory.
func Open(cfg Config) (*Store, error) {
	c := &core{
		numbers: map[*descriptor]int{}, names: map[string]int{}, log: cfg.Log, logger: cfg.Logger,
		wake: make(chan struct{}, 1), moved: make(chan struct{}), watchers: map[int][]*Watcher{}, stop: func() {},
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	for _, t := range cfg.Tables {
		d := t.descriptor()
		if _, twice := c.names[d.name]; twice {
			return nil, fmt.Errorf("table %s was given to the store twice", d.name)
		}
		c.numbers[d], c.names[d.name] = len(c.tables), len(c.tables)
		c.tables = append(c.tables, d)
	}
	c.head = newState(c.tables)
	if c.log == nil {
		c.durable.Store(c.head)
		return &Store{core: c}, nil
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.limits = c.log.Limits()
	loaded, err := c.load(ctx)
	if err != nil {
		stop()
		return nil, fmt.Errorf("load the store: %w", err)
	}
	c.head = loaded
	c.durable.Store(loaded)
	c.ended.Go(func() { c.commitLoop(ctx) })
	if c.limits.Shared {
		c.ended.Go(func() { c.followLoop(ctx) })
	}
	return &Store{core: c}, nil
}

// Close ends the store's goroutines. Updates that wait get ErrClosed; whether they were written is not known.
// The log is the caller's to close, afterwards.
func (s *Store) Close() error {
	c := s.core
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.ended.Wait()
	c.mu.Lock()
	c.discard(ErrClosed)
	c.mu.Unlock()
	return nil
}

// Read gives the newest durable state. It never blocks.
func (s *Store) Read() *Snapshot { return &Snapshot{s.core, s.core.durable.Load()} }

// MostWrites is how many records one Update may write.
func (s *Store) MostWrites() int {
	if s.core.log == nil {
		return math.MaxInt32
	}
	return s.core.limits.Ops
}

// Health is nil if commits go through and what Read gives is current, as far as this server can tell.
func (s *Store) Health() error {
	c := s.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, c.broken)
	}
	return c.refusal()
}

// refusal is why nothing can be committed now. c.mu is held.
func (c *core) refusal() error {
	switch {
	case c.closed:
		return ErrClosed
	case c.stalled:
		return fmt.Errorf("%w: a commit gets no answer", ErrUnavailable)
	default:
		return nil
	}
}

// Owned is the same store, but its Updates commit only while the ownership is held; else they fail with
// ErrDeposed.
func (s *Store) Owned(f Fence) *Store { return &Store{core: s.core, fence: &f} }

// lockedAfter is the number of conflicts after which a closure runs while nobody else can commit.
const lockedAfter = 4

// errAgain makes Update run its closure again.
var errAgain = errors.New("run again")

// Update runs the closure on the newest state and commits its writes, atomically. It runs again if something
// that it read was changed meanwhile, so: no clock, no randomness, no I/O, no channel, no Update inside, and no
// effect outside but assignments that a second run repeats. It returns when the writes are durable and visible
// to Read. An error of the closure is returned as it is and nothing is written. If ctx ends while the commit
// is under way, its error is returned and whether the commit happened is not known.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		result, wait, err := s.attempt(fn, attempt >= lockedAfter)
		if wait != nil {
			select {
			case commitErr := <-wait.done:
				if commitErr != nil {
					err = commitErr
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err == nil {
			return result
		}
		if !errors.Is(err, errAgain) {
			return err
		}
	}
}

// attempt runs the closure once. result is what Update returns if err, and what wait brings, are nil.
func (s *Store) attempt(fn func(tx *Tx) error, locked bool) (result error, wait *pending, err error) {
	c := s.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusal(); err != nil {
		return nil, nil, err
	}
	tx := c.begin(c.head, c.gen)
	if locked {
		result = tx.run(fn)
	} else {
		result = c.unlocked(tx, fn)
	}
	if err := c.refusal(); err != nil {
		return nil, nil, err
	}
	if tx.gen != c.gen || !c.valid(tx) {
		return nil, nil, errAgain
	}
	if result != nil || len(tx.order) == 0 {
		// The answer may rest on what is not durable yet.
		if len(c.flight)+len(c.queue) == 0 {
			return result, nil, nil
		}
		return result, c.enqueue(&pending{}), nil
	}
	if c.log != nil && (len(tx.order) > c.limits.Ops || tx.bytes > c.limits.Bytes) {
		return nil, nil, fmt.Errorf("%w: %d records, %d bytes", ErrTooLarge, len(tx.order), tx.bytes)
	}
	return nil, c.accept(tx, s.fence), nil
}

// unlocked runs the closure without c.mu, which is held before and after.
func (c *core) unlocked(tx *Tx, fn func(tx *Tx) error) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	return tx.run(fn)
}

func (t *Tx) run(fn func(tx *Tx) error) error {
	defer func() { t.over = true }()
	if err := fn(t); err != nil {
		return err
	}
	return t.err
}

// valid says whether everything that the transaction read is still so in head. c.mu is held.
func (c *core) valid(tx *Tx) bool {
	if tx.base.seq < c.dropped {
		return false
	}
	for i := len(c.recent) - 1; i >= 0 && c.recent[i].seq > tx.base.seq; i-- {
		for j := range c.recent[i].changes {
			if tx.reads.touches(c.tables, &c.recent[i].changes[j]) {
				return false
			}
		}
	}
	return true
}

// accept puts the transaction's writes on top of head. c.mu is held.
func (c *core) accept(tx *Tx, fence *Fence) *pending {
	c.seq++
	next, changes := c.head.with(c.tables, c.seq, tx.order)
	c.head = next
	c.remember(c.seq, changes)
	if c.log == nil {
		next.revision = int64(next.seq)
		forget(changes, next.revision)
		c.publish(next, changes)
		return nil
	}
	return c.enqueue(&pending{writes: tx.order, changes: changes, after: next, reads: tx.reads, bytes: tx.bytes, fence: fence})
}

// forget drops what only the log needed of new rows.
func forget(changes []change, revision int64) {
	for i := range changes {
		if r := changes[i].new; r != nil {
			r.raw = nil
			r.revision.Store(revision)
		}
	}
}

func (c *core) remember(seq uint64, changes []change) {
	c.recent = append(c.recent, record{seq, changes})
	if len(c.recent) >= 2*keepRecent {
		c.dropped = c.recent[keepRecent-1].seq
		c.recent = append(make([]record, 0, 2*keepRecent), c.recent[keepRecent:]...)
	}
}
