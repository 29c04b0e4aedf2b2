package ec2

import (
	"context"
	"strings"
	"time"

	"berth/reconcile"
	"berth/store"
)

// ZoneReconciler records the zones that machines are in. Keys are account/region/name.
type ZoneReconciler struct{ s *Service }

// Name is ec2.zone.
func (ZoneReconciler) Name() string { return "ec2.zone" }

// Triggers: the machines, which Deps.Machines knows.
func (v ZoneReconciler) Triggers() []reconcile.Trigger { return v.s.Machines }

// Reconcile records one zone. A zone is never taken away.
func (v ZoneReconciler) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	account, rest, _ := strings.Cut(key, "/")
	region, name, _ := strings.Cut(rest, "/")
	return 0, v.s.Store.Update(ctx, func(tx *store.Tx) error {
		EnsureZone(tx, account, region, name)
		return nil
	})
}
