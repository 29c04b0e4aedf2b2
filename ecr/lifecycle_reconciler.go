package ecr

import (
	"context"
	"fmt"
	"slices"
	"time"

	api "berth/api/ecr"
	"berth/ecr/lifecycle"
	"berth/reconcile"
	"berth/store"
)

// How often a policy is looked at when nothing changes: at least, and again for images that could not go yet.
const (
	expiryPeriod = 24 * time.Hour
	expiryRetry  = time.Hour
	// evaluatedEvery is how exact LastEvaluatedAt is.
	evaluatedEvery = time.Minute
)

// expiry carries out lifecycle policies. An image that a task uses, or that an index in use names, stays.
type expiry struct{ s *Service }

func (e expiry) Name() string { return "ecr.lifecycle" }

func (e expiry) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.OnSelf(Repositories),
		reconcile.On(Images, func(i Image) []string { return []string{i.repositoryKey()} }),
	}
}

// Reconcile takes the key of a repository.
func (e expiry) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	if r, ok := Repositories.Get(e.s.Store.Read(), key); !ok || r.Lifecycle == "" || r.Deleting {
		return 0, nil
	}
	err = e.s.locked(key, func() error {
		again, err = e.apply(ctx, key, time.Now())
		return err
	})
	return again, err
}

func (e expiry) apply(ctx context.Context, key string, now time.Time) (time.Duration, error) {
	snap := e.s.Store.Read()
	repo, ok := Repositories.Get(snap, key)
	if !ok || repo.Lifecycle == "" || repo.Deleting {
		return 0, nil
	}
	policy, err := lifecycle.Parse(repo.Lifecycle)
	if err != nil {
		return 0, fmt.Errorf("lifecycle policy of %s: %w", key, err)
	}
	var images []lifecycle.Image
	for i := range Images.Prefix(snap, key+":") {
		l := lifecycle.Image{Digest: i.Digest, Tags: i.Tags, Pushed: time.UnixMilli(i.Pushed)}
		if i.Pulled != 0 {
			l.Pulled = time.UnixMilli(i.Pulled)
		}
		images = append(images, l)
	}
	plan := lifecycle.Evaluate(policy, images, now)
	again := expiryPeriod
	if !plan.Again.IsZero() {
		again = min(again, max(plan.Again.Sub(now), 0)+time.Second)
	}
	kept, err := e.expire(ctx, repo, plan.Expire)
	if err != nil {
		return 0, err
	}
	if kept {
		again = min(again, expiryRetry)
	}
	if now.Sub(time.UnixMilli(repo.Evaluated)) < evaluatedEvery {
		return again, nil
	}
	return again, e.s.Store.Update(ctx, func(tx *store.Tx) error {
		if r, ok := Repositories.Get(tx, key); ok {
			r.Evaluated = now.UnixMilli()
			Repositories.Put(tx, r)
		}
		return nil
	})
}

// expire deletes images, indexes first, as those that an index names can go only after it. kept says that one stayed.
func (e expiry) expire(ctx context.Context, repo Repository, plan []lifecycle.Expired) (kept bool, err error) {
	snap := e.s.Store.Read()
	isIndex := func(x lifecycle.Expired) int {
		if i, _ := Images.Get(snap, repo.Key()+":"+x.Digest); len(i.Children) > 0 {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(plan, func(a, b lifecycle.Expired) int { return isIndex(a) - isIndex(b) })
	for _, x := range plan {
		i, ok := Images.Get(e.s.Store.Read(), repo.Key()+":"+x.Digest)
		if !ok {
			continue
		}
		if e.used(i) {
			kept = true
			continue
		}
		gone, failure, err := e.s.deleteImage(ctx, repo, api.ImageIdentifier{ImageDigest: new(x.Digest)})
		if err != nil {
			return kept, err
		}
		if failure != nil {
			kept = true
			continue
		}
		e.s.Log.Info("image expired", "image", i.Key(), "tags", len(gone), "rule", x.Priority)
	}
	return kept, nil
}

func (e expiry) used(i Image) bool {
	if e.s.InUse(i.Digest) || slices.ContainsFunc(i.Children, e.s.InUse) {
		return true
	}
	for parent := range Images.By(e.s.Store.Read(), "child", i.Key()) {
		if e.s.InUse(parent.Digest) {
			return true
		}
	}
	return false
}
