package ingress

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// logQueue is how many lines may wait for the reader, as far as this socket is concerned: HAProxy's own send buffers, about a hundred lines for each of its
// threads, hold less. What does not fit is dropped, and no request waits for it.
const logQueue = "4096"

// listen opens the socket to which HAProxy writes a line for each request. An earlier agent's is replaced.
func (c Config) listen() (*net.UnixConn, error) {
	if err := os.Remove(c.path(logSocket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	fd, err := longQueue()
	if err != nil {
		c.Log.Warn("lines of HAProxy's log may be lost under load", "err", err)
		if fd, err = socket(); err != nil {
			return nil, err
		}
	}
	f := os.NewFile(uintptr(fd), logSocket)
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: c.path(logSocket)}); err != nil {
		return nil, fmt.Errorf("listen to HAProxy's log: %w", err)
	}
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("listen to HAProxy's log: %w", err)
	}
	return conn.(*net.UnixConn), os.Chmod(c.path(logSocket), 0o600)
}

func socket() (int, error) {
	return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}

// longQueue makes a socket with room for many lines. The kernel gives ten to each socket, unless the network namespace in which it is made says
// otherwise; so it is made in one of its own. Who writes to it finds it by its path, whatever the namespace.
func longQueue() (int, error) {
	type made struct {
		fd  int
		err error
	}
	out := make(chan made, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and nothing else ever runs in the namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			out <- made{-1, fmt.Errorf("make a network namespace: %w", err)}
			return
		}
		// Of the namespace of the thread that opens it.
		if err := os.WriteFile("/proc/sys/net/unix/max_dgram_qlen", []byte(logQueue), 0o644); err != nil {
			out <- made{-1, err}
			return
		}
		fd, err := socket()
		out <- made{fd, err}
	}()
	m := <-out
	return m.fd, m.err
}
