package ecs

import (
	"context"
	"fmt"
	"maps"
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
		if err := h.s.store.Update(ctx, func(tx *store.Tx) error { learnHook(tx, t, d.Key()); return nil }); err != nil {
			return 0, err
		}
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
		revision, _ := TaskDefinitions.Get(tx, d.DefinitionKey())
		pinHook(&t, d, &l.definition.Definition, &revision.Definition)
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

// imagesFrom are the images that containers of a hook's definition get instead of their own, by name: those of the containers of the
// revision that they follow.
func imagesFrom(hook, revision *api.TaskDefinition) map[string]string {
	out := map[string]string{}
	for name, from := range followed(hook, revision) {
		if image := value(from.Image); image != value(definitionOf(hook, name).Image) {
			out[name] = image
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// followed are, for the containers of a hook's definition, the containers of the revision whose image they run: that which has an image of
// the same repository, the one of the same name first, then the first in order. Containers whose repository the revision does not use keep
// their image.
func followed(hook, revision *api.TaskDefinition) map[string]*api.ContainerDefinition {
	out := map[string]*api.ContainerDefinition{}
	for _, c := range hook.ContainerDefinitions {
		for i := range revision.ContainerDefinitions {
			r := &revision.ContainerDefinitions[i]
			if repositoryOf(value(r.Image)) == repositoryOf(value(c.Image)) && (out[*c.Name] == nil || *r.Name == *c.Name) {
				out[*c.Name] = r
			}
		}
	}
	return out
}

// pinHook gives the containers of a hook's task the digests to which the deployment is pinned.
func pinHook(t *Task, d Deployment, hook, revision *api.TaskDefinition) {
	from := followed(hook, revision)
	for i := range t.Containers {
		c := &t.Containers[i]
		if r := from[c.Name]; r != nil && d.Pins[*r.Name] != "" {
			c.Digest, c.Pinned = d.Pins[*r.Name], true
		}
	}
}

// learnHook pins the images of the deployment that are not pinned yet to what the task of its hook ran: its tags may have moved since.
func learnHook(tx *store.Tx, t Task, key string) {
	d, ok := Deployments.Get(tx, key)
	if !ok {
		return
	}
	hook, _ := TaskDefinitions.Get(tx, t.DefinitionKey())
	revision, _ := TaskDefinitions.Get(tx, d.DefinitionKey())
	from, pins := followed(&hook.Definition, &revision.Definition), map[string]Digest{}
	for _, c := range t.Containers {
		if r := from[c.Name]; r != nil && c.Digest != "" && d.Pins[*r.Name] == "" && pinnable(r) {
			pins[*r.Name] = c.Digest
		}
	}
	if len(pins) > 0 {
		maps.Copy(pins, d.Pins)
		d.Pins = pins
		Deployments.Put(tx, d)
	}
}
