package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// haproxy is one HAProxy with a file written by hand.
type haproxy struct {
	cmd  *exec.Cmd
	dir  string
	said bytes.Buffer
}

// startHAProxy runs HAProxy below dir. It inherits the listeners from descriptor 3 on, as fd@3, fd@4 and so on in text, so that no
// port is guessed; the caller's own listeners are closed.
func startHAProxy(ctx context.Context, dir, text string, listeners ...net.Listener) (*haproxy, error) {
	program, err := findHAProxy()
	if err != nil {
		return nil, err
	}
	h := &haproxy{}
	if h.dir, err = os.MkdirTemp(dir, "haproxy-"); err != nil {
		return nil, err
	}
	file := filepath.Join(h.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", h.dir)), 0o600); err != nil {
		return nil, err
	}
	h.cmd = exec.Command(program, "-db", "-f", file)
	h.cmd.Stdout, h.cmd.Stderr = &h.said, &h.said
	// The kernel shares processors between sessions (sched_autogroup). Berth's HAProxy has one of its own, as every service has.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, l := range listeners {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		defer l.Close()
		h.cmd.ExtraFiles = append(h.cmd.ExtraFiles, f)
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	for _, l := range listeners {
		if err := answers(ctx, "http://"+l.Addr().String()+"/"); err != nil {
			return nil, errors.Join(fmt.Errorf("bare HAProxy: %w", err), h.end())
		}
	}
	return h, nil
}

func findHAProxy() (string, error) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/haproxy")
	}
	return program, err
}

func (h *haproxy) end() error {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	return os.RemoveAll(h.dir)
}

func (h *haproxy) pids() []int { return []int{h.cmd.Process.Pid} }

// haproxies are the HAProxy processes of this Berth, master and workers.
func (b *berth) haproxies() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		program, _, _ := strings.Cut(string(data), "\x00")
		if filepath.Base(program) != "haproxy" || !strings.Contains(string(data), b.dir+"/agent/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// statsSocket is the runtime socket of the newest worker.
func (b *berth) statsSocket() string { return filepath.Join(b.dir, "agent", "ingress", "stats.sock") }

// processorTime is what processes have used so far, in steps of 10 ms.
func processorTime(pids ...int) (time.Duration, error) {
	var ticks int64
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
		}
		for _, f := range fields[11:13] { // utime, stime
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// rotation reads from a runtime socket which ports get requests: those of servers that are up and neither drained nor in maintenance.
func rotation(ctx context.Context, socket string) (map[int]bool, error) {
	text, err := command(ctx, socket, "show servers state")
	if err != nil {
		return nil, err
	}
	return parseRotation(text)
}

// command gives HAProxy a command by its runtime socket.
func command(ctx context.Context, socket, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return string(text), err
}

func parseRotation(text string) (map[int]bool, error) {
	ports := map[int]bool{}
	column := map[string]int{}
	for line := range strings.Lines(text) {
		if names, ok := strings.CutPrefix(line, "# "); ok {
			for i, name := range strings.Fields(names) {
				column[name] = i
			}
			continue
		}
		f := strings.Fields(line)
		if len(column) == 0 || len(f) < len(column) {
			continue
		}
		port, err := strconv.Atoi(f[column["srv_port"]])
		if err != nil {
			return nil, fmt.Errorf("a server's port: %w", err)
		}
		// Source: HAProxy management guide, show servers state: operational state 2 is running; of the administrative state, 4 only says that the
		// server was in maintenance when HAProxy started, any other bit that it gets no requests.
		if state := f[column["srv_admin_state"]]; f[column["srv_op_state"]] == "2" && (state == "0" || state == "4") {
			ports[port] = true
		}
	}
	if len(column) == 0 {
		return nil, fmt.Errorf("not the state of servers: %q", text)
	}
	return ports, nil
}
