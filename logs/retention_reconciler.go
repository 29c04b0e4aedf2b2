package logs

import (
	"context"
	"fmt"
	"time"

	"berth/logs/events"
	"berth/reconcile"
)

// How often a group with a retention is looked at, at least and at most.
const (
	retentionMax = time.Hour
	retentionMin = time.Minute
)

// retention deletes events that are older than their group keeps them.
type retention struct{ s *Service }

func (r retention) Name() string { return "logs.retention" }

func (retention) Triggers() []reconcile.Trigger { return []reconcile.Trigger{reconcile.OnSelf(Groups)} }

// Reconcile takes the key of a group.
func (r retention) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	snap := r.s.Store.Read()
	g, ok := Groups.Get(snap, key)
	if !ok || g.Retention == 0 {
		return 0, nil
	}
	now := time.Now()
	oldest := g.oldest(now)
	again := retentionMax
	for l := range Streams.Prefix(snap, g.streamKey("")) {
		if _, err := r.s.Events.Trim(ctx, l.ID, oldest); err != nil {
			return 0, fmt.Errorf("apply the retention of log group %s: %w", key, err)
		}
		if t, ok := r.s.Events.Totals(l.ID); ok && t.Count > 0 {
			again = min(again, untilExpiry(t, oldest))
		}
	}
	return max(again, retentionMin), nil
}

func untilExpiry(t events.Totals, oldest int64) time.Duration {
	return time.Duration(t.First-oldest+1) * time.Millisecond
}
