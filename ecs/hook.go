package ecs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/rollout"
	"berth/store"
)

// Hook is the record of one run of a lifecycle hook: of one hook in one stage and step of one deployment. What is to be run is
// in the deployment's configuration.
type Hook struct {
	// Which. Written by: the reconciler "ecs.service".
	Deployment string        `json:"d"` // key
	Stage      rollout.Stage `json:"s"`
	Step       int           `json:"n,omitzero"`
	Back       bool          `json:"b,omitzero"`
	Index      int           `json:"i"` // in the configuration's lifecycleHooks
	Expires    Millis        `json:"e"`

	// How far. Written by: the reconciler "ecs.service" (beginning and time-out), ContinueServiceDeployment (pauses), the
	// reconciler "ecs.hook" (all others).
	Status api.DeploymentLifecycleHookStatus `json:"st"`
	Why    string                            `json:"w,omitzero"` // of one that failed, or of its last attempt
	// Details is what the next call gets as hookDetails, or what the last one was given and returned. Bounded by maxHookBytes.
	Details json.RawMessage `json:"de,omitzero"`
	// Written by: the reconciler "ecs.hook".
	Next  Millis `json:"nx,omitzero"` // when to call next
	Tries int    `json:"tr,omitzero"` // calls in a row that did not get through
	Task  string `json:"t,omitzero"`  // ID of the task that runs the hook
}

// Indexes of Hooks.
const (
	byHookRunning = "running" // deployment key; those that are not over
	byHookTask    = "task"    // task key
)

// Hooks has the hooks of all deployments that can be described, by deployment key/back.stage.step.index: in the order in which
// they run.
var Hooks = store.NewTable("ecs/hook", Hook.Key,
	store.Index(byHookRunning, func(h Hook) []string { return one(!h.over(), h.Deployment) }),
	store.Index(byHookTask, func(h Hook) []string { return one(h.Task != "", h.taskKey()) }),
)

// Key is the deployment's key and the place of the hook in it.
func (h Hook) Key() string {
	back := 0
	if h.Back {
		back = 1
	}
	return fmt.Sprintf("%s/%d.%02d.%04d.%02d", h.Deployment, back, h.Stage, h.Step, h.Index)
}

// taskKey is the key of the task that runs the hook: the deployment's cluster and the task's ID.
func (h Hook) taskKey() string {
	parts := strings.Split(h.Deployment, "/")
	return strings.Join(parts[:min(3, len(parts))], "/") + "/" + h.Task
}

// service is the key of the hook's service.
func (h *Hook) service() string {
	if h == nil {
		return ""
	}
	return h.Deployment[:max(0, strings.LastIndexByte(h.Deployment, '/'))]
}

func (h Hook) over() bool {
	return h.Status != api.DeploymentLifecycleHookStatusInProgress && h.Status != api.DeploymentLifecycleHookStatusAwaitingAction
}

// id is the hookId of a pause and, without its beginning, the executionId of others. It is the same whoever asks, so a
// receiver can tell a repeated call.
func (h Hook) id(d Deployment) string {
	sum := sha256.Sum256([]byte(d.ID + "|" + h.Key()))
	return "ecs-pause-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// at says whether the deployment is where the hook belongs.
func (d Deployment) at(h Hook) bool {
	return d.under() && d.Life != nil && d.Life.Stage == h.Stage && d.Life.Step == h.Step && d.Life.Back == h.Back
}

// configured is the hook's configuration; empty if it is gone.
func (h Hook) configured(d Deployment) (out api.DeploymentLifecycleHook) {
	if h.Index < len(d.Config.LifecycleHooks) {
		return d.Config.LifecycleHooks[h.Index]
	}
	return out
}

// hooksAt are the indexes of the hooks that a deployment has in the stage in which it is. A rollback runs those of the
// traffic shifts again.
func (d Deployment) hooksAt() (out []int) {
	for i, c := range d.Config.LifecycleHooks {
		if slices.Contains(c.LifecycleStages, api.DeploymentLifecycleHookStage(d.Life.Stage.String())) {
			out = append(out, i)
		}
	}
	return out
}

func (d Deployment) hookKey(index int) string {
	return Hook{Deployment: d.Key(), Stage: d.Life.Stage, Step: d.Life.Step, Back: d.Life.Back, Index: index}.Key()
}

// hookFact is a hook as rollout sees it.
func hookFact(r store.Reader, d Deployment, index int) rollout.Hook {
	c := d.Config.LifecycleHooks[index]
	pause := c.TargetType == api.DeploymentLifecycleHookTargetTypePause
	out := rollout.Hook{Pause: pause, Continue: hookAction(c) == api.DeploymentLifecycleHookActionContinue, Target: shownTarget(c)}
	h, ok := Hooks.Get(r, d.hookKey(index))
	if !ok {
		return out
	}
	out.Expires, out.Why = h.Expires.Time(), h.Why
	switch h.Status {
	case api.DeploymentLifecycleHookStatusSucceeded:
		out.State = rollout.HookSucceeded
	case api.DeploymentLifecycleHookStatusFailed:
		out.State = rollout.HookFailed
	case api.DeploymentLifecycleHookStatusTimedOut:
		out.State = rollout.HookTimedOut
	default:
		out.State = rollout.HookRunning
	}
	return out
}

// beginHook makes the record of a hook. What an earlier run of it in the deployment returned as details goes on.
func beginHook(tx *store.Tx, d Deployment, index int, now Millis) {
	c := d.Config.LifecycleHooks[index]
	h := Hook{
		Deployment: d.Key(), Stage: d.Life.Stage, Step: d.Life.Step, Back: d.Life.Back, Index: index,
		Expires: MillisOf(now.Time().Add(minutes(new(hookMinutes(c))))), Status: api.DeploymentLifecycleHookStatusInProgress, Details: c.HookDetails,
	}
	if c.TargetType == api.DeploymentLifecycleHookTargetTypePause {
		h.Status = api.DeploymentLifecycleHookStatusAwaitingAction
	}
	for earlier := range Hooks.Prefix(tx, d.Key()+"/") {
		if earlier.Index == index {
			h.Details = earlier.Details
		}
	}
	Hooks.Put(tx, h)
}

// shownTarget is a hook's target as texts and logs show it: of a URL without user and query, which may hold secrets.
func shownTarget(c api.DeploymentLifecycleHook) string {
	target := value(c.HookTargetArn)
	if hookKindOf(target) != hookURL {
		return target
	}
	u, err := url.Parse(target)
	if err != nil {
		return "(URL)"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// wire is the hook as DescribeServiceDeployments shows it. A hook that a task runs shows the task.
func (h Hook) wire(d Deployment) api.DeploymentLifecycleHookDetail {
	c := h.configured(d)
	out := api.DeploymentLifecycleHookDetail{
		TargetType: c.TargetType, TargetArn: c.HookTargetArn, Status: h.Status, ExpiresAt: h.Expires.wire(), TimeoutAction: hookAction(c),
	}
	switch {
	case c.TargetType == api.DeploymentLifecycleHookTargetTypePause:
		out.HookId = new(h.id(d))
	case h.Task != "":
		out.TargetArn = new(string(aws.NewARN("ecs", d.Region, d.Account, "task/"+d.Cluster+"/"+h.Task)))
	}
	return out
}

// hookDetails are all hooks of a deployment so far.
func hookDetails(r store.Reader, d Deployment) (out []api.DeploymentLifecycleHookDetail) {
	for h := range Hooks.Prefix(r, d.Key()+"/") {
		out = append(out, h.wire(d))
	}
	return out
}
