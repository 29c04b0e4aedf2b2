package rollout

import "time"

// daemon plans for one task on each machine. A machine's task stops before its successor starts, so maximumPercent
// does not matter; minimumHealthyPercent bounds how many machines are without at a time.
func (s Service) daemon(now time.Time, tasks []Task) (p Plan) {
	wanted := make(map[string]bool, len(s.Machines))
	for _, m := range s.Machines {
		wanted[m] = true
	}
	taken := map[string]bool{}
	var on sorted
	for _, t := range tasks {
		if t.Stopping {
			taken[t.Instance] = true
			continue
		}
		on.total++
		if t.Health == Healthy {
			on.healthy++
		}
		old := t.Deployment != s.Primary
		double := !old && taken[t.Instance]
		taken[t.Instance] = true
		switch {
		case t.Health == Unhealthy && !(old && s.Halted):
			on.drop = append(on.drop, t)
		case !old && !double && wanted[t.Instance]:
			on.keep = append(on.keep, t)
		case old && s.Halted && wanted[t.Instance]:
		case !t.Running && !t.Protected:
			on.drop = append(on.drop, t)
		default:
			on.leave = append(on.leave, t)
		}
	}
	for _, t := range on.drop {
		p.stop(t, reasonOf(t))
	}
	p.retire(on, MinHealthy(len(s.Machines), s.MinPercent))
	for _, m := range s.Machines {
		if !taken[m] && !s.Halted && p.start(now, s.Pause) {
			p.StartOn = append(p.StartOn, m)
		}
	}
	p.Start = len(p.StartOn)
	p.Steady = len(on.keep) == len(s.Machines) && allHealthy(on.keep) && on.total == len(on.keep)
	return p
}
