package ecs

import (
	"cmp"
	"context"
	"slices"
	"time"

	"berth/aws"
	"berth/store"
)

// Event is one line of a service's history as people read it.
type Event struct {
	ID      string
	Cluster string // name
	Service string // name
	At      time.Time
	Message string
}

// Events are the events of a service of the caller's, or (name empty) of all services of the cluster, that happened at since or later: the
// newest limit of them, oldest first. Events are kept for 30 days.
// Errors: ClusterNotFoundException, ServiceNotFoundException.
func (s *Service) Events(ctx context.Context, cluster, name string, since time.Time, limit int) ([]Event, error) {
	r, caller := s.store.Read(), aws.CallerFrom(ctx)
	c, err := activeCluster(ctx, r, &cluster)
	if err != nil {
		return nil, err
	}
	var out []Event
	if name != "" {
		v, ok := findService(r, caller, c.Name, name)
		if !ok {
			return nil, aws.Errorf(codeServiceNotFound, msgServiceNotFound)
		}
		out = eventsOf(r, v, MillisOf(since), limit)
	} else {
		for v := range Services.Prefix(r, c.Key()+"/") {
			out = append(out, eventsOf(r, v, MillisOf(since), limit)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	return out[max(0, len(out)-limit):], nil
}

// eventsOf are the newest events of one service, oldest first.
func eventsOf(r store.Reader, v ServiceRecord, since Millis, limit int) (out []Event) {
	for n := v.Events; n > 0 && len(out) < limit; n-- {
		e, ok := ServiceEvents.Get(r, eventKey(v.Key(), n))
		if !ok || e.At < since {
			break
		}
		out = append(out, Event{ID: v.eventID(n), Service: v.Name, Cluster: v.Cluster, At: e.At.Time(), Message: e.Message})
	}
	slices.Reverse(out)
	return out
}
