package ecs

import (
	"context"
	"time"

	"berth/elbv2"
	"berth/reconcile"
	"berth/store"
)

const (
	// lostAgent is how old LastSeen may become before an instance counts as disconnected, though no session said so:
	// the server that held the session has died, or the agent never came. LastSeen is up to 30 s old while all is well.
	lostAgent = 90 * time.Second
	// inactiveInstanceLife is how long a deregistered instance stays describable and its machine stays refused.
	inactiveInstanceLife = 7 * 24 * time.Hour
)

// InstanceReconciler notices agents that are gone without a word and removes deregistered instances when their time is
// over. Keys are instance keys. It never ends a task (I-08).
type InstanceReconciler struct {
	store *store.Store
	now   func() time.Time
}

// InstanceReconciler is the reconciler of the service's container instances.
func (s *Service) InstanceReconciler() InstanceReconciler {
	return InstanceReconciler{store: s.store, now: s.now}
}

// Name is ecs.instance.
func (InstanceReconciler) Name() string { return "ecs.instance" }

// Triggers: every change of an instance.
func (InstanceReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.OnSelf(ContainerInstances)}
}

// Reconcile brings one instance up to date.
func (i InstanceReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	now := i.now()
	c, ok := ContainerInstances.Get(i.store.Read(), key)
	if left := c.left(now); !ok || left > 0 || !c.dated() {
		return left, nil
	}
	err = i.store.Update(ctx, func(tx *store.Tx) error {
		again = 0
		c, ok := ContainerInstances.Get(tx, key)
		if !ok || !c.dated() {
			return nil
		}
		if again = c.left(now); again > 0 {
			return nil
		}
		if c.Status != InstanceInactive {
			c.Connected, c.Silent = false, MillisOf(now)
			c.Version++
			ContainerInstances.Put(tx, c)
			elbv2.Disconnected(tx, string(c.ARN()))
			return nil
		}
		if Tasks.CountBy(tx, byTaskActive, key) > 0 {
			again = time.Minute // the task reconciler ends them first
			return nil
		}
		ContainerInstances.Delete(tx, key)
		InstanceDescriptions.Delete(tx, key)
		return nil
	})
	return again, err
}

// dated says whether something becomes due for the instance as time goes by.
func (c ContainerInstance) dated() bool { return c.Connected || c.Status == InstanceInactive }

// left is the time until then; zero if nothing will or it is due.
func (c ContainerInstance) left(now time.Time) time.Duration {
	switch {
	case c.Status == InstanceInactive:
		return max(c.Removed.Time().Add(inactiveInstanceLife).Sub(now), 0)
	case c.Connected:
		return max(c.LastSeen.Time().Add(lostAgent).Sub(now), 0)
	}
	return 0
}
