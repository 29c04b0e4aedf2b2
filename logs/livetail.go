package logs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	api "berth/api/logs"
	"berth/aws"
	"berth/logs/events"
	"berth/logs/pattern"
)

// Limits of live tails. Source: API reference of StartLiveTail.
const (
	tailPeriod = time.Second
	tailEvents = 500
	tailLength = 3 * time.Hour
)

// tails are the live tails that run now.
type tails struct {
	mu  *sync.Mutex // guards all and what is collected in each
	all map[*tail]struct{}
}

func newTails() tails { return tails{mu: new(sync.Mutex), all: map[*tail]struct{}{}} }

// tail is one session. Everything but the collected events is fixed.
type tail struct {
	groups   map[uint64]string // ARN by ID
	names    []string
	prefixes []string
	pattern  *pattern.Pattern

	collected []api.LiveTailSessionLogEvent
	sampled   bool
}

// StartLiveTail sends, every second, the events that came in since. A second with more than 500 is sampled.
func (s *Service) StartLiveTail(ctx context.Context, in *api.StartLiveTailRequest) (*api.StartLiveTailResponse, error) {
	t := &tail{groups: map[uint64]string{}, names: in.LogStreamNames, prefixes: in.LogStreamNamePrefixes}
	r := s.Store.Read()
	if (in.LogStreamNames != nil || in.LogStreamNamePrefixes != nil) && len(in.LogGroupIdentifiers) > 1 {
		return nil, invalid("logStreamNames and logStreamNamePrefixes need exactly one log group.")
	}
	if in.LogStreamNames != nil && in.LogStreamNamePrefixes != nil {
		return nil, invalid("logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.")
	}
	for _, id := range in.LogGroupIdentifiers {
		g, err := s.group(ctx, r, nil, &id)
		if err != nil {
			return nil, err
		}
		t.groups[g.ID] = g.Account + ":" + g.Name
	}
	var err error
	if t.pattern, err = pattern.Parse(aws.Value(in.LogEventFilterPattern)); err != nil {
		return nil, invalid("Invalid filter pattern: %s", err)
	}
	start := api.LiveTailSessionStart{
		RequestId: new(aws.RequestIDFrom(ctx)), SessionId: new(aws.NewUUID()), LogGroupIdentifiers: in.LogGroupIdentifiers,
		LogStreamNames: in.LogStreamNames, LogStreamNamePrefixes: in.LogStreamNamePrefixes, LogEventFilterPattern: in.LogEventFilterPattern,
	}
	return &api.StartLiveTailResponse{ResponseStream: func(ctx context.Context, send func(string, any) error) error {
		s.tails.add(t)
		defer s.tails.remove(t)
		if err := send("sessionStart", start); err != nil {
			return err
		}
		return s.tails.run(ctx, t, send)
	}}, nil
}

func (ts *tails) run(ctx context.Context, t *tail, send func(string, any) error) error {
	tick := time.NewTicker(tailPeriod)
	defer tick.Stop()
	for end := time.Now().Add(tailLength); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			if now.After(end) {
				return aws.Errorf("SessionTimeoutException", "The session timed out after %s.", tailLength)
			}
			if err := send("sessionUpdate", ts.take(t)); err != nil {
				return err
			}
		}
	}
}

func (ts *tails) add(t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all[t] = struct{}{}
}

func (ts *tails) remove(t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, t)
}

// take empties what was collected into one update.
func (ts *tails) take(t *tail) api.LiveTailSessionUpdate {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	out := api.LiveTailSessionUpdate{
		SessionMetadata: &api.LiveTailSessionMetadata{Sampled: new(t.sampled)},
		SessionResults:  append([]api.LiveTailSessionLogEvent{}, t.collected...),
	}
	t.collected, t.sampled = nil, false
	return out
}

// publish gives new events to the tails that want them.
func (ts *tails) publish(g Group, l Stream, ingestion int64, batch []events.Input) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.all {
		group, ok := t.groups[g.ID]
		if !ok || !t.wants(l.Name) {
			continue
		}
		for _, e := range batch {
			if !t.pattern.Match(e.Message) {
				continue
			}
			if len(t.collected) >= tailEvents {
				t.sampled = true
				break
			}
			t.collected = append(t.collected, api.LiveTailSessionLogEvent{
				LogGroupIdentifier: new(group), LogStreamName: new(l.Name), Message: new(e.Message),
				Timestamp: new(e.Timestamp), IngestionTime: new(ingestion),
			})
		}
	}
}

func (t *tail) wants(stream string) bool {
	if t.names == nil && t.prefixes == nil {
		return true
	}
	return slices.Contains(t.names, stream) ||
		slices.ContainsFunc(t.prefixes, func(p string) bool { return strings.HasPrefix(stream, p) })
}
