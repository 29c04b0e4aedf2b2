package portproxy

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"

	"berth/agent/vpc/names"
)

// bindAgain is how often an address of the machine's loopback that somebody else has is tried again.
const bindAgain = 30 * time.Second

// serveMachine answers Berth's names to the machine itself, over UDP and TCP, at the last address of its loopback network. All other
// names are refused: nobody can use it as a resolver. Containers need nothing of this, so trouble here ends nothing.
func (s *server) serveMachine(ctx context.Context, known *names.File) {
	if !s.cfg.Loopback.IsValid() {
		return
	}
	addr := net.JoinHostPort(names.Last(s.cfg.Loopback).String(), "53")
	for {
		err := serveNames(ctx, addr, known)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("DNS for the machine itself is not served", "address", addr, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(bindAgain):
		}
	}
}

// serveNames serves until ctx ends or one of the two sockets fails.
func serveNames(ctx context.Context, addr string, known *names.File) error {
	udp, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return err
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	defer tcp.Close()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer, _ := known.Machine().Answer(q)
		if answer == nil {
			answer = names.Refuse(q)
		}
		names.Fit(q, answer, w.LocalAddr().Network() == "udp")
		_ = w.WriteMsg(answer) // who asked may be gone
	})
	servers := []*dns.Server{
		{PacketConn: udp, Handler: handler, UDPSize: dns.DefaultMsgSize},
		{Listener: tcp, Handler: handler, IdleTimeout: func() time.Duration { return dnsIdle }, MaxTCPQueries: 128},
	}
	ended := make(chan error, len(servers))
	var work sync.WaitGroup
	for _, server := range servers {
		work.Go(func() { ended <- server.ActivateAndServe() })
	}
	defer work.Wait()
	defer udp.Close()
	defer tcp.Close()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-ended:
		return err
	}
}
