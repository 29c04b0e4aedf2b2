package store_test

import (
	"testing"

	"berth/store"
	"berth/store/storetest"
)

func TestMemoryStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		st, err := store.Open(store.Config{Tables: storetest.Tables()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return st
	})
}
