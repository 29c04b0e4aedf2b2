package sim

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// listener hands out the far ends of connections that were dialled.
type listener struct {
	name   string
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener(name string) *listener {
	return &listener{name: name, calls: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *listener) Addr() net.Addr { return address(l.name) }

type address string

func (a address) Network() string { return "pipe" }
func (a address) String() string  { return string(a) }

// dial connects to the listener over a cable.
func (l *listener) dial(ctx context.Context, c *cable) (net.Conn, error) {
	if c.isOut() {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: l.Addr(), Err: errUnplugged}
	}
	near, nearPlug := net.Pipe()
	farPlug, far := net.Pipe()
	select {
	case l.calls <- far:
		c.join(nearPlug, farPlug)
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errUnplugged = errors.New("the cable is out")

// cable joins a machine to the control plane. When it is pulled, what is on its way is lost and neither end is told, as
// when a machine loses power or a network splits.
type cable struct {
	mu    sync.Mutex // guards what follows
	out   bool
	lines []*line
	delay time.Duration
}

// join carries bytes between two ends until one is closed or the cable is pulled.
func (c *cable) join(a, b net.Conn) {
	c.mu.Lock()
	there, back := newLine(c.delay), newLine(c.delay)
	c.lines = append(c.lines, there, back)
	c.mu.Unlock()
	there.carry(a, b)
	back.carry(b, a)
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = true
	for _, l := range c.lines {
		l.cut()
	}
	c.lines = nil
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = false
}

// slow delays what connections made from now on carry.
func (c *cable) slow(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = d
}

func (c *cable) isOut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}

// line is one direction of a connection. It has a buffer, as a socket has: a write does not wait for the reader.
type line struct {
	delay time.Duration
	more  chan struct{}

	mu    sync.Mutex // guards what follows
	queue [][]byte
	ended bool // the sender has closed
	dead  bool
}

func newLine(delay time.Duration) *line { return &line{delay: delay, more: make(chan struct{}, 1)} }

func (l *line) carry(from, to net.Conn) {
	go func() {
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			l.put(buf[:n], err != nil)
			if err != nil {
				return
			}
		}
	}()
	go func() {
		for {
			chunk, ended, dead := l.take()
			switch {
			case dead && ended:
				return
			case len(chunk) > 0:
				time.Sleep(l.delay)
				_, _ = to.Write(chunk) // an error means that to is closed, and then from soon is
			case ended:
				_ = to.Close()
				return
			default:
				<-l.more
			}
		}
	}()
}

func (l *line) put(chunk []byte, ended bool) {
	l.mu.Lock()
	if !l.dead && len(chunk) > 0 {
		l.queue = append(l.queue, chunk)
	}
	l.ended = l.ended || ended
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *line) take() (chunk []byte, ended, dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		chunk, l.queue = l.queue[0], l.queue[1:]
	}
	return chunk, l.ended, l.dead
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead, l.queue = true, nil
}
