package ecs

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"berth/elbv2"
	"berth/reconcile"
	"berth/store"
)

const (
	// settleTime is how long a task without health checks runs until it counts as healthy. Source: ECS developer guide,
	// minimumHealthyPercent.
	settleTime = 40 * time.Second
	// inactiveServiceLife is how long a deleted service stays describable. AWS promises nothing; clients poll for it.
	inactiveServiceLife = 24 * time.Hour
	// repeatNote is when an event is repeated while its condition lasts.
	repeatNote = 6 * time.Hour
	// shortAgain is when a service without room looks again although nothing woke it.
	shortAgain = time.Minute
	// mostPerPass bounds the tasks that one transaction starts, and those that it stops.
	mostPerPass = 100
	// writesOfTask is how many records may change with one task: itself, its targets, its place in Cloud Map, an event.
	writesOfTask = 8
)

// ServiceReconciler keeps the tasks of a service as they are wanted: it starts, replaces and stops them, moves its
// deployments on and writes its events. What it decides is in package rollout. Keys are service keys.
type ServiceReconciler struct{ s *Service }

// Name is ecs.service.
func (ServiceReconciler) Name() string { return "ecs.service" }

// Triggers: the service, its deployments and tasks, machines on which something changed for it, and what load balancers do with its
// tasks.
func (v ServiceReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.OnSelf(Services),
		reconcile.On(Deployments, func(d Deployment) []string { return one(!d.Gone, d.ServiceKey()) }),
		reconcile.OnChange(Hooks, func(_, next *Hook) []string { return one(next != nil && next.over(), next.service()) }),
		reconcile.On(Tasks, func(t Task) []string { return one(t.ServiceKey() != "", t.ServiceKey()) }),
		reconcile.OnChange(ContainerInstances, v.instanceChanged),
		reconcile.OnChange(InstanceDescriptions, func(_, next *InstanceDescription) []string {
			if next == nil {
				return nil
			}
			return v.servicesOf(clusterOf(next.Key))
		}),
		reconcile.OnChange(elbv2.Targets, func(old, next *elbv2.Target) []string { return v.targetOf(cmp.Or(next, old)) }),
		reconcile.OnChange(elbv2.TargetHealths, v.healthChanged),
		reconcile.OnChange(elbv2.Ingresses, v.ingressChanged),
		reconcile.OnChange(elbv2.Listeners, func(old, next *elbv2.Listener) []string {
			return v.forwarding(groupsOr(old), groupsOr(next))
		}),
		reconcile.OnChange(elbv2.Rules, func(old, next *elbv2.Rule) []string { return v.forwarding(groupsOr(old), groupsOr(next)) }),
		reconcile.OnChange(elbv2.TargetGroups, func(old, next *elbv2.TargetGroup) []string {
			if next != nil {
				return nil
			}
			return v.forwarding([]string{old.ARN().String()}, nil)
		}),
	}
}

// instanceChanged wakes all services of the cluster when a machine comes, goes or changes its status, and those that
// wait for room when it has more.
func (v ServiceReconciler) instanceChanged(old, next *ContainerInstance) []string {
	switch {
	case next == nil:
		return nil
	case old == nil, old.Status != next.Status, old.Connected != next.Connected, old.Impaired != next.Impaired,
		old.CPU != next.CPU, old.Memory != next.Memory:
		return v.servicesOf(next.ClusterKey())
	case next.Used.CPU < old.Used.CPU, next.Used.Memory < old.Used.Memory, len(next.Used.TCP) < len(old.Used.TCP),
		len(next.Used.UDP) < len(old.Used.UDP), len(next.Used.GPUs) < len(old.Used.GPUs):
		return keysOf(Services.By(v.s.store.Read(), byServiceShort, next.ClusterKey()))
	}
	return nil
}

func (v ServiceReconciler) servicesOf(cluster string) []string {
	return keysOf(Services.By(v.s.store.Read(), byServiceStatus, serviceStatusKey(cluster, statusActive, "")))
}

func keysOf(services func(func(ServiceRecord) bool)) (out []string) {
	for v := range services {
		out = append(out, v.Key())
	}
	return out
}

// Reconcile brings one service a step nearer to what is wanted.
func (v ServiceReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	have, ok := Services.Get(v.s.store.Read(), key)
	if !ok {
		return 0, nil
	}
	now := v.s.now()
	if have.Ended != 0 {
		return v.forget(ctx, have, now)
	}
	var ids []string
	for i := range mostPerPass {
		ids = append(ids, newTaskID(now, i))
	}
	k := v.s.placing.picker(have.ClusterKey(), rand.Uint64())
	var done pass
	err = v.s.store.Update(ctx, func(tx *store.Tx) error {
		done = pass{s: v.s, r: tx, tx: tx, now: now, since: v.s.since, ids: ids, pick: k, budget: max(1, v.s.store.MostWrites()/writesOfTask)}
		done.run(key)
		return nil
	})
	k.end(err == nil)
	if err == nil && done.started+done.stopped > 0 {
		v.s.log.Info("service scheduled", "service", have.ARN(), "started", done.started, "stopped", done.stopped)
	}
	return done.again, err
}

// forget removes a service that is INACTIVE when its time is over.
func (v ServiceReconciler) forget(ctx context.Context, have ServiceRecord, now time.Time) (time.Duration, error) {
	if left := have.Ended.Time().Add(inactiveServiceLife).Sub(now); left > 0 {
		return left, nil
	}
	return 0, v.s.store.Update(ctx, func(tx *store.Tx) error {
		if have, ok := Services.Get(tx, have.Key()); ok && have.Ended != 0 {
			forgetService(tx, have)
		}
		return nil
	})
}

// eventLife is how long events are kept; of each service the newest shownEvents stay as long as it does.
const eventLife = 30 * 24 * time.Hour

func (s *Service) expireServiceEvents() reconcile.Reconciler {
	return expiry[ServiceEvent]{
		name: "ecs.serviceevent", store: s.store, now: s.now, table: ServiceEvents,
		left: func(r store.Reader, e ServiceEvent, now time.Time) (time.Duration, bool) {
			left := e.At.Time().Add(eventLife).Sub(now)
			v, ok := Services.Get(r, e.Service)
			if ok && left <= 0 && e.Number <= v.Events && v.Events-e.Number < shownEvents {
				left = 24 * time.Hour
			}
			return left, true
		},
	}
}

// deploymentLife is how long a deployment is remembered after it was replaced. Source: ECS API reference, ListServiceDeployments.
const deploymentLife = 90 * 24 * time.Hour

func (s *Service) expireDeployments() reconcile.Reconciler {
	return expiry[Deployment]{
		name: "ecs.deployment", store: s.store, now: s.now, table: Deployments,
		left: func(r store.Reader, d Deployment, now time.Time) (time.Duration, bool) {
			v, ok := Services.Get(r, d.ServiceKey())
			if !d.Gone || ok && slices.Contains([]string{v.Primary, v.Current, v.Completed}, d.Number) {
				return 0, false // a change of the service that replaces it changes it too
			}
			return d.Updated.Time().Add(deploymentLife).Sub(now), true
		},
	}
}
