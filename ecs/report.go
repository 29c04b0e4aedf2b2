package ecs

import (
	"errors"
	"slices"
	"strings"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// Errors of ApplyReport. None of them changes anything; the session may go on.
var (
	// ErrUnknownTask is a report on a task that the store has no record of: see Verdict.
	ErrUnknownTask = errors.New("no such task")
	// ErrForeignTask is a report on a task that is placed on another machine.
	ErrForeignTask = errors.New("task is placed on another container instance")
	// ErrBadReport is a report that makes no sense.
	ErrBadReport = errors.New("report is not valid")
)

// ApplyReport writes what the machine with the instance key says of one of its tasks. States never go back and
// STOPPED absorbs everything, so reports may come twice or late. The first cause of a stop wins. What a task has
// reserved is given back when it is STOPPED. now is the server's clock; the machine's times are kept between the
// task's creation and now.
func ApplyReport(tx *store.Tx, instance string, st proto.TaskStatus, now time.Time) error {
	key, ok := taskKeyOf(st.Arn)
	if !ok {
		return ErrBadReport
	}
	t, ok := Tasks.Get(tx, key)
	switch {
	case !ok:
		return ErrUnknownTask
	case t.InstanceKey() != instance:
		return ErrForeignTask
	}
	last := parseTaskState(st.LastStatus)
	if last == StateNone {
		return ErrBadReport
	}
	if !t.Active() {
		if t.Orphan && last == StateStopped {
			t.Orphan = false
			Tasks.Put(tx, t)
		}
		return nil
	}
	a := reportOn{tx: tx, t: t, st: st, last: last, now: MillisOf(now)}
	if a.apply(); !a.event && !a.quiet {
		return nil
	}
	if a.event {
		a.t.Version++
	}
	if !a.t.Active() {
		a.t.release(tx)
	}
	Tasks.Put(tx, a.t)
	return nil
}

// taskKeyOf is the key of the task that the ARN names.
func taskKeyOf(s string) (string, bool) {
	arn, err := aws.ParseARN(s)
	if err != nil || arn.Service() != "ecs" {
		return "", false
	}
	rest, ok := strings.CutPrefix(arn.Resource(), "task/")
	cluster, id, two := strings.Cut(rest, "/")
	if !ok || !two || !idPattern.MatchString(id) {
		return "", false
	}
	return TaskKey(arn.Account(), arn.Region(), cluster, id), true
}

// reportOn is one report being applied to a copy of the task's record.
type reportOn struct {
	tx   *store.Tx
	t    Task
	st   proto.TaskStatus
	last TaskState
	now  Millis
	// event is set by a change that raises the version, quiet by one that does not (health).
	event, quiet bool
}

func (a *reportOn) apply() {
	if a.t.Connected == 0 {
		a.t.Connected, a.event = a.now, true
	}
	a.containers()
	a.earliest(&a.t.PullStarted, a.st.PullStartedAt)
	a.latest(&a.t.PullStopped, a.st.PullStoppedAt)
	a.earliest(&a.t.Started, a.st.StartedAt)
	a.earliest(&a.t.ExecutionEnd, a.st.ExecutionStoppedAt)
	if a.last > a.t.Last {
		a.t.Last, a.event = a.last, true
		if a.last == StateRunning && a.t.Started == 0 {
			a.t.Started = a.now
		}
	}
	if a.st.StopCode != "" || a.t.Last > StateRunning {
		a.ended()
	}
	// Nothing is left to wait for when the machine has begun to stop the task by itself.
	if a.t.Leaving && (a.st.StopCode != "" || a.t.Last > StateDeactivating) {
		a.t.Leaving, a.event = false, true
	}
	if a.t.Last == StateStopped {
		a.stopped()
	}
}

// ended records why the task ends, unless that is known already.
func (a *reportOn) ended() {
	if a.t.Desired == StateStopped {
		return
	}
	code, reason := api.TaskStopCode(a.st.StopCode), a.st.StoppedReason
	if code != api.TaskStopCodeEssentialContainerExited && code != api.TaskStopCodeTaskFailedToStart {
		code = api.TaskStopCodeEssentialContainerExited
		if a.t.Started == 0 {
			code = api.TaskStopCodeTaskFailedToStart
		}
	}
	if reason == "" {
		reason = "Essential container in task exited"
		if code == api.TaskStopCodeTaskFailedToStart {
			reason = "Task failed to start"
		}
	}
	a.t.want(a.tx, code, reason, a.clamp(a.st.StoppingAt, a.now))
	a.t.Version-- // want counts itself; apply counts the whole report once
	a.event = true
}

func (a *reportOn) stopped() {
	a.t.Stopped = a.clamp(a.st.StoppedAt, a.now)
	for i := range a.t.Containers {
		a.t.Containers[i].State = StateStopped
	}
}

// clamp brings a machine's time between the task's creation and now; the zero time becomes otherwise.
func (a *reportOn) clamp(t time.Time, otherwise Millis) Millis {
	if t.IsZero() {
		return otherwise
	}
	return max(a.t.Created, min(MillisOf(t), a.now))
}

func (a *reportOn) earliest(field *Millis, t time.Time) {
	if m := a.clamp(t, 0); m != 0 && (*field == 0 || m < *field) {
		*field, a.event = m, true
	}
}

func (a *reportOn) latest(field *Millis, t time.Time) {
	if m := a.clamp(t, 0); m > *field {
		*field, a.event = m, true
	}
}

// maxReason bounds what a machine can make the store keep as a reason.
const maxReason = 1024

// ownID stands for the task's ID inside the runtime IDs of its containers.
const ownID = "~"

func (a *reportOn) containers() {
	a.t.Containers = slices.Clone(a.t.Containers)
	for _, st := range a.st.Containers {
		i := slices.IndexFunc(a.t.Containers, func(c TaskContainer) bool { return c.Name == st.Name })
		state := parseTaskState(st.LastStatus)
		if i < 0 || state != StatePending && state != StateRunning && state != StateStopped {
			continue
		}
		c := &a.t.Containers[i]
		if h := api.HealthStatus(st.HealthStatus); h != "" && h != c.Health && slices.Contains(h.Values(), string(h)) {
			c.Health, a.quiet = h, true
		}
		st.RuntimeID = strings.Replace(st.RuntimeID, a.t.ID, ownID, 1)
		if c.merge(st, state) {
			a.event = true
		}
	}
}

// merge takes what the machine says of the container. A report of an earlier run or state of the container changes
// nothing; one of the same run and state adds what was not known.
func (c *TaskContainer) merge(st proto.ContainerStatus, state TaskState) (changed bool) {
	if st.RestartCount < c.Restarts || st.RestartCount == c.Restarts && state < c.State {
		return false
	}
	newer := st.RestartCount > c.Restarts || state > c.State
	if st.RestartCount > c.Restarts {
		c.ExitCode, c.Reason = nil, ""
	}
	c.Restarts, c.State = st.RestartCount, state
	changed = newer
	set := func(field *string, v string) {
		if v != "" && *field != v && (newer || *field == "") {
			*field, changed = v, true
		}
	}
	set(&c.RuntimeID, st.RuntimeID)
	if !c.Pinned {
		set((*string)(&c.Digest), st.ImageDigest)
	}
	set(&c.Reason, shorten(st.Reason, maxReason))
	if st.ExitCode != nil && c.ExitCode == nil && state == StateStopped {
		c.ExitCode, changed = st.ExitCode, true
	}
	if st.OOMKilled && !c.OOMKilled {
		c.OOMKilled, changed = true, true
	}
	if ports := bindingsOf(st.NetworkBindings); len(ports) > 0 && !slices.Equal(ports, c.Ports) && (newer || len(c.Ports) == 0) {
		c.Ports, changed = ports, true
	}
	return changed
}

// shorten cuts s to at most n bytes, at a rune's start.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
