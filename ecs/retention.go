package ecs

import (
	"context"
	"time"

	"berth/reconcile"
	"berth/store"
)

const (
	// deletedClusterLife is how long a deleted cluster stays describable. AWS promises nothing; clients poll for it.
	deletedClusterLife = 24 * time.Hour
	// runTokenLife is how long a clientToken is remembered, at least.
	runTokenLife = 24 * time.Hour
	// tombstoneLife is how long it is known that a purged task must not run: longer than any machine stays away.
	tombstoneLife = 365 * 24 * time.Hour
	// inUseAgain is when a record that is past its time but still needed is looked at again.
	inUseAgain = time.Hour
)

// expiry removes the records of a table when their time is over. Keys are the table's.
type expiry[T any] struct {
	name  string
	store *store.Store
	now   func() time.Time
	table *store.Table[T]
	// left is the time until the record goes; ok is false for records that stay.
	left func(r store.Reader, v T, now time.Time) (left time.Duration, ok bool)
}

func (e expiry[T]) Name() string { return e.name }
func (e expiry[T]) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.OnSelf(e.table)}
}

// Reconcile removes one record if its time is over.
func (e expiry[T]) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	now, r := e.now(), e.store.Read()
	v, found := e.table.Get(r, key)
	if !found {
		return 0, nil
	}
	if left, ok := e.left(r, v, now); !ok || left > 0 {
		return left, nil
	}
	err = e.store.Update(ctx, func(tx *store.Tx) error {
		again = 0
		v, found := e.table.Get(tx, key)
		if !found {
			return nil
		}
		left, ok := e.left(tx, v, now)
		if ok && left <= 0 {
			e.table.Delete(tx, key)
			return nil
		}
		again = left
		return nil
	})
	return again, err
}

func (s *Service) expireClusters() reconcile.Reconciler {
	return expiry[Cluster]{
		name: "ecs.cluster", store: s.store, now: s.now, table: Clusters,
		left: func(r store.Reader, c Cluster, now time.Time) (time.Duration, bool) {
			left := c.Deleted.Time().Add(deletedClusterLife).Sub(now)
			if c.Inactive && left <= 0 && hasAny(Tasks.Prefix(r, c.Key()+"/")) {
				left = inUseAgain // its stopped tasks are describable
			}
			return left, c.Inactive
		},
	}
}

func (s *Service) expireRunTokens() reconcile.Reconciler {
	return expiry[RunToken]{
		name: "ecs.runtoken", store: s.store, now: s.now, table: RunTokens,
		left: func(r store.Reader, t RunToken, now time.Time) (time.Duration, bool) {
			left := t.Created.Time().Add(runTokenLife).Sub(now)
			for _, id := range t.Tasks {
				if _, known := Tasks.Get(r, t.Cluster+"/"+id); known && left <= 0 {
					left = inUseAgain
				}
			}
			return left, true
		},
	}
}

func (s *Service) expireTombstones() reconcile.Reconciler {
	return expiry[Tombstone]{
		name: "ecs.tombstone", store: s.store, now: s.now, table: Tombstones,
		left: func(_ store.Reader, t Tombstone, now time.Time) (time.Duration, bool) {
			return t.Purged.Time().Add(tombstoneLife).Sub(now), true
		},
	}
}

func hasAny[T any](seq func(func(T) bool)) bool {
	for range seq {
		return true
	}
	return false
}
