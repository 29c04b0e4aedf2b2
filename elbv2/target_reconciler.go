package elbv2

import (
	"context"
	"time"

	"berth/reconcile"
	"berth/store"
)

// TargetReconciler removes targets whose draining is over and those of groups that are gone, and what machines said of targets that are
// gone. It notes first verdicts that come because a machine goes. Keys are target keys.
type TargetReconciler struct{ s *Service }

// Name is elbv2.target.
func (TargetReconciler) Name() string { return "elbv2.target" }

// Triggers: the target, its group's end, what machines say of it, and machines that go.
func (v TargetReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.OnSelf(Targets),
		reconcile.On(TargetHealths, func(h TargetHealth) []string { return []string{h.Target} }),
		reconcile.OnChange(TargetGroups, func(old, next *TargetGroup) []string {
			if next != nil {
				return nil
			}
			return v.keys(byTargetGroup, old.Key())
		}),
		reconcile.OnChange(ConnectPorts, func(old, next *ConnectPort) []string {
			if next != nil {
				return nil
			}
			return v.keys(byTargetGroup, old.GroupKey())
		}),
		reconcile.OnChange(Ingresses, func(old, next *Ingress) []string {
			if old == nil || next != nil && next.Connected {
				return nil // one more to wait for ends nothing
			}
			place := old.Account + "/" + old.Region
			keys := append(v.keys(byTargetDraining, place), v.keys(byTargetUnsettled, place)...)
			if next == nil {
				for h := range TargetHealths.By(v.s.Store.Read(), byHealthIngress, old.Key()) {
					keys = append(keys, h.Target)
				}
			}
			return keys
		}),
	}
}

func (v TargetReconciler) keys(index, value string) (keys []string) {
	for t := range Targets.By(v.s.Store.Read(), index, value) {
		keys = append(keys, t.Key())
	}
	return keys
}

// Reconcile brings one target up to date. Draining ends when every connected ingress of the account and region says that it is
// drained, when no machine can have the target, or when its time is over.
func (v TargetReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	now, more := v.s.Now(), false
	err = v.s.Store.Update(ctx, func(tx *store.Tx) error {
		again = 0
		more = forgetReports(tx, key)
		t, ok := Targets.Get(tx, key)
		if !ok {
			return nil
		}
		if _, grouped := GroupByKey(tx, t.Group); !grouped {
			Targets.Delete(tx, key)
			return nil
		}
		if t.Draining == 0 {
			settle(tx, t)
			return nil
		}
		if left := time.UnixMilli(t.Until).Sub(now); left > 0 && v.s.carried(tx, t) && !drained(tx, t) {
			again = left
			return nil
		}
		Targets.Delete(tx, key)
		return nil
	})
	if more {
		again = time.Millisecond
	}
	return again, err
}

// forgetReports removes what was said of a target that is gone, of another registration of it, or by an ingress that is gone. more says that
// there is more than belongs into one transaction.
func forgetReports(tx *store.Tx, target string) (more bool) {
	const most = 40 // an external etcd takes few operations
	t, ok := Targets.Get(tx, target)
	n := 0
	for h := range TargetHealths.By(tx, byHealthTarget, target) {
		if _, there := Ingresses.Get(tx, h.Ingress); ok && there && h.Since == t.Registered {
			continue
		}
		if n++; n > most {
			return true
		}
		TargetHealths.Delete(tx, h.Key())
	}
	return false
}
