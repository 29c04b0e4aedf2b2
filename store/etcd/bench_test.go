package etcd_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
	"berth/store/etcd"
	"berth/store/storetest"
)

// BenchmarkCommit compares the store's Updates, one record of 600 bytes each, with bare puts of the same bytes
// into the same kind of etcd, in turns in one run. ratio is the store's rate over bare etcd's.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			st, bare := benchStore(b), benchClient(b)
			value := record(0)
			raw := fmt.Sprintf(`{"v":1,"k":"%08d","t":{"text":%q}}`, 0, value.Tags["text"])
			update := func(i int) error {
				r := record(i)
				return st.Update(b.Context(), func(tx *store.Tx) error { storetest.Records.Put(tx, r); return nil })
			}
			put := func(i int) error {
				_, err := bare.Put(b.Context(), fmt.Sprintf("/berth/t/test.record/%08d", i), raw)
				return err
			}
			var ours, theirs time.Duration
			const turns = 4
			for range turns {
				theirs += spread(b, writers, b.N/turns+1, put)
				ours += spread(b, writers, b.N/turns+1, update)
			}
			n := float64(turns * (b.N/turns + 1))
			b.ReportMetric(n/ours.Seconds(), "commits/s")
			b.ReportMetric(n/theirs.Seconds(), "bare-puts/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func record(i int) storetest.Record {
	text := make([]byte, 560)
	for j := range text {
		text[j] = byte('a' + (i+j)%26)
	}
	return storetest.Record{Key: fmt.Sprintf("%08d", i), Tags: map[string]string{"text": string(text)}}
}

// spread does fn n times by the writers and returns how long all of it took.
func spread(b *testing.B, writers, n int, fn func(i int) error) time.Duration {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := fn(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

func benchLog(b *testing.B) *etcd.Log {
	b.Helper()
	l, err := etcd.Open(context.Background(), etcd.Config{Dir: filepath.Join(b.TempDir(), "etcd")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

func benchStore(b *testing.B) *store.Store {
	b.Helper()
	l := benchLog(b)
	st, err := store.Open(store.Config{Tables: storetest.Tables(), Log: l})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	return st
}

func benchClient(b *testing.B) *clientv3.Client { return etcd.ClientOf(benchLog(b)) }
