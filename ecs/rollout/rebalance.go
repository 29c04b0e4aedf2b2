package rollout

import (
	"cmp"
	"slices"
)

// ZoneCount is the number of tasks in a zone that are not stopping.
type ZoneCount struct {
	Zone  string
	Tasks int
}

// Rebalancing is what to do now so that the zones have equally many tasks of a service.
type Rebalancing struct {
	Counts []ZoneCount // by zone
	// Off: the tasks are not as they are wanted apart from their zones. That comes first.
	Off bool
	// Balanced: the tasks are as many as wanted, healthy, and no zone has two more than another.
	Balanced bool
	// Start has a zone for each task to start.
	Start []string
	// Stop are the IDs of tasks that others have replaced.
	Stop []string
	// Guarded: only protected tasks could be moved.
	Guarded bool
}

// Rebalance plans the next step towards equally many tasks in each of the zones, within the service's percentages: it starts
// tasks where there are fewest and, when they are healthy, stops as many where there are most. moving says that this is under
// way already, so that tasks above those wanted are of it. Nothing is started in the zones that are full.
//
// Applied again and again it ends Balanced, if tasks become healthy, no zone is full and none is protected, and if
// maximumPercent allows one task more than desired; it never goes below the desired number of healthy tasks once it has
// begun, and never above maximumPercent.
func Rebalance(s Service, zones []string, full map[string]bool, moving bool, tasks []Task) Rebalancing {
	var r Rebalancing
	on := map[string]int{}
	for _, z := range zones {
		on[z] = 0
	}
	var here []Task
	healthy := 0
	for _, t := range tasks {
		if t.Stopping {
			continue
		}
		here = append(here, t)
		on[t.Zone]++
		r.Off = r.Off || t.Deployment != s.Primary || t.Draining || t.Lost || t.Health == Unhealthy
		if t.Health == Healthy {
			healthy++
		}
	}
	r.Counts = counts(on)
	surplus := len(here) - s.Desired
	switch {
	case s.Daemon || s.Halted || s.Ending || s.Desired == 0 || len(zones) == 0 || surplus < 0 || surplus > 0 && !moving:
		r.Off = true
	case r.Off:
	case surplus > 0:
		r.retire(here, on, min(surplus, healthy-s.Desired))
	case healthy == len(here):
		if r.Balanced = level(on); !r.Balanced {
			r.spread(here, on, zones, full, MaxRunning(s.Desired, s.MaxPercent)-len(here))
		}
	}
	return r
}

func counts(on map[string]int) (out []ZoneCount) {
	for z, n := range on {
		out = append(out, ZoneCount{z, n})
	}
	slices.SortFunc(out, func(a, b ZoneCount) int { return cmp.Compare(a.Zone, b.Zone) })
	return out
}

// level says whether no zone has two tasks more than another.
func level(on map[string]int) bool {
	least, most := -1, 0
	for _, n := range on {
		most = max(most, n)
		if least < 0 || n < least {
			least = n
		}
	}
	return most-least <= 1
}

// spread plans starts in the zones with fewest tasks, as many as there are tasks to take away elsewhere.
func (r *Rebalancing) spread(here []Task, on map[string]int, zones []string, full map[string]bool, room int) {
	free := map[string]int{}
	for _, t := range here {
		if !t.Protected {
			free[t.Zone]++
		}
	}
	for ; room > 0; room-- {
		to, found := fewest(on, zones, full)
		if !found {
			return
		}
		from := mostOf(on, free)
		if from == "" || on[from]-on[to] < 2 {
			r.Guarded = len(r.Start) == 0 && on[mostOf(on, on)]-on[to] >= 2
			return
		}
		r.Start = append(r.Start, to)
		on[to]++
		on[from]--
		free[from]--
	}
}

func fewest(on map[string]int, zones []string, full map[string]bool) (zone string, found bool) {
	for _, z := range slices.Sorted(slices.Values(zones)) {
		if !full[z] && (!found || on[z] < on[zone]) {
			zone, found = z, true
		}
	}
	return zone, found
}

// mostOf is the zone with the most tasks among those in which which is above 0; empty if there is none.
func mostOf(on, which map[string]int) (zone string) {
	for _, c := range counts(on) {
		if which[c.Zone] > 0 && (zone == "" || c.Tasks > on[zone]) {
			zone = c.Zone
		}
	}
	return zone
}

// retire stops n healthy tasks where there are most.
func (r *Rebalancing) retire(here []Task, on map[string]int, n int) {
	free := map[string][]Task{}
	for _, t := range here {
		if t.Health == Healthy && !t.Protected {
			free[t.Zone] = append(free[t.Zone], t)
		}
	}
	for ; n > 0; n-- {
		left := map[string]int{}
		for z, list := range free {
			left[z] = len(list)
		}
		from := mostOf(on, left)
		if from == "" {
			r.Guarded = true
			return
		}
		// Within a zone the oldest goes: the youngest may be the one that was just brought there.
		t := slices.MinFunc(free[from], func(a, b Task) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		r.Stop = append(r.Stop, t.ID)
		free[from] = slices.DeleteFunc(free[from], func(x Task) bool { return x.ID == t.ID })
		on[from]--
	}
}
