package rollout

import "time"

// Want is how many tasks of one deployment are wanted.
type Want struct {
	Deployment string
	Desired    int
	Halted     bool // nothing is started, nothing is stopped that is not surplus
	Pause      Pause
}

// Wants are the tasks that a deployment that shifts traffic wants of the new revision, of the old one and of any other.
// hold says that no task of the new one, or of others, is to be started or stopped.
func (l Lifecycle) Wants(desired int) (green, blue, others int, hold bool) {
	blue = desired
	switch {
	case l.Back && l.Stage == CleanUp:
	case l.Back:
		green, hold = desired, true
	case l.Stage == ReconcileService:
		hold = l.Shifted.IsZero()
	case l.Stage == CleanUp:
		green, blue = desired, 0
	case l.Stage >= ScaleUp:
		green = desired
	}
	return green, blue, others, hold
}

// DecideEach plans each deployment by itself, within the service's percentages: tasks of one don't make up for those of
// another. Plans are in the order of wants.
func DecideEach(now time.Time, s Service, wants []Want, tasks []Task) []Plan {
	out := make([]Plan, len(wants))
	for i, w := range wants {
		var own []Task
		for _, t := range tasks {
			if t.Deployment == w.Deployment {
				own = append(own, t)
			}
		}
		one := s
		one.Primary, one.Desired, one.Halted, one.Pause = w.Deployment, w.Desired, w.Halted, w.Pause
		if w.Halted {
			one.Desired = max(w.Desired, len(own)) // nothing is surplus
		}
		out[i] = Decide(now, one, own)
	}
	return out
}
