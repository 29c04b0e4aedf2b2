package placement

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// levelKind is what a level of a view's tree orders by.
type levelKind uint8

const (
	byCPU levelKind = iota
	byMemory
	byInstance
	byAttribute
)

type level struct {
	kind levelKind
	attr string
}

// levels turns strategies into levels. What follows random has nothing left to choose from.
func levels(strategy []Strategy) []level {
	var out []level
	for _, s := range strategy {
		switch {
		case s.Type == TypeRandom:
			return out
		case s.Type == TypeBinpack && s.Field == FieldCPU:
			out = append(out, level{kind: byCPU})
		case s.Type == TypeBinpack:
			out = append(out, level{kind: byMemory})
		case s.Field == FieldInstanceID:
			out = append(out, level{kind: byInstance})
		default:
			out = append(out, level{kind: byAttribute, attr: strings.TrimPrefix(s.Field, attributePrefix)})
		}
	}
	return out
}

// view holds the instances that can take one shape of task, in a tree ordered by the strategies.
type view struct {
	task    Task // one of the shape
	levels  []level
	root    node
	entries []entry // by ordinal
	// spots are the groups of each level that spreads over an attribute, by the values up to that level.
	spots map[string]*spot
	seen  uint64 // position in the index's journal
	used  uint64 // when last asked, on the index's clock

	unused []*node
	front  [2][]*node // scratch
	path   []byte     // scratch
}

// entry is what a view knows of one instance.
type entry struct {
	leaf        *node // nil if the instance cannot take the task
	spot        *spot // of the last level that spreads over an attribute
	description uint64
	tasks       int32 // of the task's group, as counted in spot
	fits        bool  // by description
}

func newView(t Task, strategy []Strategy) *view {
	return &view{task: t, levels: levels(strategy), spots: map[string]*spot{}}
}

// refresh brings the view up to date with one instance.
func (v *view) refresh(x *Index, ordinal int32) {
	for int(ordinal) >= len(v.entries) {
		v.entries = append(v.entries, entry{})
	}
	e, s := &v.entries[ordinal], &x.slots[ordinal]
	if e.description != s.description {
		v.count(e, 0)
		v.leave(e, ordinal)
		e.description = s.description
		e.fits = s.live && fitsDescription(&v.task, &s.instance)
		e.spot = nil
		if s.live {
			e.spot = v.spotOf(&s.instance)
		}
	}
	v.count(e, v.tasks(s))
	if !e.fits || !fitsLoad(&v.task, &s.instance) {
		v.leave(e, ordinal)
		return
	}
	v.stand(e, &s.instance, ordinal)
}

// tasks counts the tasks of the group on an instance, as spread sees them. Those on instances that are
// DRAINING do not count: they are about to be replaced.
func (v *view) tasks(s *slot) int32 {
	if !s.live || s.instance.Status != StatusActive {
		return 0
	}
	return int32(s.instance.Groups[v.task.Group])
}

// count keeps the counts of the groups that the instance belongs to.
func (v *view) count(e *entry, tasks int32) {
	if e.tasks != tasks {
		for s := e.spot; s != nil; s = s.above {
			s.tasks += int(tasks - e.tasks)
		}
		e.tasks = tasks
	}
}

// spotOf finds the instance's group in the last level that spreads over an attribute, nil without one.
func (v *view) spotOf(on *Instance) *spot {
	var s *spot
	path := v.path[:0]
	for _, l := range v.levels {
		if l.kind != byAttribute {
			continue
		}
		value, ok := on.Attributes[l.attr]
		if ok {
			path = appendText(append(path, '+'), value)
		} else {
			path = append(path, '-')
		}
		next := v.spots[string(path)]
		if next == nil {
			if next = (&spot{above: s, value: "-"}); ok {
				next.value = "+" + value
			}
			v.spots[string(path)] = next
		}
		s = next
	}
	v.path = path
	return s
}

// score is the instance's score in a level that is not byAttribute. Lower is better.
func (e *entry) score(l level, on *Instance) int64 {
	cpu, memory := on.left()
	switch l.kind {
	case byCPU:
		return cpu
	case byMemory:
		return memory
	default:
		return int64(e.tasks)
	}
}

// stand puts the instance into the leaf where it belongs.
func (v *view) stand(e *entry, on *Instance, ordinal int32) {
	if e.leaf != nil {
		if v.stands(e, on) {
			return
		}
		v.leave(e, ordinal)
	}
	at := &v.root
	depth := v.attributeLevels()
	for _, l := range v.levels {
		if l.kind == byAttribute {
			depth--
			at = at.bySpot(e.spot.up(depth), v.fresh)
		} else {
			at = at.byScore(e.score(l, on), v.fresh)
		}
	}
	at.insert(ordinal)
	e.leaf = at
}

// stands tells whether the instance is in the right leaf already.
func (v *view) stands(e *entry, on *Instance) bool {
	at := e.leaf
	for i := len(v.levels) - 1; i >= 0; i-- {
		if l := v.levels[i]; l.kind != byAttribute && at.score != e.score(l, on) {
			return false
		}
		at = at.parent
	}
	return true
}

func (v *view) attributeLevels() int {
	n := 0
	for _, l := range v.levels {
		if l.kind == byAttribute {
			n++
		}
	}
	return n
}

// up returns the group n levels above.
func (s *spot) up(n int) *spot {
	for range n {
		s = s.above
	}
	return s
}

func (v *view) leave(e *entry, ordinal int32) {
	if e.leaf != nil {
		e.leaf.remove(ordinal, v.recycle)
		e.leaf = nil
	}
}

func (v *view) fresh() *node {
	if last := len(v.unused) - 1; last >= 0 {
		n := v.unused[last]
		v.unused = v.unused[:last]
		return n
	}
	return &node{}
}

func (v *view) recycle(n *node) {
	*n = node{scores: n.scores[:0], kids: n.kids[:0], members: n.members[:0]}
	v.unused = append(v.unused, n)
}

// pick returns the ordinal of the instance for the task, -1 if none fits. If several are best, it draws
// one number from rnd: the position in the order of attribute values spread over, then ordinals.
func (v *view) pick(rnd *rand.Rand) int32 {
	if v.root.empty() {
		return -1
	}
	front, spare := append(v.front[0][:0], &v.root), v.front[1]
	for _, l := range v.levels {
		spare = best(front, l.kind == byAttribute, spare[:0])
		front, spare = spare, front
	}
	v.front = [2][]*node{front, spare}
	total := 0
	for _, leaf := range front {
		total += len(leaf.members)
	}
	n := 0
	if total > 1 {
		n = rnd.IntN(total)
	}
	for _, leaf := range front {
		if n < len(leaf.members) {
			return leaf.members[n]
		}
		n -= len(leaf.members)
	}
	panic("unreachable: the best leaves have fewer instances than counted")
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendShape appends a key that tasks share if and only if they have the same shape.
func appendShape(b []byte, t *Task, strategy []Strategy) []byte {
	b = appendText(b, t.Group)
	b = appendText(b, t.LaunchType)
	for _, n := range [...]int64{t.Needs.CPU, t.Needs.Memory, t.Needs.GPU} {
		b = binary.AppendVarint(b, n)
	}
	for _, ports := range [...][]uint16{t.Needs.TCP, t.Needs.UDP} {
		b = binary.AppendUvarint(b, uint64(len(ports)))
		for _, p := range ports {
			b = binary.AppendUvarint(b, uint64(p))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(t.Needs.Custom)))
	if len(t.Needs.Custom) > 0 {
		for _, name := range sortedKeys(t.Needs.Custom) {
			b = binary.AppendVarint(appendText(b, name), t.Needs.Custom[name])
		}
	}
	b = binary.AppendUvarint(b, uint64(len(t.Requires)))
	for _, a := range t.Requires {
		b = appendText(appendText(b, a.Name), a.Value)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Zones)))
	for _, z := range t.Zones {
		b = appendText(b, z)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Constraints)))
	for _, c := range t.Constraints {
		b = appendText(appendText(b, c.Type), c.Expression())
	}
	for _, s := range strategy {
		b = appendText(appendText(b, s.Type), s.Field)
	}
	return b
}
