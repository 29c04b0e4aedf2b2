package store

import (
	"fmt"
	"strings"
)

// Tx is the view of one run of an Update closure: the newest state, with the closure's own writes on top. It
// is not for use after the closure, nor by several goroutines.
type Tx struct {
	core   *core
	base   *state
	gen    uint64
	writes map[ref]*write
	order  []*write
	// views are tables with this transaction's writes in them, made when a range, an index or a count is
	// read after a write.
	views map[int]*tableState
	reads readSet
	bytes int
	err   error
	over  bool
}

type ref struct {
	table int
	key   string
}

// write is one record written (row) or deleted (row nil).
type write struct {
	table int
	key   string
	row   *row
}

func (c *core) begin(base *state, gen uint64) *Tx {
	return &Tx{core: c, base: base, gen: gen}
}

func (t *Tx) put(d *descriptor, v any) {
	t.check()
	key := d.key(v)
	raw, err := d.encode(v)
	if err == nil && key == "" {
		err = fmt.Errorf("empty key")
	}
	if err == nil {
		v, err = d.read(key, raw)
	}
	if err != nil {
		t.fail(fmt.Errorf("put %s %s: %w", d.name, key, err))
		return
	}
	t.write(d, &write{table: t.core.number(d), key: key, row: &row{key: key, value: v, raw: raw}})
	t.bytes += len(d.name) + len(key) + len(raw)
}

func (t *Tx) delete(d *descriptor, key string) {
	t.check()
	t.write(d, &write{table: t.core.number(d), key: key})
	t.bytes += len(d.name) + len(key)
}

func (t *Tx) write(d *descriptor, w *write) {
	r := ref{w.table, w.key}
	if have := t.writes[r]; have != nil {
		have.row = w.row
	} else {
		if t.writes == nil {
			t.writes = map[ref]*write{}
		}
		t.writes[r] = w
		t.order = append(t.order, w)
	}
	if view := t.views[w.table]; view != nil {
		// A loop over the old view may be running.
		view = view.fork()
		view.apply(d, w)
		t.views[w.table] = view
	}
}

func (t *Tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *Tx) check() {
	if t.over {
		panic("store: transaction used after its closure returned")
	}
}

func (t *Tx) get(d *descriptor, key string) *row {
	t.check()
	r := ref{t.core.number(d), key}
	if w := t.writes[r]; w != nil {
		return w.row
	}
	t.reads.key(r)
	return t.base.tables[r.table].get(key)
}

func (t *Tx) scan(d *descriptor, prefix, from string, yield func(*row) bool) {
	t.check()
	n := t.core.number(d)
	read := &span{table: n, prefix: prefix, from: from}
	t.reads.spans = append(t.reads.spans, read)
	t.view(d, n).scan(prefix, from, func(r *row) bool {
		if yield(r) {
			return true
		}
		read.last = r.key
		return false
	})
}

func (t *Tx) by(d *descriptor, index int, value, after string, yield func(*row) bool) {
	t.check()
	n := t.core.number(d)
	t.reads.index(indexRead{table: n, index: index, value: value})
	t.view(d, n).by(index, value, after, yield)
}

func (t *Tx) count(d *descriptor, index int, value string) int {
	t.check()
	n := t.core.number(d)
	t.reads.index(indexRead{table: n, index: index, value: value, members: true})
	return t.view(d, n).count(index, value)
}

// view is the table as the transaction sees it.
func (t *Tx) view(d *descriptor, n int) *tableState {
	if v := t.views[n]; v != nil {
		return v
	}
	var v *tableState
	for _, w := range t.order {
		if w.table != n {
			continue
		}
		if v == nil {
			v = t.base.tables[n].fork()
		}
		v.apply(d, w)
	}
	if v == nil {
		return t.base.tables[n]
	}
	if t.views == nil {
		t.views = map[int]*tableState{}
	}
	t.views[n] = v
	return v
}

// readSet is what a decision was based on.
type readSet struct {
	keys    map[ref]struct{}
	spans   []*span
	indexes map[indexRead]struct{}
}

// span is a range of keys that was read: from, with the prefix, up to last if the reader stopped there.
type span struct {
	table              int
	prefix, from, last string
}

// indexRead is a value of an index that was read; index -1 is the table itself. members means that only who is
// there was asked, not what the records say.
type indexRead struct {
	table, index int
	value        string
	members      bool
}

func (s *readSet) key(r ref) {
	if s.keys == nil {
		s.keys = map[ref]struct{}{}
	}
	s.keys[r] = struct{}{}
}

func (s *readSet) index(r indexRead) {
	if s.indexes == nil {
		s.indexes = map[indexRead]struct{}{}
	}
	s.indexes[r] = struct{}{}
}

// touches says whether the change alters what was read.
func (s *readSet) touches(ds []*descriptor, c *change) bool {
	if _, ok := s.keys[ref{c.table, c.key}]; ok {
		return true
	}
	for _, p := range s.spans {
		if p.table == c.table && c.key >= p.from && strings.HasPrefix(c.key, p.prefix) && (p.last == "" || c.key <= p.last) {
			return true
		}
	}
	for r := range s.indexes {
		if r.table == c.table && r.touched(ds[c.table], c) {
			return true
		}
	}
	return false
}

func (r indexRead) touched(d *descriptor, c *change) bool {
	before, after := r.has(d, c.old), r.has(d, c.new)
	if r.members {
		return before != after
	}
	return before || after
}

func (r indexRead) has(d *descriptor, row *row) bool {
	if row == nil || r.index < 0 {
		return row != nil
	}
	for _, v := range d.indexes[r.index].values(row.value) {
		if v == r.value {
			return true
		}
	}
	return false
}
