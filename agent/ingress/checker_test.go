package ingress

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// A target that is registered again is another one: what was found out before does not count.
func TestATargetThatComesBackIsCheckedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		up.Store(true)
		c := newChecker(func() {})
		c.ask = func(context.Context, checked) probe { return probe{ok: up.Load()} }
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); c.wait() }()
		how := checked{Check: haproxy.HealthCheck{Enabled: true, Interval: 30, Timeout: 5, Healthy: 5, Unhealthy: 2}}
		first, again := key{"targetgroup/web/1", "i-1:80", 1}, key{"targetgroup/web/1", "i-1:80", 2}
		c.set(ctx, map[key]checked{first: how}, nil)
		time.Sleep(time.Second)
		if h, _ := c.health(first); h.state != proto.TargetHealthy {
			t.Errorf("the target is %s", h.state)
		}
		up.Store(false)
		c.set(ctx, map[key]checked{again: how}, nil)
		if h, ok := c.health(again); !ok || h.state != proto.TargetInitial {
			t.Errorf("registered again, it is %s", h.state)
		}
		if _, ok := c.health(first); ok {
			t.Error("the earlier registration is still checked")
		}
	})
}
