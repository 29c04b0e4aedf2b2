package portproxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent/vpc/thread"
)

const (
	// dnsTry is how long one resolver may take before the next is asked.
	dnsTry = 2 * time.Second
	// dnsIdle ends an unused DNS connection over TCP.
	dnsIdle = 30 * time.Second
	// maxQueries bounds the queries under way at a time; further ones are dropped and asked again by their clients.
	maxQueries = 512
	resolvConf = "/etc/resolv.conf"
)

// dnsForwarder passes the queries of containers to resolvers. It reads of a message only its header.
type dnsForwarder struct {
	cfg   Config
	udp   net.PacketConn
	tcp   net.Listener
	slots chan struct{}
}

// listenDNS binds port 53 of the gateway inside the bridge namespace; the sockets stay there, and resolvers are
// asked from the machine's own namespace.
func listenDNS(cfg Config) (*dnsForwarder, error) {
	d := &dnsForwarder{cfg: cfg, slots: make(chan struct{}, maxQueries)}
	addr := net.JoinHostPort(cfg.DNS.String(), "53")
	ns, err := thread.Open(cfg.Namespace)
	if err != nil {
		return nil, fmt.Errorf("serve DNS: %w", err)
	}
	defer unix.Close(ns)
	err = thread.In(ns, func() (err error) {
		if d.udp, err = net.ListenPacket("udp4", addr); err != nil {
			return err
		}
		if d.tcp, err = net.Listen("tcp4", addr); err != nil {
			d.udp.Close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve DNS on %s: %w", addr, err)
	}
	return d, nil
}

func (d *dnsForwarder) serve(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	defer context.AfterFunc(ctx, func() { d.udp.Close(); d.tcp.Close() })()
	work.Go(func() { d.serveTCP(ctx, &work) })
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := d.udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return ctx.Err()
		}
		if err != nil || n < 12 {
			continue
		}
		query := append([]byte(nil), buf[:n]...)
		select {
		case d.slots <- struct{}{}:
		default:
			continue
		}
		work.Go(func() {
			defer func() { <-d.slots }()
			_, _ = d.udp.WriteTo(d.ask(ctx, query), client)
		})
	}
}

// ask returns the first resolver's answer, or SERVFAIL or REFUSED made from the query.
func (d *dnsForwarder) ask(ctx context.Context, query []byte) []byte {
	resolvers := d.resolvers()
	if len(resolvers) == 0 {
		return refusal(query, 5) // REFUSED
	}
	for _, r := range resolvers {
		if answer := exchange(ctx, r, query); answer != nil {
			return answer
		}
	}
	return refusal(query, 2) // SERVFAIL
}

func exchange(ctx context.Context, resolver string, query []byte) []byte {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", resolver)
	if err != nil {
		return nil
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(query); err != nil {
		return nil
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil
		}
		if n >= 12 && binary.BigEndian.Uint16(buf) == binary.BigEndian.Uint16(query) {
			return buf[:n]
		}
	}
}

// refusal makes the answer with a code and no records. A message of several questions or with options is cut to its header.
func refusal(query []byte, code byte) []byte {
	answer := append([]byte(nil), query[:12]...)
	answer[2] = answer[2]&0x79 | 0x80 // response; opcode and recursion desired stay
	answer[3] = 0x80 | code           // recursion available
	clear(answer[4:12])
	return answer
}

func (d *dnsForwarder) serveTCP(ctx context.Context, work *sync.WaitGroup) {
	for {
		conn, err := d.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: those in use will be freed
			continue
		}
		select {
		case d.slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		work.Go(func() {
			defer func() { <-d.slots }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			d.joinTCP(ctx, conn)
		})
	}
}

func (d *dnsForwarder) joinTCP(ctx context.Context, front net.Conn) {
	for _, r := range d.resolvers() {
		dialer := net.Dialer{Timeout: dnsTry}
		back, err := dialer.DialContext(ctx, "tcp", r)
		if err != nil {
			continue
		}
		deadline := time.Now().Add(dnsIdle)
		_ = front.SetDeadline(deadline)
		_ = back.SetDeadline(deadline)
		var answers sync.WaitGroup
		answers.Go(func() { _, _ = io.Copy(front, back); front.Close() })
		_, _ = io.Copy(back, front)
		back.Close()
		answers.Wait()
		return
	}
}

// resolvers are read for every query: the file is small and changes when a laptop moves.
func (d *dnsForwarder) resolvers() []string {
	if len(d.cfg.Resolvers) > 0 || d.cfg.Refuse {
		return d.cfg.Resolvers
	}
	data, err := os.ReadFile(resolvConf)
	if err != nil {
		return nil
	}
	var all []string
	for line := range strings.SplitSeq(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "nameserver" {
			all = append(all, net.JoinHostPort(fields[1], "53"))
		}
	}
	return all
}
