package wire

import (
	"net"
	"net/http"
	"sync"
)

// maxSilent is how many connections one address may hold open that have not yet finished a request. Loopback is not
// counted: many programs share it.
const maxSilent = 256

// connections closes what one address opens beyond its share, before it costs more than a socket.
type connections struct {
	mu     sync.Mutex
	silent map[string]int      // guarded by mu: by address
	open   map[net.Conn]string // guarded by mu: those counted in silent
}

// observe is the server's ConnState hook.
func (c *connections) observe(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !c.admit(conn) {
			_ = conn.Close() // net/http sees the end and gives up on it
		}
	case http.StateIdle, http.StateHijacked, http.StateClosed:
		c.forget(conn)
	case http.StateActive:
	}
}

func (c *connections) admit(conn net.Conn) bool {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsLoopback() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent[host] >= maxSilent {
		return false
	}
	c.silent[host]++
	c.open[conn] = host
	return true
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	host, counted := c.open[conn]
	if !counted {
		return
	}
	delete(c.open, conn)
	if c.silent[host]--; c.silent[host] == 0 {
		delete(c.silent, host)
	}
}
