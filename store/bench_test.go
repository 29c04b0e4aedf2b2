package store_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/store"
)

// BenchmarkUpdateInMemory is an Update of one record of 600 bytes without a log.
func BenchmarkUpdateInMemory(b *testing.B) {
	st, err := store.Open(store.Config{Tables: []store.AnyTable{items}})
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("text ", 112)
	i := 0
	for b.Loop() {
		i++
		v := item{ID: fmt.Sprintf("%08d", i%100000), Group: "g", Tags: map[string]string{"t": text}}
		if err := st.Update(b.Context(), func(tx *store.Tx) error { items.Put(tx, v); return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPage reads a page of 100 records in the middle of an index, which should cost the same however many
// records there are.
func BenchmarkPage(b *testing.B) {
	for _, n := range []int{100, 10_000, 200_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			st, err := store.Open(store.Config{Tables: []store.AnyTable{items}})
			if err != nil {
				b.Fatal(err)
			}
			err = st.Update(b.Context(), func(tx *store.Tx) error {
				for i := range n {
					items.Put(tx, item{ID: fmt.Sprintf("%08d", i), Group: "g"})
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			after := fmt.Sprintf("%08d", n/2-50)
			for b.Loop() {
				got := 0
				for range items.ByFrom(st.Read(), "group", "g", after) {
					if got++; got == 50 {
						break
					}
				}
				if got < 49 {
					b.Fatal(got)
				}
			}
		})
	}
}
