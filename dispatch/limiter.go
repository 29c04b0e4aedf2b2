package dispatch

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of what is asked.
const (
	joinRate  = 1 // attempts a second to join, for each address
	joinBurst = 20
	// Requests of tasks for their protection, for each account and region. Source: ECS service quotas, throttling of task protection.
	protectionRate  = 80
	protectionBurst = 200
	limitedAtOne    = 4096 // addresses that are remembered
)

// limiter bounds how often something is asked, by who asks.
type limiter struct {
	rate  rate.Limit // a second
	burst int

	mu sync.Mutex // guards by
	by map[string]*rate.Limiter
}

func newLimiter(every rate.Limit, burst int) *limiter {
	return &limiter{rate: every, burst: burst, by: map[string]*rate.Limiter{}}
}

func (l *limiter) allow(who string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[who]
	if one == nil {
		if len(l.by) >= limitedAtOne {
			clear(l.by) // forgetting is cheaper than being filled up
		}
		one = rate.NewLimiter(l.rate, l.burst)
		l.by[who] = one
	}
	return one.AllowN(now, 1)
}

func clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
