package agent

import (
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// settleSteps brings the visible list of steps up to date; the time of a step is when it took its present state.
func (t *task) settleSteps(now time.Time) {
	since := map[string]proto.Step{}
	for _, s := range t.Steps {
		since[s.Name] = s
	}
	steps := t.steps()
	for i := range steps {
		s := &steps[i]
		old, ok := since[s.Name]
		if ok && old.State == s.State && old.Error == s.Error {
			s.Since = old.Since
		} else {
			s.Since = now
		}
	}
	t.Steps = steps
}

// steps is the list of what has to be done for the task, in order, with the state of each.
func (t *task) steps() []proto.Step {
	if t.Definition == nil {
		return nil
	}
	var all []proto.Step
	add := func(a action, done, failed bool, err string) {
		s := proto.Step{Name: a.String(), State: "waiting"}
		switch {
		case t.busy[a]:
			s.State = "running"
		case done:
			s.State = "done"
		case failed:
			s.State, s.Error = "failed", err
		}
		all = append(all, s)
	}
	released := t.Status == statusStopped
	add(action{Do: doCgroup}, t.Cgroup || released, t.failure != "", t.failure)
	if len(t.Definition.Volumes) > 0 {
		add(action{Do: doVolumes}, t.Volumes || released, t.failure != "", t.failure)
	}
	for _, c := range t.Containers {
		add(action{doPull, c.Name}, c.Image != nil, c.Failed, c.Reason)
		if t.networkMode(c.Name) != ecs.NetworkModeHost {
			add(action{doNetwork, c.Name}, c.Net != nil, c.Failed, c.Reason)
		}
	}
	for _, c := range t.Containers {
		for _, d := range t.dependencies(c.Name) {
			v := t.verdict(d, time.Time{})
			s := proto.Step{Name: "wait " + d.on + " " + string(d.condition), State: "waiting"}
			switch {
			case v.met || c.Ran:
				s.State = "done"
			case v.never != "":
				s.State, s.Error = "failed", v.never
			}
			all = append(all, s)
		}
		add(action{doCreate, c.Name}, c.Created || c.Ran, c.Failed, c.Reason)
		add(action{doStart, c.Name}, c.Ran, c.Failed, c.Reason)
	}
	if t.Cause == nil {
		return all
	}
	for _, c := range t.Containers {
		if c.Ran {
			add(action{doStop, c.Name}, c.Exit != nil, false, "")
		}
	}
	add(action{Do: doDropTask}, released, t.release.failed >= releaseAttempts, "what the task left could not be removed")
	return all
}

// report is the task's state as it is sent to the server.
func (t *task) report() proto.TaskStatus {
	s := proto.TaskStatus{
		Arn: t.Want.Arn, LastStatus: t.Status, HealthStatus: t.Health,
		PullStartedAt: t.PullStartedAt, PullStoppedAt: t.PullStoppedAt, StartedAt: t.StartedAt,
		ExecutionStoppedAt: t.ExecutionStoppedAt, StoppedAt: t.StoppedAt, Steps: t.Steps,
	}
	if t.Cause != nil {
		s.StopCode, s.StoppedReason, s.StoppingAt = t.Cause.Code, t.Cause.Reason, t.Cause.At
	}
	for _, c := range t.Containers {
		s.Containers = append(s.Containers, t.containerReport(c))
	}
	return s
}

func (t *task) containerReport(c *container) proto.ContainerStatus {
	s := proto.ContainerStatus{
		Name: c.Name, LastStatus: statusPending, Reason: c.Reason, HealthStatus: c.health(),
		RestartCount: c.Restarts, StartedAt: c.StartedAt,
	}
	if c.Created || c.Ran {
		s.RuntimeID = c.ID
	}
	if c.Image != nil {
		s.ImageDigest = c.Image.Digest
	}
	switch {
	case c.Failed, t.ended(c), t.Status == statusStopped:
		s.LastStatus = statusStopped
	case c.Ran:
		s.LastStatus = statusRunning
	}
	if e := c.Exit; e != nil && s.LastStatus == statusStopped {
		s.FinishedAt, s.OOMKilled = e.At, e.OOM
		if e.Known {
			s.ExitCode = new(int32(e.Code))
		}
	}
	if c.Net != nil {
		s.NetworkBindings = bindings(c.Net.Bindings)
	} else if c.Ran && t.networkMode(c.Name) == ecs.NetworkModeHost {
		s.NetworkBindings = bindings(hostBindings(t.definition(c.Name)))
	}
	return s
}
