package agent

import (
	"slices"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
	"berth/aws"
)

// Statuses of a task, in the order in which they may be reached. DEACTIVATING is the server's: it drains load
// balancers before it asks for the stop. Source: ECS developer guide, task lifecycle.
//
//	PENDING ─────────▶ RUNNING ─────────▶ STOPPING ─────────▶ DEPROVISIONING ─────▶ STOPPED
//	   │  pull, network,      desired STOPPED,     SIGTERM, then        network, root file
//	   │  create, start       essential exit       SIGKILL              systems, volumes
//	   └──────────── nothing ran yet ──────────────────▲
const (
	statusPending        = "PENDING"
	statusActivating     = "ACTIVATING"
	statusRunning        = "RUNNING"
	statusDeactivating   = "DEACTIVATING"
	statusStopping       = "STOPPING"
	statusDeprovisioning = "DEPROVISIONING"
	statusStopped        = "STOPPED"
)

// order has the statuses as they may follow each other.
func order(status string) int {
	return slices.Index([]string{statusPending, statusActivating, statusRunning, statusDeactivating, statusStopping,
		statusDeprovisioning, statusStopped}, status)
}

// Why a task stops. Source: ECS API reference, Task.stopCode.
const (
	codeEssentialExited = "EssentialContainerExited"
	codeFailedToStart   = "TaskFailedToStart"
	codeUserInitiated   = "UserInitiated"
)

// Health values.
const (
	healthy   = "HEALTHY"
	unhealthy = "UNHEALTHY"
	unknown   = "UNKNOWN"
)

// task is everything that the agent knows of one task: what the server wants, what was done for it and what became
// of it. The journal keeps it as it is. Facts change by assigned, done, exited and adopt; next decides from facts
// alone, so that a restarted agent goes on where the last one was.
type task struct {
	Version    int                 `json:"v"`
	Want       proto.Task          `json:"want"`
	Definition *ecs.TaskDefinition `json:"definition,omitzero"` // nil when rebuilt from the runtime and not yet assigned
	Status     string              `json:"status"`
	Health     string              `json:"health,omitzero"`
	Cause      *cause              `json:"cause,omitzero"` // why it stops; the first one wins

	PullStartedAt      time.Time `json:"pullStartedAt,omitzero"`
	PullStoppedAt      time.Time `json:"pullStoppedAt,omitzero"`
	StartedAt          time.Time `json:"startedAt,omitzero"`
	ExecutionStoppedAt time.Time `json:"executionStoppedAt,omitzero"`
	StoppedAt          time.Time `json:"stoppedAt,omitzero"`

	Cgroup     bool         `json:"cgroup,omitzero"`
	Volumes    bool         `json:"volumes,omitzero"`
	Namespaces *namespaces  `json:"namespaces,omitzero"`
	Containers []*container `json:"containers"`
	Steps      []proto.Step `json:"steps,omitzero"`
	// Acked is set when the server has stored STOPPED; Unassigned when an assignment no longer names the task.
	Acked      bool `json:"acked,omitzero"`
	Unassigned bool `json:"unassigned,omitzero"`

	busy    map[action]bool // actions under way
	failure string          // of a step of the task as a whole
	release releaseTries
}

// cause says why a task stops.
type cause struct {
	Code   string    `json:"code"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// namespaces are shared by the containers of a task with pidMode or ipcMode "task".
type namespaces struct {
	Holder    int    `json:"holder"`    // process that keeps them
	StartedAt uint64 `json:"startedAt"` // its start time in clock ticks since boot, against reuse of the ID
	PID       string `json:"pid,omitzero"`
	IPC       string `json:"ipc,omitzero"`
}

// releaseTries counts attempts to take away what a stopped task leaves.
type releaseTries struct {
	failed  int
	retryAt time.Time
}

// newTask is a task that nothing was done for yet.
func newTask(want proto.Task, def *ecs.TaskDefinition) *task {
	t := &task{Version: 1, Status: statusPending, Want: want}
	t.define(def)
	return t
}

// define gives the task its definition; containers already known keep what is known of them.
func (t *task) define(def *ecs.TaskDefinition) {
	if def == nil {
		return
	}
	t.Definition = def
	for i := range def.ContainerDefinitions {
		name := aws.Value(def.ContainerDefinitions[i].Name)
		if t.container(name) == nil {
			t.Containers = append(t.Containers, &container{Name: name, ID: containerID(t.Want.Arn, name)})
		}
	}
}

// assigned takes what an assignment says of the task. Desired status STOPPED is never taken back.
func (t *task) assigned(want proto.Task, def *ecs.TaskDefinition) {
	if t.Want.DesiredStatus == statusStopped {
		want.DesiredStatus = statusStopped
		want.StopCode, want.StoppedReason = t.Want.StopCode, t.Want.StoppedReason
	}
	t.Want = want
	if t.Definition == nil {
		t.define(def)
	}
	t.Unassigned = false
}

func (t *task) container(name string) *container {
	for _, c := range t.Containers {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// definition is the container's definition; empty for a rebuilt task that was not assigned yet.
func (t *task) definition(name string) *ecs.ContainerDefinition {
	if t.Definition != nil {
		for i := range t.Definition.ContainerDefinitions {
			if d := &t.Definition.ContainerDefinitions[i]; aws.Value(d.Name) == name {
				return d
			}
		}
	}
	return &ecs.ContainerDefinition{Name: &name}
}

// essential containers end the task when they end. In a task without definition nothing is known to be essential,
// so that nothing stops for missing information.
func (t *task) essential(name string) bool {
	if t.Definition == nil {
		return false
	}
	d := t.definition(name)
	return d.Essential == nil || *d.Essential
}

// advance moves the status forward, never back.
func (t *task) advance(status string) {
	if order(status) > order(t.Status) {
		t.Status = status
	}
}

// stop records why the task stops. Later causes change nothing.
func (t *task) stop(code, reason string, now time.Time) {
	if t.Cause == nil {
		t.Cause = &cause{Code: code, Reason: reason, At: now}
	}
}

// settle draws the conclusions from the facts: causes to stop, status, health, times.
func (t *task) settle(now time.Time) {
	t.settleCause(now)
	t.settleTimes(now)
	t.Health = t.health()
	switch {
	case t.Cause == nil:
		if t.up() {
			t.advance(statusRunning)
		}
	case t.released():
		if t.Status != statusStopped {
			t.StoppedAt = now
		}
		t.advance(statusStopped)
	case t.anyAlive():
		t.advance(statusStopping)
	default:
		t.advance(statusDeprovisioning)
	}
}

// settleCause looks for a reason to stop.
func (t *task) settleCause(now time.Time) {
	if t.Cause != nil {
		return
	}
	if t.failure != "" {
		t.stop(codeFailedToStart, t.failure, now)
	}
	for _, c := range t.Containers {
		if !t.essential(c.Name) {
			continue
		}
		if c.Failed && !c.Ran {
			t.stop(codeFailedToStart, "Task failed to start", now)
		} else if c.Failed || t.ended(c) {
			t.stop(codeEssentialExited, "Essential container in task exited", now)
		}
	}
	if t.Want.DesiredStatus == statusStopped {
		code, reason := t.Want.StopCode, t.Want.StoppedReason
		if code == "" {
			code = codeUserInitiated
		}
		t.stop(code, reason, now)
	}
	for _, c := range t.Containers {
		if c.Ran || c.Failed || t.Cause != nil {
			continue
		}
		for _, d := range t.dependencies(c.Name) {
			if v := t.verdict(d, now); v.never != "" {
				c.fail(v.never)
				t.stop(codeFailedToStart, "Task failed to start", now)
			}
		}
	}
}

// settleTimes fills the task's times from those of its containers.
func (t *task) settleTimes(now time.Time) {
	if t.StartedAt.IsZero() && t.Cause == nil && t.up() {
		t.StartedAt = now
	}
	if !t.ExecutionStoppedAt.IsZero() {
		return
	}
	for _, c := range t.Containers {
		if t.essential(c.Name) && t.ended(c) {
			t.ExecutionStoppedAt = earlier(t.ExecutionStoppedAt, c.Exit.At)
		}
	}
}

// up tells whether every container that must run has been started. A container that is not essential and could
// not be started does not hold the task back.
func (t *task) up() bool {
	if t.Definition == nil {
		return t.anyAlive()
	}
	for _, c := range t.Containers {
		if !c.Ran && !c.Failed {
			return false
		}
	}
	return true
}

// ended tells whether the container has exited and stays so.
func (t *task) ended(c *container) bool { return c.Exit != nil && !t.restarts(c) }

// restarts tells whether the restart policy starts the exited container again: the exit code is known and not
// ignored, and the last start is long enough ago. Source: ECS developer guide, restartPolicy.
func (t *task) restarts(c *container) bool {
	p := t.definition(c.Name).RestartPolicy
	if p == nil || !aws.Value(p.Enabled) || c.Exit == nil || !c.Exit.Known || c.Failed || t.Cause != nil ||
		t.Want.DesiredStatus == statusStopped {
		return false
	}
	if slices.Contains(p.IgnoredExitCodes, int32(c.Exit.Code)) {
		return false
	}
	period := seconds(p.RestartAttemptPeriod, 300)
	return c.Exit.At.Sub(c.StartedAt) >= period
}

func (t *task) anyAlive() bool {
	return slices.ContainsFunc(t.Containers, func(c *container) bool { return t.alive(c) })
}

// alive tells whether the container runs, or is being made and may run in a moment.
func (t *task) alive(c *container) bool {
	return c.running() || t.busy[action{doStart, c.Name}] || t.busy[action{doCreate, c.Name}] ||
		t.busy[action{doRestart, c.Name}]
}

// health rolls the health of the essential containers that have a check up into the task's.
func (t *task) health() string {
	all := ""
	for _, c := range t.Containers {
		if !t.essential(c.Name) || check(t.definition(c.Name)) == nil {
			continue
		}
		switch c.health() {
		case unhealthy:
			return unhealthy
		case unknown:
			all = unknown
		default:
			if all == "" {
				all = healthy
			}
		}
	}
	if all == "" {
		return unknown
	}
	return all
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// seconds turns an AWS number of seconds into a duration; absent means otherwise.
func seconds(p *int32, otherwise int32) time.Duration {
	if p == nil {
		return time.Duration(otherwise) * time.Second
	}
	return time.Duration(*p) * time.Second
}
