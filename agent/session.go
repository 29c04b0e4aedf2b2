package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// session keeps the agent in contact with the server. Without contact nothing is stopped and nothing is lost: states
// wait in the outbox.
type session struct {
	cfg  *Config
	id   *Identity
	node *node
	log  *slog.Logger
}

// Time limits of a session.
const (
	welcomeWait   = 15 * time.Second
	ackWait       = 30 * time.Second // an unacknowledged report ends the session: one way of the line is dead
	firstBackOff  = 200 * time.Millisecond
	longestWait   = 20 * time.Second
	steadySession = time.Minute // a session of this length resets the back-off
	missedBeats   = 3
)

// run connects again and again until ctx ends.
func (s *session) run(ctx context.Context) error {
	pause := firstBackOff
	for {
		began := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > steadySession {
			pause = firstBackOff
		}
		if errors.Is(err, errDeregistered) {
			s.id.discard()
			pause = longestWait
		}
		// Between half and all of the pause, so that many agents don't return at the same moment.
		wait := pause/2 + rand.N(pause/2)
		s.log.Warn("session ended; connecting again", "in", wait.Round(time.Millisecond), "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longestWait)
	}
}

// line is one open session.
type line struct {
	*session
	conn        *websocket.Conn
	welcome     proto.Welcome
	acks        chan uint64
	beats       chan uint64 // revision of a new assignment, for heartbeats
	definitions map[string]ecs.TaskDefinition
	revision    uint64
	balance     *balance
	named       uint64 // newest revision of the names
}

func (s *session) once(ctx context.Context) error {
	dialer := websocket.Dialer{NetDialContext: s.cfg.Dial, TLSClientConfig: s.id.TLSConfig(), HandshakeTimeout: welcomeWait}
	url := "wss" + strings.TrimPrefix(s.cfg.Server, "https") + proto.PathSession
	conn, resp, err := dialer.DialContext(ctx, url, http.Header{})
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		return err
	}
	defer conn.Close()
	conn.SetReadLimit(proto.MaxFrame)
	l := &line{session: s, conn: conn, acks: make(chan uint64, 16), beats: make(chan uint64, 16), definitions: map[string]ecs.TaskDefinition{}}
	l.balance = newBalance(s.cfg.Deps.Ingress, s.node.outbox.seq.next, func(r any) error { return l.send(proto.TypeIngressReport, r) })
	if err := l.open(ctx); err != nil {
		return err
	}
	s.log.Info("session open", "instance", l.welcome.ContainerInstanceArn)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return conn.Close() // ends the reader
	})
	g.Go(func() error { return l.read(ctx) })
	g.Go(func() error { return l.write(ctx) })
	return g.Wait()
}

// open says hello and waits to be welcomed.
func (l *line) open(ctx context.Context) error {
	hello, err := l.cfg.hello(l.conn.LocalAddr())
	if err != nil {
		return err
	}
	if err := l.send(proto.TypeHello, hello); err != nil {
		return err
	}
	if err := l.conn.SetReadDeadline(time.Now().Add(welcomeWait)); err != nil {
		return err
	}
	f, err := l.receive()
	if err != nil {
		return fmt.Errorf("wait for the welcome: %w", err)
	}
	switch f.Type {
	case proto.TypeWelcome:
	case proto.TypeClose:
		return closed(f)
	default:
		return fmt.Errorf("the server began with %q instead of a welcome", f.Type)
	}
	if err := json.Unmarshal(f.Body, &l.welcome); err != nil {
		return fmt.Errorf("read the welcome: %w", err)
	}
	if l.welcome.Heartbeat <= 0 {
		l.welcome.Heartbeat = 10 * time.Second
	}
	l.node.outbox.seq.raise(l.welcome.AckedSeq)
	if l.cfg.Welcomed != nil {
		l.cfg.Welcomed(l.welcome, l.id.TLSConfig())
	}
	l.node.welcomed(l.id)
	return ctx.Err()
}

func closed(f proto.Frame) error {
	var c proto.Close
	if err := json.Unmarshal(f.Body, &c); err != nil {
		return errors.New("the server ended the session")
	}
	if c.Deregistered {
		return fmt.Errorf("%w: %s", errDeregistered, c.Reason)
	}
	return fmt.Errorf("the server ended the session: %s", c.Reason)
}

// errDeregistered means that this machine's identity is not let in any more.
var errDeregistered = errors.New("this machine was deregistered and joins anew with its next start, given a token")

// read takes frames until the connection fails or is silent for too long.
func (l *line) read(ctx context.Context) error {
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(missedBeats * l.welcome.Heartbeat)); err != nil {
			return err
		}
		f, err := l.receive()
		if err != nil {
			return err
		}
		if err := l.handle(ctx, f); err != nil {
			return err
		}
	}
}

func (l *line) handle(ctx context.Context, f proto.Frame) error {
	switch f.Type {
	case proto.TypeAssignment:
		var a proto.Assignment
		if err := json.Unmarshal(f.Body, &a); err != nil {
			return fmt.Errorf("read an assignment: %w", err)
		}
		l.assignment(ctx, a)
	case proto.TypeReportAck:
		var a proto.ReportAck
		if err := json.Unmarshal(f.Body, &a); err != nil {
			return fmt.Errorf("read an acknowledgement: %w", err)
		}
		select {
		case l.acks <- a.Seq:
		case <-ctx.Done():
		}
	case proto.TypeNames:
		var n proto.Names
		if err := json.Unmarshal(f.Body, &n); err != nil {
			return fmt.Errorf("read the names: %w", err)
		}
		l.names(n)
	case proto.TypeIngress, proto.TypeIngressAck:
		return l.balance.take(ctx, f, l.welcome.ContainerInstanceArn)
	case proto.TypeHeartbeatAck:
	case proto.TypeClose:
		return closed(f)
	default:
		l.log.Warn("frame of unknown type ignored", "type", f.Type)
	}
	return nil
}

// names makes DNS answer the names unless newer ones were seen in this session.
func (l *line) names(n proto.Names) {
	if l.cfg.Deps.Names == nil || n.Revision < l.named {
		return
	}
	l.named = n.Revision
	if err := l.cfg.Deps.Names.SetNames(n); err != nil {
		l.log.Error("DNS goes on with the names that it had", "err", err)
	}
}

// assignment applies an assignment unless a newer one was seen in this session.
func (l *line) assignment(ctx context.Context, a proto.Assignment) {
	if a.Revision < l.revision {
		return
	}
	l.node.apply(ctx, a, l.keep(a.Definitions), l.revision == 0)
	l.revision = a.Revision
	select {
	case l.beats <- a.Revision:
	case <-ctx.Done():
	}
}

// keep adds the definitions to those of this session: the server sends each only once.
func (l *line) keep(more map[string]ecs.TaskDefinition) func(key string) *ecs.TaskDefinition {
	for key, d := range more {
		l.definitions[key] = d
	}
	return func(key string) *ecs.TaskDefinition {
		if d, ok := l.definitions[key]; ok {
			return &d
		}
		return nil
	}
}

// write sends reports, one at a time until it is acknowledged, and heartbeats.
func (l *line) write(ctx context.Context) error {
	beat := time.NewTicker(l.welcome.Heartbeat)
	defer beat.Stop()
	ack, due := time.NewTimer(ackWait), time.NewTimer(0)
	defer ack.Stop()
	defer due.Stop()
	defer l.balance.ack.Stop()
	var waiting, revision uint64
	full := true
	for {
		if waiting == 0 {
			r, ok, at := l.node.outbox.take(full, time.Now())
			if ok {
				if err := l.send(proto.TypeReport, r); err != nil {
					return err
				}
				waiting, full = r.Seq, false
				ack.Reset(ackWait)
			} else if !at.IsZero() {
				due.Reset(time.Until(at))
			}
		}
		if err := l.balance.tell(); err != nil {
			return err
		}
		select {
		case <-l.balance.reports:
		case seq := <-l.balance.acks:
			l.balance.acked(seq)
		case <-l.balance.ack.C:
			if err := l.balance.late(); err != nil {
				return err
			}
		case <-l.node.outbox.notify:
		case <-due.C:
		case seq := <-l.acks:
			l.node.outbox.acked(seq)
			if seq >= waiting {
				waiting = 0
			}
		case <-ack.C:
			if waiting != 0 {
				return fmt.Errorf("report %d was not acknowledged in %s", waiting, ackWait)
			}
		case revision = <-l.beats:
		case <-beat.C:
			if err := l.send(proto.TypeHeartbeat, proto.Heartbeat{Revision: revision, Impaired: l.node.impaired()}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send writes one frame. Only one goroutine at a time does.
func (l *line) send(kind string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(ackWait)); err != nil {
		return err
	}
	if err := l.conn.WriteJSON(proto.Frame{Type: kind, Body: text}); err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	return nil
}

func (l *line) receive() (proto.Frame, error) {
	var f proto.Frame
	kind, text, err := l.conn.ReadMessage()
	if err != nil {
		return f, err
	}
	if kind != websocket.TextMessage {
		return f, errors.New("the server sent a frame that is not text")
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read a frame: %w", err)
	}
	return f, nil
}
