package ecs

import (
	"fmt"
	"slices"
	"time"

	api "berth/api/ecs"
	"berth/ecs/rollout"
	"berth/store"
)

// showLife adds what a deployment has that shifts traffic: stage, hooks and weights.
func (d Deployment) showLife(r store.Reader, out *api.ServiceDeployment) {
	out.LifecycleStage = lifecycleStage(*d.Life)
	out.LifecycleHookDetails = hookDetails(r, d)
	if v, ok := Services.Get(r, d.ServiceKey()); ok && d.under() {
		out.TargetServiceRevision.RequestedTaskCount = new(int32(d.wanted(d.Number, int(v.Desired))))
		for i, number := range d.Sources {
			out.SourceServiceRevisions[i].RequestedTaskCount = new(int32(d.wanted(number, int(v.Desired))))
		}
	}
	if len(d.Balancers) == 0 {
		return
	}
	target := out.TargetServiceRevision
	target.RequestedProductionTrafficWeight = new(percentOf(d.Life.Production))
	if d.tested() {
		target.RequestedTestTrafficWeight = new(percentOf(d.Life.Test))
	}
	for i, number := range d.Sources {
		source := &out.SourceServiceRevisions[i]
		rest, tests := 0, 0
		if number == d.Blue {
			rest, tests = rollout.All-d.Life.Production, rollout.All-d.Life.Test
		}
		source.RequestedProductionTrafficWeight = new(percentOf(rest))
		if d.tested() {
			source.RequestedTestTrafficWeight = new(percentOf(tests))
		}
	}
}

// wanted is how many tasks of one of the service's deployments this one wants in its stage.
func (d Deployment) wanted(number string, desired int) int {
	green, blue, others, _ := d.Life.Wants(desired)
	switch number {
	case d.Number:
		return green
	case d.Blue:
		return blue
	}
	return others
}

// lifecycleStage is the stage as service deployments show it. They have none for the hooks before a step of the production shift: the
// first is shown as the stage before, the others as the shift.
func lifecycleStage(l rollout.Lifecycle) api.ServiceDeploymentLifecycleStage {
	s := l.Stage
	switch {
	case s == rollout.PreProductionShift && l.Step == 0:
		s = rollout.PostTestShift
	case s == rollout.PreProductionShift:
		s = rollout.ProductionShift
	}
	return api.ServiceDeploymentLifecycleStage(s.String())
}

// alarmsWire are the alarms as the API shows them.
func (d Deployment) alarmsWire() *api.ServiceDeploymentAlarms {
	a := d.Config.Alarms
	if a == nil || !value(a.Enable) {
		return &api.ServiceDeploymentAlarms{Status: api.ServiceDeploymentRollbackMonitorsStatusDisabled}
	}
	out := &api.ServiceDeploymentAlarms{
		Status: api.ServiceDeploymentRollbackMonitorsStatusMonitoring, AlarmNames: slices.Clone(a.AlarmNames), TriggeredAlarmNames: d.Triggered,
	}
	switch {
	case len(d.Triggered) > 0:
		out.Status = api.ServiceDeploymentRollbackMonitorsStatusTriggered
	case !d.under():
		out.Status = api.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete
	}
	return out
}

// resolved are the target groups that a revision uses, with the rules that send production traffic there.
func (d Deployment) resolved() *api.ResolvedConfiguration {
	if len(d.Balancers) == 0 {
		return nil
	}
	out := &api.ResolvedConfiguration{}
	for _, b := range d.Balancers {
		one := api.ServiceRevisionLoadBalancer{TargetGroupArn: b.TargetGroupArn}
		if a := b.AdvancedConfiguration; a != nil {
			one.ProductionListenerRule = a.ProductionListenerRule
		}
		out.LoadBalancers = append(out.LoadBalancers, one)
	}
	return out
}

// explainStage says where a deployment that shifts traffic is and what it waits for.
func (d Deployment) explainStage(r store.Reader) []string {
	how := "is"
	if d.Life.Back {
		how = "is rolled back (" + d.StatusReason + ") and is"
	}
	out := []string{fmt.Sprintf("deployment %s%s %s in stage %s since %s, with %g %% of the production traffic", deploymentPrefix, d.Number, how, d.Life.Stage,
		d.Life.Since.UTC().Format(time.RFC3339), percentOf(d.Life.Production))}
	if behind := d.behind(r); behind != "" {
		out = append(out, "it waits until the traffic follows, which it does not yet on "+behind)
	}
	for h := range Hooks.By(r, byHookRunning, d.Key()) {
		c := h.configured(d)
		if c.TargetType == api.DeploymentLifecycleHookTargetTypePause {
			out = append(out, fmt.Sprintf("it is paused until ContinueServiceDeployment is called with hookId %s, at most until %s", h.id(d), h.Expires.Time().Format(time.RFC3339)))
			continue
		}
		line := fmt.Sprintf("it waits for the hook %s, at most until %s", shownTarget(c), h.Expires.Time().Format(time.RFC3339))
		if h.Task != "" {
			line += ": task " + h.Task
		}
		if h.Why != "" {
			line += ": " + h.Why
		}
		out = append(out, line)
	}
	return out
}
