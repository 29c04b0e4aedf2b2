package portproxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"berth/agent/vpc/names"
	"berth/agent/vpc/thread"
)

const (
	// dnsTry is how long one resolver may take before the next is asked.
	dnsTry = 2 * time.Second
	// dnsIdle ends an unused DNS connection over TCP.
	dnsIdle = 30 * time.Second
	// maxQueries bounds the queries under way at a time; further ones are dropped and asked again by their clients.
	maxQueries = 512
	// maxMessage is the size of the largest DNS message.
	maxMessage = 64 << 10
	resolvConf = "/etc/resolv.conf"
)

// dnsForwarder answers the queries of containers for Berth's names and passes the others to resolvers.
type dnsForwarder struct {
	cfg   Config
	names *names.File
	udp   net.PacketConn
	tcp   net.Listener
	slots chan struct{}
}

// listenDNS binds port 53 of the gateway inside the bridge namespace; the sockets stay there, and resolvers are
// asked from the machine's own namespace.
func listenDNS(cfg Config, known *names.File) (*dnsForwarder, error) {
	d := &dnsForwarder{cfg: cfg, names: known, slots: make(chan struct{}, maxQueries)}
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
			_, _ = d.udp.WriteTo(d.ask(ctx, query, "udp"), client)
		})
	}
}

// ask returns the answer to a query over udp or tcp: Berth's own, else the first resolver's, else SERVFAIL or REFUSED made from
// the query.
func (d *dnsForwarder) ask(ctx context.Context, query []byte, network string) []byte {
	if own := d.own(ctx, query, network); own != nil {
		return own
	}
	resolvers := d.resolvers()
	if len(resolvers) == 0 {
		return refusal(query, 5) // REFUSED
	}
	for _, r := range resolvers {
		if answer := exchange(ctx, r, query, network); answer != nil {
			return answer
		}
	}
	return refusal(query, 2) // SERVFAIL
}

// own is Berth's answer to a query, nil if it is not for Berth. A name that is an alias for one elsewhere gets the resolvers' records
// too: containers' resolvers look no alias up themselves.
func (d *dnsForwarder) own(ctx context.Context, query []byte, network string) []byte {
	q := new(dns.Msg)
	if q.Unpack(query) != nil {
		return nil // the resolvers may judge it
	}
	answer, elsewhere := d.names.Tasks().Answer(q)
	if answer == nil {
		return nil
	}
	answer.RecursionAvailable = true
	if elsewhere != "" {
		d.follow(ctx, answer, elsewhere, q.Question[0].Qtype)
	}
	names.Fit(q, answer, network == "udp")
	out, err := answer.Pack()
	if err != nil {
		return refusal(query, 2)
	}
	return out
}

// follow adds what the resolvers know of a name. What they don't answer in time is SERVFAIL.
func (d *dnsForwarder) follow(ctx context.Context, answer *dns.Msg, name string, kind uint16) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	query, err := q.Pack()
	for _, r := range d.resolvers() {
		if err != nil {
			break
		}
		reply := new(dns.Msg)
		if raw := exchange(ctx, r, query, "tcp"); raw != nil && reply.Unpack(raw) == nil {
			answer.Rcode = reply.Rcode
			answer.Answer = append(answer.Answer, reply.Answer...)
			answer.Ns = append(answer.Ns, reply.Ns...)
			return
		}
	}
	answer.Rcode = dns.RcodeServerFailure
}

// exchange asks one resolver; nil if it does not answer.
func exchange(ctx context.Context, resolver string, query []byte, network string) []byte {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, resolver)
	if err != nil {
		return nil
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// This connection frames messages on streams and not on datagrams.
	messages := &dns.Conn{Conn: conn}
	if _, err := messages.Write(query); err != nil {
		return nil
	}
	buf := make([]byte, maxMessage)
	for {
		n, err := messages.Read(buf)
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
			d.answerTCP(ctx, conn)
		})
	}
}

// answerTCP answers the queries of a connection, one after the other.
func (d *dnsForwarder) answerTCP(ctx context.Context, conn net.Conn) {
	messages, buf := &dns.Conn{Conn: conn}, make([]byte, maxMessage)
	for {
		_ = conn.SetDeadline(time.Now().Add(dnsIdle))
		n, err := messages.Read(buf)
		if err != nil || n < 12 {
			return
		}
		if _, err := messages.Write(d.ask(ctx, buf[:n], "tcp")); err != nil {
			return
		}
	}
}

// resolvers are read for every query: the file is small and changes when a laptop moves. The machine's own answers to Berth's names,
// which may stand there, are left out: what comes here is none of those.
func (d *dnsForwarder) resolvers() []string {
	if len(d.cfg.Resolvers) > 0 || d.cfg.Refuse {
		return d.cfg.Resolvers
	}
	data, err := os.ReadFile(resolvConf)
	if err != nil {
		return nil
	}
	own := ""
	if d.cfg.Loopback.IsValid() {
		own = names.Last(d.cfg.Loopback).String()
	}
	var all []string
	for line := range strings.SplitSeq(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "nameserver" && fields[1] != own {
			all = append(all, net.JoinHostPort(fields[1], "53"))
		}
	}
	return all
}
