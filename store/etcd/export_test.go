package etcd

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ClientOf is the log's etcd client.
func ClientOf(l *Log) *clientv3.Client { return l.client }

// CompactNow drops all history.
func CompactNow(ctx context.Context, l *Log) { l.compact(ctx, l.seen()) }

// SetMinFree changes how much disk space writes need.
func SetMinFree(l *Log, n int64) {
	l.server.minFree = n
	l.checkDisk()
}

// MakeSpaceNow does what housekeeping does for a full database.
func MakeSpaceNow(ctx context.Context, l *Log) { l.makeSpace(ctx) }

// CheckPause is how long housekeeping may take to notice.
const CheckPause = 3 * time.Second
