package ingress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the files of a Config.Dir that processes share.
const (
	masterSocket = "master.sock"
	statsSocket  = "stats.sock"
	logSocket    = "log.sock"
	pidFile      = "haproxy.pid"
	configFile   = "haproxy.cfg"
	outputFile   = "haproxy.log"
	keptSocket   = "kept.sock"
)

// Time limits of HAProxy.
const (
	startWait = 20 * time.Second // from fork to a worker that serves
	stopWait  = 5 * time.Second
	checkWait = 30 * time.Second // of a new file
)

// process is HAProxy's master. It is a session of its own and outlives the agent.
type process struct {
	pid   int
	pidfd int
}

// find returns the master that an earlier agent left in the directory, or nil. Its command line is compared, because the number may be
// another process's by now.
func (c Config) find() (*process, error) {
	pid, err := c.number()
	if pid == 0 || err != nil {
		return nil, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find HAProxy: %w", err)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	p := &process{pid, pidfd}
	if err != nil || !strings.Contains(string(cmdline), "\x00"+c.path(configFile)+"\x00") || p.gone(0) {
		p.close()
		return nil, nil //nolint:nilerr // ended meanwhile, or somebody else
	}
	return p, nil
}

// number of the process that is or was the master; 0: there is none.
func (c Config) number() (int, error) {
	data, err := os.ReadFile(c.path(pidFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, nil //nolint:nilerr // it died before it wrote its number
	}
	return pid, nil
}

// start runs HAProxy with the file that is there, in the calling process's network namespace. It takes its listeners from a socket, if one is given.
func (c Config) start(listeners string) (*process, error) {
	out, err := os.OpenFile(c.path(outputFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	for _, name := range []string{masterSocket, pidFile} {
		if err := os.Remove(c.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	args := []string{"-W", "-S", c.path(masterSocket) + ",mode,600,level,admin", "-p", c.path(pidFile)}
	if listeners != "" {
		args = append(args, "-x", listeners)
	}
	cmd := exec.Command(c.Program, append(args, "-f", c.path(configFile), "--")...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"} // nothing of the agent's environment, which may have keys
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pidfd := -1
	cmd.SysProcAttr.PidFD = &pidfd
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start HAProxy: %w", err)
	}
	pid := cmd.Process.Pid
	go cmd.Wait() //nolint:errcheck // reaps the process if it ends before its starter
	if pidfd < 0 {
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			return nil, fmt.Errorf("start HAProxy: %w", err)
		}
	}
	return &process{pid, pidfd}, nil
}

// check lets HAProxy read a file without running it. The error has what it says of the file.
func (c Config) check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Program, "-c", "-q", "-f", path)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("HAProxy refuses the configuration: %s (%w)", complaint(string(out)), err)
}

// complaint is the first alert of what HAProxy printed, without its stamp.
func complaint(out string) string {
	for line := range strings.Lines(out) {
		if _, text, ok := strings.Cut(line, "[ALERT]"); ok {
			if _, after, ok := strings.Cut(text, " : "); ok {
				text = after
			}
			if _, after, ok := strings.Cut(text, "main()] "); ok {
				text = after
			}
			return strings.TrimSpace(text)
		}
	}
	return strings.TrimSpace(out)
}

// gone waits up to so many milliseconds for the master to end.
func (p *process) gone(ms int) bool { return ended(p.pidfd, ms) }

// ended is closed when the master has ended or ctx is done.
func (p *process) ended(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	fd, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer unix.Close(fd)
		for ctx.Err() == nil {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 500)
			if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return done
}

// stop ends the master with its workers and all connections.
func (p *process) stop(c Config) error {
	defer p.close()
	return family{p.pid, c.path(configFile)}.stop()
}

func (p *process) signal(s unix.Signal) error { return signal(p.pidfd, s) }

func (p *process) close() { unix.Close(p.pidfd) }

// lastAlert is the last thing that HAProxy gave as a reason to end.
func lastAlert(out string) string {
	last := ""
	for line := range strings.Lines(out) {
		if text := complaint(line); strings.Contains(line, "[ALERT]") && !strings.Contains(text, "All workers exited") {
			last = text
		}
	}
	return last
}
