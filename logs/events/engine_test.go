package events

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func open(t testing.TB, dir string) *Engine {
	t.Helper()
	e, err := Open(Config{Dir: dir, Reserve: 1 << 20, Ballast: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func appendEvents(t testing.TB, e *Engine, stream uint64, events ...Input) {
	t.Helper()
	if err := e.Append(t.Context(), 1, stream, 5000, events); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, e *Engine, stream uint64, p Page) []string {
	t.Helper()
	if p.To == (Position{}) {
		p.To = End
	}
	if p.Limit == 0 {
		p.Limit = 10_000
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = 1 << 20
	}
	got, err := e.Read(stream, p)
	if err != nil {
		t.Fatal(err)
	}
	return messages(got)
}

func messages(events []Event) []string {
	var out []string
	for _, ev := range events {
		out = append(out, ev.Message)
	}
	return out
}

func merged(t testing.TB, e *Engine, streams []uint64, from, to Position) []string {
	t.Helper()
	var out []Event
	for ev, err := range e.Merge(streams, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ev)
	}
	return messages(out)
}

func want(t testing.TB, what string, got []string, wants string) {
	t.Helper()
	if strings.Join(got, " ") != wants {
		t.Errorf("%s: got %q, want %q", what, strings.Join(got, " "), wants)
	}
}

func TestReadGivesPagesInOrder(t *testing.T) {
	e := open(t, t.TempDir())
	appendEvents(t, e, 7, Input{10, "a"}, Input{20, "b"}, Input{20, "c"}, Input{30, "d"})
	appendEvents(t, e, 7, Input{20, "late"}, Input{40, "e"})
	appendEvents(t, e, 8, Input{15, "other"})

	want(t, "all", read(t, e, 7, Page{}), "a b c late d e")
	want(t, "first two", read(t, e, 7, Page{Limit: 2}), "a b")
	want(t, "last two", read(t, e, 7, Page{Limit: 2, Reverse: true}), "d e")
	want(t, "range", read(t, e, 7, Page{From: At(20), To: At(30)}), "b c late")
	want(t, "size", read(t, e, 7, Page{MaxBytes: 2*Overhead + 2}), "a b")
	want(t, "at least one", read(t, e, 7, Page{MaxBytes: 1, Reverse: true}), "e")
	want(t, "unknown stream", read(t, e, 9, Page{}), "")
	want(t, "merge", merged(t, e, []uint64{8, 7, 9}, Position{}, End), "a other b c late d e")
}

func TestTotalsCountEveryEvent(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(Config{Dir: dir, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	appendEvents(t, e, 7, Input{10, "aa"}, Input{20, "b"})
	appendEvents(t, e, 8, Input{5, "ccc"})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir)
	got, _ := e.Totals(7)
	got.lastSeq = 0
	if w := (Totals{Group: 1, Count: 2, Bytes: 3 + 2*Overhead, First: 10, Last: 20, LastIngestion: 5000}); got != w {
		t.Errorf("got %+v, want %+v", got, w)
	}
	if got, w := e.GroupBytes(1), int64(6+3*Overhead); got != w {
		t.Errorf("group bytes: got %d, want %d", got, w)
	}
	appendEvents(t, e, 7, Input{10, "z"})
	want(t, "sequence goes on after a restart", read(t, e, 7, Page{}), "aa z b")
}

func TestTrimDeletesOnlyOlderEvents(t *testing.T) {
	e := open(t, t.TempDir())
	var in []Input
	for i := range trimChunk + 500 {
		in = append(in, Input{int64(i), "x"})
	}
	appendEvents(t, e, 7, in...)
	appendEvents(t, e, 8, Input{1, "other"})
	n, err := e.Trim(t.Context(), 7, int64(len(in)-3))
	if err != nil || n != int64(len(in)-3) {
		t.Fatalf("trimmed %d, %v", n, err)
	}
	want(t, "rest", read(t, e, 7, Page{}), "x x x")
	want(t, "other stream", read(t, e, 8, Page{}), "other")
	s, _ := e.Totals(7)
	if s.Count != 3 || s.Bytes != 3*(1+Overhead) || s.First != int64(len(in)-3) {
		t.Errorf("totals after trim: %+v", s)
	}
}

func TestDropForgetsTheStream(t *testing.T) {
	e := open(t, t.TempDir())
	appendEvents(t, e, 7, Input{1, "a"})
	appendEvents(t, e, 8, Input{1, "b"})
	if err := e.Drop(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	want(t, "dropped", read(t, e, 7, Page{}), "")
	want(t, "kept", read(t, e, 8, Page{}), "b")
	if got := e.GroupBytes(1); got != 1+Overhead {
		t.Errorf("group bytes: %d", got)
	}
	if err := e.Append(t.Context(), 1, 7, 1, []Input{{1, "late"}}); !errors.Is(err, ErrNoStream) {
		t.Errorf("append to a dropped stream: %v", err)
	}
}

func TestConcurrentAppendsAreAllThere(t *testing.T) {
	e := open(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				if err := e.Append(t.Context(), 1, uint64(w%4), 1, []Input{{int64(i), fmt.Sprint(w)}, {int64(i), fmt.Sprint(w)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(merged(t, e, []uint64{0, 1, 2, 3}, Position{}, End)); got != 1600 {
		t.Errorf("got %d events, want 1600", got)
	}
}

func TestMergeOrdersLikeASort(t *testing.T) {
	e := open(t, t.TempDir())
	base := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		base += 10
		type item struct {
			ts  int64
			seq int
		}
		var all []item
		var streams []uint64
		for i := range rapid.IntRange(1, 60).Draw(rt, "appends") {
			stream := base + uint64(rapid.IntRange(0, 4).Draw(rt, "stream"))
			streams = append(streams, stream)
			ts := int64(rapid.IntRange(0, 20).Draw(rt, "ts"))
			if err := e.Append(context.Background(), 1, stream, 1, []Input{{ts, strconv.Itoa(i)}}); err != nil {
				rt.Fatal(err)
			}
			all = append(all, item{ts, i})
		}
		from, to := int64(rapid.IntRange(0, 20).Draw(rt, "from")), int64(rapid.IntRange(0, 21).Draw(rt, "to"))
		slices.SortStableFunc(all, func(a, b item) int { return int(a.ts - b.ts) })
		var wants []string
		for _, it := range all {
			if it.ts >= from && it.ts < to {
				wants = append(wants, strconv.Itoa(it.seq))
			}
		}
		slices.Sort(streams)
		got := merged(t, e, slices.Compact(streams), At(from), At(to))
		if strings.Join(got, " ") != strings.Join(wants, " ") {
			rt.Fatalf("got %v, want %v", got, wants)
		}
	})
}

// TestKilledWriterLosesNothingAcknowledged runs itself as a child that appends and prints what was acknowledged.
func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv("BERTH_TEST_EVENTS_DIR"); dir != "" {
		e, err := Open(Config{Dir: dir, Reserve: 1})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			if err := e.Append(t.Context(), 1, 7, 1, []Input{{int64(i), strconv.Itoa(i)}}); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("ack %d\n", i)
		}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriterLosesNothingAcknowledged$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "BERTH_TEST_EVENTS_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, goal := -1, 50+rand.IntN(200)
	buf := make([]byte, 0, 1<<20)
	chunk := make([]byte, 4096)
	killed := false
	for {
		n, err := out.Read(chunk)
		buf = append(buf, chunk[:n]...)
		if err != nil {
			break
		}
		if !killed && strings.Count(string(buf), "\n") > goal {
			killed = true
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	for line := range strings.Lines(string(buf)) {
		if strings.HasSuffix(line, "\n") {
			_, _ = fmt.Sscanf(line, "ack %d\n", &last)
		}
	}
	if last < goal-1 {
		t.Fatalf("child ended early: %s", buf)
	}
	e := open(t, dir)
	got := read(t, e, 7, Page{})
	if len(got) < last+1 {
		t.Fatalf("%d events after the kill, %d were acknowledged", len(got), last+1)
	}
	for i, m := range got {
		if m != strconv.Itoa(i) {
			t.Fatalf("event %d is %q", i, m)
		}
	}
	if s, _ := e.Totals(7); s.Count != int64(len(got)) {
		t.Errorf("totals count %d, events %d", s.Count, len(got))
	}
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("cannot mount tmpfs:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	e, err := Open(Config{Dir: filepath.Join(dir, "logs"), Reserve: 16 << 20, Ballast: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	acked := fillUntilRefused(t, e)
	fill := filepath.Join(dir, "fill")
	if f, err := os.Create(fill); err == nil {
		junk := make([]byte, 1<<20)
		for {
			if _, err := f.Write(junk); err != nil {
				break
			}
		}
		_ = f.Close()
	}
	if err := e.Append(t.Context(), 1, 7, 1, []Input{{1, "x"}}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("append to a full disk: %v", err)
	}
	if got, err := e.Read(7, Page{To: End, Limit: 1 << 30, MaxBytes: 1 << 30}); err != nil || len(got) != acked {
		t.Errorf("%d events on a full disk (%v), %d were acknowledged", len(got), err, acked)
	}
	if err := e.Drop(t.Context(), 7); err != nil {
		t.Errorf("drop on a full disk: %v", err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	// Compaction gives the dropped stream's space back in the background.
	deadline := time.After(30 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); ; {
		err := e.Append(t.Context(), 1, 8, 1, []Input{{1, "again"}})
		if err == nil {
			break
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatal(err)
		}
	}
	want(t, "after space came back", read(t, e, 8, Page{}), "again")
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func fillUntilRefused(t *testing.T, e *Engine) (acked int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		b := make([]byte, 100_000)
		for j := range b {
			b[j] = byte(rnd.Uint32())
		}
		err := e.Append(t.Context(), 1, 7, 1, []Input{{int64(i), string(b)}})
		if errors.Is(err, ErrNoSpace) {
			return acked
		}
		if err != nil {
			t.Fatal(err)
		}
		acked++
	}
	t.Fatal("disk never filled")
	return 0
}

func BenchmarkAppend(b *testing.B) {
	line := strings.Repeat("GET /index.html 200 ", 6)
	for _, n := range []int{1, 100, 1000} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("batch=%d/writers=%d", n, writers), func(b *testing.B) {
				e := open(b, b.TempDir())
				batch := make([]Input, n)
				b.SetParallelism(max(1, writers/2))
				var mu sync.Mutex
				stream := uint64(0)
				b.RunParallel(func(pb *testing.PB) {
					mu.Lock()
					stream++
					id := stream
					mu.Unlock()
					in := slices.Clone(batch)
					for i := int64(0); pb.Next(); i++ {
						for j := range in {
							in[j] = Input{i, line + strconv.Itoa(j)}
						}
						if err := e.Append(b.Context(), 1, id, 1, in); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	e := open(b, b.TempDir())
	line := strings.Repeat("GET /index.html 200 ", 6)
	const total = 2_000_000
	in := make([]Input, 5000)
	for i := 0; i < total; i += len(in) {
		for j := range in {
			in[j] = Input{int64(i + j), line + strconv.Itoa(i+j)}
		}
		if err := e.Append(b.Context(), 1, uint64(i/len(in)%8), 1, in); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("page from 2M events", func(b *testing.B) {
		n := 0
		for i := range b.N {
			got, err := e.Read(uint64(i%8), Page{From: At(int64(i * 7919 % total)), To: End, Limit: 10_000, MaxBytes: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			n += len(got)
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("merge of 8 streams", func(b *testing.B) {
		n := 0
		for n < b.N {
			for _, err := range e.Merge([]uint64{0, 1, 2, 3, 4, 5, 6, 7}, Position{}, End) {
				if err != nil {
					b.Fatal(err)
				}
				if n++; n >= b.N {
					break
				}
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}
