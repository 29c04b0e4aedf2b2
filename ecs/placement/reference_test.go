package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
)

// reference is placement as the specification tells it, with no thought for speed: every task looks at
// every instance. It is what the index is compared with.
type reference struct {
	instances []Instance // in the order of the index
}

func (r *reference) place(t Task, strategy []Strategy, rnd *rand.Rand) string {
	var fits []*Instance
	for i := range r.instances {
		if _, ok := Check(&t, &r.instances[i]); ok {
			fits = append(fits, &r.instances[i])
		}
	}
	if len(fits) == 0 {
		return ""
	}
	var spreadOver []string
	for _, s := range strategy {
		if s.Type == TypeRandom {
			break
		}
		if attr, ok := strings.CutPrefix(s.Field, attributePrefix); ok {
			spreadOver = append(spreadOver, attr)
		}
		fits = r.keepBest(fits, t, s, spreadOver)
	}
	if len(fits) == 1 {
		fits[0].reserve(&t)
		return fits[0].ID
	}
	slices.SortStableFunc(fits, func(a, b *Instance) int {
		for _, attr := range spreadOver {
			if order := cmp.Compare(encoded(a, attr), encoded(b, attr)); order != 0 {
				return order
			}
		}
		return 0
	})
	chosen := fits[rnd.IntN(len(fits))]
	chosen.reserve(&t)
	return chosen.ID
}

func (r *reference) keepBest(fits []*Instance, t Task, s Strategy, spreadOver []string) []*Instance {
	score := func(on *Instance) int64 {
		switch {
		case s.Type == TypeBinpack && s.Field == FieldCPU:
			return on.Total.CPU - on.Used.CPU
		case s.Type == TypeBinpack:
			return on.Total.Memory - on.Used.Memory
		case s.Field == FieldInstanceID:
			return int64(on.Groups[t.Group])
		}
		return int64(r.tasksNear(on, t.Group, spreadOver))
	}
	least := score(fits[0])
	for _, on := range fits {
		least = min(least, score(on))
	}
	return slices.DeleteFunc(slices.Clone(fits), func(on *Instance) bool { return score(on) != least })
}

// tasksNear counts the group's tasks on ACTIVE instances that have the same values of the attributes.
func (r *reference) tasksNear(on *Instance, group string, attrs []string) int {
	n := 0
	for i := range r.instances {
		other := &r.instances[i]
		same := !slices.ContainsFunc(attrs, func(a string) bool { return encoded(on, a) != encoded(other, a) })
		if same && other.Status == StatusActive {
			n += other.Groups[group]
		}
	}
	return n
}

func encoded(on *Instance, attr string) string {
	if v, ok := on.Attributes[attr]; ok {
		return "+" + v
	}
	return "-"
}
