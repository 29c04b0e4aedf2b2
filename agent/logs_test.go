package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

func TestJoiner(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	tests := []struct {
		name, begins string
		lines        []string // "F out text"
		want         []string
	}{
		{"each line is an event", "", []string{"F out a", "F err b"}, []string{"a", "b"}},
		{"parts are joined", "", []string{"P out a", "P out b", "F out c"}, []string{"abc"}},
		{"streams don't mix", "", []string{"P out a", "F err b", "F out c"}, []string{"b", "ac"}},
		{"empty lines are left out", "", []string{"F out ", "F out a"}, []string{"a"}},
		{"what is too large is split", "", []string{"P out " + long, "F out " + long}, []string{(long + long)[:maxEvent], (long + long)[maxEvent:]}},
		{"lines of one event", `^\[`, []string{"F out [1", "F out  at x", "F out  at y", "F out [2"}, []string{"[1\n at x\n at y", "[2"}},
		{"lines of one event with parts", `^\[`, []string{"P out [1", "F out 2", "F out more", "P out [", "F out 3"}, []string{"[12\nmore", "[3"}},
		{"lines before the first beginning", `^\[`, []string{"F out a", "F out b", "F out [1"}, []string{"a\nb", "[1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var begins *regexp.Regexp
			if tt.begins != "" {
				begins = regexp.MustCompile(tt.begins)
			}
			j := newJoiner(begins)
			for i, l := range tt.lines {
				tag, rest, _ := strings.Cut(l, " ")
				stream, text, _ := strings.Cut(rest, " ")
				j.add(logLine{at: epoch, stream: stream, partial: tag == "P", text: []byte(text)}, position{Offset: int64(i)})
			}
			j.flush(true)
			var got []string
			for _, e := range j.out {
				got = append(got, e.Message)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %.200q want %.200q", got, tt.want)
			}
		})
	}
}

func TestDatetimePattern(t *testing.T) {
	re, err := datetimePattern("[%Y-%m-%d %H:%M:%S%L]")
	if err != nil {
		t.Fatal(err)
	}
	if !re.MatchString("[2030-01-31 23:59:59.123] hello") || re.MatchString("2030-01-31 23:59:59.123 hello") {
		t.Errorf("pattern %s", re)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("2030-01-01T00:00:00.000000000Z stdout F text"))
	f.Add([]byte("2030-01-01T00:00:00Z stderr P "))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, ok := parseLine(line)
		if !ok {
			return
		}
		j := newJoiner(nil)
		j.add(l, position{})
		j.flush(true)
		if len(j.out) > 1+len(line)/maxEvent {
			t.Errorf("%d events", len(j.out))
		}
	})
}

// monitor writes a container's output as conmon does, with rotation by renaming.
type monitor struct {
	t       *testing.T
	path    string
	rotate  int64
	written int
}

func (m *monitor) write(n int) {
	m.t.Helper()
	f, err := os.OpenFile(m.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { f.Close() }()
	for range n {
		if info, err := f.Stat(); err == nil && m.rotate > 0 && info.Size() > m.rotate {
			f.Close()
			if f, err = os.Create(m.path + ".tmp"); err != nil {
				m.t.Fatal(err)
			}
			if err := os.Rename(m.path+".tmp", m.path); err != nil {
				m.t.Fatal(err)
			}
		}
		fmt.Fprintf(f, "%s stdout F line %06d\n", epoch.Add(time.Duration(m.written)*time.Millisecond).Format(time.RFC3339Nano), m.written)
		m.written++
	}
}

// logStore is a log store that can be down.
type logStore struct {
	mu   sync.Mutex
	down bool
	got  []string
}

func (s *logStore) post(_ context.Context, b proto.LogBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("the log store is down")
	}
	for _, e := range b.Events {
		s.got = append(s.got, e.Message)
	}
	return nil
}

func (s *logStore) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// missing says which of the first n lines never came, and how many came more than once.
func (s *logStore) missing(n int) (absent []int, twice int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]int{}
	for _, m := range s.got {
		seen[m]++
	}
	for i := range n {
		switch seen[fmt.Sprintf("line %06d", i)] {
		case 0:
			absent = append(absent, i)
		case 1:
		default:
			twice++
		}
	}
	return absent, twice
}

// logRig is a shipper for one container.
type logRig struct {
	t      *testing.T
	dir    string
	target logTarget
	store  *logStore
	m      *monitor
	ship   *logShipper
	cancel context.CancelFunc
}

func newLogRig(t *testing.T, target logTarget) *logRig {
	target.ID, target.Driver, target.Task = "c1", ecs.LogDriverAwslogs, simArn
	r := &logRig{t: t, dir: t.TempDir(), target: target, store: &logStore{}}
	r.m = &monitor{t: t, path: filepath.Join(r.dir, "c1", currentLog), rotate: target.Rotate}
	r.boot()
	t.Cleanup(r.kill)
	return r
}

func (r *logRig) boot() {
	r.ship = newLogShipper(r.dir, slog.New(slog.DiscardHandler))
	r.ship.post = r.store.post
	if err := r.ship.prepare(r.t.Context(), r.target); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	r.cancel = cancel
	r.ship.start(ctx, func(string) bool { return true })
}

func (r *logRig) kill() {
	r.cancel()
	r.ship.wait()
}

func TestLogsAreShippedAcrossRotationAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t, logTarget{Keep: 64 << 20, Rotate: 8 << 10}) // 180 lines: at most one rotation between two looks
		for range 20 {
			r.m.write(100)
			time.Sleep(lookLate + time.Millisecond)
			r.kill()
			r.m.write(30) // while the agent is down
			r.boot()
		}
		time.Sleep(10 * time.Second)
		absent, twice := r.store.missing(r.m.written)
		if len(absent) > 0 || twice > 0 {
			t.Errorf("missing %v, twice %d of %d", absent, twice, r.m.written)
		}
		r.ship.ended("c1")
		time.Sleep(10 * time.Second)
		if _, err := os.Stat(filepath.Join(r.dir, "c1")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("output of the ended container: %v", err)
		}
	})
}

func TestLogsWaitForALogStoreThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t, logTarget{Keep: 64 << 20, Rotate: 4 << 10})
		r.store.set(true)
		for range 50 {
			r.m.write(50)
			time.Sleep(lookLate)
		}
		r.ship.ended("c1")
		r.store.set(false)
		time.Sleep(time.Minute)
		if absent, twice := r.store.missing(r.m.written); len(absent) > 0 || twice > 0 {
			t.Errorf("missing %v, twice %d", absent, twice)
		}
	})
}

func TestLogsBeyondTheBoundAreDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t, logTarget{Keep: 16 << 10, Rotate: 4 << 10})
		r.store.set(true)
		for range 50 {
			r.m.write(50)
			time.Sleep(lookLate)
		}
		kept, err := os.ReadDir(filepath.Join(r.dir, "c1"))
		if err != nil || len(kept) > 10 || r.ship.dropped("c1") == 0 {
			t.Errorf("%d files, dropped %d, %v", len(kept), r.ship.dropped("c1"), err)
		}
		r.store.set(false)
		time.Sleep(time.Minute)
		absent, twice := r.store.missing(r.m.written)
		if len(absent) == 0 || absent[len(absent)-1] >= r.m.written-100 || twice > 0 {
			t.Errorf("missing %d up to %d of %d, twice %d: the oldest should be", len(absent), absent[len(absent)-1], r.m.written, twice)
		}
	})
}

func TestMultilineEventIsSentWhenNothingFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t, logTarget{Keep: 1 << 20, Rotate: 1 << 20, Begins: "line 00000[05]"})
		r.m.write(7)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want := []string{"line 000000\nline 000001\nline 000002\nline 000003\nline 000004", "line 000005\nline 000006"}
		if !slices.Equal(r.store.got, want) {
			t.Errorf("got %q", r.store.got)
		}
	})
}

func TestLogTarget(t *testing.T) {
	tests := []struct {
		name    string
		driver  ecs.LogDriver
		options map[string]string
		want    string
	}{
		{"stream name with prefix", "awslogs", map[string]string{"awslogs-group": "g", "awslogs-stream-prefix": "p"}, "p/web/0123456789abcdef0123456789abcdef 67108864 33554432"},
		{"stream name without", "awslogs", map[string]string{"awslogs-group": "g"}, containerID(simArn, "web") + " 67108864 33554432"},
		{"max-buffer-size", "awslogs", map[string]string{"awslogs-group": "g", "awslogs-stream-prefix": "p", "max-buffer-size": "10m"}, "p/web/0123456789abcdef0123456789abcdef 10485760 5242880"},
		{"blocking", "awslogs", map[string]string{"awslogs-group": "g", "awslogs-stream-prefix": "p", "mode": "blocking"}, "p/web/0123456789abcdef0123456789abcdef 1073741824 67108864"},
		{"bad pattern", "awslogs", map[string]string{"awslogs-group": "g", "awslogs-multiline-pattern": "("}, "CannotStartContainerError"},
		{"json-file", "json-file", map[string]string{"max-size": "1k", "max-file": "3"}, " 2048 1024"},
		{"unknown driver", "syslog", nil, "CannotStartContainerError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSim("web")
			s.t.Definition.ContainerDefinitions[0].LogConfiguration = &ecs.LogConfiguration{LogDriver: tt.driver, Options: tt.options}
			r := &runner{t: s.t, arn: simArn}
			target, err := r.logTarget(s.t.Containers[0])
			got := fmt.Sprintf("%s %d %d", target.Stream, target.Keep, target.Rotate)
			if err != nil {
				got, _, _ = strings.Cut(err.Error(), ":")
			}
			if got != tt.want {
				t.Errorf("got %q want %q", got, tt.want)
			}
		})
	}
}
