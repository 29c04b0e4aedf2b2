package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
	"berth/store/etcd"
	"berth/store/storetest"
)

// flakyKV loses transactions' answers, or the transactions.
type flakyKV struct {
	clientv3.KV
	mu   sync.Mutex
	rand *rand.Rand
}

var errLost = errors.New("connection lost")

func (f *flakyKV) Txn(ctx context.Context) clientv3.Txn { return &flakyTxn{f.KV.Txn(ctx), f} }

type flakyTxn struct {
	clientv3.Txn
	kv *flakyKV
}

func (t *flakyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *flakyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *flakyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t *flakyTxn) Commit() (*clientv3.TxnResponse, error) {
	t.kv.mu.Lock()
	dice := t.kv.rand.IntN(4)
	t.kv.mu.Unlock()
	switch dice {
	case 0:
		return nil, errLost
	case 1:
		_, err := t.Txn.Commit()
		return nil, errors.Join(errLost, err)
	default:
		return t.Txn.Commit()
	}
}

func TestLostAnswersLeaveNoDoubt(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := filepath.Join(t.TempDir(), "etcd")
	l := openLog(t, dir)
	client := etcd.ClientOf(l)
	client.KV = &flakyKV{KV: client.KV, rand: rand.New(rand.NewPCG(seed, 0))}
	st, end := openStore(t, l)
	var mu sync.Mutex
	want := map[string]bool{}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 15 {
				key := fmt.Sprint(g, "-", i)
				err := st.Update(t.Context(), func(tx *store.Tx) error {
					storetest.Records.Put(tx, storetest.Record{Key: key})
					return nil
				})
				if err != nil && !errors.Is(err, store.ErrUnavailable) {
					t.Error(err)
				}
				mu.Lock()
				want[key] = err == nil
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	check := func(when string, st *store.Store) {
		for key, there := range want {
			if _, ok := storetest.Records.Get(st.Read(), key); ok != there {
				t.Errorf("%s: %s is there: %v, its Update said %v", when, key, ok, there)
			}
		}
	}
	check("before a restart", st)
	end()
	again, _ := openStore(t, openLog(t, dir))
	check("after a restart", again)
}
