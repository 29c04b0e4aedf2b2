// Package etcd keeps the store's commits in etcd: one inside this process, or an external cluster that several
// servers share.
//
//	etcd.go      configuration, opening       load.go     reading everything, following other servers
//	embedded.go  the etcd in this process     compact.go  history, quota, disk space
//	commit.go    one batch, one transaction   backup.go   backup and restore
//	election.go  ownership                    zaplog.go   etcd's log lines into slog
//
// Keys, all below /berth/:
//
//	/berth/t/<table, dots for slashes>/<key>   a record, JSON
//	/berth/m/<table>                           shared only: touched by every commit that writes the table
//	/berth/session/<id>                        one per writer: the number of its last batch
//	/berth/epoch                               who started last, JSON
//
// Every batch is one etcd transaction that compares the writer's session key and puts it again. After an error
// that leaves the outcome open, reading that key says what happened, and deleting it makes sure that nothing
// late happens.
package etcd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
)

// Config of a log. Either Dir or Endpoints is set.
type Config struct {
	Dir string // of the embedded etcd; made if absent

	Endpoints []string // of an external cluster: https://host:2379
	TLS       *tls.Config
	Username  string
	Password  string

	Quota   int64        // bytes of the embedded database; 0 means 8 GiB
	MinFree int64        // bytes that must be free on Dir's file system for a write; 0 means 64 MiB
	Logger  *slog.Logger // nil: slog.Default()
}

const (
	root       = "/berth/"
	tableRoot  = root + "t/"
	markerRoot = root + "m/"
	sessionKey = root + "session/"
	epochKey   = root + "epoch"
)

// requestTimeout bounds one request to etcd, which itself gives up after 5 to 7 s.
const requestTimeout = 10 * time.Second

// Epoch says who opened the log last. Number rises with every start and restore.
type Epoch struct {
	Number int64  `json:"n"`
	ID     string `json:"id"`
	// Restored is when the log was restored from a backup, zero if never.
	Restored time.Time `json:"restored,omitzero"`
}

// Log is a store.Log.
type Log struct {
	client *clientv3.Client
	server *embedded // nil: external
	limits store.Limits
	logger *slog.Logger
	epoch  Epoch

	session    string // key
	sessionRev int64  // used by Commit alone
	sessionVal string

	stop  context.CancelFunc
	ended sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	revision int64      // highest known
	full     error      // why writes are refused; nil if they are not
}

// Open starts or reaches etcd and takes the log into use. Close ends what it started.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if (cfg.Dir == "") == (len(cfg.Endpoints) == 0) {
		return nil, errors.New("etcd: want either a directory or endpoints")
	}
	l := &Log{logger: cfg.Logger, stop: func() {}}
	if l.logger == nil {
		l.logger = slog.Default()
	}
	if err := l.connect(ctx, cfg); err != nil {
		return nil, err
	}
	if err := l.begin(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	background, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.ended.Go(func() { l.housekeeping(background) })
	return l, nil
}

func (l *Log) connect(ctx context.Context, cfg Config) error {
	if cfg.Dir != "" {
		server, err := startEmbedded(ctx, cfg, l.logger)
		if err != nil {
			return fmt.Errorf("start etcd in %s: %w", cfg.Dir, err)
		}
		l.server, l.client = server, server.client
		l.limits = store.Limits{Ops: embeddedOps - 2, Bytes: embeddedBytes / 2}
		l.session = sessionKey + "only"
		return nil
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password,
		DialTimeout: requestTimeout, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		Logger: zapLogger(l.logger),
	})
	if err != nil {
		return fmt.Errorf("connect to etcd: %w", err)
	}
	l.client = client
	// etcd's defaults are 128 operations and 1.5 MiB; markers and the session need room too.
	l.limits = store.Limits{Ops: 90, Bytes: 1 << 20, Shared: true}
	l.session = sessionKey + randomID()
	return nil
}

// begin bumps the epoch and takes the session key, which stops any earlier writer of an embedded log.
func (l *Log) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		got, err := l.client.Get(ctx, epochKey)
		if err != nil {
			return fmt.Errorf("read etcd: %w", plain(err))
		}
		var old int64
		l.epoch = Epoch{}
		if len(got.Kvs) > 0 {
			old = got.Kvs[0].ModRevision
			if err := json.Unmarshal(got.Kvs[0].Value, &l.epoch); err != nil {
				return fmt.Errorf("read %s: %w", epochKey, err)
			}
		}
		l.epoch.Number++
		l.epoch.ID = randomID()
		value, err := json.Marshal(l.epoch)
		if err != nil {
			return err
		}
		l.sessionVal = l.epoch.ID + "/0"
		done, err := l.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(epochKey), "=", old)).
			Then(clientv3.OpPut(epochKey, string(value)), clientv3.OpPut(l.session, l.sessionVal)).Commit()
		if errors.Is(plain(err), store.ErrNoSpace) {
			return l.beginFull(ctx)
		}
		if err != nil {
			return fmt.Errorf("write etcd: %w", plain(err))
		}
		if done.Succeeded {
			l.sessionRev, l.revision = done.Header.Revision, done.Header.Revision
			return nil
		}
	}
}

// beginFull takes the session by deleting it, which needs no space, so that a full store can be read and
// cleaned up.
func (l *Log) beginFull(ctx context.Context) error {
	done, err := l.client.Delete(ctx, l.session)
	if err != nil {
		return fmt.Errorf("write etcd: %w", plain(err))
	}
	l.sessionRev, l.revision = 0, done.Header.Revision
	l.setFull(store.ErrNoSpace)
	return nil
}

func randomID() string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// Epoch is this start's epoch.
func (l *Log) Epoch() Epoch { return l.epoch }

// Limits implements store.Log.
func (l *Log) Limits() store.Limits { return l.limits }

// Close stops what Open started.
func (l *Log) Close() error {
	l.stop()
	l.ended.Wait()
	if l.server != nil {
		return l.server.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = l.client.Delete(ctx, l.session) // nothing depends on it
	return l.client.Close()
}
