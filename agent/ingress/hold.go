package ingress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// hold opens a connection to the runtime socket of the newest worker and keeps it: a worker that stops does not end before release, so that its last
// requests can be counted. It returns which one that is, 0 for none.
func (i *Ingress) hold(ctx context.Context) (pid int) {
	ctx, cancel := context.WithTimeout(ctx, talkWait)
	defer cancel()
	for {
		procs, err := i.master.processes(ctx)
		if err == nil && len(procs.Workers) > 0 {
			var conn net.Conn
			if pid, conn, err = i.cfg.greet(ctx); err == nil && pid == procs.Workers[0].PID {
				i.mu.Lock()
				old := i.state.held[pid]
				i.state.held[pid] = conn
				i.mu.Unlock()
				if old != nil {
					old.Close()
				}
				return pid
			}
			if err == nil { // the worker before still listens
				conn.Close()
			}
		}
		select {
		case <-ctx.Done():
			i.log.Warn("the last requests of a worker may not be counted", "err", err)
			return 0
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
	var said []byte
	for buf := make([]byte, 4096); !bytes.Contains(said, []byte("\nPid: ")) || !bytes.HasSuffix(said, []byte("\n\n> ")); {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, nil, fmt.Errorf("listen to HAProxy: %w", err)
		}
		said = append(said, buf[:n]...)
	}
	pid, err = strconv.Atoi(infoOf(string(said), "Pid"))
	return pid, conn, err
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
