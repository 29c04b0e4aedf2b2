package ecs

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	api "berth/api/ecs"
	"berth/ecs/placement"
	"berth/ecs/rollout"
	"berth/store"
)

// Reasons that tasks of services are stopped for. Source: ECS developer guide, stopped tasks error codes.
const (
	reasonScaling = "Scaling activity initiated by (deployment %s)"
	reasonChecks  = "Task failed container health checks"
	// reasonLost is Berth's own: ECS has no such rule.
	reasonLost = "Container instance %s was lost: nothing has been heard of its agent since %s"
)

// pass is one look at one service inside a transaction: read, decide, write.
type pass struct {
	s   *Service     // nil where only a look is taken
	r   store.Reader // what is read: tx, but where only a look is taken
	tx  *store.Tx
	now time.Time
	// since is when the control plane started.
	since time.Time
	ids   []string // for tasks that are started
	pick  *picker

	v           ServiceRecord
	live        map[string]*Deployment // by number
	tasks       []Task                 // those of which something is still to be done
	definitions map[string]TaskDefinition
	machines    map[string]*host // by instance ID
	balance     balance
	braked      bool             // brakes were looked for
	brakes      []Brake          // of the cluster
	braking     map[string]Brake // of these, those that hold tasks of the service, by zone
	// set is the number of the task set that is looked at, about what events say of it.
	set, about string

	started, stopped int
	// budget is how many tasks may still be changed in the transaction. Those that were changed wake the service again.
	budget int
	again  time.Duration
}

// host is what the scheduler knows of an instance. One that is not known is not draining (I-08).
type host struct {
	c          ContainerInstance
	attributes map[string]string
}

func (p *pass) run(key string) {
	var ok bool
	if p.v, ok = Services.Get(p.tx, key); !ok || p.v.Ended != 0 {
		return
	}
	before := p.v
	p.v.Notes = slices.Clone(p.v.Notes)
	was := p.load()
	seen := p.look()
	if p.v.external() {
		p.sets(seen)
	} else if d := p.staged(); d != nil {
		p.endMoves()
		p.stage(d, seen)
	} else {
		p.turn()
		p.step(seen)
	}
	p.keepPorts()
	for number, d := range p.live {
		if !reflect.DeepEqual(*d, was[number]) {
			Deployments.Put(p.tx, *d)
		}
	}
	if !reflect.DeepEqual(p.v, before) {
		Services.Put(p.tx, p.v)
	}
}

// load reads what belongs to the service and returns its deployments as they were.
func (p *pass) load() map[string]Deployment {
	p.definitions, p.machines, p.live = map[string]TaskDefinition{}, map[string]*host{}, map[string]*Deployment{}
	p.balance, p.braking = newBalance(), map[string]Brake{}
	was := map[string]Deployment{}
	for d := range Deployments.By(p.r, byDeploymentLive, p.v.Key()) {
		p.live[d.Number], was[d.Number] = new(d), d
	}
	p.tasks = slices.Collect(Tasks.By(p.r, byTaskService, p.v.Key()))
	return was
}

// look notes what became of the tasks and returns those that are not STOPPED as rollout sees them.
func (p *pass) look() (seen []rollout.Task) {
	for i := range p.tasks {
		t := &p.tasks[i]
		changed, full := false, p.budget <= 0
		if t.Desired == StateStopped && !t.Noted && !full {
			t.Noted, changed = true, true
			p.ended(t)
			p.left(t)
		}
		p.learn(t)
		if t.Active() {
			changed = !full && p.register(t) || changed
			r := p.see(t)
			changed = !full && p.fit(t, r.Health) || changed
			if r.Health == rollout.Healthy && !t.Proven && !full {
				t.Proven, r.Proven, changed = true, true, true
				p.proven(t)
			}
			seen = append(seen, r)
		}
		if changed {
			p.budget--
			Tasks.Put(p.tx, *t)
		}
	}
	p.balance.report(p)
	p.reportBrakes()
	return seen
}

// ended counts a task whose end is decided.
func (p *pass) ended(t *Task) {
	cause := rollout.Other
	switch {
	case t.StopCode == api.TaskStopCodeEssentialContainerExited, t.StopCode == api.TaskStopCodeTaskFailedToStart:
		cause = rollout.Itself
	case t.StopCode == api.TaskStopCodeServiceSchedulerInitiated && (t.StopReason == reasonChecks || strings.HasPrefix(t.StopReason, reasonTarget)):
		cause = rollout.Checks
	}
	d := p.live[t.deployment()]
	if d == nil || !rollout.Fails(cause, t.Proven) {
		return
	}
	if d.State == RolloutInProgress {
		d.Failed++
	}
	d.setPause(d.pause().After(p.now, t.Created.Time(), t.Started != 0))
}

// proven forgets the failures of a deployment when one of its tasks is healthy.
func (p *pass) proven(t *Task) {
	if d := p.live[t.deployment()]; d != nil {
		if d.State == RolloutInProgress && !p.v.breaker().Sticky {
			d.Failed = 0
		}
		d.setPause(rollout.Pause{})
	}
}

func (p *pass) definition(key string) *TaskDefinition {
	d, ok := p.definitions[key]
	if !ok {
		d, _ = TaskDefinitions.Get(p.r, key)
		p.definitions[key] = d
	}
	return &d
}

func (p *pass) machine(id string) *host {
	m, ok := p.machines[id]
	if !ok {
		key := p.v.ClusterKey() + "/" + id
		m = &host{}
		m.c, _ = ContainerInstances.Get(p.r, key)
		d, _ := InstanceDescriptions.Get(p.r, key)
		m.attributes = d.attributes()
		p.machines[id] = m
	}
	return m
}

// see is a task as rollout sees it.
func (p *pass) see(t *Task) rollout.Task {
	m := p.machine(t.Instance)
	out := rollout.Task{
		ID: t.ID, Deployment: t.deployment(), Instance: t.Instance, Created: t.Created.Time(), Running: t.Last == StateRunning,
		Zone: m.attributes[placement.ZoneAttribute], Stopping: t.Desired == StateStopped, Proven: t.Proven, Draining: m.c.Status == InstanceDraining,
	}
	until := t.Protected.Time()
	if out.Protected = p.now.Before(until); out.Protected {
		out.Next = until
	}
	var next time.Time
	out.Health, next = p.health(t)
	if lost, braked := p.silentAt(m); braked {
		out.Health, next = rollout.Settling, time.Time{}
	} else if !lost.IsZero() {
		if out.Lost = !p.now.Before(lost); !out.Lost && (next.IsZero() || lost.Before(next)) {
			next = lost
		}
	}
	if !next.IsZero() && (out.Next.IsZero() || next.Before(out.Next)) {
		out.Next = next
	}
	strategy := p.v.Strategy
	if len(strategy) == 0 {
		strategy = defaultServiceStrategy()
	}
	for i, s := range strategy {
		switch field := value(s.Field); {
		case s.Type == api.PlacementStrategyTypeSpread && field == placement.FieldInstanceID:
			out.Spread = append(out.Spread, t.Instance)
		case s.Type == api.PlacementStrategyTypeSpread:
			out.Spread = append(out.Spread, m.attributes[strings.TrimPrefix(field, "attribute:")])
		case s.Type == api.PlacementStrategyTypeBinpack && i == 0 && field == placement.FieldCPU:
			out.Free = int64(m.c.CPU - m.c.Used.CPU)
		case s.Type == api.PlacementStrategyTypeBinpack && i == 0:
			out.Free = int64(m.c.Memory - m.c.Used.Memory)
		}
	}
	return out
}

// health is a task's health and when it changes by itself: what its containers' checks and its load balancers say; without
// either, that it has run for a while.
func (p *pass) health(t *Task) (rollout.Health, time.Time) {
	if t.Last != StateRunning || t.Desired == StateStopped {
		return rollout.Settling, time.Time{}
	}
	d := &p.definition(t.DefinitionKey()).Definition
	containers, checked := containersHealth(t, d)
	targets, balanced := p.targets(t)
	switch worst := min(containers, targets); {
	case containers == rollout.Unhealthy || targets == rollout.Unhealthy:
		grace := t.Started.Time().Add(time.Duration(value(p.v.Grace)) * time.Second)
		if p.now.Before(grace) {
			return rollout.Settling, grace
		}
		return rollout.Unhealthy, time.Time{}
	case !p.connected(t):
		return rollout.Settling, time.Time{}
	case checked || balanced:
		return worst, time.Time{}
	}
	if settled := t.Started.Time().Add(settleTime); p.now.Before(settled) {
		return rollout.Settling, settled
	}
	return rollout.Healthy, time.Time{}
}

// containersHealth is what the checks of essential containers say; Healthy if there are none.
func containersHealth(t *Task, d *api.TaskDefinition) (h rollout.Health, checked bool) {
	if !slices.ContainsFunc(d.ContainerDefinitions, func(c api.ContainerDefinition) bool { return isEssential(&c) && hasHealthCheck(&c) }) {
		return rollout.Healthy, false
	}
	switch taskHealth(*t, d) {
	case api.HealthStatusHealthy:
		return rollout.Healthy, true
	case api.HealthStatusUnhealthy:
		return rollout.Unhealthy, true
	}
	return rollout.Settling, true
}

// step decides what to do and does it.
func (p *pass) step(seen []rollout.Task) {
	primary := p.live[p.v.Primary]
	if primary == nil {
		return // nothing is known of what is wanted: nothing is stopped (I-08)
	}
	want, l, ok := p.wanted(primary)
	if !ok {
		return // likewise
	}
	plan := rollout.Decide(p.now, want, seen)
	p.wake(plan.Wake)
	if p.rebalance(primary, want, l, seen) {
		return
	}
	p.stop(plan.Stop)
	if p.v.Draining {
		p.end()
		return
	}
	p.start(l, plan)
	p.leaveBehind(primary)
	p.report(primary, plan)
	if plan.Steady && p.baked(primary) {
		p.complete(primary)
	}
}

// leaveBehind lets go of deployments that others took the place of before they were complete, once none of their tasks is left. A service
// that never gets steady would collect them.
func (p *pass) leaveBehind(primary *Deployment) {
	kept := map[string]bool{p.v.Primary: true, p.v.Completed: true, p.v.Current: true, primary.Back: true}
	for i := range p.tasks {
		if p.tasks[i].Active() {
			kept[p.tasks[i].deployment()] = true
		}
	}
	for number, d := range p.live {
		if !kept[number] && d.Life == nil {
			d.Gone, d.Updated = true, MillisOf(p.now)
		}
	}
}

// wanted is what rollout is asked, and what tasks are started with. It is not ok if that is not known.
func (p *pass) wanted(primary *Deployment) (want rollout.Service, l *launch, ok bool) {
	definition := p.definition(primary.DefinitionKey())
	want = rollout.Service{
		Desired: int(p.v.Desired), MinPercent: int(value(p.v.Config.MinimumHealthyPercent)), MaxPercent: int(value(p.v.Config.MaximumPercent)),
		Primary: p.v.Primary, Halted: primary.State == RolloutFailed, Ending: p.v.Draining, Force: p.v.Force, Pause: primary.pause(), Daemon: p.v.Daemon,
	}
	if primary.Life != nil && primary.Life.Back && primary.State == RolloutFailed {
		want.Desired = 0 // it was the first deployment of the service and did not take traffic as it should: there is nothing to run
	}
	l, err := p.v.launch(*definition)
	switch {
	case p.v.Draining:
	case definition.Family == "" || err != nil:
		return want, l, false
	case p.v.Daemon:
		want.Machines = machinesFor(p.r, p.v, l.place)
	}
	return want, l, true
}

func (p *pass) wake(after time.Duration) {
	if after > 0 && (p.again == 0 || after < p.again) {
		p.again = after
	}
}

// stop ends tasks, with the cause (I-09).
func (p *pass) stop(stops []rollout.Stop) {
	var running []string
	lost := map[string]int{}
	pending := 0
	for _, s := range stops[:min(len(stops), mostPerPass, max(0, p.budget))] {
		i := slices.IndexFunc(p.tasks, func(t Task) bool { return t.ID == s.ID })
		t := &p.tasks[i]
		reason := fmt.Sprintf(reasonScaling, deploymentPrefix+cmp.Or(p.set, p.v.Primary))
		switch s.Reason {
		case rollout.FailedAny:
			reason = cmp.Or(p.balance.reasons[t.ID], reasonChecks)
		case rollout.Lost:
			lost[t.Instance]++
			reason = fmt.Sprintf(reasonLost, t.Instance, p.machine(t.Instance).c.silence().Time().UTC().Format(time.RFC3339))
		}
		if !t.want(p.tx, api.TaskStopCodeServiceSchedulerInitiated, reason, MillisOf(p.now)) {
			continue
		}
		if p.stopped++; t.Last >= StateRunning {
			running = append(running, "(task "+t.ID+")")
		} else {
			pending++
		}
		p.budget--
		Tasks.Put(p.tx, *t)
	}
	for _, id := range slices.Sorted(maps.Keys(lost)) {
		p.event("has given up %d tasks on (container-instance %s): nothing has been heard of its agent since %s.",
			lost[id], id, p.machine(id).c.silence().Time().UTC().Format(time.RFC3339))
	}
	if len(running) > 0 {
		p.event("has stopped %d running tasks: %s.", len(running), strings.Join(running, " "))
	}
	if pending > 0 {
		p.event("stopped %d pending tasks.", pending)
	}
}

// start starts tasks of the primary deployment where there is room, as RunTask does.
func (p *pass) start(l *launch, plan rollout.Plan) {
	n := min(plan.Start, len(p.ids), max(0, p.budget))
	if n == 0 && plan.Start > 0 {
		return // the next pass does it
	}
	p.v.Short = false
	if n == 0 {
		p.clear(notePlacement + p.set)
		return
	}
	l.now, l.ids = MillisOf(p.now), p.ids
	p.ids, p.budget = p.ids[n:], p.budget-n
	var picks []pick
	if p.v.Daemon {
		for _, id := range plan.StartOn[:n] {
			held, why, ok := reserve(p.tx, p.v.ClusterKey()+"/"+id, &l.place)
			if !ok {
				why.Instance = id
				picks = append(picks, pick{Refusals: []placement.Refusal{why}})
				continue
			}
			picks = append(picks, pick{Instance: id, Held: held})
		}
	} else {
		picks = p.pick.pick(p.tx, slices.Repeat([]placement.Task{l.place}, n), l.strategy)
	}
	var made []string
	var refused *pick
	for i := range picks {
		if picks[i].Instance == "" {
			refused = &picks[i]
			continue
		}
		t := l.task(i, picks[i].Instance, picks[i].Held)
		p.pin(&t)
		Tasks.Put(p.tx, t)
		made = append(made, "(task "+t.ID+")")
	}
	if p.started += len(made); len(made) > 0 {
		p.event("has started %d tasks: %s.", len(made), strings.Join(made, " "))
	}
	if refused == nil {
		p.clear(notePlacement + p.set)
		return
	}
	p.v.Short = true
	p.wake(shortAgain)
	p.unplaced(refused.Refusals)
}

// end makes a service INACTIVE whose tasks are all on their way out and get no more traffic.
func (p *pass) end() {
	if slices.ContainsFunc(p.tasks, func(t Task) bool { return t.Active() && (t.Desired != StateStopped || t.Leaving) }) {
		return
	}
	p.v.Ended, p.v.Short = MillisOf(p.now), false
	for _, d := range p.live {
		d.Gone, d.Updated = true, MillisOf(p.now)
	}
}
