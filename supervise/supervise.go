// Package supervise keeps the child processes of `berth up` alive: it starts them, starts them again when they die,
// and ends them when it is told to. The children die with it, the containers do not.
package supervise

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Back-off between starts of a child that keeps dying. A child that lived longer than settled starts over.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 3 * time.Second
	settled    = 30 * time.Second
)

// stopWait is how long a child may take to end after SIGTERM.
const stopWait = 20 * time.Second

// ExitRefused is the exit code with which a child says that starting it again is of no use (a wrong flag, a port
// in use). Run then ends the others and returns an error.
const ExitRefused = 64

// Child is one process to keep alive.
type Child struct {
	Name string
	Path string
	Args []string
	// Ready is waited for before the next child is started for the first time; nil means no wait.
	Ready func(ctx context.Context) error
}

// Run keeps the children alive until ctx ends. Children are started in order.
func Run(ctx context.Context, log *slog.Logger, output io.Writer, children []Child) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range children {
		g.Go(func() error { return keep(ctx, log.With("child", c.Name), output, c) })
		if c.Ready == nil {
			continue
		}
		if err := c.Ready(ctx); err != nil {
			g.Go(func() error { return fmt.Errorf("wait for %s: %w", c.Name, err) })
			break
		}
	}
	return g.Wait()
}

func keep(ctx context.Context, log *slog.Logger, output io.Writer, c Child) error {
	// The kernel sends Pdeathsig when the thread that forked ends, so that thread must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		code, err := once(ctx, output, c)
		if ctx.Err() != nil {
			return nil
		}
		if code == ExitRefused {
			return fmt.Errorf("%s refused to start", c.Name)
		}
		if time.Since(began) > settled {
			pause = firstPause
		}
		log.Warn("child ended, starting it again", "code", code, "err", err, "after", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

// once runs the child to its end, or ends it when ctx does.
func once(ctx context.Context, output io.Writer, c Child) (code int, err error) {
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = os.Environ()
	// A group of its own keeps a terminal's Ctrl-C for the supervisor alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWait
	err = cmd.Run()
	return cmd.ProcessState.ExitCode(), err
}
