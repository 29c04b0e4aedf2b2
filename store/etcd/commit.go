package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
)

func recordKey(table, key string) string { return tableKey(table) + key }

func tableKey(table string) string {
	return tableRoot + strings.ReplaceAll(table, "/", ".") + "/"
}

func markerKey(table string) string { return markerRoot + strings.ReplaceAll(table, "/", ".") }

// Commit implements store.Log.
func (l *Log) Commit(ctx context.Context, b *store.Batch) (int64, error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	value := l.epoch.ID + "/" + strconv.FormatUint(b.ID, 10)
	request, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	txn := l.client.Txn(request).If(l.compares(b)...).Then(l.operations(b, value)...).Else(l.whyNot(b)...)
	done, err := txn.Commit()
	if err == nil && done.Succeeded {
		l.sessionRev, l.sessionVal = done.Header.Revision, value
		l.saw(done.Header.Revision)
		return done.Header.Revision, nil
	}
	if err == nil {
		return 0, l.refused(b, done)
	}
	if definite(err) {
		return 0, plain(err)
	}
	err = plain(err)
	if errors.Is(err, store.ErrNoSpace) {
		l.setFull(err)
	}
	return l.resolve(ctx, value, err)
}

func (l *Log) compares(b *store.Batch) []clientv3.Cmp {
	out := make([]clientv3.Cmp, 0, len(b.Expect)+2)
	out = append(out, clientv3.Compare(clientv3.ModRevision(l.session), "=", l.sessionRev))
	if b.Fence != nil {
		out = append(out, clientv3.Compare(clientv3.CreateRevision(b.Fence.Key), "=", b.Fence.Revision))
	}
	for _, e := range b.Expect {
		if e.Key == "" {
			out = append(out, clientv3.Compare(clientv3.ModRevision(markerKey(e.Table)), "<", e.Revision+1))
		} else {
			out = append(out, clientv3.Compare(clientv3.ModRevision(recordKey(e.Table, e.Key)), "=", e.Revision))
		}
	}
	return out
}

func (l *Log) operations(b *store.Batch, session string) []clientv3.Op {
	out := make([]clientv3.Op, 0, len(b.Writes)+8)
	out = append(out, clientv3.OpPut(l.session, session))
	touched := map[string]struct{}{}
	for _, w := range b.Writes {
		if w.Value == nil {
			out = append(out, clientv3.OpDelete(recordKey(w.Table, w.Key)))
		} else {
			out = append(out, clientv3.OpPut(recordKey(w.Table, w.Key), string(w.Value)))
		}
		if _, had := touched[w.Table]; l.limits.Shared && !had {
			touched[w.Table] = struct{}{}
			out = append(out, clientv3.OpPut(markerKey(w.Table), ""))
		}
	}
	return out
}

// whyNot reads what refused needs.
func (l *Log) whyNot(b *store.Batch) []clientv3.Op {
	out := []clientv3.Op{clientv3.OpGet(l.session)}
	if b.Fence != nil {
		out = append(out, clientv3.OpGet(b.Fence.Key))
	}
	return out
}

func (l *Log) refused(b *store.Batch, done *clientv3.TxnResponse) error {
	if kvs := done.Responses[0].GetResponseRange().Kvs; len(kvs) == 0 && l.sessionRev != 0 || len(kvs) > 0 && kvs[0].ModRevision != l.sessionRev {
		return fmt.Errorf("%w: another server has taken over", store.ErrDeposed)
	}
	if b.Fence != nil {
		kvs := done.Responses[1].GetResponseRange().Kvs
		if len(kvs) == 0 || kvs[0].CreateRevision != b.Fence.Revision {
			return store.ErrDeposed
		}
	}
	return store.ErrConflict
}

// resolvePause is the pause between attempts to find out what happened.
const resolvePause = 100 * time.Millisecond

// resolve finds out whether the batch whose session value this is was written. If it was not, it makes sure
// that it never will be. It goes on until it knows or ctx ends.
func (l *Log) resolve(ctx context.Context, value string, cause error) (int64, error) {
	for {
		revision, known := l.settle(ctx, value, errors.Is(cause, store.ErrNoSpace))
		switch {
		case known && revision > 0:
			return revision, nil
		case known:
			return 0, cause
		}
		select {
		case <-time.After(resolvePause):
		case <-ctx.Done():
			return 0, errors.Join(store.ErrUnavailable, cause)
		}
	}
}

// settle is one attempt of resolve; the revision is 0 if the batch was not written. answered means that etcd
// has dealt with the request, so nothing of it is still on its way.
func (l *Log) settle(ctx context.Context, value string, answered bool) (revision int64, known bool) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	got, err := l.client.Get(ctx, l.session)
	if err != nil {
		return 0, false
	}
	var have string
	if len(got.Kvs) > 0 {
		have, revision = string(got.Kvs[0].Value), got.Kvs[0].ModRevision
	}
	switch {
	case have == value:
		l.sessionRev, l.sessionVal = revision, value
		l.saw(revision)
		return revision, true
	case answered:
		return 0, true
	case revision != 0 && have != l.sessionVal:
		return 0, true // another writer's session: ours can never apply
	case revision == 0 && l.sessionRev != 0:
		l.sessionRev, l.sessionVal = 0, "" // our delete below was carried out
		return 0, true
	}
	return 0, l.fence(ctx, revision)
}

// fence changes the session key, so that a request that may still be on its way fails its comparison.
func (l *Log) fence(ctx context.Context, revision int64) bool {
	op := clientv3.OpDelete(l.session) // needs no space
	if revision == 0 {
		l.sessionVal = l.epoch.ID + "/fence"
		op = clientv3.OpPut(l.session, l.sessionVal)
	}
	done, err := l.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(l.session), "=", revision)).Then(op).Commit()
	if err != nil || !done.Succeeded {
		return false
	}
	if revision == 0 {
		l.sessionRev = done.Header.Revision
	} else {
		l.sessionRev, l.sessionVal = 0, ""
	}
	l.saw(done.Header.Revision)
	return true
}

func (l *Log) saw(revision int64) {
	l.mu.Lock()
	l.revision = max(l.revision, revision)
	l.mu.Unlock()
}

// definite says that a refused request was certainly not written. NOSPACE is not among these: etcd may answer
// it after it applied the request.
func definite(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) || errors.Is(err, rpctypes.ErrTooManyOps) ||
		errors.Is(err, rpctypes.ErrDuplicateKey) || errors.Is(err, rpctypes.ErrPermissionDenied)
}

// plain maps etcd's errors to the store's.
func plain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w (etcd: %w)", store.ErrNoSpace, err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w (etcd: %w)", store.ErrTooLarge, err)
	default:
		return fmt.Errorf("%w (etcd: %w)", store.ErrUnavailable, err)
	}
}
