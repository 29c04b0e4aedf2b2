package agent

import (
	"time"

	ecs "berth/api/ecs"
)

// probes is the record of a container's health checks in its present run.
type probes struct {
	Status   string    `json:"status,omitzero"` // HEALTHY, UNHEALTHY or empty for UNKNOWN
	Failures int32     `json:"failures,omitzero"`
	Early    int       `json:"early,omitzero"` // checks made before the first regular one
	LastAt   time.Time `json:"lastAt,omitzero"`
	Began    time.Time `json:"-"`
}

// check is the container's health check, or nil.
func check(def *ecs.ContainerDefinition) *ecs.HealthCheck {
	if h := def.HealthCheck; h != nil && len(h.Command) > 0 && h.Command[0] != "NONE" {
		return h
	}
	return nil
}

// checkArgs is what to run for a check. A command without CMD or CMD-SHELL is run as it is.
func checkArgs(h *ecs.HealthCheck) []string {
	switch h.Command[0] {
	case "CMD":
		return h.Command[1:]
	case "CMD-SHELL":
		if len(h.Command) > 1 {
			return []string{"/bin/sh", "-c", h.Command[1]}
		}
	}
	return h.Command
}

func (c *container) health() string {
	if c.Probes.Status == "" {
		return unknown
	}
	return c.Probes.Status
}

// nextProbe is when the container's health is to be checked next.
// Differs: besides ECS's checks at every interval there are early ones after 0.5, 1, 2, 4... seconds, until the first
// succeeds or the first interval is over. Only their success counts, so that what depends on HEALTHY waits no
// longer than it must and nothing becomes UNHEALTHY sooner than on ECS.
func (c *container) nextProbe(h *ecs.HealthCheck) time.Time {
	interval := seconds(h.Interval, 30)
	first := c.StartedAt.Add(interval)
	if c.Probes.Status == "" && (c.Probes.LastAt.IsZero() || c.Probes.LastAt.Before(first)) {
		early := c.StartedAt.Add(500 * time.Millisecond << min(c.Probes.Early, 10))
		return earlier(early, first)
	}
	if c.Probes.LastAt.Before(first) {
		return first
	}
	return c.Probes.LastAt.Add(interval)
}

// probed takes the result of one check that began at began and ended at now.
func (c *container) probed(h *ecs.HealthCheck, ok bool, began, now time.Time) {
	p := &c.Probes
	p.LastAt = now
	if ok {
		p.Status, p.Failures = healthy, 0
		return
	}
	regular := c.StartedAt.Add(seconds(h.Interval, 30))
	if began.Before(regular) {
		p.Early++
		p.LastAt = began
		return
	}
	if p.Status == "" && began.Before(c.StartedAt.Add(seconds(h.StartPeriod, 0))) {
		return
	}
	p.Failures++
	retries := int32(3)
	if h.Retries != nil {
		retries = *h.Retries
	}
	if p.Failures >= retries {
		p.Status = unhealthy
	}
}
