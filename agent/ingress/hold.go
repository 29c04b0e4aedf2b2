package ingress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// hold opens a connection to the runtime socket of the newest worker and keeps it: a worker that stops does not end before release, so that its last
// requests can be counted.
func (i *Ingress) hold(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, talkWait)
	defer cancel()
	for {
		procs, err := i.master.processes(ctx)
		if err == nil && len(procs.Workers) > 0 {
			var pid int
			var conn net.Conn
			if pid, conn, err = i.cfg.greet(ctx); err == nil && pid == procs.Workers[0].PID {
				i.mu.Lock()
				old := i.state.held[pid]
				i.state.held[pid] = conn
				i.mu.Unlock()
				if old != nil {
					old.Close()
				}
				return
			}
			if err == nil { // the worker before still listens
				conn.Close()
			}
		}
		select {
		case <-ctx.Done():
			i.log.Warn("the last requests of a worker may not be counted", "err", err)
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// greet connects to the runtime socket and returns whose it is. The connection stays with that worker.
func (c Config) greet(ctx context.Context) (pid int, conn net.Conn, err error) {
	dir, err := os.Open(c.Dir)
	if err != nil {
		return 0, nil, err
	}
	defer dir.Close()
	d := net.Dialer{Timeout: talkWait}
	if conn, err = d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), statsSocket)); err != nil {
		return 0, nil, fmt.Errorf("reach HAProxy: %w", err)
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(talkWait)); err != nil {
		return 0, nil, err
	}
	// At a prompt it waits for more.
	if _, err := io.WriteString(conn, "prompt\nset timeout cli 3600\nshow info\n"); err != nil {
		return 0, nil, fmt.Errorf("tell HAProxy: %w", err)
	}
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, nil, fmt.Errorf("listen to HAProxy: %w", err)
		}
		if v, ok := strings.CutPrefix(line, "Pid: "); ok {
			pid, err = strconv.Atoi(strings.TrimSpace(v))
			return pid, conn, err
		}
	}
}

// release lets workers end: those that ok likes.
func (i *Ingress) release(ok func(pid int) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for pid, conn := range i.state.held {
		if ok(pid) {
			conn.Close()
			delete(i.state.held, pid)
		}
	}
}
