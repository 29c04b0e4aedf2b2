package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	own "berth/api/berth"
)

// followEventsEvery is how often `berth events -f` asks for new events.
const followEventsEvery = time.Second

// EventPrinter writes service events, each once, and goes on with those that come.
type EventPrinter struct {
	Client  *Client
	Cluster string
	Service string // empty: all of the cluster
	Out     io.Writer
	JSON    bool

	seen map[string]bool // IDs of events at the time of the last one
	last time.Time
}

// Print writes all events from since on and, with follow, those that come until ctx ends.
func (p *EventPrinter) Print(ctx context.Context, since time.Time, follow bool) error {
	p.seen, p.last = map[string]bool{}, since
	for {
		out, err := Call[own.ListEventsResponse](ctx, p.Client, Own, "ListEvents", own.ListEventsRequest{
			Cluster: p.Cluster, Service: p.Service, Since: p.last.UnixMilli(),
		})
		if err != nil {
			return ended(ctx, err)
		}
		for _, e := range out.Events {
			if err := p.write(e); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEventsEvery):
		}
	}
}

// ended is nil if the error only comes from the end of following.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *EventPrinter) write(e own.Event) error {
	if p.seen[e.ID] {
		return nil
	}
	if e.At.After(p.last) {
		p.last, p.seen = e.At, map[string]bool{}
	}
	p.seen[e.ID] = true
	if p.JSON {
		return PrintJSON(p.Out, e)
	}
	_, err := fmt.Fprintf(p.Out, "%s  %s\n", e.At.Local().Format(time.DateTime), e.Message)
	return err
}
