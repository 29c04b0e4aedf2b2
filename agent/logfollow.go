package agent

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// follower follows one container's output. One goroutine watches the files, so that rotation is seen in time also
// while nothing can be sent; another sends.
type follower struct {
	shipper *logShipper
	target  logTarget
	begins  *regexp.Regexp
	wake    chan struct{} // has room for one: look again
	over    chan struct{} // closed by finish
	closing sync.Once

	mu    sync.Mutex // guards files and pos
	files *logFiles
	pos   position

	// Of the sending goroutine alone:
	join  *joiner
	read  position  // up to where lines were given to join
	quiet time.Time // since when nothing new was read
}

// How often files are looked at, how long ended output is kept, and how long lines of one event may be apart.
const (
	lookSoon     = 50 * time.Millisecond
	lookLate     = time.Second
	keepOutput   = 3 * time.Hour
	multilineGap = 2 * time.Second
	shipRetry    = 500 * time.Millisecond
	shipLongest  = 30 * time.Second
	shipGiveUp   = 10 * time.Minute // an ended container's output that the server refuses
)

// errNotConnected is waited out without a word: the agent has just started.
var errNotConnected = errors.New("not connected yet")

func openFollower(l *logShipper, dir string) (*follower, error) {
	f := &follower{shipper: l, wake: make(chan struct{}, 1), over: make(chan struct{})}
	if err := readJSON(filepath.Join(dir, targetFile), &f.target); err != nil {
		return nil, err
	}
	if f.target.Begins != "" {
		var err error
		if f.begins, err = regexp.Compile(f.target.Begins); err != nil {
			return nil, err
		}
	}
	// A torn or lost position means from the beginning: rather twice than never.
	_ = readJSON(filepath.Join(dir, positionFile), &f.pos)
	var err error
	if f.files, err = openLogFiles(dir); err != nil {
		return nil, err
	}
	f.look() // the present file gets its second name before it can be rotated away
	f.rewind()
	if _, err := os.Stat(filepath.Join(dir, endedFile)); err == nil {
		f.finish()
	}
	return f, nil
}

func (f *follower) finish() { f.closing.Do(func() { close(f.over) }) }

func (f *follower) ended() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}

// rewind goes back to what is known to be stored.
func (f *follower) rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.join, f.read = newJoiner(f.begins), f.pos
}

// watch looks at the files until ctx ends or the output is forgotten.
func (f *follower) watch(ctx context.Context) {
	pause := lookSoon
	for {
		if f.look() {
			pause = lookSoon
			f.poke()
		} else {
			pause = min(2*pause, lookLate)
		}
		over := f.over
		if f.ended() {
			over = nil
			if f.target.Driver != ecs.LogDriverAwslogs {
				f.keepEnded(ctx)
				return
			}
			if f.forgotten() {
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-over:
			f.poke()
		case <-ctx.Done():
			return
		}
	}
}

func (f *follower) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) forgotten() bool {
	f.shipper.mu.Lock()
	defer f.shipper.mu.Unlock()
	return f.shipper.followers[f.target.ID] != f
}

// keepEnded keeps files of an ended container as long as ECS's agent would, then removes them.
func (f *follower) keepEnded(ctx context.Context) {
	left := time.Duration(0)
	if info, err := os.Stat(filepath.Join(f.files.dir, endedFile)); err == nil {
		left = time.Until(info.ModTime().Add(keepOutput))
	}
	select {
	case <-time.After(left):
		f.shipper.forget(f)
	case <-ctx.Done():
	}
}

// look takes in new and rotated files and drops what is beyond the bound. It reports whether there is more to send.
func (f *follower) look() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	more, err := f.files.look()
	if err == nil {
		before := f.pos.Dropped
		f.pos, err = f.files.trim(f.pos, f.target.Keep, f.target.Driver == ecs.LogDriverAwslogs)
		if n := f.pos.Dropped - before; n > 0 {
			f.shipper.log.Warn("output dropped: the log store is too slow", "task", f.target.Task, "container", f.target.ID, "bytes", n, "total", f.pos.Dropped)
		}
	}
	if err != nil {
		f.shipper.log.Warn("output of a container can't be watched; trying again", "container", f.target.ID, "err", err)
	}
	return more
}

// ship sends what there is until ctx ends or an ended container's output is all stored.
func (f *follower) ship(ctx context.Context) {
	pause := shipRetry
	var refusedSince time.Time
	for {
		sent, err := f.sendOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.rewind()
			if refusedSince.IsZero() && !errors.Is(err, errNotConnected) {
				refusedSince = time.Now()
				f.shipper.log.Warn("output could not be stored; trying again", "task", f.target.Task, "group", f.target.Group, "err", err)
			}
			if _, refused := errors.AsType[*errRefused](err); refused && f.ended() && time.Since(refusedSince) > shipGiveUp {
				f.shipper.log.Warn("output of an ended container is given up", "task", f.target.Task, "group", f.target.Group, "err", err)
				f.shipper.forget(f)
				return
			}
			if !sleep(ctx, pause/2+rand.N(pause/2)) {
				return
			}
			pause = min(2*pause, shipLongest)
			continue
		case sent:
			pause, refusedSince = shipRetry, time.Time{}
			continue
		case f.ended() && f.drained():
			f.shipper.forget(f)
			return
		}
		if !f.await(ctx) {
			return
		}
	}
}

// await waits until there is more to read, or until a pending event has to be finished.
func (f *follower) await(ctx context.Context) bool {
	var gap <-chan time.Time
	if len(f.join.pending) > 0 || f.ended() {
		timer := time.NewTimer(multilineGap)
		defer timer.Stop()
		gap = timer.C
	}
	select {
	case <-f.wake:
	case <-gap:
	case <-ctx.Done():
		return false
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// drained tells whether all output of an ended container was stored, when nothing more could be read. What follows
// the last end of line was cut off with the container's monitor.
func (f *follower) drained() bool {
	grew := f.look()
	f.mu.Lock()
	defer f.mu.Unlock()
	return !grew && f.files.last(f.read.Number) && len(f.join.pending) == 0
}

// sendOnce reads and sends one batch. It reports whether something was sent.
func (f *follower) sendOnce(ctx context.Context) (bool, error) {
	post := f.shipper.sender()
	if post == nil {
		return false, errNotConnected
	}
	var slot *bufio.Reader
	select {
	case slot = <-f.shipper.slots:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { f.shipper.slots <- slot }()
	events, err := f.readBatch(slot)
	if err != nil {
		return false, err
	}
	for batch := range batches(events) {
		if err := post(ctx, f.target.batch(batch)); err != nil {
			return false, err
		}
	}
	return f.stored() || len(events) > 0, nil
}

// stored moves the stored position to where everything was emitted, and writes it down.
func (f *follower) stored() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.join.safe(f.read)
	if !f.pos.before(next) {
		return false
	}
	f.pos.Number, f.pos.Offset = next.Number, next.Offset
	if err := storeJSON(filepath.Join(f.files.dir, positionFile), f.pos); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.shipper.log.Warn("position in a container's output could not be stored", "container", f.target.ID, "err", err)
	}
	return true
}

// readBatch reads on until there is enough for a batch or nothing more.
func (f *follower) readBatch(r *bufio.Reader) ([]proto.LogEvent, error) {
	f.join.out = f.join.out[:0]
	bytes := 0
	take := func(line []byte, at int64) bool {
		if l, ok := parseLine(line); ok {
			before := len(f.join.out)
			f.join.add(l, position{Number: f.read.Number, Offset: at})
			for _, e := range f.join.out[before:] {
				bytes += len(e.Message) + eventOverhead
			}
		}
		return bytes < batchBytes && len(f.join.out) < batchEvents
	}
	began := f.read
	for bytes < batchBytes && len(f.join.out) < batchEvents {
		number, path, last, ok := f.current()
		if !ok {
			break
		}
		end, err := readLines(path, f.read.Offset, r, take)
		if err != nil {
			return nil, err
		}
		f.read = position{Number: number, Offset: end}
		if bytes >= batchBytes || len(f.join.out) >= batchEvents {
			break
		}
		if last || !f.nextFile() {
			break
		}
	}
	if f.read != began {
		f.quiet = time.Now()
	}
	if f.ended() && f.read == began {
		f.join.flush(true)
	} else if time.Since(f.quiet) >= multilineGap {
		f.join.flush(false)
	}
	return f.join.out, nil
}

// current is the file to read on in. What was dropped meanwhile is passed over.
func (f *follower) current() (number int64, path string, last, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.files.list) == 0 {
		return 0, "", false, false
	}
	if first := f.files.list[0].number; f.read.Number < first {
		f.read = position{Number: first}
		clear(f.join.pending)
	}
	return f.read.Number, f.files.path(f.read.Number), f.files.last(f.read.Number), true
}

// nextFile goes on to the next file, if there is one.
func (f *follower) nextFile() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.files.list, func(l logFile) bool { return l.number > f.read.Number })
	if i < 0 {
		return false
	}
	f.read = position{Number: f.files.list[i].number}
	return true
}

// batches cuts events into batches of the sizes that CloudWatch Logs takes, each in order of time.
func batches(events []proto.LogEvent) func(yield func([]proto.LogEvent) bool) {
	slices.SortStableFunc(events, func(a, b proto.LogEvent) int { return int(a.Timestamp - b.Timestamp) })
	return func(yield func([]proto.LogEvent) bool) {
		for len(events) > 0 {
			n, bytes := 0, 0
			for n < len(events) && n < batchEvents {
				bytes += len(events[n].Message) + eventOverhead
				if n > 0 && (bytes > batchBytes || events[n].Timestamp-events[0].Timestamp >= batchSpan.Milliseconds()) {
					break
				}
				n++
			}
			if !yield(events[:n]) {
				return
			}
			events = events[n:]
		}
	}
}
