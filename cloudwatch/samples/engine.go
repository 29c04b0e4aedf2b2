package samples

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors that callers tell apart.
var (
	ErrClosed  = errors.New("the store of metrics is closed")
	ErrNoSpace = errors.New("no space left for metrics")
)

// Retention is how long numbers are kept at least; they go by whole days (UTC), so it may be a day more.
// Source: CloudWatch user guide, Metrics retention: data points of one minute are there for 15 days.
const Retention = 15 * 24 * time.Hour

const (
	defaultMaxSeries = 20_000
	defaultReserve   = 64 << 20
	memTableSize     = 4 << 20
	cacheSize        = 4 << 20
	// trimEvery is how often old days are looked for.
	trimEvery = time.Hour
)

// Config says where the numbers are.
type Config struct {
	Dir string
	Log *slog.Logger
	// Retention is how long numbers are kept; 0 means the constant.
	Retention time.Duration
	// MaxSeries bounds the series of one account and region; 0 means 20000. Samples of further ones are dropped.
	MaxSeries int
	// Reserve is how many free bytes of the file system Put leaves alone; 0 means 64 MiB.
	Reserve int64

	fs vfs.FS // for tests; nil means the operating system's
}

// Engine is one open database.
type Engine struct {
	cfg Config

	// gate is held for reading while the database is used, so that it is not closed meanwhile.
	gate sync.RWMutex
	db   *pebble.DB // nil when closed

	// mu guards what follows, and the order of changes: it is held while a batch is applied, not while the disk is waited for.
	mu      sync.Mutex
	series  map[string][]*series // by base; one for each unit
	count   map[string]int       // series by account/region
	next    uint64               // number of the next series
	dropped int64
	newest  int64 // start of the newest minute that was put since the engine was opened, ms since the epoch; 0: none
	broken  error // why nothing can be written until the process starts again
}

// Status says how the engine does.
type Status struct {
	Series int
	// Dropped is how many samples were not kept since the engine was opened.
	Dropped int64
	// Newest is the start of the newest minute that was put since the engine was opened; zero if there was none.
	Newest time.Time
	// Err is why nothing can be written, until the process starts again; nil if all is well.
	Err error
}

// Open opens the database in cfg.Dir and makes it if there is none. One process at a time may have it open.
func Open(cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Retention == 0 {
		cfg.Retention = Retention
	}
	if cfg.MaxSeries == 0 {
		cfg.MaxSeries = defaultMaxSeries
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = defaultReserve
	}
	if cfg.fs == nil {
		cfg.fs = vfs.Default
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of metrics: %w", err)
		}
	}
	e := &Engine{cfg: cfg, series: map[string][]*series{}, count: map[string]int{}}
	db, err := pebble.Open(cfg.Dir, e.options())
	if err != nil {
		return nil, fmt.Errorf("open metrics in %s: %w", cfg.Dir, err)
	}
	e.db = db
	if err := e.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return e, nil
}

func (e *Engine) options() *pebble.Options {
	o := &pebble.Options{
		FS: e.cfg.fs, Logger: engineLog{e.cfg.Log}, MemTableSize: memTableSize, CacheSize: cacheSize,
		// Deleted days give their space back soon, also when nothing else is written.
		FlushDelayDeleteRange: time.Second,
		FormatMajorVersion:    pebble.FormatNewest,
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.ZstdCompression }
	}
	return o
}

// Close ends the engine. It waits for calls that are under way.
func (e *Engine) Close() error {
	e.gate.Lock()
	defer e.gate.Unlock()
	if e.db == nil {
		return nil
	}
	db := e.db
	e.db = nil
	return db.Close()
}

// Run deletes old days until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		if err := e.Trim(time.Now()); err != nil {
			e.cfg.Log.Warn("old metrics are not deleted", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Status says how the engine does.
func (e *Engine) Status() Status {
	e.gate.RLock()
	closed := e.db == nil
	e.gate.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{Dropped: e.dropped, Err: e.broken}
	for _, n := range e.count {
		s.Series += n
	}
	if e.newest != 0 {
		s.Newest = time.UnixMilli(e.newest).UTC()
	}
	if closed {
		s.Err = ErrClosed
	}
	return s
}

// room says with an error when less than the reserve and need bytes are free.
func (e *Engine) room(need int64) error {
	usage, err := e.cfg.fs.GetDiskUsage(e.cfg.Dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil // in memory
	}
	if err != nil {
		return fmt.Errorf("free space of %s: %w", e.cfg.Dir, err)
	}
	if free := int64(usage.AvailBytes); free < e.cfg.Reserve+need {
		return fmt.Errorf("%w: %d MiB free in %s, %d MiB are kept in reserve", ErrNoSpace, free>>20, e.cfg.Dir, e.cfg.Reserve>>20)
	}
	return nil
}

// apply makes a batch visible, in the order of the calls. e.mu is held; the caller then calls wait without it. After a failed
// write nobody knows what is on disk, so nothing more is written: what is there is read at the next start.
func (e *Engine) apply(b *pebble.Batch) (err error) {
	if e.broken != nil {
		return e.broken
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		if err != nil {
			e.broken = fmt.Errorf("metrics cannot be written until the server starts again: %w", err)
			err = e.broken
		}
	}()
	return e.db.ApplyNoSyncWait(b, pebble.Sync)
}

// wait returns when a batch that was applied is on disk.
func (e *Engine) wait(b *pebble.Batch) error {
	err := b.SyncWait()
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.broken = fmt.Errorf("metrics cannot be written until the server starts again: %w", err)
		return e.broken
	}
	return b.Close()
}

// engineLog passes Pebble's troubles on and drops its chatter.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Infof(string, ...any) {}
func (l engineLog) Errorf(format string, args ...any) {
	l.log.Warn("store of metrics", "detail", fmt.Sprintf(format, args...))
}

// Fatalf must not return. Where Pebble works in the background it ends the process, which starts again from what is on disk.
func (l engineLog) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
