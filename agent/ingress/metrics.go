package ingress

import (
	"context"
	"maps"
	"time"

	"berth/agent"
	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// keptBatches is how many minutes wait for a server that is away; older ones are dropped.
const keptBatches = 60

// Times between looks at the counters of workers. What HAProxy counted since the last one is lost when it is killed.
const (
	lookPause = 5 * time.Second
	// A worker that stops is held until it has been looked at for the last time.
	firstLast = 50 * time.Millisecond
	slowLast  = time.Second
)

// meter collects what HAProxy counts and sends the numbers of each minute. It is one goroutine's.
type meter struct {
	*Ingress
	post    agent.Post
	current *tally
	workers map[int]*counted       // by process; nil before the first look
	pending [][]proto.MetricSample // oldest first
}

// counted is what is known of one worker.
type counted struct {
	seen counts
	open map[string]int // connections by frontend
	owed owed
}

// begin takes what workers have counted so far as counted: it was while another agent ran.
func (m *meter) begin(ctx context.Context) {
	m.look(ctx)
	m.current = newTally(time.Now())
	for _, w := range m.workers {
		clear(w.owed)
	}
	if len(m.workers) > 0 {
		m.hold(ctx)
	}
}

// run looks at the counters, closes each minute and sends what is pending, until ctx ends.
func (m *meter) run(ctx context.Context) {
	last := firstLast
	for {
		next := m.current.at.Add(period)
		pause := lookPause
		if m.stopping() {
			pause, last = last, min(2*last, slowLast)
		} else {
			last = firstLast
		}
		wait := time.NewTimer(min(pause, max(0, time.Until(next))))
		select {
		case <-ctx.Done():
			wait.Stop()
			m.release(func(int) bool { return true })
			return
		case <-m.reloaded:
			wait.Stop()
			last = firstLast
		case <-wait.C:
		}
		m.look(ctx)
		if now := time.Now(); !now.Before(next) {
			m.closeMinute(now)
			m.flush(ctx)
		}
	}
}

// look adds to the minute what workers have counted since the last look, and lets those end that count nothing any more.
func (m *meter) look(ctx context.Context) {
	if m.workers == nil {
		m.workers = map[int]*counted{}
	}
	procs, err := m.master.processes(ctx)
	if err != nil {
		return // nobody serves, or the master begins anew
	}
	there := map[int]bool{}
	for _, w := range procs.Workers {
		there[w.PID] = true
		known := m.workers[w.PID]
		if known == nil {
			known = &counted{seen: counts{}, owed: owed{}}
			m.workers[w.PID] = known
		}
		now, err := m.master.look(ctx, w, known.seen)
		if err != nil {
			m.log.Debug("a worker's counters can't be read", "pid", w.PID, "err", err)
			continue
		}
		m.current.count(now.counts.since(known.seen), known.owed)
		known.seen, known.open = now.counts, now.open
		if now.done {
			m.release(func(pid int) bool { return pid == w.PID })
		}
	}
	maps.DeleteFunc(m.workers, func(pid int, _ *counted) bool { return !there[pid] })
	m.release(func(pid int) bool { return !there[pid] })
}

// stopping tells whether a worker waits for its last look.
func (m *meter) stopping() bool {
	m.Ingress.mu.Lock()
	defer m.Ingress.mu.Unlock()
	return len(m.state.held) > 1
}

// closeMinute takes the numbers of the minute that ended and begins the next.
func (m *meter) closeMinute(now time.Time) {
	t := m.current
	m.current = newTally(now)
	for _, w := range m.workers {
		t.connections(w.open)
	}
	m.Ingress.mu.Lock()
	frame := m.state.Frame
	m.Ingress.mu.Unlock()
	t.hosts(frame, func(group string, target haproxy.Target) string {
		if h, ok := m.checks.health(key{group, target.ID, target.Since}); ok && !target.Draining {
			return h.state
		}
		return ""
	})
	if all := t.samples(); len(all) > 0 {
		m.pending = append(m.pending, all)
	}
	if over := len(m.pending) - keptBatches; over > 0 {
		m.log.Warn("numbers of load balancers are dropped: the server was away for too long", "minutes", over)
		m.pending = m.pending[over:]
	}
}

// flush sends pending batches, oldest first, until one is not taken. What the server refuses is dropped: it will not take it later either.
func (m *meter) flush(ctx context.Context) {
	for len(m.pending) > 0 {
		err := m.post(ctx, proto.PathMetrics, proto.MetricBatch{Samples: m.pending[0]})
		if err != nil && !agent.Refused(err) {
			if ctx.Err() == nil {
				m.log.Warn("numbers of load balancers wait for the server", "minutes", len(m.pending), "err", err)
			}
			return
		}
		if err != nil {
			m.log.Error("the server refuses numbers of load balancers", "err", err)
		}
		m.pending = m.pending[1:]
	}
}
