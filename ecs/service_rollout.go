package ecs

import (
	"cmp"

	api "berth/api/ecs"
	"berth/ecs/placement"
	"berth/ecs/rollout"
)

// Kinds of notes.
const (
	noteSteady    = "steady"
	noteBrake     = "brake"
	notePlacement = "placement"
	noteBlocked   = "blocked"
	noteGuarded   = "guarded"
	notePause     = "pause"
)

const seeGuide = " For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."

func (p *pass) event(format string, args ...any) {
	p.v.event(p.tx, MillisOf(p.now), p.about, format, args...)
}

// note writes an event about a condition, unless it was written already and the condition has lasted since.
func (p *pass) note(kind, about, format string, args ...any) {
	at := MillisOf(p.now)
	for i := range p.v.Notes {
		if p.v.Notes[i].Kind != kind {
			continue
		}
		if left := p.v.Notes[i].At.Time().Add(repeatNote).Sub(p.now); p.v.Notes[i].About == about && left > 0 {
			p.wake(left)
			return
		}
		p.v.Notes[i].About, p.v.Notes[i].At = about, at
		p.event(format, args...)
		p.wake(repeatNote)
		return
	}
	p.v.Notes = append(p.v.Notes, ServiceNote{Kind: kind, About: about, At: at})
	p.event(format, args...)
	p.wake(repeatNote)
}

// clear forgets a condition that is over.
func (p *pass) clear(kind string) {
	var left []ServiceNote
	for _, n := range p.v.Notes {
		if n.Kind != kind {
			left = append(left, n)
		}
	}
	p.v.Notes = left
}

// noteIf writes an event about a condition while it holds.
func (p *pass) noteIf(holds bool, kind, format string, args ...any) {
	if holds {
		p.note(kind, "", format, args...)
		return
	}
	p.clear(kind)
}

// report writes events about what the plan found.
func (p *pass) report(primary *Deployment, plan rollout.Plan) {
	p.noteIf(plan.Blocked, noteBlocked, "was unable to stop or start tasks during a deployment because of the service deployment configuration. "+
		"Update the minimumHealthyPercent or maximumPercent value and try again.")
	p.noteIf(plan.Guarded, noteGuarded, "was unable to reach steady state because task set (taskSet %s) was unable to scale in. "+
		"Reason: The number of protected tasks are more than the desired count of tasks.", deploymentPrefix+p.v.Primary)
	// The pause lasts over the attempts between; its note goes when a task is healthy or the service is updated.
	if primary.Rounds >= 3 {
		p.note(notePause, "", "is unable to consistently start tasks successfully."+seeGuide)
	} else if primary.Rounds == 0 {
		p.clear(notePause)
	}
	if !plan.Steady {
		p.clear(noteSteady)
	}
}

// unplaced writes why a task could not be placed.
func (p *pass) unplaced(refusals []placement.Refusal) {
	const cannot = "was unable to place a task because no container instance met all of its requirements. "
	var closest *placement.Refusal
	for i := range refusals {
		if refusals[i].Considered() {
			closest = &refusals[i]
			break
		}
	}
	if closest == nil {
		p.note(notePlacement+p.set, "none", cannot+"Reason: No Container Instances were found in your cluster."+seeGuide)
		return
	}
	lack := map[string]string{
		placement.ReasonCPU: "has insufficient CPU units available", placement.ReasonMemory: "has insufficient memory available",
		placement.ReasonPorts: "is already using a port required by your task", placement.ReasonPortsUDP: "is already using a port required by your task",
		placement.ReasonAttribute: "is missing an attribute required by your task", placement.ReasonAgent: "doesn't have the agent connected",
	}[closest.Reason]
	p.note(notePlacement+p.set, closest.Reason, cannot+"The closest matching (container-instance %s) %s."+seeGuide,
		closest.Instance, cmp.Or(lack, `encountered error "`+closest.Reason+`"`))
}

// turn gives the service another primary deployment if the present one has failed or is to be rolled back.
func (p *pass) turn() {
	d := p.live[p.v.Primary]
	if d == nil || p.v.Draining {
		return
	}
	if d.Status == api.ServiceDeploymentStatusRollbackRequested {
		p.fail(d, "ECS deployment "+deploymentPrefix+d.Number+" was rolled back on request.")
		p.rollBack(d, "Service deployment rolled back on request.")
		return
	}
	if p.alarmed(d) {
		return
	}
	breaker := p.v.breaker()
	if d.State != RolloutInProgress || !breaker.Tripped(int(d.Failed), int(p.v.Desired)) {
		return
	}
	p.fail(d, "ECS deployment circuit breaker: tasks failed to start.")
	p.event("(deployment %s) deployment failed: tasks failed to start.", deploymentPrefix+d.Number)
	if breaker.Rollback && p.rollBack(d, "Service deployment rolled back because the circuit breaker threshold was exceeded.") {
		return
	}
	p.stay(d, "Service deployment stopped because the circuit breaker threshold was exceeded.")
}

// stay ends a failed deployment that is not rolled back: it stays primary, and nothing more is started of it.
func (p *pass) stay(d *Deployment, why string) {
	at := MillisOf(p.now)
	if from := p.live[d.Back]; from != nil {
		from.Status, from.Finished, from.Updated = api.ServiceDeploymentStatusRollbackFailed, at, at
		d.Back = ""
	}
	if d.under() {
		d.Status, d.Stopped = api.ServiceDeploymentStatusStopped, at
		d.StatusReason = why
	}
}

// alarmed fails a rolling deployment of which an alarm is in ALARM. A service's first has nothing to return to: it is not watched.
func (p *pass) alarmed(d *Deployment) bool {
	if d.State != RolloutInProgress || p.v.Completed == "" || p.v.Completed == d.Number || len(p.alarms(d)) == 0 {
		return false
	}
	p.fail(d, "ECS deployment failed: alarm(s) detected.")
	p.event("(deployment %s) deployment failed: alarm detected.", deploymentPrefix+d.Number)
	if !value(p.v.Config.Alarms.Rollback) || !p.rollBack(d, "Service deployment rolled back because of alarm(s) in state ALARM.") {
		p.stay(d, "Service deployment stopped because of alarm(s) in state ALARM.")
	}
	return true
}

// baked says whether the bake time of a rolling deployment whose tasks are as they are wanted is over.
func (p *pass) baked(d *Deployment) bool {
	bake := minutes(p.v.Config.BakeTimeInMinutes)
	if a := p.v.Config.Alarms; p.v.Config.BakeTimeInMinutes == nil && p.s.alarms != nil && a != nil && value(a.Enable) {
		bake = p.s.alarmBake(p.tx, p.v)
	}
	if bake == 0 || d.State != RolloutInProgress || d.Back != "" || p.v.Completed == "" || p.v.Completed == d.Number {
		return true
	}
	if d.Baking == 0 {
		d.Baking = MillisOf(p.now)
	}
	left := d.Baking.Time().Add(bake).Sub(p.now)
	p.wake(left)
	return left <= 0
}

func (p *pass) fail(d *Deployment, reason string) {
	d.State, d.Reason, d.Updated = RolloutFailed, reason, MillisOf(p.now)
}

// rollBack makes the deployment that was last completed primary again. It reports whether there is one.
func (p *pass) rollBack(from *Deployment, why string) bool {
	number := p.v.Completed
	if number == "" || number == from.Number {
		return false
	}
	to := p.live[number]
	if to == nil {
		d, ok := Deployments.Get(p.tx, p.v.deploymentKey(number))
		if !ok {
			return false
		}
		to = &d
		p.live[number] = to
	}
	at := MillisOf(p.now)
	from.Status, from.StatusReason = api.ServiceDeploymentStatusRollbackInProgress, why
	from.RollbackTo, from.RollbackReason, from.RollbackAt = number, why, at
	to.State, to.Gone, to.Back, to.Updated, to.Failed = RolloutInProgress, false, from.Number, at, 0
	to.Reason = "ECS deployment circuit breaker: rolling back to deploymentId " + deploymentPrefix + number + "."
	to.setPause(rollout.Pause{})
	p.v.Primary = number
	p.event("rolling back to deployment %s.", deploymentPrefix+number)
	return true
}

// complete ends the rollout of the primary deployment; all others are gone with it.
func (p *pass) complete(d *Deployment) {
	at := MillisOf(p.now)
	if d.State == RolloutInProgress {
		d.State, d.Reason, d.Updated = RolloutCompleted, "ECS deployment "+deploymentPrefix+d.Number+" completed.", at
		p.v.Completed = d.Number
		if from := p.live[d.Back]; from != nil && from.Status == api.ServiceDeploymentStatusRollbackInProgress {
			from.Status, from.Finished = api.ServiceDeploymentStatusRollbackSuccessful, at
		}
		if d.Back = ""; d.under() {
			d.Status, d.Finished = api.ServiceDeploymentStatusSuccessful, at
		}
		p.event("(deployment %s) deployment completed.", deploymentPrefix+d.Number)
	}
	if d.State == RolloutCompleted {
		for _, other := range p.live {
			if other != d {
				other.Gone, other.Updated = true, at
			}
		}
		p.note(noteSteady, "", "has reached a steady state.")
	}
}
