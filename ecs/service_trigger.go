package ecs

import (
	"cmp"
	"slices"

	"berth/elbv2"
)

// targetOf wakes the service whose task is behind a target that came, went or changed.
func (v ServiceReconciler) targetOf(t *elbv2.Target) []string {
	return serviceOfTarget(v.s.store.Read(), *t)
}

// healthChanged wakes the service whose task is behind a target that a machine finds in another state.
func (v ServiceReconciler) healthChanged(old, next *elbv2.TargetHealth) []string {
	if next == nil || old != nil && old.State == next.State && old.Since == next.Since {
		return nil
	}
	r := v.s.store.Read()
	t, ok := elbv2.Targets.Get(r, next.Target)
	if !ok {
		return nil
	}
	return serviceOfTarget(r, t)
}

// ingressChanged wakes all services behind load balancers when there is one machine more or less whose word counts, and those that wait for
// machines to send traffic where it was moved when one follows.
func (v ServiceReconciler) ingressChanged(old, next *elbv2.Ingress) (keys []string) {
	index := byDeploymentBalanced
	if old != nil && next != nil && old.Connected == next.Connected {
		if old.Revision == next.Revision {
			return nil
		}
		index = byDeploymentAwaits
	}
	place := cmp.Or(next, old)
	for d := range Deployments.By(v.s.store.Read(), index, place.Account+"/"+place.Region) {
		keys = append(keys, d.ServiceKey())
	}
	return keys
}

// forwarding wakes the services of target groups that get traffic now and did not before, or the other way round.
func (v ServiceReconciler) forwarding(old, next []string) (keys []string) {
	r := v.s.store.Read()
	for _, arn := range slices.Concat(old, next) {
		if slices.Contains(old, arn) && slices.Contains(next, arn) {
			continue
		}
		for d := range Deployments.By(r, byDeploymentGroup, arn) {
			keys = append(keys, d.ServiceKey())
		}
	}
	return keys
}

func groupsOr[T interface{ Groups() []string }](v *T) []string {
	if v == nil {
		return nil
	}
	return (*v).Groups()
}
