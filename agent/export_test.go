package agent

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// Bench lets tests outside the package run a whole agent on real parts: a server of one machine, and an agent that can
// be killed and started again.
type Bench struct {
	t       testing.TB
	c       *control
	cfg     Config
	stop    func()
	current map[string]proto.Task
}

// NewBench starts an agent with cfg, of which Server, Token and DataDir are filled in.
func NewBench(t testing.TB, cfg Config) *Bench {
	t.Helper()
	b := &Bench{t: t, c: newControl(t), cfg: cfg, current: map[string]proto.Task{}}
	b.cfg.Server, b.cfg.Token = b.c.server.URL, b.c.token()
	b.c.current.Definitions = map[string]ecs.TaskDefinition{}
	return b
}

// Boot starts the agent.
func (b *Bench) Boot() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, b.cfg) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Logf("agent: %v", err)
		}
	})
	b.t.Cleanup(b.Kill)
}

// Kill ends the agent; containers stay.
func (b *Bench) Kill() { b.stop() }

// Assign sets the tasks' desired status, and their definition if they are new.
func (b *Bench) Assign(status string, def *ecs.TaskDefinition, arns ...string) {
	b.c.mu.Lock()
	for _, arn := range arns {
		t, ok := b.current[arn]
		if !ok {
			t = proto.Task{Arn: arn, Definition: "d-" + taskID(arn), CreatedAt: time.Now()}
			b.c.current.Definitions[t.Definition] = *def
		}
		t.DesiredStatus = status
		b.current[arn] = t
	}
	b.c.current.Revision++
	b.c.current.Tasks = nil
	for _, t := range b.current {
		b.c.current.Tasks = append(b.c.current.Tasks, t)
	}
	a := b.c.current
	b.c.mu.Unlock()
	b.c.send(proto.TypeAssignment, a)
}

// Await waits until all tasks are reported with the status.
func (b *Bench) Await(status string, arns ...string) map[string]proto.TaskStatus {
	b.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		b.c.mu.Lock()
		got := map[string]proto.TaskStatus{}
		for _, arn := range arns {
			if s := b.c.newest[arn]; s.LastStatus == status {
				got[arn] = s
			}
		}
		all := b.c.newest
		b.c.mu.Unlock()
		if len(got) == len(arns) {
			return got
		}
		select {
		case <-b.c.changed:
		case <-deadline:
			b.t.Fatalf("%d of %d are %s: %+v", len(got), len(arns), status, all)
		}
	}
}

// Logs are the messages that came to a stream.
func (b *Bench) Logs(stream string) []string {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	var all []string
	for _, batch := range b.c.batches {
		if batch.Stream == stream {
			for _, e := range batch.Events {
				all = append(all, e.Message)
			}
		}
	}
	return slices.Clip(all)
}

// Has tells whether the task is reported with the status.
func (b *Bench) Has(status, arn string) bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	return b.c.newest[arn].LastStatus == status
}

// Forget drops what came to a stream.
func (b *Bench) Forget(stream string) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.c.batches = slices.DeleteFunc(b.c.batches, func(batch proto.LogBatch) bool { return batch.Stream == stream })
}
