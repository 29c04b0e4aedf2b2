package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
)

// page is the number of records read by one request.
const page = 2000

// Load implements store.Log.
func (l *Log) Load(ctx context.Context, add func(store.Record) error) (int64, error) {
	return l.scan(ctx, add)
}

func (l *Log) scan(ctx context.Context, add func(store.Record) error) (int64, error) {
	end := clientv3.GetPrefixRangeEnd(tableRoot)
	var revision int64
	for from := tableRoot; ; {
		got, err := l.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(revision),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
		if err != nil {
			return 0, plain(err)
		}
		if revision == 0 {
			revision = got.Header.Revision
		}
		for _, kv := range got.Kvs {
			table, key, ok := parseKey(string(kv.Key))
			if !ok {
				return 0, fmt.Errorf("etcd key %q is not a record's", kv.Key)
			}
			if err := add(store.Record{Table: table, Key: key, Value: kv.Value, Revision: kv.ModRevision}); err != nil {
				return 0, err
			}
		}
		if !got.More {
			l.saw(revision)
			return revision, nil
		}
		from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
}

func (l *Log) get(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return l.client.Get(ctx, key, options...)
}

// parseKey is the reverse of recordKey.
func parseKey(s string) (table, key string, ok bool) {
	s, ok = strings.CutPrefix(s, tableRoot)
	if !ok {
		return "", "", false
	}
	table, key, ok = strings.Cut(s, "/")
	return strings.ReplaceAll(table, ".", "/"), key, ok && table != ""
}

// Follow implements store.Log.
func (l *Log) Follow(ctx context.Context, after int64, apply func(store.Commit) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// An etcd restored from an old backup is behind us, and would keep a watch waiting without a word.
	got, err := l.get(ctx, epochKey)
	if err != nil {
		return plain(err)
	}
	if got.Header.Revision < after {
		return fmt.Errorf("etcd is at revision %d and was at %d before: restored from a backup? restart the server", got.Header.Revision, after)
	}
	feed := l.client.Watch(clientv3.WithRequireLeader(ctx), root, clientv3.WithPrefix(), clientv3.WithRev(after+1))
	for response := range feed {
		if err := response.Err(); err != nil {
			if errors.Is(err, rpctypes.ErrCompacted) {
				return store.ErrGap
			}
			return plain(err)
		}
		if err := l.deliver(response.Events, apply); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// deliver groups events into commits; etcd sends all events of a revision together.
func (l *Log) deliver(events []*clientv3.Event, apply func(store.Commit) error) error {
	for start := 0; start < len(events); {
		revision, end := events[start].Kv.ModRevision, start
		commit := store.Commit{Revision: revision}
		for ; end < len(events) && events[end].Kv.ModRevision == revision; end++ {
			l.event(&commit, events[end])
		}
		if err := apply(commit); err != nil {
			return err
		}
		l.saw(revision)
		start = end
	}
	return nil
}

func (l *Log) event(commit *store.Commit, e *clientv3.Event) {
	key := string(e.Kv.Key)
	if key == l.session {
		if _, number, ok := strings.Cut(string(e.Kv.Value), "/"); ok {
			commit.Own, _ = strconv.ParseUint(number, 10, 64) // 0: a fence, no batch
		}
		return
	}
	if table, key, ok := parseKey(key); ok {
		w := store.Write{Table: table, Key: key}
		if e.Type == mvccpb.Event_PUT {
			w.Value = e.Kv.Value
		}
		commit.Writes = append(commit.Writes, w)
	}
}
