package ingress

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"berth/agent"
	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Bounds of access logs. What does not fit while the server is away is dropped, newest first, and no request waits for it.
const (
	accessPause = time.Second // lines are gathered for so long
	accessRetry = 5 * time.Second
	accessBytes = 16 << 20
	accessBatch = 1000
	// accessBatchBytes keeps a batch below what CloudWatch Logs takes at once.
	accessBatchBytes = 900 << 10
	accessOverhead   = 26 // of an event, by CloudWatch Logs
	accessGoodbye    = 2 * time.Second
)

// accessLog sends a line for each request of load balancers that have access logs.
type accessLog struct {
	*Ingress
	post agent.Post
	wake chan struct{} // has room for one

	mu      sync.Mutex // guards what follows
	lines   []accessEntry
	bytes   int
	dropped int
}

// accessEntry is one line of a load balancer.
type accessEntry struct {
	balancer string
	event    proto.LogEvent
}

func (a accessEntry) size() int { return len(a.event.Message) + accessOverhead }

func newAccessLog(i *Ingress, post agent.Post) *accessLog {
	return &accessLog{Ingress: i, post: post, wake: make(chan struct{}, 1)}
}

// longLine is more than HAProxy writes at once.
const longLine = 64 << 10

// read takes lines of HAProxy's log until the socket is closed.
func (a *accessLog) read(conn *net.UnixConn) {
	buf := make([]byte, longLine)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			a.log.Warn("HAProxy's log can't be read", "err", err)
			return
		}
		e, err := haproxy.ParseLog(buf[:n])
		if err != nil {
			a.log.Debug("a line of HAProxy's log is not known", "err", err)
			continue
		}
		a.add(e)
	}
}

// add keeps the line of a request, if its load balancer has access logs.
func (a *accessLog) add(e haproxy.Entry) {
	a.Ingress.mu.Lock()
	lb, ok := a.state.logged[e.LoadBalancer]
	instance := a.state.Instance
	a.Ingress.mu.Unlock()
	if !ok {
		return
	}
	place := ""
	if parts := strings.Split(instance, ":"); len(parts) > 4 { // arn:aws:ecs:REGION:ACCOUNT:...
		place = parts[3] + ":" + parts[4]
	}
	entry := accessEntry{e.LoadBalancer, proto.LogEvent{Timestamp: e.At + int64(max(e.Total, 0)), Message: accessLine(e, lb, place)}}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes+entry.size() > accessBytes {
		a.dropped++
		return
	}
	a.lines, a.bytes = append(a.lines, entry), a.bytes+entry.size()
	wake(a.wake)
}

// send sends what is gathered until ctx ends, and then once more.
func (a *accessLog) send(ctx context.Context) {
	for pause := accessPause; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), accessGoodbye)
			defer cancel()
			a.flush(last)
			return
		case <-a.wake:
		}
		select {
		case <-ctx.Done():
			continue
		case <-time.After(pause):
		}
		if pause = accessPause; !a.flush(ctx) {
			pause = accessRetry
			wake(a.wake)
		}
	}
}

// flush sends all lines, oldest first, and tells whether none is left. What the server refuses is dropped: the load balancer has no access
// logs any more, or its log group is none.
func (a *accessLog) flush(ctx context.Context) bool {
	a.mu.Lock()
	dropped := a.dropped
	a.dropped = 0
	a.mu.Unlock()
	if dropped > 0 {
		a.log.Warn("lines of access logs are dropped: the server was away for too long", "lines", dropped)
	}
	for {
		batch, n := a.next()
		if n == 0 {
			return true
		}
		err := a.post(ctx, proto.PathAccessLogs, batch)
		if err != nil && !agent.Refused(err) {
			if ctx.Err() == nil {
				a.log.Warn("access logs wait for the server", "err", err)
			}
			return false
		}
		if err != nil {
			a.log.Error("the server refuses an access log", "loadBalancer", batch.LoadBalancer, "lines", len(batch.Events), "err", err)
		}
		a.drop(batch.LoadBalancer, n)
	}
}

// next is the oldest load balancer's first batch; n is the number of its events.
func (a *accessLog) next() (batch proto.AccessLogBatch, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size := 0
	for _, e := range a.lines {
		if batch.LoadBalancer == "" {
			batch.LoadBalancer = e.balancer
		}
		if e.balancer != batch.LoadBalancer {
			continue
		}
		if size += e.size(); n == accessBatch || n > 0 && size > accessBatchBytes {
			break
		}
		batch.Events = append(batch.Events, e.event)
		n++
	}
	return batch, n
}

// drop forgets the first n lines of a load balancer.
func (a *accessLog) drop(balancer string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var kept []accessEntry
	for _, e := range a.lines {
		if e.balancer == balancer && n > 0 {
			n--
			a.bytes -= e.size()
			continue
		}
		kept = append(kept, e)
	}
	a.lines = kept
}
