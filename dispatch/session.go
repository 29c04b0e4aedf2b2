package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs"
	"berth/store"
)

// Limits of one session.
const (
	helloWait    = 10 * time.Second
	writeWait    = 20 * time.Second
	framesEvery  = 10 * time.Millisecond // one agent's frames, on average; more wait
	framesBurst  = 500
	reportChunk  = 40 // tasks that are written in one transaction: an external etcd takes few operations
	strayTasks   = 10_000
	closedPolicy = websocket.ClosePolicyViolation
)

// errEnded ends a session that did nothing wrong.
var errEnded = errors.New("session ended")

// session is one agent's connection.
type session struct {
	server   *Server
	conn     *websocket.Conn
	log      *slog.Logger
	id       string
	instance string // key of the container instance
	machine  string
	out      chan proto.Frame // frames for the writer
	changed  chan struct{}    // the assignment
	ending   chan string      // why the server ends it
	done     chan struct{}

	// Of load balancing.
	instanceARN string
	place       string        // account/region whose load balancers the machine carries; empty if it carries none
	rebalanced  chan struct{} // what to balance has changed
	namesPlace  string        // account/region, if the machine answers DNS
	renamed     chan struct{} // what DNS answers has changed

	// The reader's own.
	heard      time.Time // when the last frame came
	seq        uint64    // of the newest report that was applied
	ingressSeq uint64    // likewise, of load balancing

	// The writer's own: what was sent.
	revision uint64
	balanced uint64          // revision of the ingress
	named    uint64          // revision of the names
	sent     map[string]bool // keys of definitions
	last     []proto.Task

	mu     sync.Mutex // guards the fields below
	strays map[string]bool
	steps  map[string][]proto.Step
}

var upgrader = websocket.Upgrader{
	HandshakeTimeout: helloWait, ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
	CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
}

// session runs one session to its end.
func (s *Server) session(ctx context.Context, w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	s.open.Add(1)
	defer s.open.Done()
	defer conn.Close()
	// A session does not outlive its certificate; a renewed one begins another.
	ctx, cancel := context.WithDeadline(ctx, r.TLS.PeerCertificates[0].NotAfter)
	defer cancel()
	conn.SetReadLimit(maxHello)
	one := &session{
		server: s, conn: conn, id: aws.NewUUID(), machine: who.ID, log: s.Log.With("machine", who.ID),
		out: make(chan proto.Frame, 16), changed: make(chan struct{}, 1), rebalanced: make(chan struct{}, 1), renamed: make(chan struct{}, 1),
		ending: make(chan string, 1), done: make(chan struct{}),
		sent: map[string]bool{}, strays: map[string]bool{}, steps: map[string][]proto.Step{},
	}
	instance, err := one.begin(ctx, who)
	if err != nil {
		one.refuse(err)
		return
	}
	conn.SetReadLimit(proto.MaxFrame)
	one.instanceARN = instance.ARN().String()
	one.instance, one.log = instance.Key(), s.Log.With("instance", instance.ID)
	s.enter(one)
	defer close(one.done)
	one.heard = time.Now()
	one.log.Info("agent connected")
	err = one.run(ctx, instance)
	last := s.leave(one)
	if ctx.Err() != nil {
		return // the server ends; the machine will be back before anyone misses it
	}
	one.log.Info("agent's session ended", "err", err)
	if last {
		one.missed(ctx)
	}
}

// begin reads the hello and makes the machine's instance known.
func (one *session) begin(ctx context.Context, who ecs.Machine) (ecs.ContainerInstance, error) {
	_ = one.conn.SetReadDeadline(time.Now().Add(helloWait))
	f, err := one.receive()
	if errors.Is(err, errFrame) {
		return ecs.ContainerInstance{}, aws.Errorf("SerializationException", "%s", err.Error())
	}
	if err != nil {
		return ecs.ContainerInstance{}, fmt.Errorf("wait for the hello: %w", err)
	}
	if f.hello == nil {
		return ecs.ContainerInstance{}, aws.Errorf("InvalidParameterException", "The first frame is not a hello.")
	}
	if f.hello.ProtocolVersion != proto.Version {
		return ecs.ContainerInstance{}, aws.Errorf("InvalidParameterException",
			"The agent speaks version %d of the protocol, this server version %d.", f.hello.ProtocolVersion, proto.Version)
	}
	if one.seq, err = one.server.takeSession(ctx, who, one.id); err != nil {
		return ecs.ContainerInstance{}, err
	}
	if f.hello.Ingress {
		one.place = who.Account + "/" + who.Region
	}
	if f.hello.Names {
		one.namesPlace = who.Account + "/" + who.Region
	}
	return one.server.ECS.Connect(ctx, who, one.id, *f.hello)
}

// refuse tells the agent why there is no session.
func (one *session) refuse(err error) {
	out := proto.Close{Reason: "internal error"}
	if shown, ok := errors.AsType[*aws.Error](err); ok {
		out = proto.Close{Reason: shown.Code + ": " + shown.Message, Deregistered: shown.Code == ecs.CodeInactiveInstance}
		one.log.Warn("an agent was refused", "err", err)
	} else {
		one.log.Error("an agent's session could not begin", "err", err)
	}
	_ = one.send(frame(proto.TypeClose, out))
	_ = one.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(closedPolicy, "refused"), time.Now().Add(writeWait))
}

// run serves the session until it fails or is ended.
func (one *session) run(ctx context.Context, instance ecs.ContainerInstance) error {
	welcome := proto.Welcome{
		ContainerInstanceArn: instance.ARN().String(), Heartbeat: one.server.Heartbeat, AckedSeq: one.seq,
	}
	if one.server.RegistryHost != nil {
		welcome.Registry = one.server.RegistryHost()
	}
	if err := one.send(frame(proto.TypeWelcome, welcome)); err != nil {
		return err
	}
	one.wake()
	if one.place != "" {
		poke(one.rebalanced)
	}
	if one.namesPlace != "" {
		poke(one.renamed)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return one.read(ctx) })
	g.Go(func() error { return one.write(ctx) })
	g.Go(func() error { <-ctx.Done(); return one.conn.Close() }) // unblocks read
	return g.Wait()
}

// missed makes the machine disconnected once three heartbeats are missing, unless another session has followed.
func (one *session) missed(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(time.Until(one.heard.Add(missedBeats * one.server.Heartbeat))):
	}
	if err := one.server.ECS.Disconnect(ctx, one.instance, one.id); err != nil && ctx.Err() == nil {
		one.log.Error("the machine was not marked disconnected", "err", err)
	}
}

// end makes the session end for a reason of the server's. It never waits.
func (one *session) end(reason string) {
	select {
	case one.ending <- reason:
	default:
	}
}

// wake makes the writer look at the assignment again.
func (one *session) wake() { poke(one.changed) }

// poke wakes who waits on c, now or when it comes to wait. It never waits.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// read takes frames until the connection fails or is silent for three heartbeats.
func (one *session) read(ctx context.Context) error {
	pace := rate.NewLimiter(rate.Every(framesEvery), framesBurst)
	for {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		one.heard = time.Now()
		_ = one.conn.SetReadDeadline(one.heard.Add(missedBeats * one.server.Heartbeat))
		f, err := one.receive()
		if err != nil {
			return err
		}
		if err := one.handle(ctx, f); err != nil {
			return err
		}
	}
}

func (one *session) handle(ctx context.Context, f inbound) error {
	switch {
	case f.heartbeat != nil:
		ok, err := one.server.ECS.Seen(ctx, one.instance, one.id, f.heartbeat.Impaired)
		if err != nil {
			one.log.Warn("a heartbeat was not noted", "err", err) // the session itself is alive
		} else if !ok {
			return fmt.Errorf("%w: the instance has another session or was deregistered", errEnded)
		}
		return one.queue(ctx, frame(proto.TypeHeartbeatAck, struct{}{}))
	case f.report != nil:
		if err := one.apply(ctx, *f.report); err != nil {
			return fmt.Errorf("apply report %d: %w", f.report.Seq, err)
		}
		return one.queue(ctx, frame(proto.TypeReportAck, proto.ReportAck{Seq: f.report.Seq}))
	case f.ingress != nil:
		if err := one.applyIngress(ctx, *f.ingress); err != nil {
			return fmt.Errorf("apply ingress report %d: %w", f.ingress.Seq, err)
		}
		return one.queue(ctx, frame(proto.TypeIngressAck, proto.IngressAck{Seq: f.ingress.Seq}))
	case f.close != nil:
		return fmt.Errorf("%w by the agent: %s", errEnded, clip(f.close.Reason))
	default:
		return fmt.Errorf("%w: a second hello", errFrame)
	}
}

func (one *session) queue(ctx context.Context, f proto.Frame) error {
	select {
	case one.out <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply writes a report into the store. A report that was applied already only gets its acknowledgement again.
func (one *session) apply(ctx context.Context, r proto.Report) error {
	if r.Seq <= one.seq {
		return nil
	}
	for tasks := r.Tasks; ; {
		n := min(len(tasks), reportChunk)
		last := n == len(tasks)
		if err := one.applyChunk(ctx, tasks[:n], r.Seq, last); err != nil {
			return err
		}
		if tasks = tasks[n:]; last {
			break
		}
	}
	one.seq = r.Seq
	return nil
}

// applyChunk writes tasks' states, in one transaction with the check that the session is still the machine's. last
// notes that the whole report has been applied.
func (one *session) applyChunk(ctx context.Context, tasks []proto.TaskStatus, seq uint64, last bool) error {
	now := time.Now()
	var refused map[string]error
	err := one.server.Store.Update(ctx, func(tx *store.Tx) error {
		refused = map[string]error{}
		m, err := holds(tx, one.machine, one.id)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			switch err := ecs.ApplyReport(tx, one.instance, t, now); {
			case errors.Is(err, ecs.ErrUnknownTask), errors.Is(err, ecs.ErrForeignTask), errors.Is(err, ecs.ErrBadReport):
				refused[t.Arn] = err
			case err != nil:
				return err
			}
		}
		if last {
			m.Seq = max(m.Seq, seq)
			Machines.Put(tx, m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	one.note(tasks, refused)
	return nil
}

// note keeps the steps of tasks, and which tasks the machine has although its assignment lacks them: those are looked
// at again with every assignment, and stopped once they are known to be over.
func (one *session) note(tasks []proto.TaskStatus, refused map[string]error) {
	r := one.server.Store.Read()
	one.mu.Lock()
	defer one.mu.Unlock()
	for _, t := range tasks {
		err := refused[t.Arn]
		if err == nil {
			one.steps[t.Arn] = t.Steps
		}
		if _, over := ecs.Verdict(r, one.instance, t.Arn); t.LastStatus == "STOPPED" || err == nil && !over {
			delete(one.strays, t.Arn)
		} else if !errors.Is(err, ecs.ErrBadReport) && len(one.strays) < strayTasks {
			one.strays[t.Arn] = true
			one.wake()
		}
	}
	for arn, err := range refused {
		one.log.Warn("reports on tasks were not taken", "task", clip(arn), "err", err, "tasks", len(refused))
		break
	}
}

func (one *session) stepsOf(task string) []proto.Step {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.steps[task]
}

// write sends what is queued, and the assignment whenever it has changed.
func (one *session) write(ctx context.Context) error {
	for {
		select {
		case f := <-one.out:
			if err := one.send(f); err != nil {
				return err
			}
		case <-one.changed:
			if err := one.assign(); err != nil {
				return err
			}
		case <-one.rebalanced:
			if err := one.sendIngress(); err != nil {
				return err
			}
		case <-one.renamed:
			if err := one.sendNames(); err != nil {
				return err
			}
		case reason := <-one.ending:
			_ = one.send(frame(proto.TypeClose, proto.Close{Reason: reason}))
			return fmt.Errorf("%w: %s", errEnded, reason)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// assign sends the complete assignment if it is not what was sent last. Definitions go out once in a session.
func (one *session) assign() error {
	r := one.server.Store.Read()
	if c, ok := ecs.ContainerInstances.Get(r, one.instance); !ok || c.Status == ecs.InstanceInactive {
		one.end("InactiveInstanceException: the container instance was deregistered")
	}
	tasks, definitions := ecs.AssignmentFor(r, one.instance)
	one.mu.Lock()
	for arn := range one.strays {
		if verdict, ok := ecs.Verdict(r, one.instance, arn); ok {
			tasks = append(tasks, verdict)
		}
	}
	live := map[string]bool{}
	for _, t := range tasks {
		live[t.Arn] = true
	}
	for arn := range one.steps {
		if !live[arn] && len(one.steps) > strayTasks {
			delete(one.steps, arn)
		}
	}
	one.mu.Unlock()
	slices.SortFunc(tasks, func(a, b proto.Task) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if one.revision > 0 && slices.EqualFunc(tasks, one.last, sameTask) {
		return nil
	}
	fresh := map[string]api.TaskDefinition{}
	for _, t := range tasks {
		if d, ok := definitions[t.Definition]; ok && !one.sent[t.Definition] {
			fresh[t.Definition] = d
			one.sent[t.Definition] = true
		}
	}
	one.revision++
	one.last = tasks
	return one.send(frame(proto.TypeAssignment, proto.Assignment{Revision: one.revision, Tasks: tasks, Definitions: fresh}))
}

// sameTask says whether an assignment's entry changed: for one task, only the wish to stop it does.
func sameTask(a, b proto.Task) bool {
	return a.Arn == b.Arn && a.DesiredStatus == b.DesiredStatus && a.Definition == b.Definition
}

func frame(kind string, body any) proto.Frame {
	data, err := json.Marshal(body)
	if err != nil {
		panic("unreachable: a message of our own cannot be encoded: " + err.Error())
	}
	return proto.Frame{Type: kind, Body: data}
}

// send writes one frame. Only one goroutine at a time does.
func (one *session) send(f proto.Frame) error {
	_ = one.conn.SetWriteDeadline(time.Now().Add(writeWait))
	if err := one.conn.WriteJSON(f); err != nil {
		return fmt.Errorf("send %s: %w", f.Type, err)
	}
	return nil
}

// errFrame is a frame that no agent sends.
var errFrame = errors.New("bad frame")

func (one *session) receive() (inbound, error) {
	kind, data, err := one.conn.ReadMessage()
	if err != nil {
		return inbound{}, err
	}
	if kind != websocket.TextMessage {
		return inbound{}, fmt.Errorf("%w: it is not text", errFrame)
	}
	f, err := decodeFrame(data)
	if err != nil {
		return f, fmt.Errorf("%w: %w", errFrame, err)
	}
	return f, nil
}
