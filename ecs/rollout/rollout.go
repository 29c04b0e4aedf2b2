package rollout

import "time"

// Health is what is known of a task's health.
type Health uint8

// A task that has not shown yet whether it is healthy is Settling.
const (
	Settling Health = iota
	Healthy
	Unhealthy
)

// Task is one task of the service that is not STOPPED.
type Task struct {
	ID         string
	Deployment string // that started it
	Instance   string
	Zone       string // availability zone of its machine
	Created    time.Time
	Running    bool // lastStatus RUNNING; otherwise it is on its way there
	Stopping   bool // its end is decided; it counts for nothing but its machine
	Health     Health
	Proven     bool // it has been healthy at some time
	Protected  bool // from scale-in and deployments
	Draining   bool // its machine is to be emptied
	Lost       bool // nothing has been heard of its machine for long
	Spread     []string
	Free       int64     // what its machine would have left without it, for binpack
	Next       time.Time // when its health or protection changes by itself; zero: never
}

// Service is what is wanted.
type Service struct {
	Desired                int // of a daemon: the number of Machines
	MinPercent, MaxPercent int
	Primary                string // deployment whose tasks are wanted
	Halted                 bool   // the primary deployment has failed: nothing is started, what is old stays
	Ending                 bool   // the service is being deleted
	Force                  bool   // protected tasks too
	Pause                  Pause  // of the primary deployment

	Daemon   bool
	Machines []string // of a daemon: those that should have a task, in order
}

// Reason says why a task is to be stopped.
type Reason uint8

// Why a task is stopped.
const (
	Scaling   Reason = iota // scale-in, deployment, a machine that is to be emptied
	FailedAny               // its health checks
	Lost                    // its machine
)

// Stop is one task to stop.
type Stop struct {
	ID     string
	Reason Reason
}

// Plan is what to do now. It is safe to do only a part: the next plan has the rest.
type Plan struct {
	Start   int      // tasks of the primary deployment
	StartOn []string // of a daemon: machines that get one; len(StartOn) == Start
	Stop    []Stop
	// Steady: the tasks wanted are there and healthy, and no others.
	Steady bool
	// Blocked: neither percentage allows a step, and nothing is under way that would.
	Blocked bool
	// Guarded: there are more protected tasks than may remain.
	Guarded bool
	// Paused: starts wait because tasks keep failing.
	Paused bool
	// Wake is when to decide again if nothing happens; 0: no need.
	Wake time.Duration
}

// MinHealthy is the least number of healthy tasks: ceil(desired·percent/100).
func MinHealthy(desired, percent int) int { return ceil(desired*percent, 100) }

// MaxRunning is the largest number of tasks that are not stopping: floor(desired·percent/100).
func MaxRunning(desired, percent int) int { return desired * percent / 100 }

func ceil(a, b int) int { return (a + b - 1) / b }

// Decide plans the next step. Applied again and again it converges: to Steady, if tasks become healthy, or to Blocked.
func Decide(now time.Time, s Service, tasks []Task) Plan {
	var p Plan
	switch {
	case s.Ending:
		p = s.end(tasks)
	case s.Daemon:
		p = s.daemon(now, tasks)
	default:
		p = s.replica(now, tasks)
	}
	for i := range tasks {
		p.wake(now, tasks[i].Next)
	}
	return p
}

func (p *Plan) wake(now, at time.Time) {
	if left := at.Sub(now); !at.IsZero() && left > 0 && (p.Wake == 0 || left < p.Wake) {
		p.Wake = left
	}
}

func (p *Plan) stop(t Task, why Reason) { p.Stop = append(p.Stop, Stop{t.ID, why}) }

// end stops everything.
func (s Service) end(tasks []Task) (p Plan) {
	for _, t := range tasks {
		if !t.Stopping && (s.Force || !t.Protected) {
			p.stop(t, Scaling)
		}
	}
	return p
}

// sorted are tasks by what becomes of them.
type sorted struct {
	keep, leave []Task // leave: running ones that are old or on a draining machine
	sick        []Task // proven ones of the primary that became unhealthy: replaced first, then stopped
	drop        []Task // of no use to anybody, or lost: stopped at once
	total       int    // tasks that are not stopping
	healthy     int    // and not lost
	moving      bool   // something will change without a step of ours
}

func (s Service) sort(tasks []Task) (out sorted) {
	for _, t := range tasks {
		if t.Stopping {
			out.moving = true
			continue
		}
		out.total++
		out.moving = out.moving || t.Health == Settling
		if t.Health == Healthy && !t.Lost {
			out.healthy++
		}
		old := t.Deployment != s.Primary
		switch {
		case t.Lost, t.Health == Unhealthy && (old && !s.Halted || !t.Proven):
			out.drop = append(out.drop, t)
		case t.Health == Unhealthy && !old:
			out.sick = append(out.sick, t)
		case !old && !t.Draining:
			out.keep = append(out.keep, t)
		case !t.Running && !t.Protected && (t.Draining || !s.Halted):
			out.drop = append(out.drop, t)
		default:
			out.leave = append(out.leave, t)
		}
	}
	return out
}

func (s Service) replica(now time.Time, tasks []Task) (p Plan) {
	most, least := MaxRunning(s.Desired, s.MaxPercent), MinHealthy(s.Desired, s.MinPercent)
	on := s.sort(tasks)
	for _, t := range on.drop {
		p.stop(t, reasonOf(t))
	}
	room, missing := most-on.total, s.Desired-len(on.keep)
	if n := min(room, missing); n > 0 && !s.Halted {
		if p.start(now, s.Pause) {
			p.Start = n
		}
	}
	s.replaceSick(&p, on, room, missing)
	if s.Halted {
		// Old tasks stay as they are, but no more of them than are wanted.
		p.surplus(on.leave, len(on.leave)-s.Desired)
	} else {
		p.retire(on, least)
	}
	p.surplus(on.keep, -missing)
	p.Steady = missing == 0 && allHealthy(on.keep) && on.total == len(on.keep)
	p.Blocked = missing > 0 && room <= 0 && len(p.Stop) == 0 && !on.moving && !s.Halted
	return p
}

// start says whether the pause between attempts is over.
func (p *Plan) start(now time.Time, pause Pause) bool {
	p.Paused = now.Before(pause.Until())
	p.wake(now, pause.Until())
	return !p.Paused
}

func reasonOf(t Task) Reason {
	switch {
	case t.Lost:
		return Lost
	case t.Health == Unhealthy:
		return FailedAny
	}
	return Scaling
}

// replaceSick stops unhealthy tasks that were healthy before: those that healthy ones stand in for. It may be the check that fails, and a
// load balancer all of whose targets fail still sends them requests; so what has served stays until there is something better. Where
// the maximum leaves no room for a successor, it is made in steps as large as the minimum allows; there is none if the deployment has failed.
func (s Service) replaceSick(p *Plan, on sorted, room, missing int) {
	well, settling := 0, false
	for _, t := range on.keep {
		switch t.Health {
		case Healthy:
			well++
		case Settling:
			settling = true
		}
	}
	n := len(on.sick) - max(0, s.Desired-well)
	if missing > 0 && room+len(on.drop) <= 0 && !settling && !s.Halted {
		n = max(n, s.Desired-MinHealthy(s.Desired, s.MinPercent), 1)
	}
	for _, t := range on.sick[:min(len(on.sick), max(0, n))] {
		p.stop(t, FailedAny)
	}
}

// retire stops tasks that are to leave while at least so many remain that serve.
func (p *Plan) retire(on sorted, least int) {
	serving := on.healthy
	for _, t := range on.leave {
		if t.Health == Settling {
			serving++
		}
	}
	if serving <= least {
		return
	}
	for _, t := range order(on.leave) {
		if serving <= least {
			return
		}
		if t.Protected {
			continue
		}
		p.stop(t, reasonOf(t))
		if t.Health != Unhealthy {
			serving--
		}
	}
}

// surplus stops n of the tasks.
func (p *Plan) surplus(from []Task, n int) {
	if n <= 0 {
		return
	}
	for _, t := range order(from) {
		if n <= 0 {
			return
		}
		if !t.Protected {
			p.stop(t, reasonOf(t))
			n--
		}
	}
	p.Guarded = p.Guarded || n > 0
}

func allHealthy(tasks []Task) bool {
	for _, t := range tasks {
		if t.Health != Healthy {
			return false
		}
	}
	return true
}
