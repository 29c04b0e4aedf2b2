package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// loadBatch is how many records are decoded together at the start.
const loadBatch = 4096

// load reads the whole log into a new state.
func (c *core) load(ctx context.Context) (*state, error) {
	s := newState(c.tables)
	unknown := map[string]int{}
	batch := make([]Record, 0, loadBatch)
	add := func() error {
		rows, err := c.decodeAll(batch)
		if err != nil {
			return err
		}
		for i, r := range batch {
			n := c.names[r.Table]
			s.tables[n].apply(c.tables[n], &write{table: n, key: r.Key, row: rows[i]})
		}
		batch = batch[:0]
		return nil
	}
	revision, err := c.log.Load(ctx, func(r Record) error {
		if _, ok := c.names[r.Table]; !ok {
			unknown[r.Table]++
			return nil
		}
		if batch = append(batch, r); len(batch) < loadBatch {
			return nil
		}
		return add()
	})
	if err == nil {
		err = add()
	}
	if err != nil {
		return nil, err
	}
	for name, n := range unknown {
		c.logger.Warn("table is not known to this version and is left as it is", "table", name, "records", n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	s.revision, s.seq = revision, c.seq
	return s, nil
}

// decodeAll decodes records of known tables on all processors.
func (c *core) decodeAll(records []Record) ([]*row, error) {
	rows := make([]*row, len(records))
	parts := runtime.GOMAXPROCS(0)
	errs := make([]error, parts)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			for i := part; i < len(records); i += parts {
				r := &records[i]
				v, err := c.tables[c.names[r.Table]].read(r.Key, r.Value)
				if err != nil {
					errs[part] = err
					return
				}
				rows[i] = durableRow(r.Key, v, r.Revision)
			}
		})
	}
	wg.Wait()
	return rows, errors.Join(errs...)
}

// followRetry is the pause before following again after an error.
const followRetry = 200 * time.Millisecond

// followLoop keeps the durable state of a shared log current.
func (c *core) followLoop(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.log.Follow(ctx, c.durable.Load().revision, c.follow)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrGap) {
			err = c.reload(ctx)
		}
		if err != nil {
			c.logger.Warn("following the log was interrupted", "err", err)
		}
		c.mu.Lock()
		c.broken = err
		c.mu.Unlock()
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
		}
	}
}

// follow applies one commit of the log.
func (c *core) follow(commit Commit) error {
	writes, err := c.decode(commit)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = nil
	if commit.Revision <= c.durable.Load().revision {
		return nil
	}
	if commit.Own != 0 && commit.Own == c.flightID && len(c.flight) > 0 {
		c.install(commit.Revision)
		return nil
	}
	c.applyForeign(writes, commit.Revision)
	return nil
}

func (c *core) decode(commit Commit) ([]*write, error) {
	var writes []*write
	for _, w := range commit.Writes {
		n, ok := c.names[w.Table]
		if !ok {
			continue
		}
		out := &write{table: n, key: w.Key}
		if w.Value != nil {
			v, err := c.tables[n].read(w.Key, w.Value)
			if err != nil {
				return nil, fmt.Errorf("revision %d: %w", commit.Revision, err)
			}
			out.row = durableRow(w.Key, v, commit.Revision)
		}
		writes = append(writes, out)
	}
	return writes, nil
}

// applyForeign puts another server's commit under what is not durable here. c.mu is held.
func (c *core) applyForeign(writes []*write, revision int64) {
	c.seq++
	next, changes := c.durable.Load().with(c.tables, c.seq, writes)
	next.revision = revision
	c.remember(c.seq, changes)
	c.publish(next, changes)
	for _, p := range c.queue {
		if p.disturbed(c.tables, changes) {
			c.requeue(errAgain)
			break
		}
	}
	c.rebase()
	close(c.moved)
	c.moved = make(chan struct{})
}

// disturbed says whether the changes alter what the transaction read. What is in flight is judged by the log.
func (p *pending) disturbed(ds []*descriptor, changes []change) bool {
	for i := range changes {
		if p.reads.touches(ds, &changes[i]) {
			return true
		}
	}
	return false
}

// requeue takes back everything that was not sent yet; errAgain makes it run again. c.mu is held.
func (c *core) requeue(err error) {
	for _, p := range c.queue {
		p.done <- err
	}
	c.queue = nil
	c.gen++
}

// rebase builds head, and the states between, from durable again. c.mu is held.
func (c *core) rebase() {
	head := *c.durable.Load()
	c.seq++
	head.seq = c.seq
	c.head = &head
	for _, list := range [][]*pending{c.flight, c.queue} {
		for _, p := range list {
			if len(p.writes) == 0 {
				continue
			}
			c.seq++
			p.after, p.changes = c.head.with(c.tables, c.seq, p.writes)
			c.head = p.after
		}
	}
}

// reload replaces the durable state by what the log has now.
func (c *core) reload(ctx context.Context) error {
	fresh, err := c.load(ctx)
	if err != nil {
		return fmt.Errorf("reload the store: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.durable.Load(); fresh.revision > old.revision {
		c.applyForeign(difference(old, fresh), fresh.revision)
	}
	return nil
}

// difference gives the writes that turn one state into the other.
func difference(from, to *state) []*write {
	var out []*write
	for n := range from.tables {
		a, b := from.tables[n], to.tables[n]
		a.rows.Scan(func(key string, _ *row) bool {
			if b.get(key) == nil {
				out = append(out, &write{table: n, key: key})
			}
			return true
		})
		b.rows.Scan(func(key string, r *row) bool {
			if have := a.get(key); have == nil || have.revision.Load() != r.revision.Load() {
				out = append(out, &write{table: n, key: key, row: r})
			}
			return true
		})
	}
	return out
}
