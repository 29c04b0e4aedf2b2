package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent"
)

// Source: the time limits of ECS's agent, specification 8.4.
const (
	createTimeout = 4 * time.Minute
	startTimeout  = 3 * time.Minute
	removeTimeout = time.Minute
)

// record is container.json in the bundle: all that must be known of a container to adopt it.
type record struct {
	Version      int       `json:"v"`
	ID           string    `json:"id"`
	TaskArn      string    `json:"task"`
	Name         string    `json:"name"`
	ImageID      string    `json:"image"`
	Runtime      string    `json:"runtime"`
	CgroupParent string    `json:"cgroup"`
	LogPath      string    `json:"log"`
	CreatedAt    time.Time `json:"createdAt"`
	Boot         string    `json:"boot"` // the kernel's boot ID; process IDs of another boot mean nothing
	// The following are set when the container has been created. A process is named by its ID and its start time.
	Created      bool   `json:"created,omitzero"`
	PID          int    `json:"pid,omitzero"`
	Start        uint64 `json:"start,omitzero"`
	MonitorPID   int    `json:"monitorPid,omitzero"`
	MonitorStart uint64 `json:"monitorStart,omitzero"`
	// StartedAt is set just before the container is told to run.
	StartedAt time.Time `json:"startedAt,omitzero"`
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (r *Runtime) dir(id string) string { return filepath.Join(r.containersDir(), id) }

func (r *Runtime) runtimeRoot(name string) string { return filepath.Join(r.runtimesDir(), name) }

func (rec *record) cgroup() string { return rec.CgroupParent + "/" + rec.ID }

func (r *Runtime) readRecord(id string) (*record, error) {
	if !idPattern.MatchString(id) {
		return nil, &agent.Error{Name: nameNoContainer, Detail: "Container not found: " + clip(id, 100)}
	}
	raw, err := os.ReadFile(filepath.Join(r.dir(id), "container.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &agent.Error{Name: nameNoContainer, Detail: "Container not found: " + id, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", id, err)
	}
	rec := &record{}
	if err := json.Unmarshal(raw, rec); err != nil {
		return nil, fmt.Errorf("container %s: container.json: %w", id, err)
	}
	rec.ID = id
	if rec.Boot != r.host.boot {
		rec.Start, rec.MonitorStart = 0, 0
	}
	return rec, nil
}

func (r *Runtime) writeRecord(rec *record) error {
	return writeJSON(filepath.Join(r.dir(rec.ID), "container.json"), rec)
}

// writeJSON replaces a file in one step.
func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Create makes the container. Creating one that exists is no error; one whose creation was cut short is made anew.
func (r *Runtime) Create(ctx context.Context, c agent.Container) error {
	if err := r.checkContainer(c); err != nil {
		return err
	}
	defer r.lock(c.ID)()
	if rec, err := r.readRecord(c.ID); err == nil && rec.Created {
		return nil
	}
	if err := r.remove(ctx, c.ID); err != nil {
		return createError("remove what was left of container %s: %w", c.ID, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, createTimeout, fmt.Errorf("could not transition to created; timed out after waiting %s", createTimeout))
	defer cancel()
	r.setCreating(c.ID, true)
	defer r.setCreating(c.ID, false)
	if err := r.create(ctx, c); err != nil {
		// What was made is removed even when the caller is gone.
		if rerr := r.remove(context.WithoutCancel(ctx), c.ID); rerr != nil {
			r.log.Warn("container that could not be created is left", "container", c.ID, "err", rerr)
		}
		return createError("%w", err)
	}
	return nil
}

func (r *Runtime) checkContainer(c agent.Container) error {
	name := orDefault(c.Runtime, r.cfg.defaultRuntime())
	switch {
	case !idPattern.MatchString(c.ID):
		return createError("container ID %q is not 1 to 64 of a-z, 0-9 and -", c.ID)
	case !filepath.IsAbs(c.LogPath):
		return createError("log path %q is not absolute", c.LogPath)
	case r.cfg.Runtimes[name] == "":
		return createError("unknown or invalid runtime name: %s", name)
	}
	if _, v1 := r.cgroups.(*cgroupV1); v1 && name == "crun" {
		return createError("runtime crun needs cgroup v2, this machine has cgroup v1")
	}
	if err := r.checkTaskCgroup(c.CgroupParent); err != nil {
		return createError("%w", err)
	}
	return nil
}

func (r *Runtime) create(ctx context.Context, c agent.Container) error {
	dir := r.dir(c.ID)
	rec := &record{
		Version: 1, ID: c.ID, TaskArn: c.TaskArn, Name: c.Name, ImageID: c.Image.ID, CgroupParent: c.CgroupParent,
		Runtime: orDefault(c.Runtime, r.cfg.defaultRuntime()), LogPath: c.LogPath, CreatedAt: time.Now().UTC(),
		Boot: r.host.boot,
	}
	for _, d := range []string{filepath.Join(dir, "persist"), filepath.Dir(c.LogPath), r.runtimeRoot(rec.Runtime)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	// The record comes first: whatever is made after it will be found.
	if err := r.writeRecord(rec); err != nil {
		return err
	}
	if err := r.images.touch(c.Image.ID); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(r.layersDir(), c.ID), filepath.Join(dir, "upper")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := r.mountRootfs(dir, c.Image.ID); err != nil {
		return err
	}
	s, err := r.spec(c, filepath.Join(dir, "rootfs"))
	if err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, "config.json"), s); err != nil {
		return err
	}
	if rec.PID, err = r.startMonitor(ctx, c, rec); err != nil {
		return err
	}
	// A process that ended already has no start time; then the exit file tells.
	rec.Start, _ = startTime(rec.PID)
	if rec.MonitorPID = readPidfile(filepath.Join(dir, "conmon.pid")); rec.MonitorPID == 0 {
		return errors.New("the monitor's process ID is not known")
	}
	rec.MonitorStart, _ = startTime(rec.MonitorPID)
	rec.Created = true
	return r.writeRecord(rec)
}

func readPidfile(path string) int {
	pids := readPids(path)
	if len(pids) != 1 {
		return 0
	}
	return pids[0]
}

// Start runs the created container's process. Starting one that runs or has ended is no error.
func (r *Runtime) Start(ctx context.Context, id string) error {
	defer r.lock(id)()
	rec, err := r.readRecord(id)
	if err != nil {
		return err
	}
	st, err := r.state(ctx, rec)
	if err != nil {
		return err
	}
	if st.Phase != agent.PhaseCreated {
		if rec.StartedAt.IsZero() {
			return &agent.Error{Name: nameCannotStart, Detail: "container ended before it was started: " + orDefault(st.Error, "its process is gone")}
		}
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("could not transition to started; timed out after waiting %s", startTimeout))
	defer cancel()
	if rec.Runtime == "runc" {
		rec.StartedAt = time.Now().UTC()
		if err := r.writeRecord(rec); err != nil {
			return startError(err)
		}
		if done, err := awaitFifo(ctx, r.fifo(rec), rec.alive); done || err != nil {
			return startError(err)
		}
	}
	if out, err := r.runtimeCommand(ctx, rec, "start", id); err != nil {
		return &agent.Error{Name: nameCannotStart, Detail: clip(strings.TrimSpace(out), 1000), Err: err}
	}
	rec.StartedAt = time.Now().UTC()
	return startError(r.writeRecord(rec))
}

func startError(err error) error {
	if err == nil {
		return nil
	}
	return &agent.Error{Name: nameCannotStart, Detail: clip(err.Error(), 1000), Err: err}
}

func (r *Runtime) fifo(rec *record) string {
	return filepath.Join(r.runtimeRoot(rec.Runtime), rec.ID, "exec.fifo")
}

// runtimeCommand runs the OCI runtime and returns what it said.
func (r *Runtime) runtimeCommand(ctx context.Context, rec *record, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.cfg.Runtimes[rec.Runtime], append([]string{"--root", r.runtimeRoot(rec.Runtime)}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it succeeded; who holds its output is no matter
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", rec.Runtime, args[0], err, clip(out.String(), 500))
	}
	return out.String(), err
}

// Signal sends a signal to the container's first process or to all. A container that has ended takes no signal,
// and that is no error.
func (r *Runtime) Signal(ctx context.Context, id string, signal int, all bool) error {
	rec, err := r.readRecord(id)
	if err != nil {
		return err
	}
	st, err := r.state(ctx, rec)
	if err != nil || st.Phase == agent.PhaseExited {
		return err
	}
	if all {
		for _, pid := range r.cgroupPids(rec.cgroup()) {
			_ = unix.Kill(pid, unix.Signal(signal))
		}
		return nil
	}
	fd, err := openProcess(rec.PID, rec.Start)
	if err != nil {
		return nil //nolint:nilerr // it ended
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.Signal(signal), nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal container %s: %w", id, err)
	}
	return nil
}

// openProcess opens the process with this ID and start time.
func openProcess(pid int, start uint64) (int, error) {
	if pid <= 0 || start == 0 {
		return -1, os.ErrProcessDone
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return -1, err
	}
	// Asked after opening: from here on the descriptor cannot come to mean another process.
	if now, err := startTime(pid); err != nil || now != start {
		_ = unix.Close(fd)
		return -1, os.ErrProcessDone
	}
	return fd, nil
}
