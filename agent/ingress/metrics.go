package ingress

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"berth/agent"
	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

const (
	// keptBatches is how many minutes wait for a server that is away; older ones are dropped.
	keptBatches = 60
	longLine    = 64 << 10
)

// meter counts what HAProxy tells of requests and sends the numbers of each minute.
type meter struct {
	*Ingress
	post agent.Post

	access *accessLog

	mu      sync.Mutex // guards current
	current *tally

	pending [][]proto.MetricSample // oldest first; of the sending goroutine
	totals  map[string]int         // connections that a worker had taken at the last look, by process and frontend
}

// read counts lines until the socket is closed.
func (m *meter) read(conn *net.UnixConn) {
	buf := make([]byte, longLine)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			m.log.Warn("HAProxy's log can't be read", "err", err)
			return
		}
		e, err := haproxy.ParseLog(buf[:n])
		if err != nil {
			m.log.Debug("a line of HAProxy's log is not known", "err", err)
			continue
		}
		m.mu.Lock()
		m.current.request(e)
		m.mu.Unlock()
		m.access.add(e)
	}
}

// send closes each minute and sends what is pending, until ctx ends.
func (m *meter) send(ctx context.Context) {
	for {
		next := time.Now().Truncate(period).Add(period)
		wait := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		m.closeMinute(ctx, next)
		m.flush(ctx)
	}
}

// closeMinute takes the numbers of the minute that ended and begins the next.
func (m *meter) closeMinute(ctx context.Context, next time.Time) {
	m.mu.Lock()
	t := m.current
	m.current = newTally(next)
	m.mu.Unlock()
	m.connections(ctx, t)
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

// connections asks all workers for connections that are open and those that were made since the last look.
func (m *meter) connections(ctx context.Context, t *tally) {
	procs, err := m.master.processes(ctx)
	if err != nil {
		return // nobody serves
	}
	totals := map[string]int{}
	for _, w := range procs.Workers {
		text, err := m.master.tell(ctx, w, "show stat -1 1 -1")
		rows, bad := statRows(text)
		if err := errors.Join(err, bad); err != nil {
			m.log.Debug("connections are not counted", "err", err)
			continue
		}
		for _, row := range rows {
			balancer, ok := haproxy.FrontendOwner(row["pxname"])
			space := namespaceOf(balancer)
			if !ok || space == "" {
				continue
			}
			open, _ := strconv.Atoi(row["scur"])
			total, _ := strconv.Atoi(row["conn_tot"])
			id := strconv.Itoa(w.PID) + " " + row["pxname"]
			totals[id] = total
			if space == "AWS/NetworkELB" {
				t.add(series{space, "ActiveFlowCount", count, balancer, ""}, float64(open))
				continue
			}
			t.add(series{space, "ActiveConnectionCount", count, balancer, ""}, float64(open))
			if fresh := total - m.totals[id]; fresh > 0 && m.totals != nil {
				t.add(series{space, "NewConnectionCount", count, balancer, ""}, float64(fresh))
			}
		}
	}
	m.totals = totals
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
