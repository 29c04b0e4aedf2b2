package portproxy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// callTimeout bounds one request to the process; binding a range of thousands of ports stays far below it.
const callTimeout = 20 * time.Second

// readyEnv names the descriptor on which a new process reports that it serves.
const readyEnv = "BERTH_PORT_PROXY_READY_FD"

// Client speaks to the process of one directory. It holds no connection and may be used by many goroutines.
type Client struct{ dir string }

// NewClient returns a client of the process in dir, which need not run yet.
func NewClient(dir string) *Client { return &Client{dir: dir} }

// dial connects by way of a descriptor of the directory: socket paths may have 107 bytes only.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	dir, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketFile))
}

func (c *Client) call(ctx context.Context, req request) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return response{}, fmt.Errorf("reach port proxy: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var resp response
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return resp, fmt.Errorf("ask port proxy: %w", err)
	}
	if err := json.NewDecoder(bufio.NewReader(conn)).Decode(&resp); err != nil {
		return resp, fmt.Errorf("ask port proxy: %w", err)
	}
	if resp.Conflict != nil {
		return resp, resp.Conflict
	}
	if resp.Error != "" {
		return resp, fmt.Errorf("port proxy: %s", resp.Error)
	}
	return resp, nil
}

// Hello asks the process who it is.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	resp, err := c.call(ctx, request{Op: "hello"})
	if err != nil {
		return Hello{}, err
	}
	if resp.Hello == nil {
		return Hello{}, errors.New("port proxy: answer to hello is empty")
	}
	return *resp.Hello, nil
}

// Open binds ports for an owner and returns them with every host port chosen. It binds all or none; a port in use is
// a *ConflictError. An owner that already holds ports gets those.
func (c *Client) Open(ctx context.Context, owner string, ports []Port) ([]Port, error) {
	resp, err := c.call(ctx, request{Op: "open", Owner: owner, Ports: ports})
	return resp.Ports, err
}

// Close frees all ports of an owner and ends their connections.
func (c *Client) Close(ctx context.Context, owner string) error {
	_, err := c.call(ctx, request{Op: "close", Owner: owner})
	return err
}

// Owners lists who holds ports.
func (c *Client) Owners(ctx context.Context) ([]string, error) {
	resp, err := c.call(ctx, request{Op: "owners"})
	return resp.Owners, err
}

// Wait returns when the process has ended or ctx is done.
func (c *Client) Wait(ctx context.Context) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil //nolint:nilerr // nobody there: it has ended
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, _ = conn.Read(make([]byte, 1))
	return ctx.Err()
}

// Start runs the process by command, which gets "--dir DIR" added, in the calling thread's network namespace, and
// returns when it serves. The process is a session of its own and survives its starter.
func (c *Client) Start(ctx context.Context, command []string) error {
	log, err := os.OpenFile(filepath.Join(c.dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("start port proxy: %w", err)
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start port proxy: %w", err)
	}
	defer r.Close()
	args := append(append([]string{}, command[1:]...), "--dir", c.dir)
	cmd := exec.Command(command[0], args...)
	cmd.Env = []string{readyEnv + "=3"} // nothing of the agent's environment, which may have keys
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("start port proxy: %w", err)
	}
	go cmd.Wait() //nolint:errcheck // reaps the process if it ends before its starter; both outlive this call
	defer context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Now()) })()
	if n, _ := r.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said, _ := os.ReadFile(filepath.Join(c.dir, logFile))
	return fmt.Errorf("start port proxy: it ended at once: %s", strings.TrimSpace(string(said)))
}

// stopTimeout is how long a process may take to end before it is killed.
const stopTimeout = 3 * time.Second

// Stop ends the process, if there is one, and returns when it is gone.
func (c *Client) Stop(ctx context.Context) error {
	pidfd, err := c.process()
	if err != nil || pidfd < 0 {
		return err
	}
	defer unix.Close(pidfd)
	_, _ = c.call(ctx, request{Op: "stop"}) // one that does not answer is killed below
	for started, killed := time.Now(), false; ; {
		if gone(pidfd) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop port proxy: %w", ctx.Err())
		}
		if !killed && time.Since(started) > stopTimeout {
			killed = true
			if err := unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill port proxy: %w", err)
			}
		}
	}
}

// gone waits a moment for a process to end.
func gone(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 20)
	return err == nil && n > 0
}

// process opens the process that the lock file names, or returns -1 when it has ended. The command line is compared,
// because the number may be another process's by now.
func (c *Client) process() (pidfd int, err error) {
	data, err := os.ReadFile(filepath.Join(c.dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("find port proxy: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return -1, nil //nolint:nilerr // it died before it wrote its number
	}
	pidfd, err = unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("find port proxy: %w", err)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(cmdline), "--dir\x00"+c.dir+"\x00") {
		unix.Close(pidfd)
		return -1, nil //nolint:nilerr // ended meanwhile, or somebody else
	}
	return pidfd, nil
}
