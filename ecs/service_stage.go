package ecs

import (
	"slices"
	"time"

	api "berth/api/ecs"
	"berth/ecs/rollout"
)

// alarmAgain is how often alarms are looked at while they can fail a deployment.
const alarmAgain = 10 * time.Second

// staged is the deployment under way if it shifts traffic.
func (p *pass) staged() *Deployment {
	d := p.live[p.v.Current]
	if d == nil || d.Life == nil || !d.under() || p.v.Draining {
		return nil
	}
	return d
}

// stage takes a deployment that shifts traffic a step further and keeps the tasks of its revisions as the stage wants them.
func (p *pass) stage(d *Deployment, seen []rollout.Task) {
	now := MillisOf(p.now).Time()
	m := d.Life.Next(now, d.shift(), p.facts(d, seen))
	if m.Life.Stage != d.Life.Stage || m.Life.Step != d.Life.Step {
		d.Updated = MillisOf(now)
	}
	at := d.hooksAt()
	for _, i := range m.Expired {
		h, _ := Hooks.Get(p.tx, d.hookKey(at[i]))
		h.Status = api.DeploymentLifecycleHookStatusTimedOut
		Hooks.Put(p.tx, h)
	}
	if m.StartHooks {
		for _, i := range at {
			if _, ok := Hooks.Get(p.tx, d.hookKey(i)); !ok {
				beginHook(p.tx, *d, i, MillisOf(now))
			}
		}
	}
	d.Life = &m.Life
	p.wake(m.Wake)
	if m.SetProduction {
		d.forward(p.tx, productionRule, m.Life.Production)
	}
	if m.SetTest {
		d.forward(p.tx, testRule, m.Life.Test)
	}
	if m.Fail != "" {
		p.turnBack(d, m.Fail)
	}
	switch {
	case m.Done:
		p.scale(d, seen)
		p.complete(d)
	case m.RolledBack, m.NotBack:
		p.turnedBack(d, m.NotBack)
	default:
		p.scale(d, seen)
	}
}

// facts are what the next step is decided on.
func (p *pass) facts(d *Deployment, seen []rollout.Task) rollout.Facts {
	f := rollout.Facts{
		Desired: int(p.v.Desired), MinPercent: int(value(p.v.Config.MinimumHealthyPercent)), HasBlue: d.Blue != "" && p.live[d.Blue] != nil,
		Requested: d.Status == api.ServiceDeploymentStatusRollbackRequested,
		Tripped:   p.v.breaker().Tripped(int(d.Failed), int(p.v.Desired)),
		Broken:    d.broken(p.tx),
		Behind:    d.behind(p.tx),
	}
	for _, t := range seen {
		side := &f.Others
		switch t.Deployment {
		case d.Number:
			side = &f.Green
		case d.Blue:
			side = &f.Blue
		}
		if t.Lost {
			// It serves nobody, and nobody says when it ends.
			if !t.Stopping {
				side.Left++
			}
			continue
		}
		if side.Left++; t.Health == rollout.Healthy && !t.Stopping {
			side.Healthy++
		}
	}
	for _, i := range d.hooksAt() {
		f.Hooks = append(f.Hooks, hookFact(p.tx, *d, i))
	}
	if f.HasBlue && !d.Life.Back {
		f.Alarms = p.alarms(d)
	}
	return f
}

// scale starts and stops tasks of each revision as the stage wants them.
func (p *pass) scale(d *Deployment, seen []rollout.Task) {
	green, blue, others, hold := d.Life.Wants(int(p.v.Desired))
	all := []*Deployment{d}
	wants := []rollout.Want{{Deployment: d.Number, Desired: green, Halted: hold, Pause: d.pause()}}
	for _, other := range p.live {
		if other == d {
			continue
		}
		w := rollout.Want{Deployment: other.Number, Desired: others, Halted: hold, Pause: other.pause()}
		if other.Number == d.Blue {
			w.Desired, w.Halted = blue, false
		}
		all, wants = append(all, other), append(wants, w)
	}
	service := rollout.Service{MinPercent: int(value(p.v.Config.MinimumHealthyPercent)), MaxPercent: int(value(p.v.Config.MaximumPercent))}
	short := false
	for i, plan := range rollout.DecideEach(p.now, service, wants, seen) {
		p.wake(plan.Wake)
		p.stop(plan.Stop)
		if all[i].Number == p.v.Primary {
			p.report(all[i], plan)
		}
		if plan.Start == 0 {
			continue
		}
		l, err := p.v.launch(*p.definition(all[i].DefinitionKey()))
		if err != nil {
			continue // the definition is gone: nothing can be started of it
		}
		l.startedBy = deploymentPrefix + all[i].Number
		p.start(l, plan)
		short = short || p.v.Short
	}
	if p.v.Short = short; !short {
		p.clear(notePlacement)
	}
}

// turnBack begins the rollback of a deployment that shifts traffic. Without an old revision its tasks end, and it is stopped.
func (p *pass) turnBack(d *Deployment, why string) {
	at := MillisOf(p.now)
	p.fail(d, "ECS deployment "+deploymentPrefix+d.Number+" failed: "+why)
	p.event("(deployment %s) deployment failed: %s", deploymentPrefix+d.Number, why)
	d.StatusReason = why
	to := p.live[d.Blue]
	if to == nil {
		d.Status = api.ServiceDeploymentStatusStopRequested
		return
	}
	d.Status, d.RollbackTo, d.RollbackReason, d.RollbackAt = api.ServiceDeploymentStatusRollbackInProgress, to.Number, why, at
	to.State, to.Back, to.Updated, to.Failed = RolloutInProgress, d.Number, at, 0
	to.Reason = "Rolling back to deploymentId " + deploymentPrefix + to.Number + "."
	to.setPause(rollout.Pause{})
	p.v.Primary = to.Number
	p.event("rolling back to deployment %s.", deploymentPrefix+to.Number)
}

// turnedBack ends the rollback of a deployment that shifts traffic.
func (p *pass) turnedBack(d *Deployment, failed bool) {
	at := MillisOf(p.now)
	to := p.live[d.Blue]
	if to == nil {
		d.Status, d.Stopped, d.Updated = api.ServiceDeploymentStatusStopped, at, at
		return
	}
	if failed {
		d.Status, d.Finished = api.ServiceDeploymentStatusRollbackFailed, at
		d.Gone, d.Updated, to.Back = true, at, ""
		return
	}
	p.complete(to)
}

// alarms are those in ALARM that fail the deployment. Those that were in ALARM when it began do not count.
func (p *pass) alarms(d *Deployment) (out []string) {
	a := p.v.Config.Alarms
	if p.s.alarms == nil || a == nil || !value(a.Enable) {
		return nil
	}
	p.wake(alarmAgain)
	now := p.s.alarms.InAlarm(p.tx, p.v.Account, p.v.Region, a.AlarmNames)
	if !d.Watched {
		d.Muted, d.Watched = now, true
	}
	for _, name := range now {
		if !slices.Contains(d.Muted, name) {
			out = append(out, name)
		}
	}
	if len(out) > 0 {
		d.Triggered = out
	}
	return out
}
