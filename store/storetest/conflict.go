package storetest

import (
	"context"
	"fmt"
	"sync"

	"berth/store"
)

// interfere runs a closure that reads with read, and while it runs its first time commits write. It returns how
// often the closure ran.
func (w *world) interfere(read, write func(tx *store.Tx)) int {
	w.Helper()
	runs := 0
	w.update(func(tx *store.Tx) {
		runs++
		read(tx)
		if runs == 1 {
			w.update(write)
		}
		Others.Put(tx, Other{V: 1, Key: "done"})
	})
	return runs
}

func put(r Record) func(*store.Tx) { return func(tx *store.Tx) { Records.Put(tx, r) } }

// reruns is a rule of conflicts: how often a closure that reads with read runs when write happens meanwhile.
func reruns(name string, runs int, read, write func(tx *store.Tx)) rule {
	return rule{name, func(w *world) {
		w.put(Record{Key: "a", Group: "g"}, Record{Key: "b", Group: "g"}, Record{Key: "m", Group: "h"}, Record{Key: "z", Group: "h"})
		w.want(w.interfere(read, write), runs)
	}}
}

func get(key string) func(*store.Tx) { return func(tx *store.Tx) { Records.Get(tx, key) } }

func drain(seq func(*store.Tx) func(func(Record) bool)) func(*store.Tx) {
	return func(tx *store.Tx) {
		for range seq(tx) {
		}
	}
}

var conflictRules = []rule{
	reruns("a record read and changed makes it run again", 2, get("a"), put(Record{Key: "a", N: 1})),
	reruns("another record changed does not", 1, get("a"), put(Record{Key: "b", N: 1})),
	reruns("a record missed and then made does", 2, get("new"), put(Record{Key: "new"})),
	reruns("a record read and deleted does", 2, get("a"), func(tx *store.Tx) { Records.Delete(tx, "a") }),
	reruns("a new record in a range read does", 2,
		drain(func(tx *store.Tx) func(func(Record) bool) { return Records.Prefix(tx, "a") }), put(Record{Key: "a1"})),
	reruns("a new record beside a range read does not", 1,
		drain(func(tx *store.Tx) func(func(Record) bool) { return Records.Prefix(tx, "a") }), put(Record{Key: "b1"})),
	reruns("a change behind where the loop stopped does not", 1, func(tx *store.Tx) {
		for r := range Records.All(tx) {
			if r.Key == "b" {
				break
			}
		}
	}, put(Record{Key: "m", N: 1})),
	reruns("a record that enters an index value read does", 2,
		drain(func(tx *store.Tx) func(func(Record) bool) { return Records.By(tx, "group", "g") }), put(Record{Key: "new", Group: "g"})),
	reruns("a record that leaves an index value read does", 2,
		drain(func(tx *store.Tx) func(func(Record) bool) { return Records.By(tx, "group", "g") }), put(Record{Key: "a", Group: "h"})),
	reruns("a change in another index value does not", 1,
		drain(func(tx *store.Tx) func(func(Record) bool) { return Records.By(tx, "group", "g") }), put(Record{Key: "m", Group: "h", N: 1})),
	reruns("a count read and changed does", 2, func(tx *store.Tx) { Records.CountBy(tx, "group", "g") }, put(Record{Key: "n", Group: "g"})),
	reruns("a changed record leaves counts as they are", 1, func(tx *store.Tx) { Records.Len(tx) }, put(Record{Key: "a", Group: "x"})),
	{"increments of many writers are all counted", func(w *world) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 25 {
					err := w.st.Update(w.ctx, func(tx *store.Tx) error {
						r, _ := Records.Get(tx, "n")
						Records.Put(tx, Record{Key: "n", N: r.N + 1})
						return nil
					})
					if err != nil {
						w.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got, _ := Records.Get(w.st.Read(), "n")
		w.want(got.N, 200)
	}},
	{"a create if absent succeeds once", func(w *world) {
		var wg sync.WaitGroup
		won := make(chan int, 16)
		for i := range 16 {
			wg.Go(func() {
				made := false
				err := w.st.Update(w.ctx, func(tx *store.Tx) error {
					_, there := Records.Get(tx, "one")
					made = !there
					if made {
						Records.Put(tx, Record{Key: "one", N: i})
					}
					return nil
				})
				if err == nil && made {
					won <- i
				}
			})
		}
		wg.Wait()
		w.want(len(won), 1)
		got, _ := Records.Get(w.st.Read(), "one")
		w.want(got.N, <-won)
	}},
}

var watchRules = []rule{
	{"a watch shows creation, change and deletion in order", func(w *world) {
		feed := w.st.Watch(w.ctx, Records)
		w.put(Record{Key: "1", N: 1})
		w.put(Record{Key: "1", N: 2})
		w.update(func(tx *store.Tx) { Records.Delete(tx, "1") })
		w.want(collect(feed, 3), []string{"+1:1", "1:1>2", "-1:2"})
	}},
	{"a watch shows its tables only", func(w *world) {
		feed := w.st.Watch(w.ctx, Records)
		w.update(func(tx *store.Tx) { Others.Put(tx, Other{V: 1, Key: "x"}) })
		w.keys("1")
		w.want(collect(feed, 1), []string{"+1:0"})
	}},
	{"a watch and its snapshot leave no gap", func(w *world) {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					w.put(Record{Key: "last", N: 1})
					return
				default:
					w.put(Record{Key: fmt.Sprint("k", i%50), N: i})
				}
			}
		})
		for range 20 {
			ctx, cancel := context.WithCancel(w.ctx)
			feed := w.st.Watch(ctx, Records)
			state := map[string]int{}
			for r := range Records.All(feed.Snapshot()) {
				state[r.Key] = r.N
			}
			for range 20 {
				<-feed.Ready()
				for _, c := range feed.Take() {
					old, next, _ := Records.Change(c)
					if old != nil && old.N != state[c.Key] {
						w.Errorf("key %s: feed says %d was before, the copy has %d", c.Key, old.N, state[c.Key])
					}
					state[c.Key] = next.N
				}
			}
			cancel()
		}
		close(stop)
		wg.Wait()
	}},
	{"a watch that nobody reads holds nobody up and ends up right", func(w *world) {
		feed := w.st.Watch(w.ctx, Records)
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for i := range 400 {
					w.put(Record{Key: fmt.Sprint(g), N: i})
				}
			})
		}
		wg.Wait()
		state := map[string]int{}
		for _, c := range feed.Take() {
			_, next, _ := Records.Change(c)
			state[c.Key] = next.N
		}
		for g := range 16 {
			w.want(state[fmt.Sprint(g)], 399)
		}
	}},
	{"a watch ends with its context", func(w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		feed := w.st.Watch(ctx, Records)
		cancel()
		for range feed.All() {
		}
		w.keys("1")
		w.want(len(feed.Take()), 0)
	}},
}

func collect(feed *store.Watcher, n int) []string {
	var out []string
	for c := range feed.All() {
		old, next, _ := Records.Change(c)
		switch {
		case old == nil:
			out = append(out, fmt.Sprintf("+%s:%d", c.Key, next.N))
		case next == nil:
			out = append(out, fmt.Sprintf("-%s:%d", c.Key, old.N))
		default:
			out = append(out, fmt.Sprintf("%s:%d>%d", c.Key, old.N, next.N))
		}
		if len(out) == n {
			break
		}
	}
	return out
}
