package agent

import (
	"fmt"
	"strings"
	"time"

	ecs "berth/api/ecs"
	"berth/aws"
)

// dependency says that the container of has to wait for the container on.
type dependency struct {
	of, on    string
	condition ecs.ContainerCondition
}

// dependencies are what the container waits for: dependsOn, and START for links and volumesFrom.
func (t *task) dependencies(name string) []dependency {
	def := t.definition(name)
	var all []dependency
	seen := map[string]bool{}
	add := func(on string, condition ecs.ContainerCondition) {
		if !seen[on] && on != name {
			seen[on] = true
			all = append(all, dependency{of: name, on: on, condition: condition})
		}
	}
	for _, d := range def.DependsOn {
		add(aws.Value(d.ContainerName), d.Condition)
	}
	for _, l := range def.Links {
		target, _, _ := strings.Cut(l, ":")
		add(target, ecs.ContainerConditionStart)
	}
	for _, v := range def.VolumesFrom {
		add(aws.Value(v.SourceContainer), ecs.ContainerConditionStart)
	}
	return all
}

// dependants are the containers that wait for name.
func (t *task) dependants(name string) []*container {
	var all []*container
	for _, c := range t.Containers {
		for _, d := range t.dependencies(c.Name) {
			if d.on == name {
				all = append(all, c)
			}
		}
	}
	return all
}

// verdict is the state of a dependency.
type verdict struct {
	met   bool
	never string    // why it can't be met any more
	wake  time.Time // when it times out
}

// verdict tells whether d is met at the time now. Source: ECS developer guide, dependsOn and startTimeout.
func (t *task) verdict(d dependency, now time.Time) verdict {
	on := t.container(d.on)
	if on == nil {
		return verdict{never: orderingError(d, "is not in the task")}
	}
	if on.Failed && !on.Ran {
		return verdict{never: orderingError(d, "could not be started")}
	}
	switch d.condition {
	case ecs.ContainerConditionComplete, ecs.ContainerConditionSuccess:
		if t.ended(on) {
			return exitVerdict(d, on.Exit)
		}
	case ecs.ContainerConditionHealthy:
		if on.running() && on.health() == healthy {
			return verdict{met: true}
		}
		if t.ended(on) {
			return verdict{never: orderingError(d, "exited before it was HEALTHY")}
		}
	default: // START
		return verdict{met: on.Ran}
	}
	limit := t.definition(d.on).StartTimeout
	if limit == nil || on.StartedAt.IsZero() {
		return verdict{}
	}
	wake := on.StartedAt.Add(seconds(limit, 0))
	if now.Before(wake) {
		return verdict{wake: wake}
	}
	return verdict{never: orderingError(d, "has timed out.")}
}

func exitVerdict(d dependency, e *exit) verdict {
	switch {
	case !e.Known:
		return verdict{never: orderingError(d, "ended without an exit code")}
	case e.Code != 0 && d.condition == ecs.ContainerConditionSuccess:
		return verdict{never: orderingError(d, fmt.Sprintf("exited with code %d", e.Code))}
	}
	return verdict{met: true}
}

func orderingError(d dependency, what string) string {
	return fmt.Sprintf("dependency graph: container ordering dependency [%s] for target [%s] %s", d.on, d.of, what)
}

// ready tells whether all that the container waits for is met, and else when to look again. A container that ran
// before (restart policy) does not wait again.
func (t *task) ready(c *container, now time.Time) (bool, time.Time) {
	if c.Ran {
		return true, time.Time{}
	}
	met, wake := true, time.Time{}
	for _, d := range t.dependencies(c.Name) {
		v := t.verdict(d, now)
		met = met && v.met
		if !v.wake.IsZero() {
			wake = earlier(wake, v.wake)
		}
	}
	return met, wake
}
