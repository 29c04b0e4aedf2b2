package rollout

import (
	"fmt"
	"strings"
	"time"
)

// stageLimit is how long a stage, or a step of the traffic shift, may last. Source: ECS developer guide, blue/green
// deployments. Hooks that may take longer have their own time.
const stageLimit = 24 * time.Hour

// followLimit is how long traffic may take to go where it was moved. Machines that are well take a second or two.
const followLimit = 5 * time.Minute

// Lifecycle is where a deployment that shifts traffic stands. It is stored; nothing that was decided is anywhere else, so
// a decision may be made again after a crash.
type Lifecycle struct {
	Stage Stage     `json:"s"`
	Step  int       `json:"n,omitzero"` // of the production shift, from 0
	Since time.Time `json:"t"`          // the beginning of the stage, in each step
	// Shifted is when the traffic was moved that the stage moves; zero: not yet.
	Shifted time.Time `json:"x,omitzero"`
	// Followed is when every machine that carries traffic was first seen to send it there; zero: not yet. One that comes later begins
	// with what is written.
	Followed time.Time `json:"f,omitzero"`
	// Production and Test are the new revision's shares of the traffic, in tenths of a percent.
	Production int `json:"p,omitzero"`
	Test       int `json:"e,omitzero"`
	// Back says that the deployment is rolled back; then the stages are ProductionShift, TestShift (each if that traffic had
	// moved) and CleanUp. Moved says that production traffic had moved.
	Back  bool `json:"b,omitzero"`
	Moved bool `json:"m,omitzero"`
	// Cleaning says that tasks of the old revision may have been stopped.
	Cleaning bool `json:"c,omitzero"`
}

// Shift is how a deployment shifts traffic.
type Shift struct {
	Kind     string // BlueGreen, Linear, Canary
	Percent  int    // see Steps
	StepBake time.Duration
	Bake     time.Duration
	Tested   bool // there is test traffic
}

// Side is what is known of one revision's tasks.
type Side struct {
	Healthy int // and neither stopping nor on a machine that is lost
	Left    int // not STOPPED, nor stopping on a machine that is lost
}

// Facts are what the next step of a deployment is decided on. Green is the new revision, Blue the one before.
type Facts struct {
	Desired, MinPercent int
	HasBlue             bool // false: the first deployment of a service
	Green, Blue, Others Side
	// Hooks are those of the stage and step that the deployment is in.
	Hooks []Hook
	// Reasons to roll back: asked for, the circuit breaker tripped, alarms, a load balancer that is not as it must be.
	Requested bool
	Tripped   bool
	Alarms    []string // those in ALARM that count
	Broken    string   // text
	// Behind says which machines do not send traffic where the stage has moved it, and why; empty: all do.
	Behind string
}

// HookState is how far a hook is.
type HookState uint8

// A hook that is Absent has no record yet.
const (
	HookAbsent HookState = iota
	HookRunning
	HookSucceeded
	HookFailed
	HookTimedOut
)

// Hook is one hook of a stage.
type Hook struct {
	State    HookState
	Pause    bool      // waits for ContinueServiceDeployment
	Expires  time.Time // of a running one
	Continue bool      // what follows when it expires: go on instead of rolling back
	Target   string    // for texts
	Why      string    // what went wrong
}

// Move is one step of a deployment.
type Move struct {
	Life Lifecycle // to be stored
	// SetProduction and SetTest: the traffic is to be shared as Life says.
	SetProduction, SetTest bool
	// StartHooks: those of the stage that are Absent are to be started. Expired has the indexes of those whose time is over.
	StartHooks bool
	Expired    []int
	// Fail is why the deployment begins to be rolled back.
	Fail string
	// Done: it is over. RolledBack: to the old revision; NotBack: the old revision did not become healthy again.
	Done, RolledBack, NotBack bool
	Wake                      time.Duration
}

// Begin is the first stage of a deployment. others says that there are revisions besides the one that is replaced.
func Begin(now time.Time, others bool) Lifecycle {
	if others {
		return Lifecycle{Stage: ReconcileService, Since: now}
	}
	return Lifecycle{Stage: PreScaleUp, Since: now}
}

// Next decides one step. Applied again and again to what it returns it converges, if tasks become healthy or not.
func (l Lifecycle) Next(now time.Time, s Shift, f Facts) Move {
	m := Move{Life: l}
	hooks := m.expire(now, f.Hooks)
	if l.Back {
		m.back(now, s, f, hooks)
		return m
	}
	if why := l.failure(now, f, hooks); why != "" {
		m.fail(now, f, why)
		return m
	}
	m.forward(now, s, f, hooks)
	if stuck := m.Life == l && !m.StartHooks && len(m.Expired) == 0; stuck && l.bounded() && !now.Before(l.limit(hooks)) {
		m.fail(now, f, fmt.Sprintf("Service deployment rolled back because the %s lifecycle stage lasted longer than %d hours.",
			l.Stage, int(stageLimit.Hours())))
	}
	return m
}

// expire finds the hooks whose time is over.
func (m *Move) expire(now time.Time, hooks []Hook) []Hook {
	out := make([]Hook, len(hooks))
	for i, h := range hooks {
		if h.State == HookRunning && !now.Before(h.Expires) {
			h.State = HookTimedOut
			m.Expired = append(m.Expired, i)
		}
		out[i] = h
	}
	return out
}

// hooked says whether all hooks of the stage are over, and has them started if they are not.
func (m *Move) hooked(now time.Time, hooks []Hook) bool {
	done := true
	for _, h := range hooks {
		switch h.State {
		case HookAbsent:
			m.StartHooks, done = true, false
		case HookRunning:
			m.wake(now, h.Expires)
			done = false
		}
	}
	return done
}

func (m *Move) wake(now, at time.Time) {
	if left := at.Sub(now); left > 0 && (m.Wake == 0 || left < m.Wake) {
		m.Wake = left
	}
}

func (m *Move) enter(now time.Time, s Stage) {
	m.Life.Stage, m.Life.Since, m.Life.Shifted, m.Life.Followed = s, now, time.Time{}, time.Time{}
}

// Awaits says that traffic was moved and that it is not known yet that machines send it there.
func (l Lifecycle) Awaits() bool {
	return (l.Stage == TestShift || l.Stage == ProductionShift) && !l.Shifted.IsZero() && l.Followed.IsZero()
}

// followed says whether traffic goes where the stage has moved it, and notes it.
func (m *Move) followed(now time.Time, f Facts) bool {
	l := &m.Life
	if l.Awaits() && f.Behind == "" {
		l.Followed = now
	}
	if l.Awaits() {
		m.wake(now, l.Shifted.Add(followLimit))
	}
	return !l.Awaits()
}

// overdue says that the time is over in which traffic was to go where it was moved.
func (l Lifecycle) overdue(now time.Time) bool {
	return l.Awaits() && !now.Before(l.Shifted.Add(followLimit))
}

// limit is when the stage has lasted too long.
func (l Lifecycle) limit(hooks []Hook) time.Time {
	at := l.Since.Add(stageLimit)
	for _, h := range hooks {
		if h.Expires.After(at) {
			at = h.Expires
		}
	}
	return at
}

// failure is the reason for rolling back, in the order in which they count.
func (l Lifecycle) failure(now time.Time, f Facts, hooks []Hook) string {
	const rolled = "Service deployment rolled back "
	switch {
	case l.Stage == ReconcileService && l.Shifted.IsZero():
		return "" // traffic may be with a third revision: first it goes to the one that a rollback would return to
	case f.Requested:
		return rolled + "on request."
	case l.Stage == CleanUp:
		return "" // what was deployed has been found good
	case f.Tripped:
		return rolled + "because the circuit breaker threshold was exceeded."
	case len(f.Alarms) > 0:
		return rolled + "because of alarm(s) in state ALARM: " + strings.Join(f.Alarms, ", ") + "."
	case f.Broken != "":
		return rolled + "because of invalid networking configuration" + f.Broken
	case f.Behind != "" && l.overdue(now):
		return rolled + fmt.Sprintf("because traffic did not follow the %s lifecycle stage within %d minutes: %s", l.Stage, int(followLimit.Minutes()), f.Behind)
	}
	for _, h := range hooks {
		failed := h.State == HookFailed
		timed := h.State == HookTimedOut && !h.Continue
		switch {
		case failed && h.Pause:
			return rolled + fmt.Sprintf("because a rollback was requested at the %s pause hook.", l.Stage)
		case timed && h.Pause:
			return rolled + fmt.Sprintf("because %s pause hook timed out.", l.Stage)
		case failed:
			return rolled + fmt.Sprintf("because %s lifecycle hook(s) failed. %s", l.Stage, h.Why)
		case timed:
			return rolled + fmt.Sprintf("because %s lifecycle hook(s) failed. Lifecycle hook target %s timed out.", l.Stage, h.Target)
		}
	}
	return ""
}

// bounded says whether the stage may last only so long: it does not if it waits for its own time or for the last tasks.
func (l Lifecycle) bounded() bool {
	return l.Stage != BakeTime && l.Stage != CleanUp && (l.Stage != ProductionShift || l.Shifted.IsZero())
}

func (m *Move) forward(now time.Time, s Shift, f Facts, hooks []Hook) {
	l := &m.Life
	m.wake(now, l.limit(hooks))
	ready := f.Green.Healthy >= f.Desired
	switch l.Stage {
	case ReconcileService:
		m.reconcile(now, f, hooks)
	case PreScaleUp, PostScaleUp, PostTestShift, PostProductionShift:
		if m.hooked(now, hooks) {
			m.enter(now, l.Stage+1)
		}
	case ScaleUp:
		if ready {
			m.enter(now, PostScaleUp)
		}
	case TestShift:
		switch {
		case l.Shifted.IsZero() && !ready:
		case l.Shifted.IsZero():
			l.Shifted = now
			if s.Tested {
				l.Test, m.SetTest = All, true
			}
		default:
			followed := m.followed(now, f)
			if m.hooked(now, hooks) && followed {
				m.enter(now, PostTestShift)
			}
		}
	case PreProductionShift:
		if m.hooked(now, hooks) && ready {
			m.enter(now, ProductionShift)
		}
	case ProductionShift:
		m.shift(now, s, f, hooks)
	case BakeTime:
		if over := l.Since.Add(s.Bake); now.Before(over) {
			m.wake(now, over)
			return
		}
		m.enter(now, CleanUp)
		l.Cleaning = true
	case CleanUp:
		m.Done = f.Blue.Left == 0 && f.Others.Left == 0
	}
}

// reconcile brings a service back to one revision: traffic first, then the tasks of all others.
func (m *Move) reconcile(now time.Time, f Facts, hooks []Hook) {
	l := &m.Life
	if l.Shifted.IsZero() {
		late := !now.Before(l.limit(hooks))
		if late || !f.HasBlue || f.Others.Healthy == 0 || f.Blue.Healthy >= max(1, MinHealthy(f.Desired, f.MinPercent)) {
			l.Shifted = now
			m.SetProduction, m.SetTest = f.HasBlue, f.HasBlue
		}
		return
	}
	if m.hooked(now, hooks) && f.Others.Left == 0 {
		m.enter(now, PreScaleUp)
	}
}

// shift does one step of the production shift, or waits for its end.
func (m *Move) shift(now time.Time, s Shift, f Facts, hooks []Hook) {
	l := &m.Life
	steps := Steps(s.Kind, s.Percent)
	if !f.HasBlue {
		steps = []int{All} // there is nothing to leave traffic with
	}
	if l.Shifted.IsZero() {
		if f.Green.Healthy >= f.Desired {
			l.Production = steps[min(l.Step, len(steps)-1)]
			l.Shifted, l.Moved, m.SetProduction = now, true, true
		}
		return
	}
	followed := m.followed(now, f)
	if !m.hooked(now, hooks) || !followed {
		return
	}
	if l.Step >= len(steps)-1 {
		m.enter(now, PostProductionShift)
		return
	}
	if over := l.Followed.Add(s.StepBake); now.Before(over) {
		m.Wake = 0 // the bake time may be as long as a stage
		m.wake(now, over)
		return
	}
	l.Step++
	m.enter(now, PreProductionShift)
}

// fail begins the rollback.
func (m *Move) fail(now time.Time, f Facts, why string) {
	m.Fail, m.Life.Back = why, true
	switch {
	case !f.HasBlue:
		m.enter(now, CleanUp)
	case m.Life.Moved:
		m.enter(now, ProductionShift)
	case m.Life.Test > 0:
		m.enter(now, TestShift)
	default:
		m.enter(now, CleanUp)
	}
}

// back does one step of the rollback.
func (m *Move) back(now time.Time, s Shift, f Facts, hooks []Hook) {
	l := &m.Life
	m.wake(now, l.limit(hooks))
	late := !now.Before(l.limit(hooks))
	switch l.Stage {
	case ProductionShift, TestShift:
		if l.Shifted.IsZero() {
			if late || l.returnable(f) {
				l.Shifted, l.Production, l.Test = now, 0, 0
				m.SetProduction, m.SetTest = l.Moved, s.Tested
			}
			return
		}
		followed := m.followed(now, f) || l.overdue(now)
		if !m.hooked(now, hooks) && !late || !followed {
			return
		}
		if l.Stage == ProductionShift && s.Tested {
			m.enter(now, TestShift)
			return
		}
		m.enter(now, CleanUp)
	default:
		if f.Green.Left > 0 || f.Others.Left > 0 {
			return
		}
		healthy := !f.HasBlue || f.Blue.Healthy >= f.Desired
		m.RolledBack, m.NotBack = healthy, late && !healthy
	}
}

// returnable says whether the old revision can take the traffic back: at once if it can serve at all or if the new one can't;
// if some of its tasks may have been stopped, when enough of them are there again.
func (l Lifecycle) returnable(f Facts) bool {
	need := 1
	if l.Cleaning {
		need = max(1, MinHealthy(f.Desired, f.MinPercent))
	}
	return l.Production == 0 || f.Green.Healthy == 0 || f.Blue.Healthy >= need
}
