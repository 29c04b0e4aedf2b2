package elbv2

import (
	"context"
	"time"

	"berth/reconcile"
	"berth/store"
)

// TargetReconciler removes targets whose draining is over. Keys are target keys.
type TargetReconciler struct{ s *Service }

// Name is elbv2.target.
func (TargetReconciler) Name() string { return "elbv2.target" }

// Triggers: the target, what machines say of it, and machines that come and go.
func (v TargetReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.OnSelf(Targets),
		reconcile.On(TargetHealths, func(h TargetHealth) []string { return []string{h.Target} }),
		reconcile.OnChange(Ingresses, func(old, next *Ingress) (keys []string) {
			if old == nil || !old.Connected || next != nil && next.Connected {
				return nil // one more to wait for ends nothing
			}
			for t := range Targets.By(v.s.Store.Read(), byTargetDraining, old.Account+"/"+old.Region) {
				keys = append(keys, t.Key())
			}
			return keys
		}),
	}
}

// Reconcile ends the draining of one target when every connected ingress of its account and region says that it is
// drained, when no machine can have it, or when its time is over.
func (v TargetReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	now := v.s.Now()
	err = v.s.Store.Update(ctx, func(tx *store.Tx) error {
		again = 0
		t, ok := Targets.Get(tx, key)
		if !ok {
			forgetHealth(tx, key)
			return nil
		}
		if t.Draining == 0 {
			return nil
		}
		if left := time.UnixMilli(t.Until).Sub(now); left > 0 && v.s.carried(tx, t) && !drained(tx, t) {
			again = left
			return nil
		}
		removeTarget(tx, key)
		return nil
	})
	return again, err
}
