package ecs

import (
	"context"
	"fmt"
	"slices"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/reconcile"
	"berth/store"
)

// HookReconciler runs lifecycle hooks: it calls URLs and runs tasks. Time-outs are the service reconciler's. Keys are those of
// Hooks.
//
//	IN_PROGRESS ──▶ call, or start a task ──▶ SUCCEEDED, FAILED
//	     ▲                   │ not through, or IN_PROGRESS
//	     └──── later ────────┘
//
// A call that was made and whose result was not written, because the server ended in between, is made again with the same
// executionId.
type HookReconciler struct{ s *Service }

// Name is ecs.hook.
func (HookReconciler) Name() string { return "ecs.hook" }

// hooksAtOnce is how many hooks run at once. One that cannot be reached takes up to hookCallTimeout, which the others shall not wait for.
const hooksAtOnce = 256

var _ reconcile.Waiter = HookReconciler{}

// AtOnce implements reconcile.Waiter.
func (HookReconciler) AtOnce() int { return hooksAtOnce }

// Triggers: the hook, its deployment, and the task that runs it.
func (h HookReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.OnSelf(Hooks),
		reconcile.OnChange(Deployments, func(old, next *Deployment) (keys []string) {
			if next == nil {
				for k := range Hooks.Prefix(h.s.store.Read(), old.Key()+"/") {
					keys = append(keys, k.Key())
				}
				return keys
			}
			return h.keysOf(byHookRunning, next.Key())
		}),
		reconcile.OnChange(Tasks, func(_, next *Task) (keys []string) {
			if next == nil || next.Active() {
				return nil
			}
			return h.keysOf(byHookTask, next.Key())
		}),
	}
}

func (h HookReconciler) keysOf(index, value string) (keys []string) {
	for k := range Hooks.By(h.s.store.Read(), index, value) {
		keys = append(keys, k.Key())
	}
	return keys
}

// Reconcile takes one hook a step further.
func (h HookReconciler) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	r := h.s.store.Read()
	k, ok := Hooks.Get(r, key)
	if !ok {
		return 0, nil
	}
	d, ok := Deployments.Get(r, k.Deployment)
	if !ok {
		return 0, h.s.store.Update(ctx, func(tx *store.Tx) error { Hooks.Delete(tx, key); return nil })
	}
	c := k.configured(d)
	switch {
	case k.over():
		return 0, h.cleanUp(ctx, k)
	case !d.at(k):
		return 0, h.settle(ctx, key, func(k *Hook) {
			k.Status, k.Why = api.DeploymentLifecycleHookStatusFailed, "The deployment left the stage before the hook ended."
		})
	case c.TargetType == api.DeploymentLifecycleHookTargetTypePause:
		return 0, nil
	case k.Next != 0 && h.s.now().Before(k.Next.Time()):
		return k.Next.Time().Sub(h.s.now()), nil
	case hookKindOf(value(c.HookTargetArn)) == hookTask:
		return h.task(ctx, d, c, k)
	}
	return h.call(ctx, d, c, k)
}

// settle changes a hook that still is to be run, in the stage in which its deployment is or was.
func (h HookReconciler) settle(ctx context.Context, key string, change func(*Hook)) error {
	var out Hook
	err := h.s.store.Update(ctx, func(tx *store.Tx) error {
		k, ok := Hooks.Get(tx, key)
		if out = k; !ok || k.over() {
			return nil
		}
		change(&k)
		out = k
		Hooks.Put(tx, k)
		return nil
	})
	if err == nil && out.over() {
		h.s.log.Info("lifecycle hook ended", "deployment", out.Deployment, "stage", out.Stage.String(), "status", out.Status)
	}
	return err
}

// call calls the hook's URL and notes what it answers.
func (h HookReconciler) call(ctx context.Context, d Deployment, c api.DeploymentLifecycleHook, k Hook) (time.Duration, error) {
	answer := h.s.hooks.call(ctx, value(c.HookTargetArn), k.payload(d))
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	now := h.s.now()
	return 0, h.settle(ctx, k.Key(), func(k *Hook) { k.take(answer, shownTarget(c), now) })
}

// take notes an answer. What did not get through is tried again until the hook's time is over.
func (k *Hook) take(a hookAnswer, target string, now time.Time) {
	fail := func(format string, args ...any) {
		k.Status, k.Why = api.DeploymentLifecycleHookStatusFailed, fmt.Sprintf(format, args...)
	}
	if a.again {
		k.Tries++
		k.Next = MillisOf(now.Add(min(time.Second<<min(k.Tries-1, 10), longestHookPause)))
		k.Why = fmt.Sprintf("ECS was unable to invoke hook target %s due to %s", target, a.problem)
		return
	}
	k.Tries = 0
	switch {
	case a.garbled:
		fail("ECS was unable to parse the response from %s due to %s", target, a.problem)
	case a.problem != "":
		fail("ECS was unable to invoke hook target %s due to %s", target, a.problem)
	case a.Status == nil || *a.Status == "":
		fail("ECS was unable to parse the response from %s due to HookStatus must not be null", target)
	case *a.Status == "FAILED":
		fail("Lifecycle hook target %s returned FAILED status.", target)
	case *a.Status == "SUCCEEDED":
		k.Status, k.Why, k.Details = api.DeploymentLifecycleHookStatusSucceeded, "", mergeDetails(k.Details, a.Details)
	case *a.Status == "IN_PROGRESS":
		delay := defaultCallBack
		if a.Delay != nil {
			delay = time.Duration(min(max(*a.Delay, leastCallBack.Seconds()), stageSeconds) * float64(time.Second))
		}
		k.Why, k.Details, k.Next = "", mergeDetails(k.Details, a.Details), MillisOf(now.Add(delay))
	default:
		fail("ECS was unable to parse the response from %s due to an unknown HookStatus", target)
	}
	if len(k.Details) > maxHookBytes {
		k.Details = nil
		fail("ECS was unable to parse the response from %s due to hookDetails of more than %d bytes", target, maxHookBytes)
	}
}

// cleanUp stops the task of a hook that is over, which only runs still if the hook's time is over or the deployment went on.
func (h HookReconciler) cleanUp(ctx context.Context, k Hook) error {
	if k.Task == "" {
		return nil
	}
	if t, ok := Tasks.Get(h.s.store.Read(), k.taskKey()); !ok || t.Desired == StateStopped {
		return nil
	}
	now := MillisOf(h.s.now())
	return h.s.store.Update(ctx, func(tx *store.Tx) error {
		t, ok := Tasks.Get(tx, k.taskKey())
		if ok && t.want(tx, api.TaskStopCodeServiceSchedulerInitiated, "The lifecycle hook that the task ran is over", now) {
			Tasks.Put(tx, t)
		}
		return nil
	})
}

// ContinueServiceDeployment ends a pause: the deployment goes on, or is rolled back.
func (s *Service) ContinueServiceDeployment(ctx context.Context, in *api.ContinueServiceDeploymentRequest) (*api.ContinueServiceDeploymentResponse, error) {
	caller, arn := aws.CallerFrom(ctx), value(in.ServiceDeploymentArn)
	switch {
	case arn == "":
		return nil, invalid("Service deployment ARN can not be blank.")
	case !hookIDPattern.MatchString(value(in.HookId)):
		return nil, invalid("Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}")
	case in.Action != "" && !slices.Contains(in.Action.Values(), string(in.Action)):
		return nil, invalid("Invalid action '%s'. Valid values: [CONTINUE,ROLLBACK]", in.Action)
	}
	now := MillisOf(s.now())
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		_, d, ok := findDeployment(tx, caller, arn)
		switch {
		case !ok:
			return aws.Errorf("ServiceDeploymentNotFoundException", msgDeploymentNotFound)
		case !d.under():
			return invalid("Continuing a service deployment is not allowed for service deployment in terminal states.")
		}
		for h := range Hooks.By(tx, byHookRunning, d.Key()) {
			waits := h.Status == api.DeploymentLifecycleHookStatusAwaitingAction && d.at(h) && now < h.Expires
			if !waits || h.id(d) != *in.HookId {
				continue
			}
			h.Status = api.DeploymentLifecycleHookStatusSucceeded
			if in.Action == api.DeploymentLifecycleHookActionRollback {
				h.Status = api.DeploymentLifecycleHookStatusFailed
			}
			Hooks.Put(tx, h)
			return nil
		}
		return invalid("Provided hookId is either completed, unavailable, or not associated with the given Resource ARN")
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("service deployment continued", "deployment", arn, "action", in.Action)
	return &api.ContinueServiceDeploymentResponse{ServiceDeploymentArn: &arn}, nil
}
