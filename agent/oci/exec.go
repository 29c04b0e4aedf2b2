package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// execOutput is what is kept of the output for an error's text.
const execOutput = 4 << 10

// Exec runs args in the container with its user, environment, directory and rights, and returns the exit code. The
// error is set when the process could not be run or was killed because ctx ended.
func (r *Runtime) Exec(ctx context.Context, id string, args []string, out io.Writer) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("exec: no command")
	}
	rec, err := r.readRecord(id)
	if err != nil {
		return 0, err
	}
	st, err := r.state(ctx, rec)
	if err != nil {
		return 0, err
	}
	if st.Phase != agent.PhaseRunning {
		return 0, fmt.Errorf("exec: container %s is %s", id, st.Phase)
	}
	dir, err := os.MkdirTemp(r.tempDir(), "exec-")
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	defer os.RemoveAll(dir)
	process, pidfile := filepath.Join(dir, "process.json"), filepath.Join(dir, "pid")
	if err := r.writeExecProcess(rec, args, process); err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	cmd := exec.CommandContext(ctx, r.cfg.Runtimes[rec.Runtime], "--root", r.runtimeRoot(rec.Runtime),
		"exec", "--process", process, "--pid-file", pidfile, id)
	kept := &headBuffer{max: execOutput}
	cmd.Stdout = io.Writer(kept)
	if out != nil {
		cmd.Stdout = io.MultiWriter(kept, out)
	}
	cmd.Stderr = cmd.Stdout
	cmd.Cancel = func() error {
		killSession(readPidfile(pidfile))
		return cmd.Process.Kill()
	}
	// A child that the process left behind may hold the pipe.
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		killSession(readPidfile(pidfile))
		return 0, fmt.Errorf("exec: %w", context.Cause(ctx))
	}
	var ended *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case !errors.As(err, &ended):
		return 0, fmt.Errorf("exec: %w", err)
	case readPidfile(pidfile) == 0:
		return 0, fmt.Errorf("exec: OCI runtime exec failed: %s", clip(kept.String(), execOutput))
	}
	return ended.ExitCode(), nil
}

// killSession kills a process that leads its process group, and the group.
func killSession(pid int) {
	if pid <= 1 {
		return
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	_ = unix.Kill(pid, unix.SIGKILL)
}

func (r *Runtime) writeExecProcess(rec *record, args []string, path string) error {
	raw, err := os.ReadFile(filepath.Join(r.dir(rec.ID), "config.json"))
	if err != nil {
		return err
	}
	var s struct {
		Process specs.Process `json:"process"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	s.Process.Args, s.Process.Terminal, s.Process.ConsoleSize = args, false, nil
	return writeJSON(path, s.Process)
}

// headBuffer keeps the first bytes written to it.
type headBuffer struct {
	bytes.Buffer
	max int
}

func (b *headBuffer) Write(p []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
