package events

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
	ErrClosed   = errors.New("log event store is closed")
	ErrNoSpace  = errors.New("no space left for log events")
	ErrNoStream = errors.New("log stream was dropped")
)

const (
	memTableSize = 8 << 20
	cacheSize    = 8 << 20
	// inFlight is how many batches may wait for the disk at once.
	inFlight = 8
	// groupBytes bounds the events that are committed together.
	groupBytes = 4 << 20
)

// Config says where the events are.
type Config struct {
	Dir string
	Log *slog.Logger
	// Reserve is how many free bytes of the file system Append leaves alone; 0 means 64 MiB.
	Reserve int64
	// Ballast is the size of the file that is given up when the disk is full all the same; 0 means 16 MiB.
	Ballast int64

	fs vfs.FS // for tests; nil means the operating system's
}

// Engine is one open database.
type Engine struct {
	cfg      Config
	lock     *pebble.Lock
	requests chan *request
	closing  chan struct{}
	stopped  chan struct{} // closed when committer and finisher have ended

	// mu guards db against being closed or replaced while someone reads.
	mu sync.RWMutex
	db *pebble.DB // nil when closed

	totals  *totals
	ballast *ballast
	state   committerState
}

// Open opens the database in cfg.Dir and makes it if there is none. One process at a time may have it open.
func Open(cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = 64 << 20
	}
	if cfg.Ballast == 0 {
		cfg.Ballast = 16 << 20
	}
	if cfg.fs == nil {
		cfg.fs = vfs.Default
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log event directory: %w", err)
	}
	lock, err := pebble.LockDirectory(cfg.Dir, vfs.Default)
	if err != nil {
		return nil, fmt.Errorf("lock log event directory %s: %w", cfg.Dir, err)
	}
	e := &Engine{
		cfg: cfg, lock: lock, totals: newTotals(),
		requests: make(chan *request, 256), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	e.ballast = newBallast(cfg)
	e.ballast.restore()
	if err := e.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go e.run()
	return e, nil
}

// Close ends the engine once the writes in flight are on disk. Callers that still wait get ErrClosed.
func (e *Engine) Close() error {
	select {
	case <-e.closing:
		<-e.stopped
		return nil
	default:
		close(e.closing)
	}
	<-e.stopped
	e.mu.Lock()
	db := e.db
	e.db = nil
	e.mu.Unlock()
	var err error
	if db != nil {
		err = db.Close()
	}
	return errors.Join(err, e.lock.Close())
}

// open opens Pebble and loads the totals. Only Open and the committer call it.
func (e *Engine) open() error {
	db, err := pebble.Open(e.cfg.Dir, e.options())
	if err != nil {
		return fmt.Errorf("open log events in %s: %w", e.cfg.Dir, err)
	}
	last, err := e.totals.load(db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	e.state.nextSeq = max(e.state.nextSeq, last+1)
	e.mu.Lock()
	e.db = db
	e.mu.Unlock()
	return nil
}

func (e *Engine) options() *pebble.Options {
	o := &pebble.Options{
		FS:           vfs.OnDiskFull(e.cfg.fs, e.ballast.release),
		Lock:         e.lock,
		Logger:       engineLog{e.cfg.Log},
		MemTableSize: memTableSize,
		CacheSize:    cacheSize,
		// Deleted ranges give their space back soon, also when nothing else is written.
		FlushDelayDeleteRange: time.Second,
		FormatMajorVersion:    pebble.FormatNewest,
	}
	fast := func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	small := func() *sstable.CompressionProfile { return sstable.ZstdCompression }
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].Compression = small
	}
	o.Levels[0].Compression = fast
	return o
}

// view runs f on the open database, which stays open until f returns.
func (e *Engine) view(f func(db *pebble.DB) error) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.db == nil {
		return ErrClosed
	}
	return f(e.db)
}

// submit hands r to the committer and waits until it is on disk.
func (e *Engine) submit(ctx context.Context, r *request) error {
	select {
	case e.requests <- r:
	case <-e.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-e.stopped:
		select {
		case err := <-r.done:
			return err
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// engineLog passes Pebble's troubles on and drops its chatter.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Infof(string, ...any) {}
func (l engineLog) Errorf(format string, args ...any) {
	l.log.Warn("log event store", "detail", fmt.Sprintf(format, args...))
}

// Fatalf must not return. The committer recovers from it; elsewhere it ends the process, which starts again from what
// is on disk.
func (l engineLog) Fatalf(format string, args ...any) {
	panic(fatalError(fmt.Sprintf(format, args...)))
}

type fatalError string

func (f fatalError) Error() string { return string(f) }
