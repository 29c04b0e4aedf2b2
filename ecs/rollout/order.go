package rollout

import (
	"cmp"
	"slices"
)

// order is the order in which tasks are stopped: those on draining machines first, then those that are least along
// (unhealthy, on their way, settling, healthy), then where the service has the most tasks by each field of spread in
// turn, then where stopping frees most, then the youngest. Each pick counts for the next.
func order(tasks []Task) []Task {
	left := slices.Clone(tasks)
	counts := map[field]int{}
	depth := 0
	for _, t := range left {
		depth = max(depth, len(t.Spread))
		for i, v := range t.Spread {
			counts[field{i, v}]++
		}
	}
	out := make([]Task, 0, len(left))
	if depth == 0 {
		slices.SortFunc(left, func(a, b Task) int { return before(a, b, counts) })
		return left
	}
	for len(left) > 0 {
		first := 0
		for i := range left {
			if before(left[i], left[first], counts) < 0 {
				first = i
			}
		}
		t := left[first]
		out = append(out, t)
		left = slices.Delete(left, first, first+1)
		for i, v := range t.Spread {
			counts[field{i, v}]--
		}
	}
	return out
}

// field is one value of the i-th spread.
type field struct {
	i     int
	value string
}

func before(a, b Task, counts map[field]int) int {
	if a.Draining != b.Draining {
		if a.Draining {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(stage(a), stage(b)); c != 0 {
		return c
	}
	for i := range min(len(a.Spread), len(b.Spread)) {
		if c := cmp.Compare(counts[field{i, b.Spread[i]}], counts[field{i, a.Spread[i]}]); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(b.Free, a.Free); c != 0 {
		return c
	}
	if c := b.Created.Compare(a.Created); c != 0 {
		return c
	}
	return cmp.Compare(b.ID, a.ID)
}

func stage(t Task) int {
	switch {
	case t.Health == Unhealthy:
		return 0
	case !t.Running:
		return 1
	case t.Health == Settling:
		return 2
	}
	return 3
}
