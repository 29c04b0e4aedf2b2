package store

import (
	"strings"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// degree of the B-trees: small nodes, because every write copies the nodes on its path.
const degree = 16

// row is one stored record. Immutable but for raw, which belongs to whoever holds core.mu, and revision.
type row struct {
	key      string
	value    any
	raw      []byte       // JSON; dropped once durable
	revision atomic.Int64 // of the log; 0 until durable
}

// durableRow is a row that the log has.
func durableRow(key string, value any, revision int64) *row {
	r := &row{key: key, value: value}
	r.revision.Store(revision)
	return r
}

// state is everything at one moment. Immutable once another goroutine can see it.
type state struct {
	seq      uint64 // counts changes of this process's copy
	revision int64  // the log's, meaningful in durable states
	tables   []*tableState
}

// tableState is a table at one moment.
type tableState struct {
	rows    btree.Map[string, *row]
	indexes []indexState
}

type indexState struct {
	entries btree.Map[string, struct{}] // value NUL key
	counts  btree.Map[string, int]      // value
}

func newState(ds []*descriptor) *state {
	s := &state{tables: make([]*tableState, len(ds))}
	for i, d := range ds {
		t := &tableState{rows: *btree.NewMap[string, *row](degree), indexes: make([]indexState, len(d.indexes))}
		for j := range t.indexes {
			t.indexes[j] = indexState{*btree.NewMap[string, struct{}](degree), *btree.NewMap[string, int](degree)}
		}
		s.tables[i] = t
	}
	return s
}

// fork gives a tree that may be written to while the original stays as it is. Copying the struct first keeps
// the original untouched, so that forks may be made by several goroutines.
func fork[V any](m *btree.Map[string, V]) btree.Map[string, V] {
	own := *m
	return *own.Copy()
}

func (t *tableState) fork() *tableState {
	f := &tableState{rows: fork(&t.rows), indexes: make([]indexState, len(t.indexes))}
	for i := range t.indexes {
		f.indexes[i] = indexState{fork(&t.indexes[i].entries), fork(&t.indexes[i].counts)}
	}
	return f
}

// change is one record's change; old or new is nil for none.
type change struct {
	table    int
	key      string
	old, new *row
}

// with gives the state after writes, and the changes they were. Writes that change nothing are left out.
func (s *state) with(ds []*descriptor, seq uint64, writes []*write) (*state, []change) {
	next := &state{seq: seq, revision: s.revision, tables: append([]*tableState(nil), s.tables...)}
	changes := make([]change, 0, len(writes))
	for _, w := range writes {
		if next.tables[w.table] == s.tables[w.table] {
			next.tables[w.table] = s.tables[w.table].fork()
		}
		if c, ok := next.tables[w.table].apply(ds[w.table], w); ok {
			changes = append(changes, c)
		}
	}
	return next, changes
}

// apply writes into t, which nobody else may see yet.
func (t *tableState) apply(d *descriptor, w *write) (change, bool) {
	c := change{table: w.table, key: w.key, new: w.row}
	if w.row != nil {
		c.old, _ = t.rows.Set(w.key, w.row)
	} else {
		c.old, _ = t.rows.Delete(w.key)
		if c.old == nil {
			return c, false
		}
	}
	for i := range t.indexes {
		t.indexes[i].move(w.key, d.indexes[i].of(c.old), d.indexes[i].of(c.new))
	}
	return c, true
}

func (x index) of(r *row) []string {
	if r == nil {
		return nil
	}
	return x.values(r.value)
}

func (x *indexState) move(key string, from, to []string) {
	if len(from) == 1 && len(to) == 1 && from[0] == to[0] {
		return
	}
	for _, v := range from {
		if _, had := x.entries.Delete(v + "\x00" + key); had {
			x.add(v, -1)
		}
	}
	for _, v := range to {
		if _, had := x.entries.Set(v+"\x00"+key, struct{}{}); !had {
			x.add(v, 1)
		}
	}
}

func (x *indexState) add(value string, n int) {
	have, _ := x.counts.Get(value)
	if have+n == 0 {
		x.counts.Delete(value)
		return
	}
	x.counts.Set(value, have+n)
}

func (t *tableState) get(key string) *row {
	r, _ := t.rows.Get(key)
	return r
}

// scan yields the rows from a key on whose keys have the prefix.
func (t *tableState) scan(prefix, from string, yield func(*row) bool) {
	t.rows.Ascend(from, func(key string, r *row) bool {
		return strings.HasPrefix(key, prefix) && yield(r)
	})
}

func (t *tableState) by(i int, value, after string, yield func(*row) bool) {
	prefix := value + "\x00"
	from := prefix
	if after != "" {
		from = prefix + after + "\x00"
	}
	t.indexes[i].entries.Ascend(from, func(entry string, _ struct{}) bool {
		return strings.HasPrefix(entry, prefix) && yield(t.get(entry[len(prefix):]))
	})
}

// count is the number of rows with the value in index i, or of all rows if i < 0.
func (t *tableState) count(i int, value string) int {
	if i < 0 {
		return t.rows.Len()
	}
	n, _ := t.indexes[i].counts.Get(value)
	return n
}
