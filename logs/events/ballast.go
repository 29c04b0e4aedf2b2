package events

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// ballast is a file that holds space for the database to finish flushes when the disk is full.
type ballast struct {
	cfg  Config
	path string

	mu      sync.Mutex // guards present
	present bool
}

func newBallast(cfg Config) *ballast {
	return &ballast{cfg: cfg, path: filepath.Join(cfg.Dir, "ballast")}
}

// restore makes the file if there is room for it beside the reserve.
func (b *ballast) restore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.present {
		return
	}
	if st, err := os.Stat(b.path); err == nil && st.Size() == b.cfg.Ballast {
		b.present = true
		return
	}
	if free, err := freeBytes(b.cfg.Dir); err != nil || free < b.cfg.Reserve+b.cfg.Ballast {
		return
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, b.cfg.Ballast)
	_ = f.Close()
	if err != nil {
		_ = os.Remove(b.path)
		return
	}
	b.present = true
}

// release gives the space back; Pebble then repeats the write that failed.
func (b *ballast) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.present = false
	if err := os.Remove(b.path); err == nil {
		b.cfg.Log.Warn("disk full: log event store gave up its ballast", "dir", b.cfg.Dir)
	}
}

// room says with an error when less than the reserve and need bytes are free.
func (b *ballast) room(need int64) error {
	free, err := freeBytes(b.cfg.Dir)
	if err != nil {
		return err
	}
	if free < b.cfg.Reserve+need {
		return fmt.Errorf("%w: %d MiB free in %s, %d MiB are kept in reserve", ErrNoSpace, free>>20, b.cfg.Dir, b.cfg.Reserve>>20)
	}
	b.restore()
	return nil
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
