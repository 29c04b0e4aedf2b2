package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent"
)

// monitorWait is how long a monitor may take to write down the end of a container that was killed.
const monitorWait = 10 * time.Second

// List returns every container of this directory, but those that are just being created.
func (r *Runtime) List(ctx context.Context) ([]agent.ContainerState, error) {
	entries, err := os.ReadDir(r.containersDir())
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []agent.ContainerState
	for _, e := range entries {
		if r.isCreating(e.Name()) {
			continue
		}
		st, err := r.State(ctx, e.Name())
		var named *agent.Error
		if errors.As(err, &named) && named.Name == nameNoContainer {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// State returns one container's state now.
func (r *Runtime) State(ctx context.Context, id string) (agent.ContainerState, error) {
	rec, err := r.readRecord(id)
	if err != nil {
		return agent.ContainerState{}, err
	}
	return r.state(ctx, rec)
}

// Wait returns when the container has ended.
func (r *Runtime) Wait(ctx context.Context, id string) (agent.ContainerState, error) {
	for {
		rec, err := r.readRecord(id)
		if err != nil {
			return agent.ContainerState{}, err
		}
		st, err := r.state(ctx, rec)
		if err != nil || st.Phase == agent.PhaseExited {
			return st, err
		}
		// conmon writes the exit file and ends.
		if err := waitProcess(ctx, rec.MonitorPID, rec.MonitorStart); err != nil {
			return agent.ContainerState{}, err
		}
	}
}

// alive says whether the container's first process is there.
func (rec *record) alive() bool { return isProcess(rec.PID, rec.Start) }

func isProcess(pid int, start uint64) bool {
	if pid <= 0 || start == 0 {
		return false
	}
	now, err := startTime(pid)
	return err == nil && now == start
}

// state works out a container's state from what is on disk and which processes are there.
func (r *Runtime) state(ctx context.Context, rec *record) (agent.ContainerState, error) {
	st := agent.ContainerState{ID: rec.ID, TaskArn: rec.TaskArn, Name: rec.Name, StartedAt: rec.StartedAt, Phase: agent.PhaseExited}
	if !rec.Created {
		st.Error = "creation was interrupted"
		st.FinishedAt = rec.CreatedAt
		return st, nil
	}
	// The monitor is asked before the exit file: when it is gone the file is there or never will be.
	monitored := isProcess(rec.MonitorPID, rec.MonitorStart)
	if r.exited(rec, &st) {
		return st, nil
	}
	if monitored {
		st.PID, st.Phase = rec.PID, agent.PhaseRunning
		if r.waiting(rec) {
			st.Phase, st.StartedAt = agent.PhaseCreated, time.Time{}
		}
		return st, nil
	}
	return r.lost(ctx, rec, st)
}

// waiting says whether the container was created and not started.
func (r *Runtime) waiting(rec *record) bool {
	if rec.Runtime != "runc" || rec.StartedAt.IsZero() {
		return rec.StartedAt.IsZero()
	}
	_, err := os.Lstat(r.fifo(rec))
	return err == nil
}

// exited fills in the end of a container that has an exit file.
func (r *Runtime) exited(rec *record, st *agent.ContainerState) bool {
	path := filepath.Join(r.exitsDir(), rec.ID)
	raw, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	code, err := strconv.Atoi(string(bytes.TrimSpace(raw)))
	st.ExitCode, st.ExitKnown = code, err == nil && code >= 0
	if fi, err := os.Stat(path); err == nil {
		st.FinishedAt = fi.ModTime().UTC()
	}
	st.OOMKilled = r.oomKilled(rec)
	return true
}

// oomKilled reads the kernel's count of the container's cgroup and the monitor's note, and keeps what it found: the
// cgroup goes before the container.
func (r *Runtime) oomKilled(rec *record) bool {
	note := filepath.Join(r.dir(rec.ID), "persist", "oom")
	if _, err := os.Stat(note); err == nil {
		return true
	}
	if r.cgroups.oomKills(rec.cgroup()) == 0 {
		return false
	}
	if err := os.WriteFile(note, nil, 0o600); err != nil {
		r.log.Warn("OOM kill could not be noted", "container", rec.ID, "err", err)
	}
	return true
}

const lostMonitor = "the container's monitor was killed: its exit code is not known"

// lost deals with a container whose monitor is gone without an exit file: its output and its exit code are lost, so
// its processes are killed. The note keeps the time at which that was found.
func (r *Runtime) lost(ctx context.Context, rec *record, st agent.ContainerState) (agent.ContainerState, error) {
	if err := r.killCgroup(ctx, rec.cgroup()); err != nil {
		return st, fmt.Errorf("container %s lost its monitor: %w", rec.ID, err)
	}
	note := filepath.Join(r.dir(rec.ID), "lost")
	fi, err := os.Stat(note)
	if errors.Is(err, os.ErrNotExist) {
		r.log.Warn("container lost its monitor and was killed", "container", rec.ID, "task", rec.TaskArn)
		if err = os.WriteFile(note, nil, 0o600); err == nil {
			fi, err = os.Stat(note)
		}
	}
	switch {
	case err == nil:
		st.FinishedAt = fi.ModTime().UTC()
	case !errors.Is(err, os.ErrNotExist):
		return st, fmt.Errorf("container %s: %w", rec.ID, err)
	}
	st.Error, st.OOMKilled = lostMonitor, r.oomKilled(rec)
	return st, nil
}

// killCgroup kills everything in a container's cgroup and waits until it is gone. The cgroup stays.
func (r *Runtime) killCgroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		pids := r.cgroupPids(path)
		if len(pids) == 0 {
			return nil
		}
		if err := r.cgroups.kill(path, func() []int { return r.cgroupPids(path) }); err != nil {
			return fmt.Errorf("kill cgroup %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill cgroup %s: %d processes are left: %w", path, len(pids), ctx.Err())
		case <-time.After(pause):
		}
	}
}

// endMonitor waits until the monitor has written down the end of the container, or kills it.
func (r *Runtime) endMonitor(ctx context.Context, rec *record) error {
	wctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	if waitProcess(wctx, rec.MonitorPID, rec.MonitorStart) == nil {
		return nil
	}
	r.log.Warn("monitor does not end and is killed", "container", rec.ID)
	fd, err := openProcess(rec.MonitorPID, rec.MonitorStart)
	if err != nil {
		return nil //nolint:nilerr // it ended
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill monitor: %w", err)
	}
	return nil
}

// killHalfMade ends the monitor of a container whose creation was cut short, before it can make more.
func (r *Runtime) killHalfMade(ctx context.Context, rec *record) error {
	dir := r.dir(rec.ID)
	for _, pid := range r.cgroupPids(r.monitorCgroup()) {
		start, err := startTime(pid)
		if err != nil || !strings.Contains(commandLineOf(pid), "\x00"+dir+"\x00") {
			continue
		}
		if fd, err := openProcess(pid, start); err == nil {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			_ = unix.Close(fd)
		}
		wctx, cancel := context.WithTimeout(ctx, monitorWait)
		err = waitProcess(wctx, pid, start)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func commandLineOf(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(raw)
}

// waitProcess returns nil when the process is gone, or ctx's error.
func waitProcess(ctx context.Context, pid int, start uint64) error {
	fd, err := openProcess(pid, start)
	if err != nil {
		return nil //nolint:nilerr // it is gone
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

func (r *Runtime) setCreating(id string, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.creating[id] = true
	} else {
		delete(r.creating, id)
	}
}

func (r *Runtime) isCreating(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.creating[id]
}

// imagesInUse are the images of existing containers.
func (r *Runtime) imagesInUse() (map[string]bool, error) {
	entries, err := os.ReadDir(r.containersDir())
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	used := map[string]bool{}
	for _, e := range entries {
		rec, err := r.readRecord(e.Name())
		var named *agent.Error
		if errors.As(err, &named) && named.Name == nameNoContainer {
			continue
		}
		if err != nil {
			return nil, err
		}
		used[rec.ImageID] = true
	}
	return used, nil
}
