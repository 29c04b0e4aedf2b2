package agent

import (
	"slices"
	"time"

	ecs "berth/api/ecs"
	"berth/aws"
)

// verb is a kind of work done for a task.
type verb string

// Work for the task as a whole.
const (
	doCgroup     verb = "cgroup"
	doVolumes    verb = "volumes"
	doNamespaces verb = "namespaces"
	doDropTask   verb = "clean up" // cgroup, namespaces and volumes of an ended task
)

// Work for one container.
const (
	doPull          verb = "pull"
	doNetwork       verb = "network"
	doLogs          verb = "logs" // see that the log destination exists
	doCreate        verb = "create"
	doStart         verb = "start"
	doRestart       verb = "restart" // remove an exited container so that it is created again
	doProbe         verb = "probe"   // one health check
	doStop          verb = "stop"    // the stop signal
	doKill          verb = "kill"    // SIGKILL
	doDropContainer verb = "remove"  // root file system, bundle, monitor of an ended container
	doDetach        verb = "detach"  // its network
)

// action is one piece of work. Only one of its kind runs at a time for a container.
type action struct {
	Do        verb
	Container string // empty: the task
}

func (a action) String() string {
	if a.Container == "" {
		return string(a.Do)
	}
	return string(a.Do) + " " + a.Container
}

// plan is what to do now, and when to look again if nothing happens before.
type plan struct {
	Do   []action
	Wake time.Time // zero: only when a fact changes
}

// How long is waited at most. Source: ECS agent defaults (specification, section 8.4).
const (
	defaultStopTimeout = 30
	stopSlack          = 2 * time.Minute // after stopTimeout, until a container counts as lost
	killAgain          = 10 * time.Second
	releaseAttempts    = 5
)

// next settles the task's state and says what to do at the time now. Nothing else is read: the same facts give the
// same plan. Actions already under way are not named again.
func (t *task) next(now time.Time) plan {
	t.giveUp(now)
	t.settle(now)
	var p plan
	switch {
	case t.Status == statusStopped:
	case t.Cause != nil:
		t.planStop(&p, now)
	case t.Definition != nil:
		t.planRun(&p, now)
	}
	p.Do = slices.DeleteFunc(p.Do, func(a action) bool { return t.busy[a] })
	t.settleSteps(now)
	return p
}

func (p *plan) add(do verb, container string) { p.Do = append(p.Do, action{do, container}) }

func (p *plan) wake(at time.Time) {
	if !at.IsZero() {
		p.Wake = earlier(p.Wake, at)
	}
}

// planRun brings the containers up and keeps them up.
func (t *task) planRun(p *plan, now time.Time) {
	if !t.Cgroup {
		p.add(doCgroup, "")
	}
	if !t.Volumes {
		p.add(doVolumes, "")
	}
	if t.Namespaces == nil && t.sharesNamespaces() {
		p.add(doNamespaces, "")
	}
	for _, c := range t.Containers {
		if c.Failed {
			continue
		}
		switch {
		case c.running():
			t.planRunning(p, c, now)
		case c.Exit != nil && !t.restarts(c):
		case c.Exit != nil:
			p.add(doRestart, c.Name)
		case c.Created:
			p.add(doStart, c.Name)
		default:
			t.planCreate(p, c, now)
		}
	}
}

// planCreate does what has to be there before the container, all at once, then creates it.
func (t *task) planCreate(p *plan, c *container, now time.Time) {
	ready, wake := t.ready(c, now)
	p.wake(wake)
	before := len(p.Do)
	if c.Image == nil {
		p.add(doPull, c.Name)
	}
	if c.Net == nil && t.networkMode(c.Name) != ecs.NetworkModeHost {
		p.add(doNetwork, c.Name)
	}
	if !c.Logs {
		p.add(doLogs, c.Name)
	}
	shared := t.Cgroup && t.Volumes && (t.Namespaces != nil || !t.sharesNamespaces())
	if before == len(p.Do) && shared && ready {
		p.add(doCreate, c.Name)
	}
}

// planRunning looks after a running container: its network, if the journal lost it, and its health.
func (t *task) planRunning(p *plan, c *container, now time.Time) {
	if c.Net == nil && t.networkMode(c.Name) != ecs.NetworkModeHost {
		p.add(doNetwork, c.Name)
	}
	h := check(t.definition(c.Name))
	if h == nil || t.busy[action{doProbe, c.Name}] {
		return
	}
	if at := c.nextProbe(h); now.Before(at) {
		p.wake(at)
	} else {
		p.add(doProbe, c.Name)
	}
}

// planStop ends the containers, those first on which no living one depends, and then takes everything away.
func (t *task) planStop(p *plan, now time.Time) {
	if !t.anyAlive() {
		t.planRelease(p, now)
		return
	}
	for _, c := range t.Containers {
		if !c.running() || t.busy[action{doStart, c.Name}] {
			continue
		}
		if slices.ContainsFunc(t.dependants(c.Name), func(d *container) bool { return t.alive(d) }) {
			continue
		}
		t.planStopContainer(p, c, now)
	}
}

func (t *task) planStopContainer(p *plan, c *container, now time.Time) {
	if c.StopAt.IsZero() {
		p.add(doStop, c.Name)
		return
	}
	kill := c.StopAt.Add(seconds(t.definition(c.Name).StopTimeout, defaultStopTimeout))
	p.wake(kill.Add(stopSlack))
	if again := c.KillAt.Add(killAgain); !c.KillAt.IsZero() && again.After(kill) {
		kill = again
	}
	if now.Before(kill) {
		p.wake(kill)
		return
	}
	p.add(doKill, c.Name)
}

// giveUp stops waiting for containers that SIGKILL did not end in time: the task must not hang for ever.
func (t *task) giveUp(now time.Time) {
	for _, c := range t.Containers {
		if !c.running() || c.StopAt.IsZero() {
			continue
		}
		limit := seconds(t.definition(c.Name).StopTimeout, defaultStopTimeout) + stopSlack
		if !now.Before(c.StopAt.Add(limit)) {
			c.GaveUp = true
			c.Exit = &exit{At: now}
			c.Reason = "DockerTimeoutError: Could not transition to stopped; timed out after waiting " + limit.String()
		}
	}
}

// planRelease takes away what the ended task leaves: containers with their networks, then what they shared.
func (t *task) planRelease(p *plan, now time.Time) {
	if len(t.busy) > 0 && t.busyOtherThanRelease() {
		return // cancelled work still ends by itself
	}
	if now.Before(t.release.retryAt) {
		p.wake(t.release.retryAt)
		return
	}
	left := false
	for _, c := range t.Containers {
		left = left || !c.Removed || !c.Detached
		if !c.Removed {
			p.add(doDropContainer, c.Name)
		}
		if !c.Detached {
			p.add(doDetach, c.Name)
		}
	}
	if !left && (t.Cgroup || t.Volumes || t.Namespaces != nil) {
		p.add(doDropTask, "")
	}
}

func (t *task) busyOtherThanRelease() bool {
	for a := range t.busy {
		switch a.Do {
		case doDropContainer, doDetach, doDropTask:
		default:
			return true
		}
	}
	return false
}

// released tells whether nothing of the task is left. After releaseAttempts failures the task counts as released;
// the sweep at the agent's next start tries again.
func (t *task) released() bool {
	if t.anyAlive() || len(t.busy) > 0 {
		return false
	}
	if t.release.failed >= releaseAttempts {
		return true
	}
	for _, c := range t.Containers {
		if !c.Removed || !c.Detached {
			return false
		}
	}
	return !t.Cgroup && !t.Volumes && t.Namespaces == nil
}

// networkMode is the container's: disableNetworking makes it none, and an absent mode is bridge.
func (t *task) networkMode(name string) ecs.NetworkMode {
	if aws.Value(t.definition(name).DisableNetworking) {
		return ecs.NetworkModeNone
	}
	if t.Definition == nil || t.Definition.NetworkMode == "" {
		return ecs.NetworkModeBridge
	}
	return t.Definition.NetworkMode
}

func (t *task) sharesNamespaces() bool {
	return t.Definition != nil && (t.Definition.PidMode == ecs.PidModeTask || t.Definition.IpcMode == ecs.IpcModeTask)
}
