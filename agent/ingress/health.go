package ingress

import (
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Reason codes and texts of target health. Source: ELB API, TargetHealth.
const (
	reasonInitial  = "Elb.InitialHealthChecking"
	reasonDraining = "Target.DeregistrationInProgress"
	reasonMismatch = "Target.ResponseCodeMismatch"
	reasonTimeout  = "Target.Timeout"
	reasonFailed   = "Target.FailedHealthChecks"

	textInitial  = "Initial health checks in progress"
	textDraining = "Target deregistration is in progress"
	textTimeout  = "Request timed out"
	textFailed   = "Health checks failed"
)

// initialPause is the longest time between two checks of a target that has not passed one yet. Differs: AWS waits the whole interval,
// which makes a task that listens half a second after its start wait 30 seconds for traffic. Only failures an interval apart are counted.
const initialPause = time.Second

// probe is the answer to one check.
type probe struct {
	ok          bool
	reason      string // one of the reason codes; empty if ok
	description string
	text        string // in one line, for people
}

// health is what is known of one target. It decides; it reads no clock and sends nothing.
type health struct {
	state       string // proto.TargetInitial, TargetHealthy, TargetUnhealthy
	reason      string
	description string
	probe       string

	good, bad int       // in a row
	counted   time.Time // when the last failure of an initial target was counted
}

// newHealth is of a target that was not checked yet. served says that it had traffic before this agent started.
func newHealth(check haproxy.HealthCheck, served bool) health {
	if !check.Enabled || served {
		return health{state: proto.TargetHealthy}
	}
	return health{state: proto.TargetInitial, reason: reasonInitial, description: textInitial}
}

// take takes an answer. One success is enough for a target that has had none and is not unhealthy yet.
// Source: ELB user guide, health checks for target groups. Differs: for network load balancers too.
func (h *health) take(p probe, check haproxy.HealthCheck, now time.Time) {
	h.probe = p.text
	if p.ok {
		h.good++
		h.bad = 0
		if h.state == proto.TargetInitial || h.state == proto.TargetUnhealthy && h.good >= check.Healthy {
			h.state, h.reason, h.description = proto.TargetHealthy, "", ""
		}
		return
	}
	h.good = 0
	if h.state == proto.TargetInitial {
		if h.bad > 0 && now.Sub(h.counted) < interval(check) {
			return
		}
		h.counted = now
	}
	h.bad++
	if h.state == proto.TargetUnhealthy || h.bad >= check.Unhealthy {
		h.state, h.reason, h.description = proto.TargetUnhealthy, p.reason, p.description
	}
}

// pause is the time to the next check.
func (h *health) pause(check haproxy.HealthCheck) time.Duration {
	if h.state == proto.TargetInitial {
		return min(initialPause, interval(check))
	}
	return interval(check)
}

func interval(c haproxy.HealthCheck) time.Duration {
	return max(time.Second, time.Duration(c.Interval)*time.Second)
}

func timeout(c haproxy.HealthCheck) time.Duration {
	if c.Timeout <= 0 {
		return 5 * time.Second
	}
	return time.Duration(c.Timeout) * time.Second
}
