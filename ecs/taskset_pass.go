package ecs

import (
	"fmt"
	"maps"
	"slices"

	"berth/ecs/rollout"
)

// sets keeps the tasks of each task set of the service as it is wanted.
func (p *pass) sets(seen []rollout.Task) {
	numbers := slices.Sorted(maps.Keys(p.live))
	steady, short, tired, guarded := len(numbers) > 0, false, false, ""
	for _, n := range numbers {
		d := p.live[n]
		if d.Set == nil {
			continue
		}
		p.set = n
		if len(numbers) > 1 {
			p.about = ", taskSet " + deploymentPrefix + n
		}
		plan := p.oneSet(d, seen)
		short, steady, tired = short || p.v.Short, steady && plan.Steady, tired || d.Rounds >= 3
		if plan.Guarded {
			guarded = n
		}
	}
	p.set, p.about = "", ""
	if p.v.Draining {
		p.end()
		return
	}
	p.v.Short = short
	p.noteIf(guarded != "", noteGuarded, "was unable to reach steady state because task set (taskSet %s) was unable to scale in. "+
		"Reason: The number of protected tasks are more than the desired count of tasks.", deploymentPrefix+guarded)
	p.noteIf(tired, notePause, "is unable to consistently start tasks successfully."+seeGuide)
	p.noteIf(steady, noteSteady, "has reached a steady state.")
}

// oneSet takes one task set a step further. A set that is to end goes when it has no task left.
func (p *pass) oneSet(d *Deployment, seen []rollout.Task) (plan rollout.Plan) {
	var own []rollout.Task
	for _, t := range seen {
		if t.Deployment == d.Number {
			own = append(own, t)
		}
	}
	want := rollout.Service{
		Desired: int(d.setCount(p.v)), MinPercent: int(value(p.v.Config.MinimumHealthyPercent)), MaxPercent: int(value(p.v.Config.MaximumPercent)),
		Primary: d.Number, Ending: p.v.Draining || d.Set.Draining, Force: p.v.Force || d.Set.Force, Pause: d.pause(),
	}
	p.v.Short = false
	plan = rollout.Decide(p.now, want, own)
	p.wake(plan.Wake)
	p.stop(plan.Stop)
	if want.Ending {
		if len(own) == 0 && !p.v.Draining {
			Deployments.Delete(p.tx, d.Key())
			delete(p.live, d.Number)
			p.clear(notePlacement + d.Number)
			plan.Steady = true // the rest of the service decides
		}
		return plan
	}
	if plan.Start == 0 {
		p.clear(notePlacement + d.Number)
	} else {
		if l, err := p.setLaunch(d); err == nil { // else the definition is gone: nothing can be started of it
			p.start(l, plan)
		}
	}
	if was := d.Set; was.Steady != plan.Steady || plan.Steady && was.For != int32(want.Desired) {
		d.Set = new(*was)
		d.Set.Steady, d.Set.For = plan.Steady, int32(want.Desired)
		d.Set.Since = MillisOf(p.now)
	}
	return plan
}

// setLaunch is what starts tasks of the task set.
func (p *pass) setLaunch(d *Deployment) (*launch, error) {
	as := p.v
	as.Launch = d.Launch
	l, err := as.launch(*p.definition(d.DefinitionKey()))
	if err == nil {
		l.startedBy = deploymentPrefix + d.Number
	}
	return l, err
}

// explainSets says of each task set how far it is.
func (w *WhyService) explainSets(p *pass) {
	counts := serviceTasks(p.r, p.v.Key())
	w.Steady = true
	for _, d := range liveDeployments(p.r, p.v) {
		shown := d.setWire(p.v, counts[d.Number], false)
		w.Steady = w.Steady && string(shown.StabilityStatus) == "STEADY_STATE"
		w.Reasons = append(w.Reasons, fmt.Sprintf("task set %s is %s: %d of %d tasks run, %s",
			*shown.Id, *shown.Status, *shown.RunningCount, *shown.ComputedDesiredCount, shown.StabilityStatus))
	}
	w.Summary = fmt.Sprintf("service %s: %d task sets, %d tasks healthy", p.v.Name, len(w.Reasons), w.Healthy)
	if w.Steady {
		w.Summary += "; steady"
	}
}
