package agent

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// container is what the agent knows of one container of a task.
type container struct {
	Name  string         `json:"name"`
	ID    string         `json:"id"` // in the runtime
	Image *Image         `json:"image,omitzero"`
	Net   *NetworkResult `json:"net,omitzero"`
	// Logs is set when the log destination is known to exist, or needs nothing.
	Logs    bool `json:"logs,omitzero"`
	Created bool `json:"created,omitzero"`
	// Ran is set when it was started at least once; StartedAt is the last start.
	Ran       bool      `json:"ran,omitzero"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	Exit      *exit     `json:"exit,omitzero"` // of the last run; nil while it runs
	// Failed is set when it could not be pulled, created or started and will not be.
	Failed   bool   `json:"failed,omitzero"`
	Reason   string `json:"reason,omitzero"`
	Restarts int32  `json:"restarts,omitzero"`
	// StopAt and KillAt are when the stop signal and the last SIGKILL were sent.
	StopAt   time.Time `json:"stopAt,omitzero"`
	KillAt   time.Time `json:"killAt,omitzero"`
	GaveUp   bool      `json:"gaveUp,omitzero"` // it did not end by SIGKILL in stopSlack
	Probes   probes    `json:"probes,omitzero"`
	Detached bool      `json:"detached,omitzero"`
	Removed  bool      `json:"removed,omitzero"`
}

// exit is how a container ended.
type exit struct {
	Code  int       `json:"code"`
	Known bool      `json:"known"`
	OOM   bool      `json:"oom,omitzero"`
	At    time.Time `json:"at"`
}

// running tells whether its process was started and has not ended.
func (c *container) running() bool {
	return !c.StartedAt.IsZero() && c.Exit == nil && c.Created && !c.GaveUp
}

// fail records that the container will never run. The first reason stays.
func (c *container) fail(reason string) {
	c.Failed = true
	if c.Reason == "" {
		c.Reason = reason
	}
}

// end records how the container ended.
func (c *container) end(s ContainerState, now time.Time) {
	at := s.FinishedAt
	if at.IsZero() {
		at = now
	}
	if !s.StartedAt.IsZero() && c.StartedAt.IsZero() {
		c.StartedAt, c.Ran = s.StartedAt, true
	}
	c.Exit = &exit{Code: s.ExitCode, Known: s.ExitKnown, OOM: s.OOMKilled, At: at}
	switch {
	case s.OOMKilled && s.ExitCode != 0:
		c.Reason = "OutOfMemoryError: Container killed due to memory usage"
	case s.Error != "":
		c.Reason = "ContainerRuntimeError: " + s.Error
	case !s.ExitKnown:
		c.Reason = "ContainerRuntimeError: the exit code is not known"
	}
}

// containerID names a container in the runtime: the task's ID and ten digits made from the container's name. The
// same container always gets the same ID, so that work repeated after a crash finds what is already there.
func containerID(taskArn, name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("%s-%010d", taskID(taskArn), h.Sum64()%1e10)
}

// taskID is the last part of a task's ARN.
func taskID(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
