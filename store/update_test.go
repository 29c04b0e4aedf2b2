package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"berth/store"
)

type item struct {
	ID    string            `json:"id"`
	Group string            `json:"g,omitzero"`
	N     int               `json:"n,omitzero"`
	Tags  map[string]string `json:"t,omitzero"`
}

var items = store.NewTable("test/item", func(i item) string { return i.ID },
	store.Index("group", func(i item) []string { return []string{i.Group} }))

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{Tables: []store.AnyTable{items}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func TestConcurrentIncrementsLoseNothing(t *testing.T) {
	st, ctx := open(t), context.Background()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				err := st.Update(ctx, func(tx *store.Tx) error {
					v, _ := items.Get(tx, "a")
					v.ID, v.N = "a", v.N+1
					items.Put(tx, v)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v, _ := items.Get(st.Read(), "a"); v.N != 3200 {
		t.Errorf("got %d increments, want 3200", v.N)
	}
}

func TestSnapshotKeepsItsState(t *testing.T) {
	st, ctx := open(t), context.Background()
	put := func(n int) {
		err := st.Update(ctx, func(tx *store.Tx) error {
			for i := range 100 {
				items.Put(tx, item{ID: fmt.Sprintf("k%03d", i), Group: fmt.Sprint(n % 2), N: n})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	before := st.Read()
	put(2)
	var got []int
	for v := range items.By(before, "group", "1") {
		got = append(got, v.N)
	}
	if len(got) != 100 || slices.Contains(got, 2) || items.CountBy(before, "group", "0") != 0 {
		t.Errorf("the old snapshot changed: %v", got)
	}
	if n := items.CountBy(st.Read(), "group", "1"); n != 0 {
		t.Errorf("the new snapshot has %d records of the old group", n)
	}
}
