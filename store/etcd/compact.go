package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
)

const (
	// checkEvery is how often space is looked at.
	checkEvery = time.Second
	// compactEvery is how often history is dropped. Followers of a shared log may be this far behind, once more.
	compactEvery = time.Minute
	// recoverEvery is how often a full database is compacted and shrunk.
	recoverEvery = 10 * time.Second
)

// housekeeping drops history, and watches over space.
func (l *Log) housekeeping(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	l.checkDisk()
	previous, compacted, recovered := l.seen(), time.Now(), time.Time{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		l.checkDisk()
		if errors.Is(l.writable(), store.ErrNoSpace) && time.Since(recovered) >= recoverEvery {
			l.makeSpace(ctx)
			recovered = time.Now()
		}
		if time.Since(compacted) >= compactEvery {
			// What was newest a period ago; everything, if nobody follows.
			if l.server != nil {
				previous = l.seen()
			}
			l.compact(ctx, previous)
			previous, compacted = l.seen(), time.Now()
		}
	}
}

func (l *Log) seen() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revision
}

func (l *Log) compact(ctx context.Context, revision int64, options ...clientv3.CompactOption) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := l.client.Compact(ctx, revision, options...)
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) && ctx.Err() == nil {
		l.logger.Warn("etcd compaction failed", "err", err)
	}
}

// writable says why writes are refused, nil if they are not.
func (l *Log) writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

func (l *Log) setFull(err error) {
	l.mu.Lock()
	before := l.full
	l.full = err
	l.mu.Unlock()
	if err != nil && before == nil {
		l.logger.Error("store is full, writes are refused", "err", err)
	} else if err == nil && before != nil {
		l.logger.Info("store has space again")
	}
}

// checkDisk refuses writes before the disk is full, because etcd ends the process when it is.
func (l *Log) checkDisk() {
	if l.server == nil {
		return
	}
	free, err := l.server.free()
	if err != nil {
		l.logger.Warn("free space is unknown", "err", err)
		return
	}
	full := l.writable()
	switch {
	case free < l.server.minFree && full == nil:
		l.setFull(&diskFull{dir: l.server.dir, free: free, want: l.server.minFree})
	case free >= l.server.minFree:
		if _, is := errors.AsType[*diskFull](full); is {
			l.setFull(nil)
		}
	}
}

type diskFull struct {
	dir        string
	free, want int64
}

func (e *diskFull) Error() string {
	return fmt.Sprintf("%s: the file system of %s has %d MiB left and writes need %d MiB", store.ErrNoSpace, e.dir, e.free>>20, e.want>>20)
}

func (e *diskFull) Unwrap() error { return store.ErrNoSpace }

// makeSpace compacts and shrinks the database after it reached its quota, and lifts etcd's alarm.
func (l *Log) makeSpace(ctx context.Context) {
	if _, is := errors.AsType[*diskFull](l.writable()); is {
		return
	}
	if err := l.tryMakeSpace(ctx); err != nil {
		l.logger.Warn("store is still full", "err", err)
		return
	}
	l.setFull(nil)
}

func (l *Log) tryMakeSpace(ctx context.Context) error {
	l.compact(ctx, l.seen(), clientv3.WithCompactPhysical())
	// An alarm of its own is what an external cluster's operators have to deal with.
	if l.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := l.server.server.Backend().Defrag(); err != nil {
		return fmt.Errorf("shrink: %w", err)
	}
	if size, quota := l.server.server.Backend().Size(), l.server.server.Cfg.QuotaBackendBytes; size > quota-quota/20 {
		return fmt.Errorf("%d of %d MiB are in use", size>>20, quota>>20)
	}
	alarms, err := l.client.AlarmList(ctx)
	if err != nil {
		return err
	}
	for _, a := range alarms.Alarms {
		if _, err := l.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.MemberID, Alarm: a.Alarm}); err != nil {
			return err
		}
	}
	return nil
}
