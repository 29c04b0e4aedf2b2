package ecs

import (
	"cmp"
	"maps"
	"slices"

	api "berth/api/ecs"
	"berth/ecs/rollout"
	"berth/elbv2"
)

const (
	// reasonTarget begins the reason of tasks that are replaced because of a target. Source: ECS developer guide, stopped
	// tasks error codes.
	reasonTarget = "Task failed ELB health checks in "
	// failedChecks stands where a machine gave no description. Source: ECS service event messages.
	failedChecks = "Health checks failed"
)

// Kinds of notes on target groups; the group's ARN follows.
const (
	noteUnused  = "unused "
	noteNoGroup = "nogroup "
)

// balance is what a pass finds about load balancers.
type balance struct {
	registered, deregistered map[string]int    // targets by the group's ARN
	draining                 int               // tasks
	reasons                  map[string]string // why unhealthy tasks are stopped, by the task's ID
	unfit                    map[string]string // events about unhealthy targets, by the task's ID
	unused, missing          map[string]string // groups without listener, and that are gone: a task's ID by the group's ARN
}

func newBalance() balance {
	return balance{
		registered: map[string]int{}, deregistered: map[string]int{}, reasons: map[string]string{}, unfit: map[string]string{},
		unused: map[string]string{}, missing: map[string]string{},
	}
}

// register puts a task that runs where traffic comes from. It is the one place where tasks are put there.
func (p *pass) register(t *Task) (changed bool) {
	d := p.live[t.deployment()]
	if t.Balanced || t.Desired == StateStopped || t.Last != StateRunning || d == nil || len(d.Balancers)+len(d.ports()) == 0 {
		return false
	}
	definition, machine := &p.definition(t.DefinitionKey()).Definition, p.machine(t.Instance).c
	var targets []elbv2.Target
	for _, b := range d.Balancers {
		g, ok := elbv2.GroupByARN(p.tx, *b.TargetGroupArn)
		if !ok {
			continue // an event says so
		}
		port := t.hostPort(definition, b, g)
		if port == 0 || machine.EC2ID == "" {
			return false // until its machine says which port it is
		}
		targets = append(targets, elbv2.Target{Group: g.Key(), ID: machine.EC2ID, Port: port, By: string(t.ARN())})
	}
	for _, c := range d.ports() {
		port := t.portOf(definition, c.Container, c.ContainerPort, "tcp")
		if port == 0 || machine.EC2ID == "" {
			return false
		}
		targets = append(targets, elbv2.Target{Group: d.connectPort(c).GroupKey(), ID: machine.EC2ID, Port: port, By: string(t.ARN())})
	}
	for _, target := range targets {
		if g, ok := elbv2.TargetGroups.Get(p.tx, target.Group); ok {
			p.balance.registered[g.ARN().String()]++
		}
		elbv2.Register(p.tx, target, p.now)
	}
	t.Balanced = true
	return true
}

// left notes that a task which was registered is to stop.
func (p *pass) left(t *Task) {
	if !t.Balanced {
		return
	}
	d, ok := Deployments.Get(p.tx, p.v.deploymentKey(t.deployment()))
	if !ok || len(d.Balancers) == 0 {
		return
	}
	if t.StopCode != api.TaskStopCodeEssentialContainerExited { // else nothing is left that could end its connections
		p.balance.draining++
	}
	for _, b := range d.Balancers {
		p.balance.deregistered[*b.TargetGroupArn]++
	}
}

// targets is what load balancers say of a running task; Healthy if it has none.
func (p *pass) targets(t *Task) (h rollout.Health, balanced bool) {
	d := p.live[t.deployment()]
	if d == nil || len(d.Balancers) == 0 {
		return rollout.Healthy, false
	}
	if !t.Balanced {
		return rollout.Settling, true
	}
	h = rollout.Healthy
	targets := elbv2.TargetsOf(p.r, string(t.ARN()))
	for _, b := range d.Balancers {
		switch one := p.target(t, *b.TargetGroupArn, targets); {
		case one == rollout.Unhealthy:
			return one, true
		case one == rollout.Settling:
			h = one
		}
	}
	return h, true
}

// target is what one target group says of a task. A group that is gone or that nothing forwards to makes no task healthy and
// none unhealthy: another task would fare no better.
func (p *pass) target(t *Task, arn string, targets []elbv2.Target) rollout.Health {
	g, ok := elbv2.GroupByARN(p.r, arn)
	if !ok {
		p.balance.missing[arn] = cmp.Or(p.balance.missing[arn], t.ID)
		return rollout.Settling
	}
	i := slices.IndexFunc(targets, func(target elbv2.Target) bool { return target.Group == g.Key() })
	reason := reasonTarget + "(target-group " + arn + ")"
	if i < 0 {
		p.balance.reasons[t.ID] = reason
		p.balance.unfit[t.ID] = "task set (" + deploymentPrefix + t.deployment() + ") (task " + t.ID + ") is not healthy in target-group (" + arn +
			") due to TARGET IS NOT FOUND"
		return rollout.Unhealthy
	}
	target := targets[i]
	switch s := targetStatus(p.r, g, target); s.state {
	case targetHealthy, targetUnavailable:
		return rollout.Healthy
	case targetUnhealthy:
		p.balance.reasons[t.ID] = reason
		p.balance.unfit[t.ID] = "(task " + t.ID + ") (instance " + target.ID + ") (port " + itoa(target.Port) + ") is unhealthy in (target-group " + arn +
			") due to (reason " + cmp.Or(s.description, failedChecks) + ")"
		return rollout.Unhealthy
	case targetUnused:
		p.balance.unused[arn] = cmp.Or(p.balance.unused[arn], t.ID)
	}
	return rollout.Settling
}

// fit tells of a task's ill health at its targets, once.
func (p *pass) fit(t *Task, h rollout.Health) (changed bool) {
	text := p.balance.unfit[t.ID]
	switch {
	case h == rollout.Unhealthy && text != "" && !t.Unfit:
		p.event("%s", text)
		t.Unfit = true
		return true
	case h == rollout.Healthy && t.Unfit:
		t.Unfit = false
		return true
	}
	return false
}

// report writes the events about targets.
func (b *balance) report(p *pass) {
	for _, arn := range slices.Sorted(maps.Keys(b.registered)) {
		p.event("registered %d targets in (target-group %s)", b.registered[arn], arn)
	}
	if b.draining > 0 {
		p.event("has begun draining connections on %d tasks.", b.draining)
	}
	for _, arn := range slices.Sorted(maps.Keys(b.deregistered)) {
		p.event("deregistered %d targets in (target-group %s)", b.deregistered[arn], arn)
	}
	var groups []string
	for _, d := range p.live {
		groups = append(groups, d.groups()...)
	}
	for _, arn := range slices.Compact(slices.Sorted(slices.Values(groups))) {
		p.noteIf(b.unused[arn] != "", noteUnused+arn, "is not healthy in (target-group %s): no listener forwards to it, so its targets are not checked", arn)
		p.noteIf(b.missing[arn] != "", noteNoGroup+arn, "task set (%s) (task %s) is not healthy in target-group (%s) due to TARGET GROUP IS NOT FOUND",
			deploymentPrefix+p.v.Primary, b.missing[arn], arn)
	}
}
