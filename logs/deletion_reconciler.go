package logs

import (
	"context"
	"fmt"
	"time"

	"berth/reconcile"
	"berth/store"
)

// deletionBatch is how many streams of a deleted group one transaction removes.
const deletionBatch = 200

// deletions removes what Deleted records name: the events of a stream, or the streams of a group and then their events.
type deletions struct{ s *Service }

func (d deletions) Name() string { return "logs.deletion" }

func (deletions) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.OnSelf(Deletions)}
}

// Reconcile takes the key of a Deleted record.
func (d deletions) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	del, ok := Deletions.Get(d.s.Store.Read(), key)
	if !ok {
		return 0, nil
	}
	if !del.Group {
		if err := d.s.Events.Drop(ctx, del.ID); err != nil {
			return 0, fmt.Errorf("delete the events of log stream %s: %w", key, err)
		}
		return 0, d.s.Store.Update(ctx, func(tx *store.Tx) error {
			Deletions.Delete(tx, key)
			return nil
		})
	}
	for {
		var streams []Stream
		for l := range Streams.Prefix(d.s.Store.Read(), streamKey(del.Account, del.Region, del.ID, "")) {
			if streams = append(streams, l); len(streams) == deletionBatch {
				break
			}
		}
		ids := make([]uint64, len(streams))
		for i, l := range streams {
			ids[i] = l.ID
		}
		if err := d.s.Events.Drop(ctx, ids...); err != nil {
			return 0, fmt.Errorf("delete the events of log group %s: %w", key, err)
		}
		done := len(streams) < deletionBatch
		err := d.s.Store.Update(ctx, func(tx *store.Tx) error {
			for _, l := range streams {
				Streams.Delete(tx, l.Key())
			}
			if done {
				Deletions.Delete(tx, key)
			}
			return nil
		})
		if err != nil || done {
			return 0, err
		}
	}
}
