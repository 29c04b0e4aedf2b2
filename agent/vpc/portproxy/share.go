package portproxy

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// balancersNet has the loopback addresses of load balancers. Those have ports of their own: a container may publish port 80 beside a load
// balancer on port 80, although one socket is for all addresses and the other for one of them.
var balancersNet = netip.MustParsePrefix("127.128.0.0/9")

// tcpListening is the state of listening sockets in /proc/net/tcp.
const tcpListening = "0A"

// listenTCP listens at a port that nobody has. Once it has it, load balancers may listen at theirs beside it.
func listenTCP(network, address string, port uint16) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if errors.Is(err, unix.EADDRINUSE) && onlyBalancers(port) {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return share(c) }}
		l, err = lc.Listen(context.Background(), network, address)
	}
	if err != nil {
		return nil, err
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = share(raw)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("share port %d: %w", port, err)
	}
	return l, nil
}

// share lets sockets of the same user that ask for it too have the port.
func share(c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, set)
}

// onlyBalancers tells whether every socket that listens at the port is a load balancer's, and there is one.
func onlyBalancers(port uint16) bool {
	found := false
	for _, path := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return false
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			at, ok := listener(s.Text())
			if !ok || at.Port() != port {
				continue
			}
			if !balancersNet.Contains(at.Addr()) {
				return false
			}
			found = true
		}
	}
	return found
}

// listener reads a line of /proc/net/tcp: numbers are hexadecimal, addresses as they lie in memory.
func listener(line string) (netip.AddrPort, bool) {
	f := strings.Fields(line)
	if len(f) < 4 || f[3] != tcpListening {
		return netip.AddrPort{}, false
	}
	address, port, _ := strings.Cut(f[1], ":")
	n, err := strconv.ParseUint(port, 16, 16)
	b, bad := hex.DecodeString(address)
	if err != nil || bad != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 { // words of a little-endian machine
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}
