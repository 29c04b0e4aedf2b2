package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// logShipper follows the output of every container and brings what is for awslogs to the log store. It reads
// only as much as it can send at once, so that its memory does not grow with what containers write.
type logShipper struct {
	dir string
	log *slog.Logger
	// slots are held while a batch is read and sent: they bound memory and connections.
	slots chan *bufio.Reader

	mu        sync.Mutex // guards the following
	ctx       context.Context
	followers map[string]*follower
	running   sync.WaitGroup
	post      func(ctx context.Context, b proto.LogBatch) error // nil until connected
}

// Bounds of shipping. Source of the batch sizes: CloudWatch Logs, PutLogEvents.
const (
	logSlots      = 4
	logLineBuffer = 64 << 10
	batchBytes    = 1 << 20
	batchEvents   = 10_000
	batchSpan     = 24 * time.Hour
	eventOverhead = 26
	checkWait     = 3 * time.Second
)

func newLogShipper(dir string, log *slog.Logger) *logShipper {
	l := &logShipper{dir: dir, log: log, slots: make(chan *bufio.Reader, logSlots), followers: map[string]*follower{}}
	for range logSlots {
		l.slots <- bufio.NewReaderSize(nil, logLineBuffer)
	}
	return l
}

// start follows everything that an earlier agent left. Output of containers that nobody knows any more is shipped
// to its end.
func (l *logShipper) start(ctx context.Context, known func(id string) bool) {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		l.log.Warn("log directory can't be read", "err", err)
	}
	for _, e := range entries {
		l.resume(e.Name())
		if !known(e.Name()) {
			l.ended(e.Name())
		}
	}
}

// connect gives the shipper its way to the server.
func (l *logShipper) connect(id *Identity, cfg *Config) {
	client := &http.Client{
		Timeout:   requestLimit,
		Transport: &http.Transport{TLSClientConfig: id.TLSConfig(), DialContext: cfg.Dial, MaxIdleConnsPerHost: logSlots, IdleConnTimeout: time.Minute},
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.post = func(ctx context.Context, b proto.LogBatch) error {
		body, err := json.Marshal(b)
		if err != nil {
			return err
		}
		_, err = postJSON(ctx, client, cfg.Server+proto.PathLogs, body)
		return err
	}
}

func (l *logShipper) sender() func(context.Context, proto.LogBatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.post
}

// prepare notes where the container's output goes and, for awslogs, has the stream made. A log store that does not
// answer holds no container up; one that has no such group fails it, as on ECS.
func (l *logShipper) prepare(ctx context.Context, t logTarget) error {
	dir := filepath.Join(l.dir, t.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := storeJSON(filepath.Join(dir, targetFile), t); err != nil {
		return err
	}
	post := l.sender()
	if t.Driver != ecs.LogDriverAwslogs || post == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	err := post(ctx, t.batch(nil))
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the task stops
	}
	if refused, ok := errors.AsType[*errRefused](err); ok {
		if code, message := refused.aws(); code == "ResourceNotFoundException" {
			return &Error{Name: "CannotStartContainerError", Err: err,
				Detail: fmt.Sprintf("failed to initialize logging driver: failed to create Cloudwatch log stream: %s: %s", code, message)}
		}
	}
	if err != nil {
		l.log.Warn("log stream could not be made; the container starts without", "container", t.ID, "group", t.Group, "err", err)
	}
	return nil
}

func (t logTarget) batch(events []proto.LogEvent) proto.LogBatch {
	return proto.LogBatch{Task: t.Task, Region: t.Region, Group: t.Group, Stream: t.Stream, Create: t.Create, Events: events}
}

// aws splits an answer of the form "CODE: MESSAGE".
func (e *errRefused) aws() (code, message string) {
	code, message, _ = strings.Cut(e.text, ": ")
	return code, message
}

// resume follows a container's output from where it was left.
func (l *logShipper) resume(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.followers[id] != nil || l.ctx == nil {
		return
	}
	f, err := openFollower(l, filepath.Join(l.dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return // its driver is none
	}
	if err != nil {
		l.log.Warn("output of a container can't be followed", "container", id, "err", err)
		return
	}
	l.followers[id] = f
	ctx := l.ctx
	l.running.Go(func() { f.watch(ctx) })
	if f.target.Driver == ecs.LogDriverAwslogs {
		l.running.Go(func() { f.ship(ctx) })
	}
}

// ended says that the container writes no more: what is left is shipped, and then forgotten.
func (l *logShipper) ended(id string) {
	if err := writeFile(filepath.Join(l.dir, id, endedFile), nil, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("the end of a container's output could not be noted", "container", id, "err", err)
	}
	l.resume(id) // one that never ran has no follower yet to clear its directory away
	l.mu.Lock()
	f := l.followers[id]
	l.mu.Unlock()
	if f != nil {
		f.finish()
	}
}

// forget removes a container's output.
func (l *logShipper) forget(f *follower) {
	l.mu.Lock()
	delete(l.followers, f.target.ID)
	l.mu.Unlock()
	if err := os.RemoveAll(f.files.dir); err != nil {
		l.log.Warn("output of an ended container stays", "container", f.target.ID, "err", err)
	}
}

// dropped is how many bytes of the container's output were dropped unstored.
func (l *logShipper) dropped(id string) int64 {
	l.mu.Lock()
	f := l.followers[id]
	l.mu.Unlock()
	if f == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pos.Dropped
}

// wait returns when all followers have ended.
func (l *logShipper) wait() { l.running.Wait() }
