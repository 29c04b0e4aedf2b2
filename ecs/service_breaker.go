package ecs

import (
	"slices"

	api "berth/api/ecs"
	"berth/ecs/rollout"
)

// circuitBreaker checks the circuit breaker that a deployment configuration gives.
func circuitBreaker(in *api.DeploymentCircuitBreaker) (*api.DeploymentCircuitBreaker, error) {
	out := &api.DeploymentCircuitBreaker{Enable: new(value(in.Enable)), Rollback: new(value(in.Rollback)), ResetOnHealthyTask: in.ResetOnHealthyTask}
	t := in.ThresholdConfiguration
	if t == nil {
		return out, nil
	}
	out.ThresholdConfiguration = t
	switch {
	case !slices.Contains(t.Type.Values(), string(t.Type)):
		return nil, invalid("Invalid thresholdConfiguration type '%s'. Valid values: %v", t.Type, t.Type.Values())
	case value(t.Value) < 1:
		return nil, invalid("thresholdConfiguration value must be at least 1")
	case t.Type != rollout.Count && *t.Value > 100:
		return nil, invalid("thresholdConfiguration value must be between 1 and 100 for the type %s", t.Type)
	}
	return out, nil
}
