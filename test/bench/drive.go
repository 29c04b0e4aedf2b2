package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// load is one kind of request, the same each time.
type load struct {
	url    string
	header http.Header
	body   []byte
}

// runs is what many requests took.
type runs struct {
	took []time.Duration
	wall time.Duration
}

func (r *runs) add(o runs) { r.took, r.wall = append(r.took, o.took...), r.wall+o.wall }

func (r runs) rate() float64 { return float64(len(r.took)) / r.wall.Seconds() }

// drive sends the request from so many clients at once, each as soon as its last one is answered, for a time or until
// most are done (0: no limit).
func (c *client) drive(ctx context.Context, l load, clients int, d time.Duration, most int64) (runs, error) {
	var (
		wg    sync.WaitGroup
		done  atomic.Int64
		took  = make([][]time.Duration, clients)
		errs  = make([]error, clients)
		began = time.Now()
	)
	for i := range clients {
		wg.Go(func() {
			for ctx.Err() == nil && (most > 0 || time.Since(began) < d) && (most == 0 || done.Add(1) <= most) {
				at := time.Now()
				if _, err := c.send(ctx, l.url, l.header.Clone(), l.body); err != nil {
					errs[i] = err
					return
				}
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	all := runs{wall: time.Since(began)}
	for i := range clients {
		if errs[i] != nil {
			return all, fmt.Errorf("client %d: %w", i, errs[i])
		}
		all.took = append(all.took, took[i]...)
	}
	return all, ctx.Err()
}
