package ecs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

// hookRoomAgain is when a hook whose task found no room looks again.
const hookRoomAgain = 10 * time.Second

// task runs the task of a hook, once, and waits for its end.
func (h HookReconciler) task(ctx context.Context, d Deployment, c api.DeploymentLifecycleHook, k Hook) (time.Duration, error) {
	if k.Task == "" {
		return 0, h.startTask(ctx, d, c, k)
	}
	t, ok := Tasks.Get(h.s.store.Read(), k.taskKey())
	if ok && t.Active() {
		return 0, nil
	}
	why := fmt.Sprintf("Task %s of lifecycle hook target %s is not known any more.", k.Task, shownTarget(c))
	if ok {
		definition, _ := TaskDefinitions.Get(h.s.store.Read(), t.DefinitionKey())
		ok, why = t.ended(&definition.Definition, shownTarget(c))
	}
	return 0, h.settle(ctx, k.Key(), func(k *Hook) {
		k.Status, k.Why = api.DeploymentLifecycleHookStatusSucceeded, ""
		if !ok {
			k.Status, k.Why = api.DeploymentLifecycleHookStatusFailed, why
		}
	})
}

// startTask places the task and writes it together with the hook that it runs, so there is never a second one.
func (h HookReconciler) startTask(ctx context.Context, d Deployment, c api.DeploymentLifecycleHook, k Hook) error {
	l, err := h.launch(d, c)
	if err != nil {
		why := fmt.Sprintf("ECS was unable to invoke hook target %s due to %s", shownTarget(c), err)
		return h.settle(ctx, k.Key(), func(k *Hook) { k.Status, k.Why = api.DeploymentLifecycleHookStatusFailed, why })
	}
	now := h.s.now()
	pick := h.s.placing.picker(l.cluster, rand.Uint64())
	var made string
	err = h.s.store.Update(ctx, func(tx *store.Tx) error {
		made = ""
		k, ok := Hooks.Get(tx, k.Key())
		d, known := Deployments.Get(tx, k.Deployment)
		if !ok || !known || k.over() || k.Task != "" || !d.at(k) {
			return nil
		}
		p := pick.pick(tx, []placement.Task{l.place}, l.strategy)[0]
		if p.Instance == "" {
			k.Next, k.Why = MillisOf(now.Add(hookRoomAgain)), "No container instance has room for the task of the hook."
			Hooks.Put(tx, k)
			return nil
		}
		t := l.task(0, p.Instance, p.Held)
		k.Task, k.Next, k.Why = t.ID, 0, ""
		Tasks.Put(tx, t)
		Hooks.Put(tx, k)
		made = t.ID
		return nil
	})
	pick.end(err == nil)
	if err == nil && made != "" {
		h.s.log.Info("lifecycle hook started a task", "deployment", d.Key(), "task", made)
	}
	return err
}

// launch is what starts the task: the definition as it is, in the cluster and with the launch type of the service, with the images
// of the revision that is deployed.
func (h HookReconciler) launch(d Deployment, c api.DeploymentLifecycleHook) (*launch, error) {
	q := &request{
		caller: aws.Caller{Account: d.Account, Region: d.Region}, cluster: ClusterKey(d.Account, d.Region, d.Cluster), count: 1,
		startedBy: deploymentPrefix + d.Number, launchType: d.Launch,
	}
	l, err := h.s.newLaunch(q, c.HookTargetArn)
	if err != nil {
		return nil, err
	}
	revision, _ := TaskDefinitions.Get(h.s.store.Read(), d.DefinitionKey())
	l.images = imagesFrom(&l.definition.Definition, &revision.Definition)
	return l, nil
}

// imagesFrom are the images that containers of a hook's definition get instead of their own, by name: that of the container of
// the revision which has an image of the same repository, the one of the same name first, then the first in order. Containers whose
// repository the revision does not use keep their image.
func imagesFrom(hook, revision *api.TaskDefinition) map[string]string {
	out := map[string]string{}
	for _, c := range hook.ContainerDefinitions {
		found := ""
		for _, r := range revision.ContainerDefinitions {
			if repositoryOf(value(r.Image)) != repositoryOf(value(c.Image)) {
				continue
			}
			if found == "" || *r.Name == *c.Name {
				found = value(r.Image)
			}
		}
		if found != "" && found != value(c.Image) {
			out[*c.Name] = found
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
