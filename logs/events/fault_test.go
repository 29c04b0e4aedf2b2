package events

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faulty is a file system whose log file can be told to fail.
type faulty struct{ on atomic.Bool }

func (f *faulty) String() string { return "the log fails" }

func (f *faulty) MaybeError(op errorfs.Op) error {
	if !f.on.Load() || !strings.HasSuffix(op.Path, ".log") {
		return nil
	}
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		return syscall.EIO
	}
	return nil
}

func TestFailedWritesAreErrorsAndTheEngineRecovers(t *testing.T) {
	fault := &faulty{}
	e, err := Open(Config{Dir: t.TempDir(), Reserve: 1, Ballast: 1 << 20, fs: errorfs.Wrap(vfs.Default, fault)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	acked := map[string]bool{}
	for round := range 5 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		fault.on.Store(round%2 == 1)
		for i := range 20 {
			wg.Go(func() {
				m := fmt.Sprintf("%d.%d", round, i)
				err := e.Append(t.Context(), 1, uint64(i%3), 1, []Input{{int64(i), m}})
				mu.Lock()
				defer mu.Unlock()
				acked[m] = err == nil
				if err != nil && !errors.Is(err, syscall.EIO) {
					t.Errorf("%s: %v", m, err)
				}
			})
		}
		wg.Wait()
		if round%2 == 1 {
			if err := e.Append(t.Context(), 1, 99, 1, []Input{{1, "probe"}}); err == nil {
				t.Error("a write to the broken disk was acknowledged")
			}
			fault.on.Store(false)
			// The engine finds out with the next write, which may still meet what was broken.
			for range 3 {
				_ = e.Append(t.Context(), 1, 99, 1, []Input{{1, "probe"}})
			}
		}
	}
	there := map[string]bool{}
	for _, m := range merged(t, e, []uint64{0, 1, 2}, Position{}, End) {
		if there[m] {
			t.Errorf("%s is there twice", m)
		}
		there[m] = true
	}
	for m, ok := range acked {
		if ok && !there[m] {
			t.Errorf("%s was acknowledged and is lost", m)
		}
		if !ok && (strings.HasPrefix(m, "0.") || strings.HasPrefix(m, "2.") || strings.HasPrefix(m, "4.")) {
			t.Errorf("%s failed while the disk was well", m)
		}
	}
	for id := range uint64(3) {
		s, _ := e.Totals(id)
		if got := len(read(t, e, id, Page{})); int64(got) != s.Count {
			t.Errorf("stream %d: totals count %d, there are %d", id, s.Count, got)
		}
	}
}
