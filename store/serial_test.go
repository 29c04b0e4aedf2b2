package store_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"berth/store"
)

// step is one thing that a random transaction does.
type step struct {
	Op    int // 0 get, 1 count of a group, 2 list of a group, 3 all, 4 put what was read so far, 5 delete, 6 stop a loop early
	Key   int
	Group int
}

// journal records the transactions in the order of their commits: each writes its own entry.
type entry struct {
	ID   string   `json:"id"`
	Seen []string `json:"s"` // what each step read
}

var journal = store.NewTable("test/journal", func(e entry) string { return e.ID })

// perform does the steps and returns what they saw. What is written depends on what was read.
func perform(steps []step, r store.Reader, put func(item), remove func(string)) []string {
	var seen []string
	sum := 0
	see := func(format string, args ...any) { seen = append(seen, fmt.Sprintf(format, args...)) }
	for _, s := range steps {
		runtime.Gosched() // so that transactions overlap
		key, group := fmt.Sprint("k", s.Key), fmt.Sprint("g", s.Group)
		switch s.Op {
		case 0:
			v, ok := items.Get(r, key)
			sum += v.N
			see("%s=%d,%v", key, v.N, ok)
		case 1:
			n := items.CountBy(r, "group", group)
			sum += n
			see("#%s=%d", group, n)
		case 2:
			for v := range items.By(r, "group", group) {
				sum += v.N
				see("%s:%s=%d", group, v.ID, v.N)
			}
		case 3:
			for v := range items.All(r) {
				see("all %s=%d", v.ID, v.N)
			}
		case 4:
			put(item{ID: key, Group: group, N: sum%1000 + 1})
		case 5:
			remove(key)
		case 6:
			for v := range items.All(r) {
				see("first %s=%d", v.ID, v.N)
				break
			}
		}
	}
	return seen
}

func TestConcurrentTransactionsAreAsIfOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{rapid.IntRange(0, 6).Draw(t, "op"), rapid.IntRange(0, 3).Draw(t, "key"), rapid.IntRange(0, 1).Draw(t, "group")}
		}), 1, 6)
		plans := rapid.SliceOfN(steps, 2, 10).Draw(rt, "transactions")
		st := openWith(rt, items, journal)
		feed := st.Watch(t.Context(), items, journal)
		run(rt, st, plans)
		replay(rt, st, feed.Take(), plans)
	})
}

func openWith(t rapid.TB, tables ...store.AnyTable) *store.Store {
	st, err := store.Open(store.Config{Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func run(t rapid.TB, st *store.Store, plans [][]step) {
	var wg sync.WaitGroup
	for i, plan := range plans {
		wg.Go(func() {
			err := st.Update(context.Background(), func(tx *store.Tx) error {
				seen := perform(plan, tx, func(v item) { items.Put(tx, v) }, func(k string) { items.Delete(tx, k) })
				journal.Put(tx, entry{ID: fmt.Sprint(i), Seen: seen})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// replay does the transactions one by one, in the order of the feed, on a second store, and compares.
func replay(t rapid.TB, st *store.Store, feed []store.Change, plans [][]step) {
	serial := openWith(t, items, journal)
	done := 0
	for _, c := range feed {
		_, e, ok := journal.Change(c)
		if !ok {
			continue
		}
		done++
		var i int
		if _, err := fmt.Sscan(e.ID, &i); err != nil {
			t.Fatal(err)
		}
		err := serial.Update(context.Background(), func(tx *store.Tx) error {
			seen := perform(plans[i], tx, func(v item) { items.Put(tx, v) }, func(k string) { items.Delete(tx, k) })
			if !slices.Equal(seen, e.Seen) {
				t.Errorf("transaction %d saw %v; one by one it would have seen %v", i, e.Seen, seen)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if done != len(plans) {
		t.Errorf("the feed has %d transactions of %d", done, len(plans))
	}
	if got, want := contents(st), contents(serial); !maps.Equal(got, want) {
		t.Errorf("the end is %v; one by one it would be %v", got, want)
	}
}

func contents(st *store.Store) map[string]int {
	out := map[string]int{}
	for v := range items.All(st.Read()) {
		out[v.ID+v.Group] = v.N
	}
	return out
}
