package placement

import (
	"iter"
	"maps"
	"reflect"
	"slices"
)

// Limits of what an Index remembers beyond its instances.
const (
	maxViews   = 1024    // shapes of tasks
	maxEntries = 1 << 20 // instances in all views together; an entry has 40 bytes
)

// Index holds the instances of one cluster for many placements. Its owner guards it.
type Index struct {
	slots []slot // by ordinal
	byID  map[string]int32
	free  []int32 // ordinals of removed instances

	// journal names the instances that changed, oldest first; the first one has the position start.
	journal []int32
	start   uint64

	views map[string]*view
	clock uint64 // counts placements
	key   []byte // scratch
}

// slot is one instance of an index.
type slot struct {
	instance Instance
	// description changes whenever something changes but the load. It is never 0.
	description uint64
	live        bool
}

// NewIndex makes an index without instances.
func NewIndex() *Index {
	return &Index{byID: map[string]int32{}, views: map[string]*view{}}
}

// Len is the number of instances.
func (x *Index) Len() int { return len(x.byID) }

// All yields the instances in the order in which placement counts them. They are for reading only.
func (x *Index) All() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		for i := range x.slots {
			if x.slots[i].live && !yield(&x.slots[i].instance) {
				return
			}
		}
	}
}

// Instance returns what the index holds of an instance, nil if it has none. It is for reading only.
func (x *Index) Instance(id string) *Instance {
	if ordinal, ok := x.byID[id]; ok {
		return &x.slots[ordinal].instance
	}
	return nil
}

// Upsert adds an instance, or replaces all that is known of it. The index keeps the instance's slices and
// Attributes, which must not change any more; it copies the maps that it changes.
func (x *Index) Upsert(on Instance) {
	on.Groups = maps.Clone(on.Groups)
	on.Used.Custom = maps.Clone(on.Used.Custom)
	ordinal, known := x.byID[on.ID]
	if !known {
		ordinal = x.ordinal()
		x.byID[on.ID] = ordinal
	}
	s := &x.slots[ordinal]
	if !known || !sameDescription(&s.instance, &on) {
		s.description++
	}
	s.instance, s.live = on, true
	x.changed(ordinal)
}

// ordinal finds a free slot.
func (x *Index) ordinal() int32 {
	if last := len(x.free) - 1; last >= 0 {
		ordinal := x.free[last]
		x.free = x.free[:last]
		return ordinal
	}
	x.slots = append(x.slots, slot{})
	return int32(len(x.slots) - 1)
}

func sameDescription(a, b *Instance) bool {
	return a.Status == b.Status && a.Connected == b.Connected && a.External == b.External && a.Impaired == b.Impaired &&
		a.EC2InstanceID == b.EC2InstanceID && a.AgentVersion == b.AgentVersion && a.RegisteredAt.Equal(b.RegisteredAt) &&
		(reflect.ValueOf(a.Attributes).Pointer() == reflect.ValueOf(b.Attributes).Pointer() || maps.Equal(a.Attributes, b.Attributes))
}

// Remove forgets an instance. An unknown one is no error.
func (x *Index) Remove(id string) {
	ordinal, ok := x.byID[id]
	if !ok {
		return
	}
	delete(x.byID, id)
	s := &x.slots[ordinal]
	s.description++
	s.instance, s.live = Instance{}, false
	x.free = append(x.free, ordinal)
	x.changed(ordinal)
}

// Reserve adds a task to an instance, whether it fits or not. It reports false if there is no such instance.
func (x *Index) Reserve(id string, t *Task) bool {
	ordinal, ok := x.byID[id]
	if ok {
		x.reserve(ordinal, t)
	}
	return ok
}

func (x *Index) reserve(ordinal int32, t *Task) {
	x.slots[ordinal].instance.reserve(t)
	x.changed(ordinal)
}

// Release takes a task away from an instance that has it. It reports false if there is no such instance.
func (x *Index) Release(id string, t *Task) bool {
	ordinal, ok := x.byID[id]
	if ok {
		x.slots[ordinal].instance.release(t)
		x.changed(ordinal)
	}
	return ok
}

// changed writes the journal. Views that are too far behind to need it are made anew when they are used.
func (x *Index) changed(ordinal int32) {
	if len(x.journal) >= 2*len(x.slots)+1024 {
		half := len(x.journal) / 2
		x.start += uint64(half)
		x.journal = slices.Delete(x.journal, 0, half)
	}
	x.journal = append(x.journal, ordinal)
}

// view returns the view for tasks of this shape, up to date.
func (x *Index) view(t *Task, strategy []Strategy) *view {
	x.key = appendShape(x.key[:0], t, strategy)
	x.clock++
	v := x.views[string(x.key)]
	if v == nil || v.seen < x.start {
		v = x.newView(t, strategy)
	}
	v.used = x.clock
	for _, ordinal := range x.journal[v.seen-x.start:] {
		v.refresh(x, ordinal)
	}
	v.seen = x.start + uint64(len(x.journal))
	return v
}

// newView makes the view for x.key.
func (x *Index) newView(t *Task, strategy []Strategy) *view {
	v := newView(*t, strategy)
	v.entries = make([]entry, len(x.slots))
	v.seen = x.start + uint64(len(x.journal))
	for ordinal := range x.slots {
		v.refresh(x, int32(ordinal))
	}
	for len(x.views) > 0 && (len(x.views) >= maxViews || (len(x.views)+1)*len(x.slots) > maxEntries) {
		x.dropOldest()
	}
	x.views[string(x.key)] = v
	return v
}

func (x *Index) dropOldest() {
	oldest, found := "", false
	for key, v := range x.views {
		if !found || v.used < x.views[oldest].used {
			oldest, found = key, true
		}
	}
	delete(x.views, oldest)
}
