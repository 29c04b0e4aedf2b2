package etcd_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
	"berth/store/etcd"
	"berth/store/storetest"
)

// BenchmarkCommit compares the store's Updates, of one record of 600 bytes or of five (which is what starting a task
// takes), with bare puts of the same bytes into the same kind of etcd, in turns in one run. ratio is the median over
// the turns of the rate of the store's records over that of bare puts.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct{ writers, records int }{{1, 1}, {16, 1}, {128, 1}, {1, 5}, {16, 5}, {128, 5}} {
		b.Run(fmt.Sprintf("writers=%d/records=%d", c.writers, c.records), func(b *testing.B) {
			st, bare := benchStore(b), benchClient(b)
			raw := fmt.Sprintf(`{"v":1,"k":"%08d","t":{"text":%q}}`, 0, record(0).Tags["text"])
			update := func(i int) error {
				return st.Update(b.Context(), func(tx *store.Tx) error {
					for j := range c.records {
						storetest.Records.Put(tx, record(i*c.records+j))
					}
					return nil
				})
			}
			put := func(i int) error {
				for j := range c.records {
					if _, err := bare.Put(b.Context(), fmt.Sprintf("/berth/t/test.record/%08d", i*c.records+j), raw); err != nil {
						return err
					}
				}
				return nil
			}
			var ours, theirs time.Duration
			var ratios []float64
			const turns = 32
			for range turns {
				t, o := spread(b, c.writers, b.N/turns+1, put), spread(b, c.writers, b.N/turns+1, update)
				theirs, ours, ratios = theirs+t, ours+o, append(ratios, t.Seconds()/o.Seconds())
			}
			slices.Sort(ratios)
			n := float64(turns * (b.N/turns + 1))
			b.ReportMetric(n/ours.Seconds(), "commits/s")
			b.ReportMetric(n*float64(c.records)/theirs.Seconds(), "bare-puts/s")
			b.ReportMetric(ratios[turns/2], "ratio")
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
