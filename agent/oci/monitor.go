package oci

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/aws"
)

// spawner starts monitors in their own cgroup. On cgroup v1 moving a process costs a grace period of the kernel,
// some 20 ms, so one thread lives in that cgroup and every monitor is its child; on v2 the kernel starts the child
// in the cgroup.
type spawner struct {
	work chan func()
	done chan struct{}
	once sync.Once
	dir  *os.File // cgroup v2 directory, or nil
}

func newSpawner(cg cgroupDriver, path string) (*spawner, error) {
	group, err := cg.monitor(path)
	if err != nil {
		return nil, fmt.Errorf("cgroup of monitors: %w", err)
	}
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	if group.dir != "" {
		if s.dir, err = os.Open(group.dir); err != nil {
			return nil, fmt.Errorf("cgroup of monitors: %w", err)
		}
	}
	ready := make(chan error)
	go s.run(group, ready)
	if err := <-ready; err != nil {
		<-s.done
		return nil, fmt.Errorf("cgroup of monitors: %w", err)
	}
	return s, nil
}

// run is the thread that starts monitors.
func (s *spawner) run(group monitorGroup, ready chan<- error) {
	defer close(s.done)
	// Never unlocked: the thread ends with this function. The process's first thread would only go to sleep, and
	// keep the group busy, so it goes back to where it was.
	runtime.LockOSThread()
	if err := writeThread(group.enter); err != nil {
		ready <- errors.Join(err, writeThread(group.leave))
		return
	}
	ready <- nil
	for f := range s.work {
		f()
	}
	_ = writeThread(group.leave)
}

func writeThread(files []string) error {
	tid := []byte(strconv.Itoa(unix.Gettid()))
	for _, f := range files {
		if err := os.WriteFile(f, tid, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *spawner) close() {
	s.once.Do(func() {
		close(s.work)
		<-s.done
		if s.dir != nil {
			_ = s.dir.Close()
		}
	})
}

func (s *spawner) start(cmd *exec.Cmd) error {
	// A session of its own: what is sent to the agent's process group does not reach the monitor.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.dir != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(s.dir.Fd())
	}
	result := make(chan error)
	s.work <- func() { result <- cmd.Start() }
	return <-result
}

// syncMessage is what conmon writes when the OCI runtime has created the container, or could not.
type syncMessage struct {
	Data    int    `json:"data"` // process ID, or negative
	Message string `json:"message"`
}

// startMonitor runs conmon, which has the OCI runtime create the container, and returns the container's process ID.
func (r *Runtime) startMonitor(ctx context.Context, c agent.Container, rec *record) (pid int, err error) {
	dir := r.dir(c.ID)
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer read.Close()
	diary, err := os.OpenFile(filepath.Join(dir, "conmon.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		_ = write.Close()
		return 0, err
	}
	defer diary.Close()
	cmd := exec.Command(r.cfg.Conmon, r.monitorArgs(c, rec, dir)...)
	cmd.Env = []string{"PATH=" + defaultPath, "_OCI_SYNCPIPE=3"}
	cmd.ExtraFiles = []*os.File{write}
	cmd.Stdout, cmd.Stderr = diary, diary
	cmd.Dir = dir
	err = r.spawn.start(cmd)
	_ = write.Close()
	if err != nil {
		return 0, fmt.Errorf("start monitor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = read.SetReadDeadline(time.Now()) })
	defer stop()
	line, readErr := bufio.NewReader(io.LimitReader(read, 1<<20)).ReadBytes('\n')
	// The first conmon process forks the one that stays, and ends.
	waitErr := cmd.Wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	var m syncMessage
	if err := json.Unmarshal(line, &m); err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "conmon.log"))
		return 0, fmt.Errorf("monitor ended early: %s: %w", clip(string(said), 500), errors.Join(readErr, waitErr))
	}
	if m.Data <= 0 {
		return 0, &agent.Error{Name: nameCannotStart, Detail: runtimeDetail(m.Message, filepath.Join(dir, "runtime.log"))}
	}
	return m.Data, nil
}

func (r *Runtime) monitorArgs(c agent.Container, rec *record, dir string) []string {
	args := []string{
		"--api-version", "1", "-c", c.ID, "-u", c.ID, "-n", c.ID,
		"-r", r.cfg.Runtimes[rec.Runtime], "-b", dir,
		"-p", filepath.Join(dir, "pidfile"), "-P", filepath.Join(dir, "conmon.pid"),
		"-l", logDriver(c.LogPath), "--no-sync-log", "--log-level", "warning",
		"--exit-dir", r.exitsDir(), "--persist-dir", filepath.Join(dir, "persist"), "--full-attach",
	}
	for _, a := range []string{"--root", r.runtimeRoot(rec.Runtime), "--log", filepath.Join(dir, "runtime.log"), "--log-format", "json"} {
		args = append(args, "--runtime-arg", a)
	}
	if c.LogMaxBytes > 0 {
		args = append(args, "--log-size-max", strconv.FormatInt(c.LogMaxBytes, 10))
	}
	if aws.Value(c.Definition.PseudoTerminal) {
		args = append(args, "-t")
	}
	if aws.Value(c.Definition.Interactive) {
		args = append(args, "-i", "--leave-stdin-open")
	}
	return args
}

func logDriver(path string) string {
	if path == os.DevNull {
		return "none"
	}
	return "k8s-file:" + path
}

// runtimeDetail is the OCI runtime's own text: the last error of its log, or what conmon heard.
func runtimeDetail(heard, logFile string) string {
	detail := heard
	raw, _ := os.ReadFile(logFile)
	for line := range strings.Lines(string(raw)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && (entry.Level == "error" || entry.Level == "fatal") {
			detail = entry.Msg
		}
	}
	return clip("OCI runtime create failed: "+strings.TrimSpace(detail), 1000)
}

// awaitFifo lets a created container run: runc's init waits in opening this FIFO for writing. Reading it here is
// what `runc start` does, without the cost of another process. It reports false when there is no FIFO.
func awaitFifo(ctx context.Context, path string, alive func() bool) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	for b := make([]byte, 16); ; {
		if err := f.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return false, err
		}
		n, err := f.Read(b)
		switch {
		case n > 0:
			return true, os.Remove(path)
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return false, fmt.Errorf("read %s: %w", path, err)
		case !alive():
			return false, errors.New("container's process ended before it was started")
		}
	}
}
