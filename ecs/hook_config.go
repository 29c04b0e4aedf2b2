package ecs

import (
	"encoding/json"
	"net/url"
	"slices"

	api "berth/api/ecs"
	"berth/aws"
)

const (
	// Bounds of hooks. Source: ECS API reference, DeploymentLifecycleHook.
	maxHooks           = 10 // of each kind
	defaultHookMinutes = 1440
	mostHookMinutes    = 1440
	mostPauseMinutes   = 20160
	// maxHookBytes bounds hookDetails and what a hook answers.
	maxHookBytes = 64 << 10
)

// hookKind says what a hook's target is.
type hookKind uint8

const (
	hookUnknown hookKind = iota
	hookURL
	hookTask
	hookLambda
)

// hookKindOf tells targets apart: an HTTP(S) URL is called, a task definition is run.
func hookKindOf(target string) hookKind {
	if arn, err := aws.ParseARN(target); err == nil {
		switch {
		case arn.Service() == "lambda":
			return hookLambda
		case arn.Service() == "ecs":
			return hookTask
		}
		return hookUnknown
	}
	if u, err := url.Parse(target); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return hookURL
	}
	return hookUnknown
}

// pauseStages are the stages in which a deployment can be paused.
func pauseStages() []api.DeploymentLifecycleHookStage {
	return []api.DeploymentLifecycleHookStage{
		api.DeploymentLifecycleHookStageReconcileService, api.DeploymentLifecycleHookStagePreScaleUp,
		api.DeploymentLifecycleHookStagePostScaleUp, api.DeploymentLifecycleHookStagePostTestTrafficShift,
		api.DeploymentLifecycleHookStagePreProductionTrafficShift, api.DeploymentLifecycleHookStagePostProductionTrafficShift,
	}
}

// newHooks checks lifecycleHooks and fills in targetType.
func newHooks(caller aws.Caller, in []api.DeploymentLifecycleHook) ([]api.DeploymentLifecycleHook, error) {
	out := slices.Clone(in)
	pauses := 0
	for i := range out {
		h := &out[i]
		switch h.TargetType {
		case "":
			h.TargetType = api.DeploymentLifecycleHookTargetTypeAWSLambda
		case api.DeploymentLifecycleHookTargetTypePause:
			pauses++
		case api.DeploymentLifecycleHookTargetTypeAWSLambda:
		default:
			return nil, invalid("Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE")
		}
		if err := checkHook(caller, *h); err != nil {
			return nil, err
		}
	}
	if pauses > maxHooks || len(out)-pauses > maxHooks {
		return nil, invalid("lifecycleHooks can have at most %d hooks of each targetType.", maxHooks)
	}
	return out, nil
}

func checkHook(caller aws.Caller, h api.DeploymentLifecycleHook) error {
	if len(h.LifecycleStages) == 0 {
		return invalid("lifecycleStages must have at least one stage.")
	}
	for _, s := range h.LifecycleStages {
		if !slices.Contains(s.Values(), string(s)) {
			return invalid("Invalid lifecycle stage '%s'. Valid values: %v", s, s.Values())
		}
	}
	if len(h.HookDetails) > maxHookBytes || len(h.HookDetails) > 0 && !json.Valid(h.HookDetails) {
		return invalid("hookDetails must be JSON of at most %d bytes.", maxHookBytes)
	}
	longest := int32(mostHookMinutes)
	if h.TargetType == api.DeploymentLifecycleHookTargetTypePause {
		longest = mostPauseMinutes
		if err := checkPause(h); err != nil {
			return err
		}
	} else if err := checkTarget(caller, value(h.HookTargetArn)); err != nil {
		return err
	}
	t := h.TimeoutConfiguration
	switch {
	case t == nil:
	case t.TimeoutInMinutes != nil && (*t.TimeoutInMinutes < 1 || *t.TimeoutInMinutes > longest):
		return invalid("timeoutInMinutes must be between 1 and %d", longest)
	case t.Action != "" && !slices.Contains(t.Action.Values(), string(t.Action)):
		return invalid("Invalid timeout action '%s'. Valid values: [CONTINUE,ROLLBACK]", t.Action)
	}
	return nil
}

func checkPause(h api.DeploymentLifecycleHook) error {
	if value(h.HookTargetArn) != "" || value(h.RoleArn) != "" {
		return invalid("hookTargetArn and roleArn can not be given for a Pause Hook")
	}
	for _, s := range h.LifecycleStages {
		if !slices.Contains(pauseStages(), s) {
			return invalid("Invalid lifecycle stage provided for Pause Hook")
		}
	}
	return nil
}

// checkTarget checks the target of a hook.
//
// Differs: ECS invokes Lambda functions, which Berth does not have.
func checkTarget(caller aws.Caller, target string) error {
	switch hookKindOf(target) {
	case hookURL:
		return nil
	case hookTask:
		if _, ok := parseDefinitionRef(caller, target); !ok {
			return invalid("Invalid hookTargetArn. Of ECS's resources a hook can run a task definition of this account and region only.")
		}
		return nil
	case hookLambda:
		return invalid("hookTargetArn: Berth has no Lambda functions. Give an HTTP(S) URL, or the ARN of a task definition to run.")
	}
	return invalid("Invalid hookTargetArn. Give an HTTP(S) URL, or the ARN of a task definition to run.")
}

// hookMinutes is how long a hook may take.
func hookMinutes(h api.DeploymentLifecycleHook) int32 {
	if t := h.TimeoutConfiguration; t != nil && t.TimeoutInMinutes != nil {
		return *t.TimeoutInMinutes
	}
	return defaultHookMinutes
}

// hookAction is what follows when it takes longer.
func hookAction(h api.DeploymentLifecycleHook) api.DeploymentLifecycleHookAction {
	if t := h.TimeoutConfiguration; t != nil && t.Action != "" {
		return t.Action
	}
	return api.DeploymentLifecycleHookActionRollback
}
