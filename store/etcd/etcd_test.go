package etcd_test

import (
	"path/filepath"
	"testing"

	"berth/store"
	"berth/store/etcd"
	"berth/store/storetest"
)

func openLog(t *testing.T, dir string) *etcd.Log {
	t.Helper()
	l, err := etcd.Open(t.Context(), etcd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// openStore gives a store on the log; both end with the test, or earlier with the function.
func openStore(t *testing.T, l *etcd.Log) (*store.Store, func()) {
	t.Helper()
	st, err := store.Open(store.Config{Tables: storetest.Tables(), Log: l})
	if err != nil {
		t.Fatal(err)
	}
	done := false
	end := func() {
		if done {
			return
		}
		done = true
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return st, end
}

func TestEmbeddedStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		st, _ := openStore(t, openLog(t, filepath.Join(t.TempDir(), "etcd")))
		return st
	})
}
