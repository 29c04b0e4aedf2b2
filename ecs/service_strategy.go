package ecs

import (
	"cmp"
	"math"
	"slices"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/rollout"
)

const (
	// Bounds and defaults of deployment strategies. Source: ECS API reference, DeploymentConfiguration.
	mostBakeMinutes      = 1440
	leastStepPercent     = 3.0
	leastCanaryPercent   = 0.1
	defaultStepPercent   = 10.0
	defaultStepBake      = 6
	defaultCanaryPercent = 5.0
	defaultCanaryBake    = 10
)

// shifts says whether deployments of the strategy shift traffic.
func shifts(s api.DeploymentStrategy) bool { return s != "" && s != api.DeploymentStrategyRolling }

// takeStrategy merges the members of deployment strategies into the configuration and checks them. The bake time, the hooks and the
// step sizes belong to their strategy: another one does not keep them.
func takeStrategy(caller aws.Caller, in, have *api.DeploymentConfiguration, daemon bool) error {
	if in.Strategy != "" && !slices.Contains(in.Strategy.Values(), string(in.Strategy)) {
		return invalid("Invalid deployment strategy '%s'. Valid values: %v", in.Strategy, in.Strategy.Values())
	}
	if kind := cmp.Or(in.Strategy, have.Strategy); kind != have.Strategy {
		have.Strategy, have.BakeTimeInMinutes, have.LinearConfiguration, have.CanaryConfiguration = kind, nil, nil, nil
		if !shifts(kind) {
			have.LifecycleHooks = nil
		}
	}
	if daemon && shifts(have.Strategy) {
		return invalid("The daemon scheduling strategy does not support the %s deployment strategy.", have.Strategy)
	}
	if in.BakeTimeInMinutes != nil {
		have.BakeTimeInMinutes = in.BakeTimeInMinutes
	}
	if err := checkMinutes("bakeTimeInMinutes", have.BakeTimeInMinutes); err != nil {
		return err
	}
	switch {
	case have.BakeTimeInMinutes != nil:
	case have.Strategy == api.DeploymentStrategyBlueGreen:
		return invalid("bakeTimeInMinutes must be specified when the deployment strategy is BLUE_GREEN.")
	case shifts(have.Strategy):
		have.BakeTimeInMinutes = new(int32(0))
	}
	if in.LinearConfiguration != nil && have.Strategy != api.DeploymentStrategyLinear ||
		in.CanaryConfiguration != nil && have.Strategy != api.DeploymentStrategyCanary {
		return invalid("linearConfiguration and canaryConfiguration can be given with their own deployment strategy only.")
	}
	if err := takeSteps(in, have); err != nil {
		return err
	}
	if in.LifecycleHooks == nil {
		return nil
	}
	if len(in.LifecycleHooks) > 0 && !shifts(have.Strategy) {
		return invalid("lifecycleHooks can be given with the deployment strategies BLUE_GREEN, LINEAR and CANARY only.")
	}
	hooks, err := newHooks(caller, in.LifecycleHooks)
	have.LifecycleHooks = hooks
	return err
}

// takeSteps merges linearConfiguration and canaryConfiguration, with their defaults.
func takeSteps(in, have *api.DeploymentConfiguration) error {
	switch have.Strategy {
	case api.DeploymentStrategyLinear:
		c := api.LinearConfiguration{StepPercent: new(defaultStepPercent), StepBakeTimeInMinutes: new(int32(defaultStepBake))}
		for _, from := range []*api.LinearConfiguration{have.LinearConfiguration, in.LinearConfiguration} {
			if from != nil {
				c.StepPercent, c.StepBakeTimeInMinutes = cmp.Or(from.StepPercent, c.StepPercent), cmp.Or(from.StepBakeTimeInMinutes, c.StepBakeTimeInMinutes)
			}
		}
		if !tenths(*c.StepPercent, leastStepPercent) {
			return invalid("stepPercent must be a multiple of 0.1 between 3.0 and 100.0")
		}
		have.LinearConfiguration = &c
		return checkMinutes("stepBakeTimeInMinutes", c.StepBakeTimeInMinutes)
	case api.DeploymentStrategyCanary:
		c := api.CanaryConfiguration{CanaryPercent: new(defaultCanaryPercent), CanaryBakeTimeInMinutes: new(int32(defaultCanaryBake))}
		for _, from := range []*api.CanaryConfiguration{have.CanaryConfiguration, in.CanaryConfiguration} {
			if from != nil {
				c.CanaryPercent, c.CanaryBakeTimeInMinutes = cmp.Or(from.CanaryPercent, c.CanaryPercent), cmp.Or(from.CanaryBakeTimeInMinutes, c.CanaryBakeTimeInMinutes)
			}
		}
		if !tenths(*c.CanaryPercent, leastCanaryPercent) {
			return invalid("canaryPercent must be a multiple of 0.1 between 0.1 and 100.0")
		}
		have.CanaryConfiguration = &c
		return checkMinutes("canaryBakeTimeInMinutes", c.CanaryBakeTimeInMinutes)
	}
	return nil
}

func checkMinutes(name string, n *int32) error {
	if n != nil && (*n < 0 || *n > mostBakeMinutes) {
		return invalid("%s must be between 0 and %d", name, mostBakeMinutes)
	}
	return nil
}

// tenths says whether a percentage is a multiple of 0.1 from least to 100.
func tenths(percent, least float64) bool {
	n := percent * 10
	return percent >= least && percent <= 100 && math.Abs(n-math.Round(n)) < 1e-6
}

// shift is how the deployment shifts traffic.
func (d Deployment) shift() rollout.Shift {
	s := rollout.Shift{Kind: string(d.Config.Strategy), Bake: minutes(d.Config.BakeTimeInMinutes), Tested: d.tested()}
	if c := d.Config.LinearConfiguration; c != nil {
		s.Percent, s.StepBake = int(math.Round(value(c.StepPercent)*10)), minutes(c.StepBakeTimeInMinutes)
	}
	if c := d.Config.CanaryConfiguration; c != nil {
		s.Percent, s.StepBake = int(math.Round(value(c.CanaryPercent)*10)), minutes(c.CanaryBakeTimeInMinutes)
	}
	return s
}

func minutes(n *int32) time.Duration { return time.Duration(value(n)) * time.Minute }
