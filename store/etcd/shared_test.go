package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"berth/store"
	"berth/store/etcd"
	"berth/store/storetest"
)

// startCluster runs an etcd as another process would, and returns its endpoint.
func startCluster(t *testing.T) string {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(t.TempDir(), "external")
	cfg.LogLevel = "fatal"
	any := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{any}, []url.URL{any}
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	cfg.InitialCluster = cfg.Name + "=http://127.0.0.1:1"
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return e.Clients[0].Addr().String()
}

func joinCluster(t *testing.T, endpoint string) (*store.Store, *etcd.Log) {
	t.Helper()
	l, err := etcd.Open(t.Context(), etcd.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	st, _ := openStore(t, l)
	return st, l
}

func TestSharedStoreKeepsTheContract(t *testing.T) {
	endpoint := startCluster(t)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	storetest.Run(t, func(t *testing.T) *store.Store {
		if _, err := client.Delete(t.Context(), "/berth/", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		st, _ := joinCluster(t, endpoint)
		return st
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func increment(ctx context.Context, st *store.Store, key string) error {
	return st.Update(ctx, func(tx *store.Tx) error {
		r, _ := storetest.Records.Get(tx, key)
		storetest.Records.Put(tx, storetest.Record{Key: key, Group: r.Group, N: r.N + 1})
		return nil
	})
}

func TestTwoServersLoseNoIncrement(t *testing.T) {
	endpoint := startCluster(t)
	a, _ := joinCluster(t, endpoint)
	b, _ := joinCluster(t, endpoint)
	var wg sync.WaitGroup
	for _, st := range []*store.Store{a, b} {
		for g := range 4 {
			wg.Go(func() {
				for range 25 {
					for _, key := range []string{"shared", fmt.Sprint("own", g)} {
						if err := increment(t.Context(), st, key); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for _, st := range []*store.Store{a, b} {
		eventually(t, "both servers have counted 200", func() bool {
			r, _ := storetest.Records.Get(st.Read(), "shared")
			return r.N == 200
		})
	}
}

func TestOneServerSeesAnothersChangesInItsFeed(t *testing.T) {
	endpoint := startCluster(t)
	a, _ := joinCluster(t, endpoint)
	b, _ := joinCluster(t, endpoint)
	feed := b.Watch(t.Context(), storetest.Records)
	if err := increment(t.Context(), a, "k"); err != nil {
		t.Fatal(err)
	}
	for c := range feed.All() {
		if _, r, _ := storetest.Records.Change(c); r.Key == "k" && r.N == 1 {
			break
		}
	}
}

func TestDecisionOnAnIndexValueConflictsAcrossServers(t *testing.T) {
	endpoint := startCluster(t)
	a, _ := joinCluster(t, endpoint)
	b, _ := joinCluster(t, endpoint)
	// Both fill the group up to 5, one record at a time; a decision on a stale count would overfill it.
	var wg sync.WaitGroup
	for n, st := range []*store.Store{a, b} {
		wg.Go(func() {
			for i := range 10 {
				err := st.Update(t.Context(), func(tx *store.Tx) error {
					if storetest.Records.CountBy(tx, "group", "g") < 5 {
						storetest.Records.Put(tx, storetest.Record{Key: fmt.Sprint(n, "-", i), Group: "g"})
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// A write and its return bring b up to date with everything before it.
	if err := increment(t.Context(), b, "x"); err != nil {
		t.Fatal(err)
	}
	if n := storetest.Records.CountBy(b.Read(), "group", "g"); n != 5 {
		t.Errorf("%d records in a group of at most 5", n)
	}
}

func TestCompactedFeedIsMadeGoodByAReload(t *testing.T) {
	endpoint := startCluster(t)
	a, la := joinCluster(t, endpoint)
	for range 5 {
		if err := increment(t.Context(), a, "old"); err != nil {
			t.Fatal(err)
		}
	}
	etcd.CompactNow(t.Context(), la)
	commits := 0
	err := la.Follow(t.Context(), 1, func(store.Commit) error { commits++; return nil })
	if !errors.Is(err, store.ErrGap) || commits != 0 {
		t.Errorf("following from a compacted revision: %d commits, %v", commits, err)
	}
	b, _ := joinCluster(t, endpoint)
	if r, _ := storetest.Records.Get(b.Read(), "old"); r.N != 5 {
		t.Errorf("got %d, want 5", r.N)
	}
}

func TestDeposedOwnerCanNotWrite(t *testing.T) {
	endpoint := startCluster(t)
	st, l := joinCluster(t, endpoint)
	_, other := joinCluster(t, endpoint)
	mine, err := l.Own(t.Context(), "reconcile")
	if err != nil {
		t.Fatal(err)
	}
	owned := st.Owned(mine.Fence)
	if err := increment(t.Context(), owned, "k"); err != nil {
		t.Fatalf("as owner: %v", err)
	}
	if err := mine.Resign(); err != nil {
		t.Fatal(err)
	}
	theirs, err := other.Own(t.Context(), "reconcile")
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Resign()
	if err := increment(t.Context(), owned, "k"); !errors.Is(err, store.ErrDeposed) {
		t.Errorf("as deposed owner: %v", err)
	}
	if err := increment(t.Context(), st, "k"); err != nil {
		t.Errorf("without ownership: %v", err)
	}
	if r, _ := storetest.Records.Get(st.Read(), "k"); r.N != 2 {
		t.Errorf("got %d, want 2", r.N)
	}
}
