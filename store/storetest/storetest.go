// Package storetest holds the rules that every store keeps, whatever its log.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/store"
)

// Record is what the suite stores.
type Record struct {
	Key   string            `json:"k"`
	Group string            `json:"g,omitzero"`
	Zones []string          `json:"z,omitzero"`
	N     int               `json:"n,omitzero"`
	Tags  map[string]string `json:"t,omitzero"`
	When  time.Time         `json:"w,omitzero"`
	Bad   func()            `json:"b,omitzero"` // can't be encoded
}

// Other is a second table's record, with a version field of its own.
type Other struct {
	V    int    `json:"v"`
	Key  string `json:"k"`
	Text string `json:"s,omitzero"`
}

// Records and Others are the tables that the constructor given to Run must open.
var (
	Records = store.NewTable("test/record", func(r Record) string { return r.Key },
		store.Index("group", func(r Record) []string { return []string{r.Group} }),
		store.Index("zone", func(r Record) []string { return r.Zones }))
	Others = store.NewTable("test/other", func(o Other) string { return o.Key })
)

// Tables are the suite's tables.
func Tables() []store.AnyTable { return []store.AnyTable{Records, Others} }

// Open gives an empty store of Tables that ends with the test.
type Open func(t *testing.T) *store.Store

// Run checks every rule, each on a store of its own.
func Run(t *testing.T, open Open) {
	for _, rules := range [][]rule{readRules, writeRules, conflictRules, watchRules} {
		for _, r := range rules {
			t.Run(r.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				r.check(&world{T: t, ctx: ctx, st: open(t)})
			})
		}
	}
}

type rule struct {
	name  string
	check func(w *world)
}

type world struct {
	*testing.T
	ctx context.Context
	st  *store.Store
}

func (w *world) update(fn func(tx *store.Tx)) {
	w.Helper()
	if err := w.st.Update(w.ctx, func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(records ...Record) {
	w.Helper()
	w.update(func(tx *store.Tx) {
		for _, r := range records {
			Records.Put(tx, r)
		}
	})
}

// keys puts empty records under the keys.
func (w *world) keys(keys ...string) {
	w.Helper()
	var records []Record
	for _, k := range keys {
		records = append(records, Record{Key: k})
	}
	w.put(records...)
}

func (w *world) want(got, want any) {
	w.Helper()
	if d := cmp.Diff(got, want); d != "" {
		w.Errorf("got -, want +:\n%s", d)
	}
}

func keysOf(seq func(func(Record) bool)) []string {
	out := []string{}
	for r := range seq {
		out = append(out, r.Key)
	}
	return out
}

var readRules = []rule{
	{"a missing record is not found", func(w *world) {
		_, ok := Records.Get(w.st.Read(), "none")
		w.want(ok, false)
	}},
	{"what was put is read as it was", func(w *world) {
		in := Record{Key: "a/b c", Group: "ü<&>", Zones: []string{"x"}, N: -1, Tags: map[string]string{"k": ""}, When: time.Unix(1, 5).UTC()}
		w.put(in)
		got, _ := Records.Get(w.st.Read(), in.Key)
		w.want(cmp.Diff(got, in, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Bad" }, cmp.Ignore())), "")
	}},
	{"All goes in order of keys", func(w *world) {
		w.keys("c", "a", "b/1", "b")
		w.want(keysOf(Records.All(w.st.Read())), []string{"a", "b", "b/1", "c"})
	}},
	{"Prefix keeps to its prefix", func(w *world) {
		w.keys("a", "a/1", "a/2", "a0", "b")
		w.want(keysOf(Records.Prefix(w.st.Read(), "a/")), []string{"a/1", "a/2"})
	}},
	{"From begins after the key, there or not", func(w *world) {
		w.keys("a/1", "a/2", "a/3", "b")
		w.want(keysOf(Records.From(w.st.Read(), "a/", "a/1")), []string{"a/2", "a/3"})
		w.want(keysOf(Records.From(w.st.Read(), "a/", "a/11")), []string{"a/2", "a/3"})
		w.want(keysOf(Records.From(w.st.Read(), "a/", "a/3")), []string{})
	}},
	{"By finds by each value of an index", func(w *world) {
		w.put(Record{Key: "2", Zones: []string{"x", "y"}}, Record{Key: "1", Zones: []string{"y"}}, Record{Key: "3"})
		w.want(keysOf(Records.By(w.st.Read(), "zone", "y")), []string{"1", "2"})
		w.want(keysOf(Records.By(w.st.Read(), "zone", "x")), []string{"2"})
		w.want(keysOf(Records.By(w.st.Read(), "zone", "")), []string{})
	}},
	{"ByFrom begins after the key", func(w *world) {
		w.put(Record{Key: "1", Group: "g"}, Record{Key: "2", Group: "g"}, Record{Key: "3", Group: "g"}, Record{Key: "4", Group: "gg"})
		w.want(keysOf(Records.ByFrom(w.st.Read(), "group", "g", "1")), []string{"2", "3"})
	}},
	{"an index follows changes and deletions", func(w *world) {
		w.put(Record{Key: "1", Group: "a"}, Record{Key: "2", Group: "a"})
		w.put(Record{Key: "1", Group: "b"})
		w.update(func(tx *store.Tx) { Records.Delete(tx, "2") })
		r := w.st.Read()
		w.want([]int{Records.CountBy(r, "group", "a"), Records.CountBy(r, "group", "b"), Records.Len(r)}, []int{0, 1, 1})
		w.want(keysOf(Records.By(r, "group", "a")), []string{})
	}},
	{"a value given twice by an index counts once", func(w *world) {
		w.put(Record{Key: "1", Zones: []string{"x", "x"}})
		w.want(Records.CountBy(w.st.Read(), "zone", "x"), 1)
		w.put(Record{Key: "1", Zones: []string{"x"}})
		w.want(Records.CountBy(w.st.Read(), "zone", "x"), 1)
	}},
	{"a snapshot never changes", func(w *world) {
		w.put(Record{Key: "1", Group: "a"})
		before := w.st.Read()
		w.put(Record{Key: "1", Group: "b"}, Record{Key: "2"})
		w.want(Records.CountBy(before, "group", "a"), 1)
		w.want(Records.Len(before), 1)
	}},
	{"revisions rise", func(w *world) {
		before := w.st.Read().Revision()
		w.keys("1")
		if after := w.st.Read().Revision(); after <= before {
			w.Errorf("revision %d, then %d", before, after)
		}
	}},
}

var writeRules = []rule{
	{"writes are read on return", func(w *world) {
		for i := range 20 {
			w.put(Record{Key: "k", N: i})
			got, _ := Records.Get(w.st.Read(), "k")
			w.want(got.N, i)
		}
	}},
	{"a record's revision is that of its last write, and 0 before that is durable", func(w *world) {
		w.want(Records.Revision(w.st.Read(), "k"), int64(0))
		w.put(Record{Key: "k"})
		first := w.st.Read()
		w.put(Record{Key: "other"})
		w.want(Records.Revision(w.st.Read(), "k"), first.Revision())
		w.update(func(tx *store.Tx) {
			w.want(Records.Revision(tx, "k"), first.Revision())
			Records.Put(tx, Record{Key: "k", N: 1})
			w.want(Records.Revision(tx, "k"), int64(0))
		})
		w.want(Records.Revision(first, "k"), first.Revision())
		w.want(Records.Revision(w.st.Read(), "k"), w.st.Read().Revision())
	}},
	{"an error of the closure writes nothing and comes back as it is", func(w *world) {
		boom := errors.New("boom")
		err := w.st.Update(w.ctx, func(tx *store.Tx) error { Records.Put(tx, Record{Key: "1"}); return boom })
		w.want(errors.Is(err, boom), true)
		w.want(Records.Len(w.st.Read()), 0)
	}},
	{"a transaction sees its own writes in every kind of read", func(w *world) {
		w.put(Record{Key: "1", Group: "a"}, Record{Key: "2", Group: "a"})
		w.update(func(tx *store.Tx) {
			Records.Put(tx, Record{Key: "3", Group: "a"})
			Records.Put(tx, Record{Key: "1", Group: "b"})
			Records.Delete(tx, "2")
			_, gone := Records.Get(tx, "2")
			w.want(gone, false)
			w.want(keysOf(Records.All(tx)), []string{"1", "3"})
			w.want(keysOf(Records.By(tx, "group", "a")), []string{"3"})
			w.want([]int{Records.Len(tx), Records.CountBy(tx, "group", "b")}, []int{2, 1})
			Records.Put(tx, Record{Key: "4", Group: "a"})
			w.want(keysOf(Records.By(tx, "group", "a")), []string{"3", "4"})
		})
	}},
	{"writing while looping is safe", func(w *world) {
		w.put(Record{Key: "1", Group: "a"}, Record{Key: "2", Group: "a"}, Record{Key: "3", Group: "a"})
		w.update(func(tx *store.Tx) {
			Records.Put(tx, Record{Key: "0", Group: "a"})
			for r := range Records.By(tx, "group", "a") {
				r.Group = "b"
				Records.Put(tx, r)
				Records.Delete(tx, "3")
			}
		})
		w.want(Records.CountBy(w.st.Read(), "group", "b"), 3)
	}},
	{"the last write to a key counts", func(w *world) {
		w.update(func(tx *store.Tx) {
			Records.Put(tx, Record{Key: "1", N: 1})
			Records.Delete(tx, "1")
			Records.Put(tx, Record{Key: "1", N: 3})
		})
		got, _ := Records.Get(w.st.Read(), "1")
		w.want(got.N, 3)
	}},
	{"deleting what is not there is no error", func(w *world) {
		w.update(func(tx *store.Tx) { Records.Delete(tx, "none") })
		w.want(Records.Len(w.st.Read()), 0)
	}},
	{"tables are apart and change together", func(w *world) {
		w.update(func(tx *store.Tx) {
			Records.Put(tx, Record{Key: "1"})
			Others.Put(tx, Other{V: 1, Key: "1", Text: "x"})
		})
		r := w.st.Read()
		o, _ := Others.Get(r, "1")
		w.want(o.Text, "x")
		w.want(Records.Len(r), 1)
	}},
	{"the caller's memory is not the store's", func(w *world) {
		tags := map[string]string{"a": "1"}
		w.put(Record{Key: "1", Tags: tags})
		tags["a"] = "2"
		got, _ := Records.Get(w.st.Read(), "1")
		w.want(got.Tags["a"], "1")
	}},
	{"a record that can't be encoded is refused", func(w *world) {
		err := w.st.Update(w.ctx, func(tx *store.Tx) error { Records.Put(tx, Record{Key: "1", Bad: func() {}}); return nil })
		w.want(err != nil, true)
		w.want(Records.Len(w.st.Read()), 0)
	}},
	{"an empty key is refused", func(w *world) {
		err := w.st.Update(w.ctx, func(tx *store.Tx) error { Records.Put(tx, Record{}); return nil })
		w.want(err != nil, true)
	}},
	{"a record of a version not known is refused", func(w *world) {
		err := w.st.Update(w.ctx, func(tx *store.Tx) error { Others.Put(tx, Other{V: 2, Key: "1"}); return nil })
		_, is := errors.AsType[*store.VersionError](err)
		w.want(is, true)
	}},
	{"thousands of records in one transaction", func(w *world) {
		var records []Record
		for i := range 2000 {
			records = append(records, Record{Key: fmt.Sprintf("%05d", i), Group: fmt.Sprint(i % 7)})
		}
		err := w.st.Update(w.ctx, func(tx *store.Tx) error {
			for _, r := range records {
				Records.Put(tx, r)
			}
			return nil
		})
		if errors.Is(err, store.ErrTooLarge) {
			for part := range slices.Chunk(records, 50) {
				w.put(part...)
			}
		} else if err != nil {
			w.Fatal(err)
		}
		w.want(Records.Len(w.st.Read()), 2000)
		w.want(Records.CountBy(w.st.Read(), "group", "3"), 286)
	}},
	{"an ended context stops an update", func(w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		err := w.st.Update(ctx, func(tx *store.Tx) error { Records.Put(tx, Record{Key: "1"}); return nil })
		w.want(errors.Is(err, context.Canceled), true)
		w.want(Records.Len(w.st.Read()), 0)
	}},
	{"a closed store refuses updates", func(w *world) {
		if err := w.st.Close(); err != nil {
			w.Fatal(err)
		}
		err := w.st.Update(w.ctx, func(tx *store.Tx) error { return nil })
		w.want(errors.Is(err, store.ErrClosed), true)
	}},
}
