package ecr

import (
	"context"
	"time"

	"berth/reconcile"
)

// repositories finishes deletions, and compares each repository's records with its files once in the life of the
// process: a crash may have come between a change of files and that of records.
type repositories struct{ s *Service }

func (r repositories) Name() string { return "ecr.repository" }

func (r repositories) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.OnSelf(Repositories)}
}

// Reconcile takes the key of a repository.
func (r repositories) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	return 0, r.s.locked(key, func() error {
		repo, ok := Repositories.Get(r.s.Store.Read(), key)
		switch {
		case !ok:
			r.s.indexed.Delete(key)
			return nil
		case repo.Deleting:
			return r.s.finishDeletion(ctx, key)
		}
		if _, done := r.s.indexed.Load(key); done {
			return nil
		}
		if err := r.s.reindex(ctx, repo); err != nil {
			return err
		}
		r.s.indexed.Store(key, struct{}{})
		return nil
	})
}

// collectPeriod is how often unused bytes are looked for.
const collectPeriod = time.Hour

// collection removes unused bytes.
type collection struct{ s *Service }

func (c collection) Name() string { return "ecr.collection" }

func (c collection) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.On(Repositories, func(Repository) []string { return []string{"registry"} })}
}

// Reconcile has one key for the whole registry.
func (c collection) Reconcile(ctx context.Context, _ string) (time.Duration, error) {
	now := time.Now()
	if last := c.s.collected.Load(); last != nil && now.Sub(*last) < collectPeriod {
		return collectPeriod - now.Sub(*last), nil
	}
	if _, err := c.s.Collect(ctx); err != nil {
		return 0, err
	}
	c.s.collected.Store(&now)
	return collectPeriod, nil
}
