package portproxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// dialTimeout is how long the container's side of a proxied connection may take to accept.
const dialTimeout = 5 * time.Second

// tcpPort is one bound TCP port. Connections that the kernel does not carry are accepted and joined with the target.
type tcpPort struct {
	listener net.Listener
	target   netip.AddrPort

	mu     sync.Mutex // guards conns and closed
	conns  map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

func (s *server) holdTCP(port uint16) (holder, error) {
	network, addr := "tcp", "[::]:"
	if !s.ipv6 {
		network, addr = "tcp4", "0.0.0.0:"
	}
	l, err := listenTCP(network, addr+strconv.Itoa(int(port)), port)
	if err != nil {
		return nil, err
	}
	p := &tcpPort{listener: l, target: netip.AddrPortFrom(s.cfg.Target, port), conns: map[net.Conn]struct{}{}}
	p.done.Go(p.serve)
	return p, nil
}

func (p *tcpPort) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if p.isClosed() {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: those in use will be freed
			continue
		}
		p.done.Go(func() { p.join(conn) })
	}
}

// track remembers a connection so that Close ends it; false means that the port is closed already.
func (p *tcpPort) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[conn] = struct{}{}
	}
	return !p.closed
}

func (p *tcpPort) forget(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *tcpPort) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// join copies both directions until both have ended; the end of one is passed on as a half close.
func (p *tcpPort) join(front net.Conn) {
	defer p.forget(front)
	if !p.track(front) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	var d net.Dialer
	back, err := d.DialContext(ctx, "tcp4", p.target.String())
	if err != nil {
		reset(front)
		return
	}
	defer p.forget(back)
	if !p.track(back) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(back.(*net.TCPConn), front.(*net.TCPConn)) })
	pass(front.(*net.TCPConn), back.(*net.TCPConn))
	both.Wait()
}

// pass copies until from ends. io.Copy between two TCP connections stays in the kernel (splice).
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	_ = to.CloseWrite()
}

// reset makes the coming Close send a reset, as a refused or broken connection would.
func reset(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		_ = t.CloseRead()
		_ = t.CloseWrite()
	}
}

// Close frees the port and ends its connections.
func (p *tcpPort) Close() error {
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.done.Wait()
	return err
}
