package agent

import (
	"errors"
	"slices"
	"time"
)

// result is what came of an action.
type result struct {
	err       error
	began     time.Time // when the action began
	image     Image
	net       NetworkResult
	healthy   bool
	spaces    namespaces
	startedAt time.Time
}

// begin records that an action is under way.
func (t *task) begin(a action, now time.Time) {
	if t.busy == nil {
		t.busy = map[action]bool{}
	}
	t.busy[a] = true
	if a.Do == doPull && t.PullStartedAt.IsZero() {
		t.PullStartedAt = now
	}
}

// done takes the result of an action.
func (t *task) done(a action, r result, now time.Time) {
	delete(t.busy, a)
	c := t.container(a.Container)
	if a.Do == doPull && t.Cause == nil {
		t.PullStoppedAt = now
	}
	switch {
	case c == nil:
		t.doneTask(a, r)
	case a.Do == doDropContainer || a.Do == doDetach:
		t.doneRelease(c, a, r, now)
	case a.Do == doStop || a.Do == doKill:
		c.doneSignal(a, now)
	case a.Do == doProbe:
		if h := check(t.definition(c.Name)); h != nil && c.running() && r.err == nil {
			c.probed(h, r.healthy, r.began, now)
		}
	case r.err != nil && c.running(): // an adopted container keeps the network that it has, known or not
		c.Net = &NetworkResult{}
	case r.err != nil && t.Cause == nil:
		c.fail(reason(a.Do, r.err))
	case r.err == nil:
		t.doneContainer(c, a, r, now)
	}
	if a.Do == doDropTask && r.err != nil {
		t.releaseFailed(now)
	}
}

func (t *task) doneTask(a action, r result) {
	switch {
	case a.Do == doDropTask && r.err == nil:
		t.Cgroup, t.Volumes, t.Namespaces = false, false, nil
	case a.Do == doDropTask:
	case r.err != nil:
		t.failure = reason(a.Do, r.err)
	case a.Do == doCgroup:
		t.Cgroup = true
	case a.Do == doVolumes:
		t.Volumes = true
	case a.Do == doNamespaces:
		t.Namespaces = &r.spaces
	}
}

func (t *task) doneContainer(c *container, a action, r result, now time.Time) {
	switch a.Do {
	case doPull:
		c.Image = &r.image
	case doNetwork:
		c.Net = &r.net
	case doLogs:
		c.Logs = true
	case doCreate:
		c.Created = true
	case doStart:
		c.Ran, c.StartedAt, c.Probes = true, r.startedAt, probes{}
	case doRestart:
		c.Created, c.Exit, c.StartedAt, c.Reason = false, nil, time.Time{}, ""
		c.Restarts++
	}
}

func (c *container) doneSignal(a action, now time.Time) {
	if c.StopAt.IsZero() {
		c.StopAt = now
	}
	if a.Do == doKill {
		c.KillAt = now
	}
}

func (t *task) doneRelease(c *container, a action, r result, now time.Time) {
	switch {
	case r.err != nil:
		t.releaseFailed(now)
	case a.Do == doDropContainer:
		c.Removed = true
	default:
		c.Detached = true
	}
}

func (t *task) releaseFailed(now time.Time) {
	t.release.failed++
	t.release.retryAt = now.Add(time.Second << t.release.failed)
}

// exited takes the end of a container's process.
func (t *task) exited(name string, s ContainerState, now time.Time) {
	if c := t.container(name); c != nil && c.Exit == nil && c.Created {
		c.end(s, now)
	}
}

// adopt takes what the runtime has of the task's containers, and which of them have a network, after a restart of the
// agent: the runtime is right, and the journal may be old, torn or missing. What was only prepared is prepared again,
// because the machine may have been restarted too.
func (t *task) adopt(states []ContainerState, networks []string, now time.Time) {
	for _, s := range states {
		c := t.container(s.Name)
		if c == nil {
			c = &container{Name: s.Name, ID: s.ID}
			t.Containers = append(t.Containers, c)
		}
		c.adopt(s, now)
	}
	for _, c := range t.Containers {
		found := false
		for _, s := range states {
			found = found || s.ID == c.ID
		}
		if found || !c.Created || c.Removed {
			continue
		}
		switch {
		case !c.Ran:
			c.Created = false // made again
		case c.Exit == nil:
			c.end(ContainerState{}, now)
			c.Reason = "ContainerRuntimeError: the container was gone when the agent started"
		}
	}
	if t.Cause != nil {
		return
	}
	if !t.anyAlive() {
		t.Cgroup, t.Volumes = false, false
	}
	for _, c := range t.Containers {
		if !c.Created {
			c.Image = nil
		}
		if !c.running() && !slices.Contains(networks, c.ID) {
			c.Net = nil
		}
	}
}

func (c *container) adopt(s ContainerState, now time.Time) {
	switch {
	case s.Phase == PhaseRunning:
		c.Ran, c.Exit = true, nil
		if !s.StartedAt.IsZero() {
			c.StartedAt = s.StartedAt
		} else if c.StartedAt.IsZero() {
			c.StartedAt = now
		}
	case s.Phase == PhaseExited && c.Exit != nil:
	case s.Phase == PhaseExited && s.StartedAt.IsZero() && !c.Ran:
		c.Created = false // it never ran: its creation was cut short
		return
	case s.Phase == PhaseExited:
		c.Ran = true
		c.end(s, now)
	}
	c.Created, c.Logs = true, true
}

// reason is the error's text with ECS's name for it in front.
// Source: specification, section 8.4.
func reason(do verb, err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Error()
	}
	names := map[verb]string{
		doPull:       "CannotPullContainerError",
		doNetwork:    "CannotStartContainerError",
		doLogs:       "CannotCreateContainerError",
		doCreate:     "CannotCreateContainerError",
		doStart:      "CannotStartContainerError",
		doRestart:    "CannotRemoveContainerError",
		doVolumes:    "CannotCreateVolumeError",
		doCgroup:     "ResourceInitializationError",
		doNamespaces: "ResourceInitializationError",
	}
	return names[do] + ": " + err.Error()
}
