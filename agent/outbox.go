package agent

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth/agent/proto"
)

// outbox holds the state of every task as the server should know it, and remembers what the server has stored.
// States are whole, so that sending one twice or leaving out those in between changes nothing.
type outbox struct {
	seq *sequence

	mu     sync.Mutex // guards tasks
	tasks  map[string]*outgoing
	notify chan struct{} // has room for one: something is to be sent
}

// outgoing is one task's newest state. It is to be sent while sent < version.
type outgoing struct {
	status        proto.TaskStatus
	version, sent uint64
	eager         bool      // somebody may be waiting for what changed: see urgent
	since         time.Time // of the oldest change that was not sent
	stoppedSeq    uint64    // of the first report that says STOPPED
	acked         bool      // the server has STOPPED
	onAcked       func()
}

// stepDelay is how long a change that is not urgent may wait for more to be sent with it. Each report costs a commit
// of the store, and the next waits until it is acknowledged: RUNNING must not wait behind "created".
const stepDelay = 300 * time.Millisecond

func newOutbox(seq *sequence) *outbox {
	return &outbox{seq: seq, tasks: map[string]*outgoing{}, notify: make(chan struct{}, 1)}
}

// put takes a task's newest state. onAcked is called once, when the server has stored that it is STOPPED.
func (o *outbox) put(s proto.TaskStatus, onAcked func(), now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tasks[s.Arn]
	if t == nil {
		t = &outgoing{onAcked: onAcked}
		o.tasks[s.Arn] = t
		t.status = proto.TaskStatus{LastStatus: statusPending} // as the server made it
		for _, c := range s.Containers {
			t.status.Containers = append(t.status.Containers, proto.ContainerStatus{Name: c.Name, LastStatus: statusPending})
		}
	} else if reflect.DeepEqual(t.status, s) {
		return
	}
	eager := !reflect.DeepEqual(urgent(t.status), urgent(s))
	if t.sent == t.version {
		t.since = now
	}
	t.status, t.eager = s, t.eager || eager
	t.version++
	o.wake()
}

// urgent is the part of a state that is told at once: what became of the task and its containers. Times, addresses,
// images and steps are told with it or soon after.
func urgent(s proto.TaskStatus) proto.TaskStatus {
	out := proto.TaskStatus{LastStatus: s.LastStatus, HealthStatus: cmp.Or(s.HealthStatus, unknown), StopCode: s.StopCode, StoppedReason: s.StoppedReason}
	for _, c := range s.Containers {
		out.Containers = append(out.Containers, proto.ContainerStatus{
			Name: c.Name, LastStatus: c.LastStatus, HealthStatus: cmp.Or(c.HealthStatus, unknown), Reason: c.Reason, ExitCode: c.ExitCode, RestartCount: c.RestartCount,
		})
	}
	return out
}

// again marks a task to be sent although it did not change.
func (o *outbox) again(arn string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.tasks[arn]; t != nil {
		t.version++
		t.eager = true
		o.wake()
	}
}

// forget drops a task.
func (o *outbox) forget(arn string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.tasks, arn)
}

func (o *outbox) wake() {
	select {
	case o.notify <- struct{}{}:
	default:
	}
}

// take makes the next report: with full, of every task; else of those that changed. It returns false when nothing
// is due, and when something will be.
func (o *outbox) take(full bool, now time.Time) (proto.Report, bool, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := proto.Report{Full: full}
	var due time.Time
	for _, arn := range slices.Sorted(maps.Keys(o.tasks)) {
		t := o.tasks[arn]
		if !full && t.sent == t.version {
			continue
		}
		if at := t.since.Add(stepDelay); !full && !t.eager && now.Before(at) {
			due = earlier(due, at)
			continue
		}
		r.Tasks = append(r.Tasks, t.status)
		t.sent, t.eager = t.version, false
	}
	if len(r.Tasks) == 0 && !full {
		return r, false, due
	}
	r.Seq = o.seq.next()
	for _, s := range r.Tasks {
		if t := o.tasks[s.Arn]; s.LastStatus == statusStopped && t.stoppedSeq == 0 {
			t.stoppedSeq = r.Seq
		}
	}
	return r, true, due
}

// acked takes the server's word that everything up to seq is stored.
func (o *outbox) acked(seq uint64) {
	var call []func()
	o.mu.Lock()
	for _, t := range o.tasks {
		if t.stoppedSeq != 0 && t.stoppedSeq <= seq && !t.acked {
			t.acked = true
			call = append(call, t.onAcked)
		}
	}
	o.mu.Unlock()
	for _, f := range call {
		f()
	}
}

// sequence numbers reports. The numbers rise across restarts: a block of them is reserved in a file before it is
// used, and the server's own last number is respected if the file is lost.
type sequence struct {
	path string

	mu    sync.Mutex // guards last, limit
	last  uint64
	limit uint64
}

const sequenceBlock = 100_000

func openSequence(dir string) (*sequence, error) {
	s := &sequence{path: filepath.Join(dir, "sequence")}
	text, err := os.ReadFile(s.path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read report sequence: %w", err)
	}
	// A torn file counts as absent: raise sets it right when the server tells its last number.
	s.limit, _ = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	s.last = s.limit
	return s, nil
}

func (s *sequence) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	if s.last > s.limit {
		s.limit = s.last + sequenceBlock
		// If the disk is full the number is still higher than any before in this run, and the server tells its own
		// last number at the next start.
		_ = writeFile(s.path, strconv.AppendUint(nil, s.limit, 10), true)
	}
	return s.last
}

// raise makes the next number higher than seq.
func (s *sequence) raise(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, seq)
}

// sortTasks puts tasks in the order of their creation.
func sortTasks(tasks []proto.Task) {
	slices.SortFunc(tasks, func(a, b proto.Task) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Arn, b.Arn))
	})
}
