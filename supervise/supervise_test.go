package supervise

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lines is an output that many processes write to and a test reads.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
		time.Sleep(5 * time.Millisecond) // polls a condition of another process
	}
}

func TestChildThatDiesIsStartedAgain(t *testing.T) {
	out := &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, slog.New(slog.DiscardHandler), out, []Child{{Name: "x", Path: "/bin/sh", Args: []string{"-c", "echo began; exit 3"}}})
	}()
	until(t, "the child began twice", func() bool { return out.count("began") >= 2 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

func TestRefusalEndsEverything(t *testing.T) {
	out := &lines{}
	err := Run(context.Background(), slog.New(slog.DiscardHandler), out, []Child{
		{Name: "good", Path: "/bin/sleep", Args: []string{"60"}},
		{Name: "bad", Path: "/bin/sh", Args: []string{"-c", "exit 64"}},
	})
	if err == nil || !strings.Contains(err.Error(), "bad refused to start") {
		t.Errorf("got %v, want a refusal of bad", err)
	}
}

func TestChildrenEndWithTheContext(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, slog.New(slog.DiscardHandler), &lines{}, []Child{{Name: "x", Path: "/bin/sh",
			Args: []string{"-c", "echo $$ > " + pidFile + ".new && mv " + pidFile + ".new " + pidFile + "; exec sleep 60"}}})
	}()
	var pid int
	until(t, "the child wrote its process ID", func() bool {
		data, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		for _, d := range strings.TrimSpace(string(data)) {
			pid = pid*10 + int(d-'0')
		}
		return true
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d still lives", pid)
	}
}
