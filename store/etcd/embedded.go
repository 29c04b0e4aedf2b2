package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"golang.org/x/sys/unix"
)

const (
	embeddedOps   = 4096
	embeddedBytes = 8 << 20
	defaultQuota  = 8 << 30
	defaultFree   = 64 << 20
	walSegment    = 16 << 20 // preallocated, twice
)

// embedded is an etcd server of one member in this process. It listens on nothing.
type embedded struct {
	server  *etcdserver.EtcdServer
	client  *clientv3.Client
	dir     string
	minFree int64
	lock    *os.File
}

// smallSegments makes etcd preallocate less than its 64 MB. The variable is the library's.
var smallSegments = sync.OnceFunc(func() { wal.SegmentSizeBytes = walSegment })

func startEmbedded(ctx context.Context, cfg Config, logger *slog.Logger) (_ *embedded, err error) {
	smallSegments()
	e := &embedded{dir: cfg.Dir, minFree: cfg.MinFree}
	if e.minFree == 0 {
		e.minFree = defaultFree
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if e.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = e.lock.Close()
		}
	}()
	sc, err := serverConfig(cfg, logger)
	if err != nil {
		return nil, err
	}
	if e.server, err = etcdserver.NewServer(sc); err != nil {
		return nil, err
	}
	e.server.Start()
	select {
	case <-e.server.ReadyNotify():
	case <-e.server.StopNotify():
		return nil, errors.New("etcd stopped while it started")
	case <-ctx.Done():
		e.server.Stop()
		return nil, ctx.Err()
	}
	e.client = v3client.New(e.server)
	return e, nil
}

// lockDir keeps a second server out; etcd itself would wait for the first one's end without a word.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another server uses %s: %w", dir, err)
	}
	return f, nil
}

func serverConfig(cfg Config, logger *slog.Logger) (config.ServerConfig, error) {
	const name = "berth"
	// A name for the member's identity; nothing is ever dialled or listened on.
	peer, err := url.Parse("http://127.0.0.1:1")
	if err != nil {
		return config.ServerConfig{}, err
	}
	urls := types.URLs{*peer}
	quota := cfg.Quota
	if quota == 0 {
		quota = defaultQuota
	}
	return config.ServerConfig{
		Name: name, DataDir: cfg.Dir, PeerURLs: urls, ClientURLs: urls,
		InitialPeerURLsMap: types.URLsMap{name: urls}, InitialClusterToken: name, NewCluster: true,
		// One member elects itself; few ticks make the start quick.
		TickMs: 100, ElectionTicks: 3, InitialElectionTickAdvance: true,
		// Entries since the last snapshot stay in memory.
		SnapshotCount: 2000, SnapshotCatchUpEntries: 100, MaxSnapFiles: 2, MaxWALFiles: 2,
		BackendFreelistType: bolt.FreelistMapType,
		MaxTxnOps:           embeddedOps, MaxRequestBytes: embeddedBytes, QuotaBackendBytes: quota,
		WarningApplyDuration: time.Second, WarningUnaryRequestDuration: time.Second,
		AutoCompactionMode: "periodic", StrictReconfigCheck: true, DowngradeCheckTime: time.Hour,
		CompactHashCheckTime: time.Hour, MaxLearners: 1, V2Deprecation: config.V2DeprDefault,
		ServerFeatureGate: features.NewDefaultServerFeatureGate(name, nil),
		Logger:            zapLogger(logger), Metrics: "basic",
	}, nil
}

// free is the number of bytes that the file system has left for us.
func (e *embedded) free() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(e.dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func (e *embedded) close() error {
	err := e.client.Close()
	e.server.Stop()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, e.lock.Close())
}
