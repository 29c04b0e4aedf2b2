package events

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// request is one change. build adds it to a batch; it runs in the committer.
type request struct {
	build func(b *build) error
	size  int  // bytes of events, for grouping
	alone bool // must see everything before it in the database
	done  chan error
}

// build is a batch in the making.
type build struct {
	db      *pebble.DB
	batch   *pebble.Batch
	e       *Engine
	changed map[uint64]*Totals
	scratch []byte
}

// committerState belongs to the committer, except broken, which the finisher sets.
type committerState struct {
	nextSeq uint64
	dropped map[uint64]struct{}
	fatal   error // why nothing can be written, until the database is opened again
	broken  atomic.Bool
}

// flight is a batch that is applied and waits for the disk.
type flight struct {
	batch *pebble.Batch
	done  []*request
}

// run is the committer.
func (e *Engine) run() {
	defer close(e.stopped)
	e.state.dropped = map[uint64]struct{}{}
	flights := make(chan flight, inFlight)
	finished := make(chan struct{})
	start := func() { go e.finish(flights, finished) }
	start()
	defer func() {
		close(flights)
		<-finished
	}()
	var held *request
	for {
		r := held
		held = nil
		if r == nil {
			select {
			case r = <-e.requests:
			case <-e.closing:
				return
			}
		}
		if e.state.broken.Load() {
			close(flights)
			<-finished
			flights, finished = make(chan flight, inFlight), make(chan struct{})
			e.reopen()
			start()
		}
		var group []*request
		group, held = e.gather(r)
		e.commit(group, flights)
	}
}

// gather takes what else waits, as long as it may go together. held is one that may not.
func (e *Engine) gather(r *request) (group []*request, held *request) {
	group = []*request{r}
	size := r.size
	for !r.alone && size < groupBytes {
		select {
		case next := <-e.requests:
			if next.alone {
				return group, next
			}
			group = append(group, next)
			size += next.size
		default:
			return group, nil
		}
	}
	return group, nil
}

// commit applies one batch and leaves the wait for the disk to the finisher.
func (e *Engine) commit(group []*request, flights chan<- flight) {
	if e.state.fatal != nil {
		answer(group, e.state.fatal)
		return
	}
	b := &build{db: e.db, batch: e.db.NewBatch(), e: e, changed: map[uint64]*Totals{}}
	kept := group[:0:0]
	for _, r := range group {
		if err := r.build(b); err != nil {
			r.done <- err
			continue
		}
		kept = append(kept, r)
	}
	if len(kept) == 0 || b.batch.Empty() && len(b.changed) == 0 {
		_ = b.batch.Close()
		answer(kept, nil)
		return
	}
	if err := e.apply(b); err != nil {
		answer(kept, err)
		return
	}
	flights <- flight{batch: b.batch, done: kept}
}

// apply makes the batch visible.
func (e *Engine) apply(b *build) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.state.fatal = fmt.Errorf("log event store failed, restart the server: %v", p)
			err = e.state.fatal
		}
	}()
	for id, s := range b.changed {
		key := totalsKey(id)
		if s == nil {
			err = b.batch.Delete(key, nil)
		} else {
			err = b.batch.Set(key, s.encode(), nil)
		}
		if err != nil {
			return fmt.Errorf("write log stream totals: %w", err)
		}
	}
	if err := e.db.ApplyNoSyncWait(b.batch, pebble.Sync); err != nil {
		e.state.broken.Store(true)
		return fmt.Errorf("write log events: %w", err)
	}
	e.totals.apply(b.changed)
	return nil
}

// finish is the finisher: it waits until batches are on disk and answers.
func (e *Engine) finish(flights <-chan flight, finished chan<- struct{}) {
	defer close(finished)
	for f := range flights {
		err := f.batch.SyncWait()
		if err != nil {
			e.state.broken.Store(true)
			err = fmt.Errorf("sync log events: %w", err)
		} else {
			_ = f.batch.Close()
		}
		answer(f.done, err)
	}
}

// reopen opens the database again after a failed write: what is on disk is the truth.
func (e *Engine) reopen() {
	if e.state.fatal == nil {
		e.cfg.Log.Warn("log event store is opened again after a failed write")
	}
	e.mu.Lock()
	db := e.db
	e.db = nil
	e.mu.Unlock()
	var err error
	if db != nil {
		// An error of Close is the failure that brought us here.
		if cerr := db.Close(); cerr != nil {
			e.cfg.Log.Warn("log event store closed", "err", cerr)
		}
	}
	// Pebble must not meet a broken disk while it opens: it would go on in the background with half of its parts gone.
	if err = e.probe(); err == nil {
		err = e.open()
	}
	if err != nil {
		e.state.fatal = fmt.Errorf("log event store cannot be opened again: %w", err) // the next request tries again
		return
	}
	e.state.fatal = nil
	e.state.broken.Store(false)
}

// probe tries whether files can be made and written.
func (e *Engine) probe() error {
	path := filepath.Join(e.cfg.Dir, "probe.log")
	f, err := e.cfg.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte("probe"))
	return errors.Join(err, f.Sync(), f.Close(), e.cfg.fs.Remove(path))
}

func answer(requests []*request, err error) {
	for _, r := range requests {
		r.done <- err
	}
}

// totals returns the stream's totals as this batch leaves them.
func (b *build) totals(stream uint64) (Totals, bool) {
	if s, ok := b.changed[stream]; ok {
		if s == nil {
			return Totals{}, false
		}
		return *s, true
	}
	return b.e.totals.get(stream)
}

// Input is one event to append.
type Input struct {
	Timestamp int64
	Message   string
}

// Append adds events to a stream and returns when they are on disk. The events keep their order where timestamps are
// equal. ingestion is in milliseconds since the epoch.
func (e *Engine) Append(ctx context.Context, group, stream uint64, ingestion int64, events []Input) error {
	if len(events) == 0 {
		return nil
	}
	size := 0
	for i := range events {
		size += len(events[i].Message) + Overhead
	}
	if err := e.ballast.room(int64(size) * 2); err != nil {
		return err
	}
	return e.submit(ctx, &request{size: size, done: make(chan error, 1), build: func(b *build) error {
		return b.append(group, stream, ingestion, events)
	}})
}

func (b *build) append(group, stream uint64, ingestion int64, events []Input) error {
	if _, gone := b.e.state.dropped[stream]; gone {
		return ErrNoStream
	}
	s, _ := b.totals(stream)
	s.Group = group
	for i := range events {
		ev := Event{
			Stream: stream, Timestamp: events[i].Timestamp, Ingestion: ingestion,
			Seq: b.e.state.nextSeq, Message: events[i].Message,
		}
		b.e.state.nextSeq++
		b.scratch = appendValue(eventKey(b.scratch[:0], stream, ev.Before()), &ev)
		if err := b.batch.Set(b.scratch[:eventKeyLen], b.scratch[eventKeyLen:], nil); err != nil {
			return fmt.Errorf("write log events: %w", err)
		}
		s.add(&ev)
	}
	b.changed[stream] = &s
	return nil
}

// Drop deletes streams with all their events. Appends to them fail from now on, until the engine is opened again.
func (e *Engine) Drop(ctx context.Context, streams ...uint64) error {
	return e.submit(ctx, &request{alone: true, done: make(chan error, 1), build: func(b *build) error {
		for _, id := range streams {
			b.e.state.dropped[id] = struct{}{}
			if err := b.batch.DeleteRange(eventKey(nil, id, Position{}), streamEnd(nil, id), nil); err != nil {
				return fmt.Errorf("delete log events: %w", err)
			}
			b.changed[id] = nil
		}
		return nil
	}})
}

// trimChunk bounds how long one step of Trim holds up appends.
const trimChunk = 20_000

// Trim deletes the stream's events with timestamps below before (ms since the epoch) and returns how many there were.
func (e *Engine) Trim(ctx context.Context, stream uint64, before int64) (int64, error) {
	var total int64
	for {
		s, ok := e.totals.get(stream)
		if !ok || s.Count == 0 || s.First >= before {
			return total, nil
		}
		var n int64
		err := e.submit(ctx, &request{alone: true, done: make(chan error, 1), build: func(b *build) (err error) {
			n, err = b.trim(stream, before)
			return err
		}})
		if err != nil {
			return total, err
		}
		if total += n; n == 0 {
			return total, nil
		}
	}
}

func (b *build) trim(stream uint64, before int64) (n int64, err error) {
	s, ok := b.totals(stream)
	if !ok {
		return 0, nil
	}
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: eventKey(nil, stream, Position{}), UpperBound: streamEnd(nil, stream)})
	if err != nil {
		return 0, fmt.Errorf("trim log stream: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	valid := it.First()
	for ; valid && n < trimChunk; valid = it.Next() {
		ev, head, err := decodeEvent(it.Key(), it.Value())
		if err != nil {
			return 0, err
		}
		if ev.Timestamp >= before {
			break
		}
		n++
		s.Bytes -= int64(len(it.Value()) - head + Overhead)
	}
	if n == 0 {
		return 0, nil
	}
	s.Count -= n
	end := streamEnd(nil, stream)
	if valid {
		ev, _, err := decodeEvent(it.Key(), it.Value())
		if err != nil {
			return 0, err
		}
		s.First = ev.Timestamp
		end = eventKey(nil, stream, ev.Before())
	}
	if err := b.batch.DeleteRange(eventKey(nil, stream, Position{}), end, nil); err != nil {
		return 0, fmt.Errorf("trim log stream: %w", err)
	}
	b.changed[stream] = &s
	return n, nil
}
