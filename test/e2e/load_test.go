package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The load of tests that count dropped requests: 16 clients with 40 requests a second each.
const (
	loadClients = 16
	loadPace    = 25 * time.Millisecond
)

// load is a loop of requests that goes on while something happens. Half of the clients keep their connections, the others open one
// for each request. Requests are POSTs, which no client repeats by itself.
type load struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	began  time.Time

	mu       sync.Mutex
	total    int
	failures map[string]int
}

func startLoad(t *testing.T, url string, dial func(context.Context, string, string) (net.Conn, error)) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, began: time.Now(), failures: map[string]int{}}
	t.Cleanup(func() { cancel(); l.work.Wait() })
	for i := range loadClients {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0, DialContext: dial}}
		l.work.Go(func() {
			defer client.CloseIdleConnections()
			tick := time.NewTicker(loadPace)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				err := post(client, url)
				l.mu.Lock()
				if l.total++; err != nil {
					l.failures[err.Error()]++
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func post(client *http.Client, url string) error {
	resp, err := client.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err == nil && len(body) == 0 {
		err = errors.New("an empty answer")
	}
	return err
}

// soFar is how many requests there were, and how many failed.
func (l *load) soFar() (total, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.failures {
		failed += n
	}
	return l.total, failed
}

// end stops the loop and returns how many requests there were, how many failed, and why.
func (l *load) end() (total, failed int, why string) {
	l.cancel()
	l.work.Wait()
	total, failed = l.soFar()
	return total, failed, fmt.Sprint(l.failures)
}

// haproxies are the HAProxy processes of a data directory.
func haproxies(dir string) (pids []int) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		data, err := os.ReadFile(p)
		program, _, _ := bytes.Cut(data, []byte{0})
		if err != nil || filepath.Base(string(program)) != "haproxy" || !bytes.Contains(data, []byte(dir)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
