package ecs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth/agent/proto"
	"berth/aws"
	"berth/ecs/placement"
	"berth/ecs/rollout"
	"berth/elbv2"
	"berth/store"
)

// WhyService says why a service is, or is not, steady.
type WhyService struct {
	Service    string // ARN
	Deployment string // the primary one: ecs-svc/<number>
	Rollout    string // its state: IN_PROGRESS, COMPLETED, FAILED; empty if there is none
	Steady     bool
	Summary    string // one sentence
	// Reasons are sentences about what keeps the service from being steady, the weightiest first. When it is, they tell of silent machines.
	Reasons []string

	// Tasks that should run: wanted, running, on their way there, and of the running ones those that are healthy. A task that is to
	// stop counts as Leaving while its load balancers let go of it.
	Desired, Running, Pending, Healthy, Leaving int
	// Failed tasks of the primary deployment that the circuit breaker counts; Threshold is the number at which it fails, 0 without a breaker.
	Failed, Threshold int
	// Pause is when the next tasks start after several that failed; zero: nothing waits.
	Pause time.Time
	Tasks []WhyServiceTask // those that are not healthy or whose machine is silent, in order of creation
	// Machines are the answers for one more task of the primary deployment, if some are missing.
	Machines []WhyMachine

	healthy map[string]int // tasks by the number of their deployment
}

// WhyServiceTask is a task that does not count as healthy.
type WhyServiceTask struct {
	Task    string // ID
	Status  string // lastStatus
	Ends    bool   // it is to stop, so that it keeps nothing from being steady
	Why     string // one sentence
	Targets []WhyTarget
}

// WhyTarget is a target of a task, or what it should be.
type WhyTarget struct {
	Group       string // ARN of the target group
	Target      string // instance:port; empty if it is not registered
	Task        string // ID of the task behind it; empty if a client registered it
	State       string // initial, healthy, unhealthy, unused, draining; missing if it is not registered
	Description string // why, as the ELB API says it
	// Probes are the answers to the last health check, one for each machine that carries traffic.
	Probes  []string
	Summary string // one sentence
}

// WhyService explains a service of the caller's cluster. subject is its name or ARN, or one of its deployments: the ID
// (ecs-svc/<number>) or the ARN of the service deployment. Of a deployment that has ended, or is rolled back, it tells how that went.
// Errors: ClusterNotFoundException, ServiceNotFoundException.
func (s *Service) WhyService(ctx context.Context, cluster, subject string) (*WhyService, error) {
	r, caller := s.store.Read(), aws.CallerFrom(ctx)
	if v, d, ok := findDeployment(r, caller, subject); ok {
		return explainDeployment(r, v, d, s.now(), s.since), nil
	}
	c, err := activeCluster(ctx, r, serviceCluster(&cluster, &subject))
	if err != nil {
		return nil, err
	}
	if number, ok := strings.CutPrefix(subject, deploymentPrefix); ok {
		for v := range Services.Prefix(r, c.Key()+"/") {
			if d, ok := Deployments.Get(r, v.deploymentKey(number)); ok {
				return explainDeployment(r, v, d, s.now(), s.since), nil
			}
		}
	}
	v, ok := findService(r, caller, c.Name, subject)
	if !ok {
		return nil, aws.Errorf(codeServiceNotFound, msgServiceNotFound)
	}
	return explainService(r, v, s.now(), s.since), nil
}

// explainService looks at the service as its scheduler does, and changes nothing.
func explainService(r store.Reader, v ServiceRecord, now, since time.Time) *WhyService {
	p := &pass{r: r, now: now, since: since, v: v}
	p.load()
	out := &WhyService{Service: string(v.ARN()), Deployment: deploymentPrefix + v.Primary, Desired: int(v.Desired), healthy: map[string]int{}}
	var seen []rollout.Task
	for i := range p.tasks {
		if t := &p.tasks[i]; t.Active() {
			seen = append(seen, p.see(t))
			out.task(p, t, seen[len(seen)-1].Health)
		}
	}
	primary := p.live[v.Primary]
	if v.external() && v.Status() == statusActive {
		out.explainSets(p)
		return out
	}
	if v.Status() != statusActive || primary == nil {
		out.Summary = fmt.Sprintf("service %s is %s", v.Name, v.Status())
		if out.Leaving > 0 {
			out.Summary += fmt.Sprintf("; %d tasks leave their load balancers", out.Leaving)
		}
		return out
	}
	out.Rollout, out.Failed = string(primary.State.wire()), int(primary.Failed)
	if b := v.breaker(); b.Enabled {
		out.Threshold = b.Threshold(out.Desired)
	}
	want, l, ok := p.wanted(primary)
	if !ok {
		out.Summary = fmt.Sprintf("service %s: its task definition cannot be run", v.Name)
		return out
	}
	if v.Daemon {
		out.Desired = len(want.Machines)
	}
	plan := rollout.Decide(now, want, seen)
	out.Steady = plan.Steady && primary.State == RolloutCompleted
	if plan.Paused {
		out.Pause = want.Pause.Until()
	}
	if plan.Start > 0 && !v.Daemon {
		out.machines(r, v, l)
	}
	out.explain(p, primary, want, plan)
	return out
}

// task takes in one task.
func (w *WhyService) task(p *pass, t *Task, h rollout.Health) {
	switch {
	case t.Leaving:
		w.Leaving++
	case t.Desired == StateStopped:
	case t.Last == StateRunning:
		w.Running++
	default:
		w.Pending++
	}
	silent := p.silent(t)
	if h == rollout.Healthy && t.Desired != StateStopped {
		w.healthy[t.deployment()]++
		if w.Healthy++; silent == "" {
			return
		}
	}
	one := WhyServiceTask{Task: t.ID, Status: t.Last.String(), Ends: t.Desired == StateStopped, Targets: p.explainTargets(t)}
	bad := slices.IndexFunc(one.Targets, func(t WhyTarget) bool { return t.State != targetHealthy })
	d := &p.definition(t.DefinitionKey()).Definition
	containers, _ := containersHealth(t, d)
	switch {
	case t.Leaving:
		one.Why = "it is to stop (" + t.StopReason + ") and waits until its load balancers have let go of it"
	case t.Desired == StateStopped:
		one.Why = "it stops: " + t.StopReason
	case silent != "":
		one.Why = silent
	case t.Last != StateRunning:
		one.Why = "it is on its way: " + t.Last.String()
	case containers == rollout.Unhealthy:
		one.Why = "its container's health check fails"
	case bad >= 0:
		one.Why = one.Targets[bad].Summary
	case containers == rollout.Settling:
		one.Why = "its container's health check has no result yet"
	default:
		one.Why = fmt.Sprintf("it has no health check and counts as healthy %s after its start", settleTime)
	}
	w.Tasks = append(w.Tasks, one)
}

func (w *WhyService) machines(r store.Reader, v ServiceRecord, l *launch) {
	c, _ := Clusters.Get(r, v.ClusterKey())
	why := &Why{}
	if fits, _ := why.add(r, c, &l.place, ""); fits == 0 {
		w.Machines = why.Machines
	}
}

// explain finds the sentences.
func (w *WhyService) explain(p *pass, primary *Deployment, want rollout.Service, plan rollout.Plan) {
	say := func(when bool, format string, args ...any) {
		if when {
			w.Reasons = append(w.Reasons, fmt.Sprintf(format, args...))
		}
	}
	if d := p.staged(); d != nil {
		w.Reasons, plan, w.Machines = d.explainStage(p.r), rollout.Plan{}, nil
	}
	for _, zone := range slices.Sorted(maps.Keys(p.braking)) {
		say(true, "%s", p.braking[zone].Text())
	}
	say(want.Halted, "deployment %s has failed (%s): nothing more is started", w.Deployment, primary.Reason)
	say(plan.Paused, "tasks fail again and again: the next ones start at %s", w.Pause.UTC().Format(time.RFC3339))
	if plan.Paused || want.Halted || w.Failed > 0 {
		failure := p.lastFailure(p.v.Primary)
		say(failure != "", "%s", failure)
	}
	say(w.Threshold > 0 && w.Failed > 0 && !want.Halted, "%d of %d failures until the circuit breaker ends the deployment", w.Failed, w.Threshold)
	say(plan.Start > 0 && !plan.Paused && (w.Machines != nil || p.v.Short), "%d tasks cannot be placed%s", plan.Start, closestOf(w.Machines))
	say(plan.Start > 0 && !plan.Paused && w.Machines == nil && !p.v.Short, "%d tasks are about to start", plan.Start)
	say(plan.Blocked, "minimumHealthyPercent %d and maximumPercent %d allow neither to stop nor to start a task", want.MinPercent, want.MaxPercent)
	say(p.v.Moving != 0, "tasks are being moved between availability zones")
	say(plan.Guarded, "more tasks are protected than are wanted")
	for _, t := range w.Tasks {
		say(!t.Ends, "task %s: %s", t.Task, t.Why)
	}
	say(len(w.Reasons) == 0 && !w.Steady, "tasks of an earlier deployment are being replaced")
	name := fmt.Sprintf("service %s: %s", p.v.Name, w.count(p, primary))
	switch {
	case w.Steady && len(w.Reasons) > 0:
		w.Summary = name + "; steady, but " + w.Reasons[0]
	case w.Steady:
		w.Summary = name + "; steady"
	default:
		w.Summary = name + "; " + w.Reasons[0]
	}
}

func closestOf(machines []WhyMachine) string {
	i := slices.IndexFunc(machines, func(m WhyMachine) bool { return m.Reason != placement.ReasonAgent })
	switch {
	case len(machines) == 0:
		return ": there are no machines"
	case i < 0:
		i = 0
	}
	return fmt.Sprintf(": %s: %s, %s", machines[i].Machine, machines[i].Reason, machines[i].Detail)
}

// explainTargets are the targets that a task should have.
func (p *pass) explainTargets(t *Task) (out []WhyTarget) {
	d, ok := Deployments.Get(p.r, p.v.deploymentKey(t.deployment()))
	if !ok {
		return nil
	}
	have := elbv2.TargetsOf(p.r, string(t.ARN()))
	for _, b := range d.Balancers {
		arn := *b.TargetGroupArn
		g, ok := elbv2.GroupByARN(p.r, arn)
		i := slices.IndexFunc(have, func(target elbv2.Target) bool { return ok && target.Group == g.Key() })
		one := WhyTarget{Group: arn, Task: t.ID, State: "missing"}
		switch {
		case !ok:
			one.Summary = "target group " + arn + " is gone"
		case i >= 0:
			one = explainTarget(p.r, g, have[i])
		case t.Last < StateRunning:
			one.Summary = "it is registered when it runs"
		case t.Balanced:
			one.Summary = "its target was taken out of " + g.Name
		case t.Last == StateRunning:
			one.Summary = fmt.Sprintf("its machine has not said at which port %s:%d answers", *b.ContainerName, *b.ContainerPort)
		default:
			one.Summary = "it ended before it was registered"
		}
		out = append(out, one)
	}
	return out
}

// WhyTarget explains the targets of a target group: all of them, or the one with the name instance:port. group is its ARN or name;
// empty stands for every target group of the caller's.
// Errors: ResourceNotFoundException.
func (s *Service) WhyTarget(ctx context.Context, group, target string) ([]WhyTarget, error) {
	r, caller := s.store.Read(), aws.CallerFrom(ctx)
	if group == "" {
		return whyTargetAnywhere(r, caller, target)
	}
	g, ok := elbv2.GroupByARN(r, group)
	for have := range elbv2.TargetGroups.By(r, "name", caller.Account+"/"+caller.Region+"/"+group) {
		g, ok = have, true
	}
	if !ok || g.Account != caller.Account {
		return nil, aws.Errorf(codeNotFound, "No target group is named %s.", group)
	}
	var out []WhyTarget
	for t := range elbv2.Targets.By(r, "group", g.Key()) {
		if target == "" || t.Name() == target {
			out = append(out, explainTarget(r, g, t))
		}
	}
	if target != "" && len(out) == 0 {
		return nil, aws.Errorf(codeNotFound, "Target group %s has no target %s.", g.Name, target)
	}
	return out, nil
}

// whyTargetAnywhere explains the targets with a name in all groups of an account and region.
func whyTargetAnywhere(r store.Reader, c aws.Caller, target string) (out []WhyTarget, err error) {
	for t := range elbv2.Targets.Prefix(r, c.Account+"/"+c.Region+"/") {
		if t.Name() == target {
			g, _ := elbv2.TargetGroups.Get(r, t.Group)
			out = append(out, explainTarget(r, g, t))
		}
	}
	if len(out) == 0 {
		return nil, aws.Errorf(codeNotFound, "No target is named %s.", target)
	}
	return out, nil
}

// undecided names the machines whose first verdict on a target is missing where others have theirs; empty if it is not so.
func undecided(r store.Reader, g elbv2.TargetGroup, t elbv2.Target) string {
	decided := map[string]bool{}
	for h := range elbv2.TargetHealths.By(r, "target", t.Key()) {
		if h.Since == t.Registered && h.State != "" && h.State != proto.TargetInitial {
			decided[h.Ingress] = true
		}
	}
	var waits []string
	for _, i := range elbv2.ConnectedIngresses(r, g.Account, g.Region) {
		if !decided[i.Instance] {
			waits = append(waits, i.Instance[strings.LastIndexByte(i.Instance, '/')+1:])
		}
	}
	if len(decided) == 0 || len(waits) == 0 {
		return ""
	}
	return "its checks are not over on the container instances " + strings.Join(waits, ", ")
}

func explainTarget(r store.Reader, g elbv2.TargetGroup, t elbv2.Target) WhyTarget {
	s := targetStatus(r, g, t)
	out := WhyTarget{Group: string(g.ARN()), Target: t.Name(), State: s.state, Description: s.description, Task: t.By[strings.LastIndexByte(t.By, '/')+1:]}
	for h := range elbv2.TargetHealths.By(r, "target", t.Key()) {
		if h.Probe != "" {
			out.Probes = append(out.Probes, h.Probe)
		}
	}
	out.Summary = fmt.Sprintf("target %s of %s is %s", t.Name(), g.Name, s.state)
	switch {
	case s.state == targetUnused:
		out.Summary += ": no listener forwards to its target group"
	case s.state == targetInitial && undecided(r, g, t) != "":
		out.Summary += ": " + undecided(r, g, t)
	case s.state != targetHealthy && len(out.Probes) > 0:
		out.Summary += ": " + out.Probes[0]
	case s.state != targetHealthy && s.description != "":
		out.Summary += ": " + s.description
	}
	return out
}
