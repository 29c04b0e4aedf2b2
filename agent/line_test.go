package agent

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes, so that time can be made to pass.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lineRig is an agent and its server, joined by pipes, in a synctest bubble.
func lineRig(t *testing.T) (*control, *machine) {
	t.Helper()
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	c, m := newControlOn(t, p), newMachine()
	cfg := testConfig(t, m, t.TempDir())
	cfg.Server, cfg.Token, cfg.Dial = "https://berth.test:1", c.token(), p.dial
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, *cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Logf("agent: %v", err)
		}
	})
	synctest.Wait()
	c.assign("RUNNING", "web")
	c.await(statusRunning)
	return c, m
}

func (c *control) setDeaf(deaf bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = deaf
}

func (c *control) sessionCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}

// F12: a line that carries only one way is given up, nothing counts as done without its acknowledgement, and what was
// not acknowledged comes again.
func TestSilentServerIsLeftAndToldEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := lineRig(t)
		c.setDeaf(true)
		m.end("web", 5)
		time.Sleep(10 * time.Second) // three heartbeats of a second, and a back-off
		if n := c.sessionCount(); n < 2 || n > 6 {
			t.Errorf("%d sessions", n)
		}
		c.setDeaf(false)
		c.hangUp()
		s := c.await(statusStopped)
		if s.Containers[0].ExitCode == nil || *s.Containers[0].ExitCode != 5 {
			t.Errorf("got %+v", s)
		}
	})
}

// F03: without a server for an hour tasks run on, are restarted by their policy, and nothing is stopped when it is back.
func TestServerAwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := lineRig(t)
		c.mu.Lock()
		c.absent = true
		c.mu.Unlock()
		c.hangUp()
		before := c.sessionCount()
		time.Sleep(time.Hour)
		if m.count("signal web 15") != 0 || m.lives["web"] != 1 {
			t.Errorf("calls %v", m.calls)
		}
		c.mu.Lock()
		tries := c.refused
		c.absent = false
		clear(c.newest)
		c.mu.Unlock()
		if tries < 150 || tries > 500 {
			t.Errorf("%d tries to connect in an hour", tries)
		}
		c.await(statusRunning)
		if n := c.sessionCount(); n != before+1 || m.lives["web"] != 1 {
			t.Errorf("%d sessions, then %d; calls %v", before, n, m.calls)
		}
	})
}
