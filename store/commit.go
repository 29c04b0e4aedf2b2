package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// pending is an accepted transaction that is not durable yet. One without writes waits for those before it.
type pending struct {
	writes  []*write
	changes []change
	after   *state // durable, plus everything before it, plus itself
	reads   readSet
	bytes   int
	fence   *Fence
	done    chan error // has room for one
}

// enqueue is called with c.mu held.
func (c *core) enqueue(p *pending) *pending {
	p.done = make(chan error, 1)
	c.queue = append(c.queue, p)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return p
}

func (c *core) commitLoop(ctx context.Context) {
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			c.gather()
			batch := c.nextBatch()
			if batch == nil {
				break
			}
			c.commit(ctx, batch)
		}
	}
}

// gather lets writers that were just answered queue their next update, so that it shares this commit. It only
// yields while the queue grows, so a single writer loses nothing.
func (c *core) gather() {
	const most = 16
	before := -1
	for range most {
		c.mu.Lock()
		now := len(c.queue)
		c.mu.Unlock()
		if now <= before {
			return
		}
		before = now
		runtime.Gosched()
	}
}

// nextBatch moves what fits into one commit from the queue to flight. Nil if there is nothing to write.
func (c *core) nextBatch() *Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ops, bytes := 0, 0, 0
	var fence *Fence
	for _, p := range c.queue {
		if n > 0 && (ops+len(p.writes) > c.limits.Ops || bytes+p.bytes > c.limits.Bytes) {
			break
		}
		if p.fence != nil && (fence != nil && *fence != *p.fence) || (ops > 0 && (p.fence == nil) != (fence == nil) && len(p.writes) > 0) {
			break
		}
		if p.fence != nil {
			fence = p.fence
		}
		n, ops, bytes = n+1, ops+len(p.writes), bytes+p.bytes
	}
	c.flight, c.queue = c.queue[:n:n], c.queue[n:]
	if ops == 0 {
		c.settle(nil)
		return nil
	}
	c.flightID++
	b := &Batch{ID: c.flightID, Writes: make([]Write, 0, ops), Fence: fence}
	at := make(map[ref]int, ops)
	for _, p := range c.flight {
		for _, w := range p.writes {
			out := Write{Table: c.tables[w.table].name, Key: w.key}
			if w.row != nil {
				out.Value = w.row.raw
			}
			r := ref{w.table, w.key}
			if i, ok := at[r]; ok {
				b.Writes[i] = out
				continue
			}
			at[r] = len(b.Writes)
			b.Writes = append(b.Writes, out)
		}
	}
	if c.limits.Shared {
		b.Expect = c.expectations()
	}
	return b
}

// expectations are what the transactions in flight read, as it is in the durable state. Conflicts up to there
// were found here; these find the ones that this server has not heard of. c.mu is held.
func (c *core) expectations() []Expect {
	durable := c.durable.Load()
	keys, tables := map[ref]struct{}{}, map[int]struct{}{}
	for _, p := range c.flight {
		for r := range p.reads.keys {
			keys[r] = struct{}{}
		}
		for _, s := range p.reads.spans {
			tables[s.table] = struct{}{}
		}
		for r := range p.reads.indexes {
			tables[r.table] = struct{}{}
		}
	}
	if len(keys) > c.limits.Ops/2 {
		for r := range keys {
			tables[r.table] = struct{}{}
		}
	}
	var out []Expect
	for t := range tables {
		out = append(out, Expect{Table: c.tables[t].name, Revision: durable.revision})
	}
	for r := range keys {
		if _, whole := tables[r.table]; whole {
			continue
		}
		e := Expect{Table: c.tables[r.table].name, Key: r.key}
		if row := durable.tables[r.table].get(r.key); row != nil {
			e.Revision = row.revision.Load()
		}
		out = append(out, e)
	}
	return out
}

// stallAfter is how long a commit may take before further updates are refused instead of waiting behind it.
const stallAfter = 5 * time.Second

func (c *core) commit(ctx context.Context, b *Batch) {
	watchdog := time.AfterFunc(stallAfter, c.stall)
	defer watchdog.Stop()
	revision, err := c.log.Commit(ctx, b)
	if err == nil && c.limits.Shared {
		c.waitFor(ctx, revision)
	}
	if errors.Is(err, ErrConflict) {
		c.waitPast(ctx, c.durable.Load().revision)
		err = errAgain
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flightDone++
	c.stalled = false
	switch {
	case err == nil && len(c.flight) == 0: // followLoop was faster
	case err == nil && c.limits.Shared && c.durable.Load().revision >= revision:
		c.settle(nil) // came with a reload
		c.rebase()
	case err == nil && c.limits.Shared:
		c.discard(ErrClosed)
	case err == nil:
		c.install(revision)
	default:
		c.discard(err)
	}
}

// stall refuses what waits behind the commit under way, whose own outcome is open.
func (c *core) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flightDone == c.flightID {
		return // it was answered after all
	}
	c.stalled = true
	c.logger.Error("the log gives no answer, updates are refused")
	c.requeue(fmt.Errorf("%w: a commit gets no answer", ErrUnavailable))
	c.rebase()
}

// install makes what is in flight durable. c.mu is held.
func (c *core) install(revision int64) {
	var changes []change
	var last *state
	for _, p := range c.flight {
		if p.after != nil {
			last = p.after
		}
		changes = append(changes, p.changes...)
	}
	if last != nil {
		next := *last
		next.revision = revision
		forget(changes, revision)
		c.publish(&next, changes)
	}
	c.settle(nil)
}

// settle answers those in flight. c.mu is held.
func (c *core) settle(err error) {
	for _, p := range c.flight {
		p.done <- err
	}
	c.flight = nil
	close(c.moved)
	c.moved = make(chan struct{})
}

// discard throws away every state that is not durable. c.mu is held.
func (c *core) discard(err error) {
	c.flight = append(c.flight, c.queue...)
	c.queue = nil
	c.settle(err)
	c.gen++
	c.seq++
	head := *c.durable.Load()
	head.seq = c.seq
	c.head = &head
}

// waitFor waits until the durable state has reached the revision.
func (c *core) waitFor(ctx context.Context, revision int64) {
	for {
		c.mu.Lock()
		moved, have := c.moved, c.durable.Load().revision
		c.mu.Unlock()
		if have >= revision {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// conflictWait is how long a conflicting commit of another server may take to arrive before closures run again
// without it.
const conflictWait = 200 * time.Millisecond

func (c *core) waitPast(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, conflictWait)
	defer cancel()
	c.waitFor(ctx, revision+1)
}
