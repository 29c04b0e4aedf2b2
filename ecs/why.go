package ecs

import (
	"context"
	"fmt"
	"strings"

	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

// Why says why a task is, or would be, where it is.
type Why struct {
	Subject  string // what was asked for: the ARN of a task, a task definition or a cluster
	Summary  string // one sentence
	Task     *Task  // if the subject is a task
	Machines []WhyMachine
}

// WhyMachine is the answer for one container instance.
type WhyMachine struct {
	Machine string // container instance ID
	Fits    bool
	Reason  string // as in failures[], empty if it fits: RESOURCE:MEMORY, ATTRIBUTE, AGENT, ...
	Detail  string // by how much: "needs 512 MiB, 128 left of 2048"
}

// Why explains placement in the caller's cluster, machine by machine, in order of registration. subject is a task (ID,
// a prefix of it, or ARN), a task definition (family, family:revision or ARN), or a cluster; empty means the named
// cluster. It looks at the machines as they are now. Constraints that were given to RunTask itself are not kept with
// the task and so not looked at.
// Errors: ClusterNotFoundException, ResourceNotFoundException, InvalidParameterException for a prefix of several tasks.
func (s *Service) Why(ctx context.Context, cluster, subject string) (*Why, error) {
	r, caller := s.store.Read(), aws.CallerFrom(ctx)
	name := cluster
	if subject != "" && cluster == "" {
		if _, ok := Clusters.Get(r, ClusterKey(caller.Account, caller.Region, subject)); ok {
			name, subject = subject, ""
		}
	}
	c, err := activeCluster(ctx, r, &name)
	if err != nil {
		return nil, err
	}
	if subject == "" || subject == c.Name || subject == string(c.ARN()) {
		return whyCluster(r, c), nil
	}
	t, err := whichTask(r, caller, c, subject)
	if err != nil {
		return nil, err
	}
	if t != nil {
		return whyTask(r, c, *t)
	}
	if d, ok := findDefinition(r, caller, subject); ok {
		return whyDefinition(r, c, d)
	}
	return nil, aws.Errorf(codeNotFound, "No task, task definition or cluster is named %s.", subject)
}

// whichTask finds the task that the subject names, nil if none.
func whichTask(r store.Reader, caller aws.Caller, c Cluster, subject string) (*Task, error) {
	if t, ok := findTask(r, caller, c.Name, subject); ok {
		return &t, nil
	}
	if strings.Trim(subject, "0123456789abcdef") != "" {
		return nil, nil
	}
	var found *Task
	for t := range Tasks.Prefix(r, c.Key()+"/"+subject) {
		if found != nil {
			return nil, invalid("Several tasks have IDs that begin with %s.", subject)
		}
		found = &t
	}
	return found, nil
}

// whyCluster shows what each machine has left.
func whyCluster(r store.Reader, c Cluster) *Why {
	out := &Why{Subject: string(c.ARN())}
	fits := 0
	for m := range machinesOf(r, c) {
		w := answer(&placement.Task{}, m)
		left := fmt.Sprintf("%d of %d CPU units and %d of %d MiB left",
			m.Total.CPU-m.Used.CPU, m.Total.CPU, m.Total.Memory-m.Used.Memory, m.Total.Memory)
		if m.Total.GPU > 0 {
			left += fmt.Sprintf(", %d of %d GPUs", m.Total.GPU-m.Used.GPU, m.Total.GPU)
		}
		if w.Detail == "" {
			fits++
			w.Detail = left
		} else {
			w.Detail += "; " + left
		}
		out.Machines = append(out.Machines, w)
	}
	out.Summary = fmt.Sprintf("%d of %d machines of cluster %s take tasks", fits, len(out.Machines), c.Name)
	return out
}

// whyDefinition shows which machines would take one more task of the definition.
func whyDefinition(r store.Reader, c Cluster, d TaskDefinition) (*Why, error) {
	t, err := placementTaskOf(Task{Group: "family:" + d.Family}, d)
	if err != nil {
		return nil, err
	}
	out := &Why{Subject: string(d.ARN())}
	fits, closest := out.add(r, c, t, "")
	out.Summary = fmt.Sprintf("one more task of %s:%d fits on %d of %d machines%s", d.Family, d.Revision, fits, len(out.Machines), closest)
	return out, nil
}

// whyTask shows where a task is and which other machines could take one like it.
func whyTask(r store.Reader, c Cluster, t Task) (*Why, error) {
	d, ok := TaskDefinitions.Get(r, t.DefinitionKey())
	if !ok {
		return nil, aws.Errorf(codeNotFound, "The task definition of %s is gone.", t.ARN())
	}
	p, err := placementTaskOf(t, d)
	if err != nil {
		return nil, err
	}
	out := &Why{Subject: string(t.ARN()), Task: &t}
	here := t.Instance
	if !t.Active() {
		here = ""
	}
	fits, closest := out.add(r, c, p, here)
	what := fmt.Sprintf("task %s of %s:%d is %s", t.ID, t.Family, t.Revision, t.Last)
	switch {
	case !t.Active():
		out.Summary = fmt.Sprintf("%s (%s); another one fits on %d of %d machines%s", what, t.StopReason, fits, len(out.Machines), closest)
	case t.Instance == "":
		out.Summary = fmt.Sprintf("%s and has no machine; it fits on %d of %d%s", what, fits, len(out.Machines), closest)
	default:
		out.Summary = fmt.Sprintf("%s on machine %s", what, t.Instance)
	}
	return out, nil
}

// placementTaskOf is a task as placement sees it.
func placementTaskOf(t Task, d TaskDefinition) (*placement.Task, error) {
	l := &launch{request: &request{launchType: t.Launch}, definition: d, group: t.Group, merged: MergeOverrides(d.Definition, t.Overrides)}
	l.needs, l.gpus = needs(&l.merged)
	p, err := l.placementTask()
	return &p, err
}

// add appends the answer of every machine; here is the one that the task is on. closest names, if none fits, the first
// machine that was considered and what it lacks.
func (w *Why) add(r store.Reader, c Cluster, t *placement.Task, here string) (fits int, closest string) {
	for m := range machinesOf(r, c) {
		a := answer(t, m)
		if m.ID == here {
			a = WhyMachine{Machine: m.ID, Fits: true, Detail: "the task is here"}
		}
		if a.Fits {
			fits++
		} else if closest == "" {
			closest = fmt.Sprintf("; %s: %s, %s", a.Machine, a.Reason, a.Detail)
		}
		w.Machines = append(w.Machines, a)
	}
	if fits > 0 {
		closest = ""
	}
	return fits, closest
}

func answer(t *placement.Task, m *placement.Instance) WhyMachine {
	refusal, ok := placement.Check(t, m)
	if ok {
		return WhyMachine{Machine: m.ID, Fits: true}
	}
	return WhyMachine{Machine: m.ID, Reason: refusal.Reason, Detail: refusal.Detail()}
}

// machinesOf yields the cluster's instances as placement sees them, INACTIVE ones left out.
func machinesOf(r store.Reader, c Cluster) func(yield func(*placement.Instance) bool) {
	return func(yield func(*placement.Instance) bool) {
		for i := range ContainerInstances.By(r, byInstanceStatus, instanceStatusKey(c.Key(), anyStatus)) {
			d, _ := InstanceDescriptions.Get(r, i.Key())
			on := i.placed(d.attributes(), d.AgentVersion)
			on.Running = CountTasks(r, i.Key()).Running
			if !yield(&on) {
				return
			}
		}
	}
}
