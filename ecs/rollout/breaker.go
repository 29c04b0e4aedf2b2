package rollout

import "time"

// Types of thresholds.
const (
	BoundedPercent   = "BOUNDED_PERCENT"
	UnboundedPercent = "UNBOUNDED_PERCENT"
	Count            = "COUNT"
)

// Breaker is a deployment's circuit breaker.
type Breaker struct {
	Enabled, Rollback bool
	Type              string // empty: BoundedPercent
	Value             int    // percent or tasks; 0: 50
	// Sticky breakers don't forget their failures when a task becomes healthy.
	Sticky bool
}

const (
	defaultPercent               = 50
	leastFailures, mostFailures  = 3, 200
	shortestPause, longestPause  = time.Second, 15 * time.Minute
	longestPauseAfterRunning     = 10 * time.Second
	roundsUntilPause, mostRounds = 2, 30
)

// Threshold is the number of failures at which the deployment has failed.
func (b Breaker) Threshold(desired int) int {
	value := b.Value
	if value == 0 {
		value = defaultPercent
	}
	switch b.Type {
	case Count:
		return value
	case UnboundedPercent:
		return max(1, ceil(desired*value, 100))
	}
	return min(mostFailures, max(leastFailures, ceil(desired*value, 100)))
}

// Tripped says whether so many failures are too many.
func (b Breaker) Tripped(failed, desired int) bool {
	return b.Enabled && failed >= b.Threshold(desired)
}

// Cause says who ended a task.
type Cause uint8

// Other causes than the task itself and its checks are no failure of its deployment: users, scaling, machines.
const (
	Other  Cause = iota
	Itself       // it did not start, or an essential container exited
	Checks       // its health checks
)

// Fails says whether the end of a task is a failure of its deployment: it ended by itself before it was healthy, or its
// checks failed.
//
// Differs: ECS does not count tasks that reach RUNNING and exit soon after when there is no health check, so a revision
// that crashes after a second goes on for ever there.
func Fails(c Cause, proven bool) bool { return c == Checks || c == Itself && !proven }

// Pause is how long to wait between attempts when tasks keep failing.
type Pause struct {
	Rounds int       // attempts in a row of which a task failed
	Last   time.Time // when the last of them did
	Ran    bool      // whether that task had reached RUNNING
}

// After is the pause after the failure of a task. Tasks of one attempt count once: what was made before the last
// failure does not raise it.
func (p Pause) After(now, created time.Time, ran bool) Pause {
	if p.Rounds > 0 && created.Before(p.Last) {
		p.Ran = p.Ran && ran
		return p
	}
	return Pause{Rounds: min(p.Rounds+1, mostRounds), Last: now, Ran: ran}
}

// Until is the moment from which tasks may start again: at once after the first failure, then after 1 s, 2 s, 4 s and so
// on to 15 minutes. Differs: ECS never waits for tasks that reached RUNNING; here up to 10 s, or a service that exits at
// once would fill the store with its tasks.
func (p Pause) Until() time.Time {
	if p.Rounds < roundsUntilPause {
		return time.Time{}
	}
	longest := longestPause
	if p.Ran {
		longest = longestPauseAfterRunning
	}
	return p.Last.Add(min(shortestPause<<(p.Rounds-roundsUntilPause), longest))
}
