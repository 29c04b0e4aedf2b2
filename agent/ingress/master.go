package ingress

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// talkWait bounds one conversation with HAProxy.
const talkWait = 5 * time.Second

// master speaks to HAProxy's master socket, by way of which every worker is reached, also those that only serve their last connections.
type master struct{ dir string }

// worker is one HAProxy process that carries traffic.
type worker struct {
	PID int
	Old bool // it takes no new connections
}

// processes is what "show proc" says.
type processes struct {
	Master  int
	Reloads int
	Failed  int // reloads that failed since the last one that did not
	Workers []worker
}

// talk sends lines and returns all that is answered.
func (m master) talk(ctx context.Context, lines ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, talkWait)
	defer cancel()
	// By way of a descriptor of the directory: socket paths may have 107 bytes only.
	dir, err := os.Open(m.dir)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), masterSocket))
	if err != nil {
		return "", fmt.Errorf("reach HAProxy: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, strings.Join(lines, "\n")+"\n"); err != nil {
		return "", fmt.Errorf("tell HAProxy: %w", err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", fmt.Errorf("tell HAProxy: %w", err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("listen to HAProxy: %w", err)
	}
	return string(text), nil
}

// processes lists the workers, the one that takes new connections first.
func (m master) processes(ctx context.Context) (processes, error) {
	text, err := m.talk(ctx, "show proc")
	if err != nil {
		return processes{}, err
	}
	return parseProcesses(text)
}

func parseProcesses(text string) (processes, error) {
	var p processes
	old := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if strings.HasPrefix(line, "# old workers") {
			old = true
		}
		if len(f) < 3 || strings.HasPrefix(line, "#") {
			continue
		}
		pid, err := strconv.Atoi(f[0])
		if err != nil {
			return p, fmt.Errorf("HAProxy lists its processes in a way that is not known: %q", line)
		}
		switch f[1] {
		case "master":
			p.Master = pid
			p.Reloads, _ = strconv.Atoi(f[2])
			if len(f) > 4 {
				p.Failed, _ = strconv.Atoi(strings.TrimSuffix(f[4], "]"))
			}
		case "worker":
			p.Workers = append(p.Workers, worker{PID: pid, Old: old})
		}
	}
	if p.Master == 0 {
		return p, fmt.Errorf("HAProxy lists no master: %q", text)
	}
	return p, nil
}

// tell gives commands to one worker, in one conversation, and returns the answers.
func (m master) tell(ctx context.Context, w worker, commands ...string) (string, error) {
	return m.talk(ctx, append([]string{"@!" + strconv.Itoa(w.PID)}, commands...)...)
}
