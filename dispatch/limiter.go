package dispatch

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Attempts to join, for each address.
const (
	joinEvery    = time.Second
	joinBurst    = 20
	limitedAtOne = 4096 // addresses that are remembered
)

// limiter bounds attempts by address.
type limiter struct {
	mu sync.Mutex // guards by
	by map[string]*rate.Limiter
}

func newLimiter() *limiter { return &limiter{by: map[string]*rate.Limiter{}} }

func (l *limiter) allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[address]
	if one == nil {
		if len(l.by) >= limitedAtOne {
			clear(l.by) // forgetting is cheaper than being filled up
		}
		one = rate.NewLimiter(rate.Every(joinEvery), joinBurst)
		l.by[address] = one
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
