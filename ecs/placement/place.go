package placement

import "math/rand/v2"

// Result is the answer to Place.
type Result struct {
	// Chosen has the ID of the instance for each task, in order; "" if none could take it.
	Chosen []string
	// Refusals has, for each task without an instance, the refusal of every instance, in order.
	// Equal tasks that found none share one slice.
	Refusals [][]Refusal
}

// Place picks one of the instances for each task, in order, as if earlier picks were already running.
// It changes nothing that it was given but the generator, from which it draws one number for each task
// that has more than one best instance. It never fails: see Result.
func Place(tasks []Task, on []Instance, strategy []Strategy, rnd *rand.Rand) Result {
	x := NewIndex()
	for i := range on {
		x.Upsert(on[i])
	}
	return x.Place(tasks, strategy, rnd)
}

// Place is like the function, on the instances of the index. What it picks is reserved in the index, until
// Release or an Upsert of the instance says otherwise.
func (x *Index) Place(tasks []Task, strategy []Strategy, rnd *rand.Rand) Result {
	r := Result{Chosen: make([]string, len(tasks)), Refusals: make([][]Refusal, len(tasks))}
	var failed *view   // where a task found no instance ...
	var last []Refusal // ... and why, as long as no task was placed since
	for i := range tasks {
		v := x.view(&tasks[i], strategy)
		if ordinal := v.pick(rnd); ordinal >= 0 {
			r.Chosen[i] = x.slots[ordinal].instance.ID
			x.reserve(ordinal, &tasks[i])
			failed = nil
			continue
		}
		if v != failed {
			failed, last = v, x.Explain(&tasks[i])
		}
		r.Refusals[i] = last
	}
	return r
}

// Explain returns the refusals of all instances that cannot take the task now.
func (x *Index) Explain(t *Task) []Refusal {
	var out []Refusal
	for on := range x.All() {
		if r, ok := Check(t, on); !ok {
			out = append(out, r)
		}
	}
	return out
}
