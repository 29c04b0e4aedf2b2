package ecs

import (
	"fmt"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/ecs/placement"
	"berth/ecs/rollout"
)

const (
	reasonRebalance = "Availability-zone rebalancing initiated by (deployment %s)"

	noteZone  = "zone " // the zone follows
	noteMoves = "moves"
)

// zoneField is the field of spread and the attribute of constraints that mean the zone.
const zoneField = "attribute:" + placement.ZoneAttribute

// unbalanceable says which setting keeps the tasks of the service from being moved between zones; empty: none.
func (v ServiceRecord) unbalanceable() string {
	switch {
	case v.external():
		return "the EXTERNAL deployment controller"
	case v.Daemon:
		return "the DAEMON scheduling strategy"
	case v.Launch == api.LaunchTypeExternal:
		return "the EXTERNAL launch type"
	case len(v.Strategy) > 0 && (v.Strategy[0].Type != api.PlacementStrategyTypeSpread || value(v.Strategy[0].Field) != zoneField):
		return "a placement strategy that does not begin with spread across " + zoneField
	case value(v.Config.MaximumPercent) <= 100:
		return "a maximumPercent that is not greater than 100"
	case slices.ContainsFunc(v.Constraints, func(c api.PlacementConstraint) bool {
		return strings.Contains(value(c.Expression), placement.ZoneAttribute)
	}):
		return "a placement constraint on " + zoneField
	}
	return ""
}

// rebalancing is whether tasks are moved between zones: what the user said; without a word, if it can be done.
func (v ServiceRecord) rebalancing() api.AvailabilityZoneRebalancing {
	switch {
	case v.Rebalancing != "":
		return v.Rebalancing
	case v.unbalanceable() != "":
		return api.AvailabilityZoneRebalancingDisabled
	}
	return api.AvailabilityZoneRebalancingEnabled
}

// takeRebalancing checks what the user says of rebalancing against the other settings and takes it.
func (v *ServiceRecord) takeRebalancing(given api.AvailabilityZoneRebalancing) error {
	if given != "" {
		v.Rebalancing = given
	}
	if why := v.unbalanceable(); why != "" && v.Rebalancing == api.AvailabilityZoneRebalancingEnabled {
		return invalid("Availability Zone rebalancing is not supported with %s. Set availabilityZoneRebalancing to DISABLED or change that setting.", why)
	}
	return nil
}

// rebalance moves tasks between zones if the service rests otherwise. It reports whether tasks are being moved: then it has done
// all that is to be done, and the tasks that it started are no surplus.
func (p *pass) rebalance(primary *Deployment, want rollout.Service, l *launch, seen []rollout.Task) (planned bool) {
	moving, full := p.v.Moving != 0, map[string]bool{}
	if p.v.Draining || p.v.rebalancing() != api.AvailabilityZoneRebalancingEnabled || primary.State != RolloutCompleted ||
		moving && p.v.Moving != p.v.Desired || rollout.Rebalance(want, []string{""}, full, moving, seen).Off {
		p.endMoves()
		return false
	}
	zones := p.zones(l.place)
	r := rollout.Rebalance(want, zones, full, moving, seen)
	switch {
	case r.Off: // no machine is known
		return false
	case r.Balanced:
		p.clear(noteMoves)
		if moving {
			p.event("is AZ balanced with %s.", zoneText(r.Counts))
			p.forgetMoves()
		}
		return false
	}
	p.noteIf(r.Guarded, noteMoves, "was unable to AZ Rebalance because task set (taskSet %s) was unable to scale in due to task protection.",
		deploymentPrefix+p.v.Primary)
	if len(r.Start) > 0 && !moving {
		p.event("is not AZ balanced with %s. AZ Rebalancing in progress.", zoneText(r.Counts))
		p.v.Moving = p.v.Desired
	}
	p.v.Short = false
	for range zones {
		if !p.startIn(l, r.Start, full) {
			break
		}
		r.Start = rollout.Rebalance(want, zones, full, moving, seen).Start
	}
	p.stopIn(r.Stop, seen)
	if p.v.Moving == 0 {
		return false
	}
	p.clear(noteSteady)
	return true
}

func (p *pass) endMoves() {
	if p.v.Moving != 0 {
		p.event("stopped AZ Rebalancing.")
		p.forgetMoves()
	}
}

func (p *pass) forgetMoves() {
	p.v.Moving = 0
	p.clear(noteMoves)
	p.v.Notes = slices.DeleteFunc(slices.Clone(p.v.Notes), func(n ServiceNote) bool { return strings.HasPrefix(n.Kind, noteZone) })
}

// zones are the zones of the machines on which a task may be placed, whatever room they have.
func (p *pass) zones(t placement.Task) (out []string) {
	t.Needs = placement.Resources{}
	t.Constraints = slices.DeleteFunc(slices.Clone(t.Constraints), func(c placement.Constraint) bool { return c.Type == placement.TypeDistinctInstance })
	r := p.s.store.Read() // not the transaction: it would clash with every change of a machine
	for c := range ContainerInstances.By(r, byInstanceStatus, instanceStatusKey(p.v.ClusterKey(), InstanceActive.String())) {
		description, _ := InstanceDescriptions.Get(r, c.Key())
		on := c.placed(description.attributes(), description.AgentVersion)
		if why, fits := placement.Check(&t, &on); fits || why.Reason == placement.ReasonAgent {
			out = append(out, description.Zone())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// startIn starts a task in each of the zones. It reports whether there was one without room; full has it then.
func (p *pass) startIn(l *launch, zones []string, full map[string]bool) (short bool) {
	zones = zones[:min(len(zones), len(p.ids), max(0, p.budget))]
	if len(zones) == 0 {
		return false
	}
	l.now, l.ids = MillisOf(p.now), p.ids
	p.ids, p.budget = p.ids[len(zones):], p.budget-len(zones)
	var tasks []placement.Task
	for _, z := range zones {
		t := l.place
		t.Zones = []string{z}
		tasks = append(tasks, t)
	}
	made := map[string][]string{}
	for i, k := range p.pick.pick(p.tx, tasks, l.strategy) {
		if k.Instance == "" {
			full[zones[i]], short = true, true
			p.v.Short = true
			p.wake(shortAgain)
			p.note(noteZone+zones[i], "", "is unable to place a task in %s because no container instance met all of its requirements.", zones[i])
			continue
		}
		t := l.task(i, k.Instance, k.Held)
		p.pin(&t)
		Tasks.Put(p.tx, t)
		p.started++
		made[zones[i]] = append(made[zones[i]], "(task "+t.ID+")")
		p.clear(noteZone + zones[i])
	}
	for _, z := range slices.Compact(slices.Sorted(slices.Values(zones))) {
		if n := len(made[z]); n > 0 {
			p.event("has started %d tasks in %s to AZ Rebalance: %s.", n, z, strings.Join(made[z], " "))
		}
	}
	return short
}

// stopIn stops tasks that others have replaced in other zones.
func (p *pass) stopIn(ids []string, seen []rollout.Task) {
	stopped := map[string][]string{}
	var zones []string
	for _, id := range ids[:min(len(ids), max(0, p.budget))] {
		t := &p.tasks[slices.IndexFunc(p.tasks, func(t Task) bool { return t.ID == id })]
		if !t.want(p.tx, api.TaskStopCodeServiceSchedulerInitiated, fmt.Sprintf(reasonRebalance, deploymentPrefix+p.v.Primary), MillisOf(p.now)) {
			continue
		}
		Tasks.Put(p.tx, *t)
		p.stopped++
		p.budget--
		zone := seen[slices.IndexFunc(seen, func(t rollout.Task) bool { return t.ID == id })].Zone
		stopped[zone] = append(stopped[zone], "(task "+id+")")
		zones = append(zones, zone)
	}
	for _, z := range slices.Compact(slices.Sorted(slices.Values(zones))) {
		p.event("has stopped %d running tasks in %s due to AZ rebalancing: %s.", len(stopped[z]), z, strings.Join(stopped[z], " "))
	}
}

func zoneText(counts []rollout.ZoneCount) string {
	var out []string
	for _, c := range counts {
		out = append(out, fmt.Sprintf("%d tasks in %s", c.Tasks, c.Zone))
	}
	return strings.Join(out, ", ")
}
