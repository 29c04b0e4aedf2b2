package portproxy

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// udpIdle is how long a flow without packets is remembered, as the kernel's conntrack does for streams.
	udpIdle = 120 * time.Second
	// maxFlows bounds the clients of one port that are remembered at a time; further ones are dropped.
	maxFlows = 4096
	// maxDatagram is the largest UDP payload.
	maxDatagram = 65507
)

// udpPort is one bound UDP port. Each client has a flow: a socket of its own towards the target.
type udpPort struct {
	conn   *net.UDPConn
	target netip.AddrPort
	ipv6   bool

	mu     sync.Mutex // guards flows and closed
	flows  map[netip.AddrPort]*net.UDPConn
	closed bool
	done   sync.WaitGroup
}

func (s *server) holdUDP(port uint16) (holder, error) {
	network, addr := "udp", "[::]:"
	if !s.ipv6 {
		network, addr = "udp4", "0.0.0.0:"
	}
	a, err := net.ResolveUDPAddr(network, addr+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP(network, a)
	if err != nil {
		return nil, err
	}
	p := &udpPort{
		conn: conn, ipv6: s.ipv6, target: netip.AddrPortFrom(s.cfg.Target, port),
		flows: map[netip.AddrPort]*net.UDPConn{},
	}
	if err := p.askForDestination(); err != nil {
		conn.Close()
		return nil, err
	}
	p.done.Go(p.serve)
	return p, nil
}

// askForDestination makes the kernel say to which local address a packet was sent: replies must come from there.
func (p *udpPort) askForDestination() error {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if p.ipv6 {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err != nil {
		return err
	}
	return set
}

func (p *udpPort) serve() {
	buf, oob := make([]byte, maxDatagram), make([]byte, 128)
	for {
		n, oobn, _, client, err := p.conn.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if p.isClosed() {
				return
			}
			continue // an ICMP error of an earlier reply
		}
		flow := p.flow(client, replySource(oob[:oobn]))
		if flow != nil {
			_, _ = flow.Write(buf[:n])
		}
	}
}

// flow returns the client's socket towards the target and makes it at the first packet. from is the control message
// that makes replies leave from the address which the client knows.
func (p *udpPort) flow(client netip.AddrPort, from []byte) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.flows[client]; ok {
		_ = f.SetReadDeadline(time.Now().Add(udpIdle))
		return f
	}
	if p.closed || len(p.flows) >= maxFlows {
		return nil
	}
	f, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(p.target))
	if err != nil {
		return nil
	}
	_ = f.SetReadDeadline(time.Now().Add(udpIdle))
	p.flows[client] = f
	p.done.Go(func() { p.replies(client, f, from) })
	return f
}

func (p *udpPort) replies(client netip.AddrPort, f *net.UDPConn, from []byte) {
	defer func() {
		f.Close()
		p.mu.Lock()
		delete(p.flows, client)
		p.mu.Unlock()
	}()
	buf := make([]byte, maxDatagram)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return // idle, closed, or nobody listens in the container
		}
		_ = f.SetReadDeadline(time.Now().Add(udpIdle))
		if _, _, err := p.conn.WriteMsgUDPAddrPort(buf[:n], from, client); err != nil {
			return
		}
	}
}

func (p *udpPort) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Close frees the port and ends its flows.
func (p *udpPort) Close() error {
	p.mu.Lock()
	p.closed = true
	for _, f := range p.flows {
		f.Close()
	}
	p.mu.Unlock()
	err := p.conn.Close()
	p.done.Wait()
	return err
}

// replySource turns the received packet-info message into the one to send with a reply: same address, and the
// interface only where the address needs it (link-local).
func replySource(oob []byte) []byte {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			var info unix.Inet6Pktinfo
			copy(info.Addr[:], m.Data[:16])
			if a := netip.AddrFrom16(info.Addr); a.IsLinkLocalUnicast() && !a.Is4In6() {
				info.Ifindex = binary.NativeEndian.Uint32(m.Data[16:20])
			}
			return unix.PktInfo6(&info)
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			var info unix.Inet4Pktinfo
			copy(info.Spec_dst[:], m.Data[8:12]) // in_pktinfo: ifindex, spec_dst, addr: the packet's destination
			return unix.PktInfo4(&info)
		}
	}
	return nil
}
