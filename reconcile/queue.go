package reconcile

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"berth/store"
)

const (
	usualAtOnce = 4 // keys of one reconciler that run at once
	firstPause  = 100 * time.Millisecond
	longest     = time.Minute
	mostPanics  = 3           // in a row, then the key is quarantined
	quarantined = time.Minute // pause of a quarantined key after a change that may have cured it
)

// queue runs one reconciler. Its fields but those under mu belong to the goroutine of run.
type queue struct {
	store  *store.Store
	r      Reconciler
	logger *slog.Logger

	keys             map[string]*entry
	ready            []string
	later            waiting
	running, failing int
	atOnce           int // keys that run at once

	mu     sync.Mutex // guards counts
	counts Stats
}

// entry is a key that is ready, running or waiting for its time.
type entry struct {
	key      string
	ready    bool
	running  bool
	dirty    bool      // woken while it ran
	at       time.Time // when to run; zero: not by time
	place    int       // in later, -1 if not there
	failures int
	panics   int
}

type result struct {
	key   string
	again time.Duration
	err   error
	panic any
	stack []byte
	took  time.Duration
}

func newQueue(st *store.Store, r Reconciler, logger *slog.Logger) *queue {
	q := &queue{store: st, r: r, logger: logger, keys: map[string]*entry{}, counts: Stats{Name: r.Name()}, atOnce: usualAtOnce}
	if w, ok := r.(Waiter); ok {
		q.atOnce = w.AtOnce()
	}
	return q
}

func (q *queue) run(ctx context.Context) {
	byTable := map[string][]Trigger{}
	var tables []store.AnyTable
	for _, t := range q.r.Triggers() {
		if name := t.table.Name(); byTable[name] == nil {
			tables = append(tables, t.table)
		}
		byTable[t.table.Name()] = append(byTable[t.table.Name()], t)
	}
	feed := q.store.Watch(ctx, tables...)
	for _, triggers := range byTable {
		for _, t := range triggers {
			for key := range t.all(feed.Snapshot()) {
				q.wake(key)
			}
		}
	}
	work, results := make(chan string), make(chan result)
	var g sync.WaitGroup
	for range q.atOnce {
		g.Go(func() {
			for key := range work {
				results <- q.call(ctx, key)
			}
		})
	}
	q.loop(ctx, feed, byTable, work, results)
	close(work)
	go func() {
		g.Wait()
		close(results)
	}()
	for range results { // those that were running
	}
}

func (q *queue) loop(ctx context.Context, feed *store.Watcher, triggers map[string][]Trigger, work chan<- string, results <-chan result) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		q.wakeDue()
		q.count()
		out, next := work, ""
		if len(q.ready) == 0 {
			out = nil
		} else {
			next = q.ready[0]
		}
		if len(q.later) > 0 {
			timer.Reset(time.Until(q.later[0].at))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-feed.Ready():
			for _, c := range feed.Take() {
				for _, t := range triggers[c.Table] {
					for _, key := range t.keys(c) {
						q.wake(key)
					}
				}
			}
		case out <- next:
			q.ready = q.ready[1:]
			e := q.keys[next]
			e.ready, e.running = false, true
			q.running++
		case r := <-results:
			q.finish(r)
		case <-timer.C:
		}
	}
}

// wake makes the key run soon: at once, or shortly if it is failing.
func (q *queue) wake(key string) {
	e := q.keys[key]
	if e == nil {
		e = &entry{key: key, place: -1}
		q.keys[key] = e
	}
	switch {
	case e.running:
		e.dirty = true
	case e.ready:
	case e.panics >= mostPanics:
		q.schedule(e, quarantined)
	case e.failures+e.panics > 0:
		q.schedule(e, firstPause)
	default:
		q.push(e)
	}
}

func (q *queue) push(e *entry) {
	if e.place >= 0 {
		heap.Remove(&q.later, e.place)
	}
	e.ready, e.at = true, time.Time{}
	q.ready = append(q.ready, e.key)
}

// schedule makes the entry run after the pause, or earlier if it is to run earlier already.
func (q *queue) schedule(e *entry, pause time.Duration) {
	at := time.Now().Add(pause)
	if e.place >= 0 {
		if at.Before(e.at) {
			e.at = at
			heap.Fix(&q.later, e.place)
		}
		return
	}
	e.at = at
	heap.Push(&q.later, e)
}

func (q *queue) wakeDue() {
	now := time.Now()
	for len(q.later) > 0 && !q.later[0].at.After(now) {
		q.push(q.later[0])
	}
}

func (q *queue) finish(r result) {
	e := q.keys[r.key]
	before, dirty := *e, e.dirty
	q.running--
	e.running, e.dirty = false, false
	q.mu.Lock()
	q.counts.Runs++
	q.counts.Busy += r.took
	if r.err != nil {
		q.counts.Errors++
	}
	if r.panic != nil {
		q.counts.Panic++
	}
	q.mu.Unlock()
	switch {
	case r.panic != nil:
		q.panicked(e, r)
	case r.err != nil:
		e.failures++
		pause := backOff(e.failures)
		q.logger.Warn("reconcile failed", "key", r.key, "err", r.err, "in", pause, "failures", e.failures)
		q.schedule(e, pause)
	default:
		if e.panics >= mostPanics {
			q.logger.Info("key is out of quarantine", "key", r.key)
		}
		e.failures, e.panics = 0, 0
		if r.again > 0 {
			q.schedule(e, r.again)
		}
	}
	q.note(e, before)
	if dirty {
		q.wake(r.key)
	}
	if !e.ready && e.place < 0 && e.failures+e.panics == 0 {
		delete(q.keys, r.key)
	}
}

func (q *queue) panicked(e *entry, r result) {
	e.panics++
	if e.panics < mostPanics {
		q.logger.Error("reconcile panicked", "key", r.key, "err", r.panic, "stack", string(r.stack))
		q.schedule(e, backOff(e.panics))
		return
	}
	q.logger.Error("key is quarantined: reconciling it panics; it is tried again when it changes",
		"key", r.key, "err", r.panic, "panics", e.panics)
}

// backOff is between half and all of a pause that doubles with each failure.
func backOff(failures int) time.Duration {
	pause := longest
	if n := failures - 1; n < 10 {
		pause = min(longest, firstPause<<n)
	}
	return pause/2 + rand.N(pause/2+1)
}

// call runs the reconciler on the key.
func (q *queue) call(ctx context.Context, key string) (r result) {
	start := time.Now()
	r.key = key
	defer func() {
		r.took = time.Since(start)
		if p := recover(); p != nil {
			r.panic, r.stack = fmt.Sprint(p), debug.Stack()
		}
	}()
	r.again, r.err = q.r.Reconcile(ctx, key)
	return r
}

// count publishes how many keys wait.
func (q *queue) count() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.Waiting = len(q.ready) + q.running + q.failing
}

// note keeps the counts of failing and quarantined keys; before is e's state before its run.
func (q *queue) note(e *entry, before entry) {
	if failing := e.failures > 0; failing != (before.failures > 0) {
		if failing {
			q.failing++
		} else {
			q.failing--
		}
	}
	was, is := before.panics >= mostPanics, e.panics >= mostPanics
	if was == is {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if is {
		q.counts.Quarantined = append(slices.Clone(q.counts.Quarantined), e.key)
		return
	}
	q.counts.Quarantined = slices.DeleteFunc(slices.Clone(q.counts.Quarantined), func(k string) bool { return k == e.key })
}

func (q *queue) stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts
}

// waiting is a heap by time.
type waiting []*entry

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].at.Before(w[j].at) }

func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push implements heap.Interface.
func (w *waiting) Push(x any) {
	e := x.(*entry)
	e.place = len(*w)
	*w = append(*w, e)
}

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	last.place = -1
	return last
}
