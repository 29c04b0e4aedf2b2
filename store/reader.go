package store

import "fmt"

// Reader is a *Snapshot or a *Tx.
type Reader interface {
	get(d *descriptor, key string) *row
	scan(d *descriptor, prefix, from string, yield func(*row) bool)
	by(d *descriptor, index int, value, after string, yield func(*row) bool)
	count(d *descriptor, index int, value string) int
}

// Snapshot is the store at one moment. It never changes and never blocks.
type Snapshot struct {
	core  *core
	state *state
}

// Revision is the log's revision of the snapshot; it never falls.
func (r *Snapshot) Revision() int64 { return r.state.revision }

func (r *Snapshot) get(d *descriptor, key string) *row {
	return r.state.tables[r.core.number(d)].get(key)
}

func (r *Snapshot) scan(d *descriptor, prefix, from string, yield func(*row) bool) {
	r.state.tables[r.core.number(d)].scan(prefix, from, yield)
}

func (r *Snapshot) by(d *descriptor, index int, value, after string, yield func(*row) bool) {
	r.state.tables[r.core.number(d)].by(index, value, after, yield)
}

func (r *Snapshot) count(d *descriptor, index int, value string) int {
	return r.state.tables[r.core.number(d)].count(index, value)
}

func (c *core) number(d *descriptor) int {
	n, ok := c.numbers[d]
	if !ok {
		panic(fmt.Sprintf("store: table %s was not given to Open", d.name))
	}
	return n
}
