package ingress

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"berth/elbv2/haproxy"
)

// manyChecks is how many checks are under way at a time.
const manyChecks = 256

// checker checks targets, each in a goroutine of its own.
type checker struct {
	ask     func(ctx context.Context, c checked) probe
	changed func() // called after the health of a target has changed; it must not block
	slots   chan struct{}

	mu      sync.Mutex // guards targets and what they hold
	targets map[key]*watched
	running sync.WaitGroup
}

// key names one registration of a target of a group: one that comes back is another, of which nothing is known.
type key struct {
	group, target string
	since         int64
}

// watched is a target that is being checked.
type watched struct {
	checked
	health health
	stop   context.CancelFunc
}

func newChecker(changed func()) *checker {
	return &checker{
		ask: func(ctx context.Context, c checked) probe { return c.ask(ctx) }, changed: changed,
		slots: make(chan struct{}, manyChecks), targets: map[key]*watched{},
	}
}

// set makes want what is checked. A target whose check has changed keeps its health and is asked anew at once; those in served
// begin as healthy.
func (c *checker) set(ctx context.Context, want map[key]checked, served map[key]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, w := range c.targets {
		if _, ok := want[k]; !ok {
			w.stop()
			delete(c.targets, k)
		}
	}
	for k, how := range want {
		w := c.targets[k]
		if w != nil && w.checked == how {
			continue
		}
		next := &watched{checked: how, health: newHealth(how.Check, served[k])}
		if w != nil {
			w.stop()
			if w.Check.Enabled && how.Check.Enabled {
				next.health = w.health
			}
		}
		c.targets[k] = next
		if !how.Check.Enabled {
			next.stop = func() {}
			continue
		}
		own, stop := context.WithCancel(ctx)
		next.stop = stop
		c.running.Go(func() { c.watch(own, next) })
	}
}

// watch checks one target until ctx ends.
func (c *checker) watch(ctx context.Context, w *watched) {
	for {
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		p := c.ask(ctx, w.checked)
		<-c.slots
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		before := w.health
		w.health.take(p, w.Check, time.Now())
		pause, same := w.health.pause(w.Check), before.state == w.health.state && before.reason == w.health.reason && before.description == w.health.description
		c.mu.Unlock()
		if !same {
			c.changed()
		}
		// Up to a tenth earlier, so that checks of many targets don't fall together.
		wait := time.NewTimer(pause - rand.N(pause/10+1))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// health returns what is known of a target.
func (c *checker) health(k key) (health, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.targets[k]
	if w == nil {
		return health{}, false
	}
	return w.health, true
}

// wait returns when every check has ended; their contexts must be done.
func (c *checker) wait() { c.running.Wait() }

// checkedTarget says how a machine checks a target.
func checkedTarget(m haproxy.Machine, g haproxy.Group, t haproxy.Target) (checked, bool) {
	if g.Check.Port != 0 {
		t.Port = g.Check.Port
	}
	at, ok := m.At(t)
	return checked{Check: g.Check, Version: g.Version, At: at, Host: hostHeader(t, g.Check.Protocol)}, ok
}
