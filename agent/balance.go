package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"berth/agent/proto"
)

// balance is the part of a session that is about load balancers. The writer of the session has it, but for frame.
type balance struct {
	ingress Ingress         // nil: this machine has not the role
	acks    chan uint64     // from the reader
	seen    uint64          // newest revision of this session; the reader's
	full    bool            // the next report tells all
	waiting uint64          // report that is not acknowledged yet, or 0
	ack     *time.Timer     // when it is late
	reports <-chan struct{} // nil without the role
	next    func() uint64   // numbers reports
	send    func(any) error // sends one
}

func newBalance(i Ingress, next func() uint64, send func(any) error) *balance {
	b := &balance{ingress: i, acks: make(chan uint64, 16), full: true, next: next, send: send, ack: time.NewTimer(ackWait)}
	if i != nil {
		b.reports = i.Reports()
	}
	return b
}

// take hands a frame of the server on, unless a newer one was seen in this session.
func (b *balance) take(ctx context.Context, f proto.Frame, instance string) error {
	switch f.Type {
	case proto.TypeIngress:
		var in proto.Ingress
		if err := json.Unmarshal(f.Body, &in); err != nil {
			return fmt.Errorf("read what to balance: %w", err)
		}
		if b.ingress != nil && in.Revision >= b.seen {
			b.seen = in.Revision
			b.ingress.Apply(instance, in)
		}
	case proto.TypeIngressAck:
		var a proto.IngressAck
		if err := json.Unmarshal(f.Body, &a); err != nil {
			return fmt.Errorf("read an acknowledgement: %w", err)
		}
		select {
		case b.acks <- a.Seq:
		case <-ctx.Done():
		}
	}
	return nil
}

// tell sends the next report, unless one is not acknowledged yet.
func (b *balance) tell() error {
	if b.ingress == nil || b.waiting != 0 {
		return nil
	}
	r, ok := b.ingress.Report(b.full)
	if !ok {
		return nil
	}
	r.Seq = b.next()
	b.waiting, b.full = r.Seq, false
	b.ack.Reset(ackWait)
	return b.send(r)
}

func (b *balance) acked(seq uint64) {
	if seq >= b.waiting {
		b.waiting = 0
	}
}

// late says that a report was not acknowledged in time.
func (b *balance) late() error {
	if b.waiting == 0 {
		return nil
	}
	return fmt.Errorf("report %d of load balancers was not acknowledged in %s", b.waiting, ackWait)
}

// poster is the way of cfg's machine to the server for what is no report.
func poster(id *Identity, cfg *Config) Post {
	ask := asking(id, cfg)
	return func(ctx context.Context, path string, body any) error {
		_, err := ask(ctx, path, body)
		return err
	}
}

// asking is the same for what is answered.
func asking(id *Identity, cfg *Config) func(ctx context.Context, path string, body any) ([]byte, error) {
	client := &http.Client{
		Timeout:   requestLimit,
		Transport: &http.Transport{TLSClientConfig: id.TLSConfig(), DialContext: cfg.Dial, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
	}
	return func(ctx context.Context, path string, body any) ([]byte, error) {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		return postJSON(ctx, client, cfg.Server+path, text)
	}
}

// Refused tells whether an error of a Post is the server's word that asking again will not change.
func Refused(err error) bool {
	refused, ok := errors.AsType[*errRefused](err)
	return ok && refused.status < http.StatusInternalServerError
}
