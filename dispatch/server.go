package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/agent/proto"
	"berth/ecs"
	"berth/store"
)

// LogSink takes log events of tasks. The error is shown to the agent, which tries again after a 5xx: see logStatus.
type LogSink interface {
	PutLogEvents(ctx context.Context, account, region string, batch proto.LogBatch) error
}

// Config of a Server. All but Metrics and the durations are required.
type Config struct {
	Store     *store.Store
	ECS       *ecs.Service
	Authority *Authority
	Tokens    Tokens
	Logs      LogSink
	// Metrics takes what machines count for load balancers; nil means that it is refused.
	Metrics MetricSink
	// Registry serves /v2/ pulls without login; RegistryHost is the host:port in the names of its images.
	Registry     http.Handler
	RegistryHost func() string
	// Heartbeat is the time between an agent's heartbeats; missing three of them makes it disconnected. Default 10 s.
	Heartbeat time.Duration
	Log       *slog.Logger
}

// Server is the control plane's end of the agent protocol.
type Server struct {
	Config
	joins, protections *limiter

	balance balance
	naming  naming

	droppedSamples atomic.Int64

	open sync.WaitGroup // session handlers

	// mu guards the sessions, by instance key and by machine.
	mu        sync.Mutex
	sessions  map[string]*session
	byMachine map[string]*session
}

// DefaultHeartbeat is the time between heartbeats. Source: promises, T-hb.
const DefaultHeartbeat = 10 * time.Second

// missedBeats is how many heartbeats may be missing before an agent counts as disconnected.
const missedBeats = 3

// New makes the server.
func New(c Config) *Server {
	if c.Heartbeat == 0 {
		c.Heartbeat = DefaultHeartbeat
	}
	return &Server{Config: c, joins: newLimiter(joinRate, joinBurst), protections: newLimiter(protectionRate, protectionBurst),
		sessions: map[string]*session{}, byMachine: map[string]*session{}, balance: balance{places: map[string]*placeFrame{}},
		naming: naming{places: map[string]*placeNames{}}}
}

// Serve listens to agents until ctx ends. Their tasks go on without it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	config, err := s.Authority.TLS(time.Now())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler: s.Handler(ctx), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
		// Sessions are WebSockets, which HTTP/2 cannot carry here.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	g.Go(func() error { s.watch(ctx); return nil })
	g.Go(func() error { s.watchIngress(ctx); return nil })
	g.Go(func() error { s.watchNames(ctx); return nil })
	g.Go(func() error {
		if err := server.Serve(tls.NewListener(ln, config)); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error { <-ctx.Done(); return server.Close() })
	err = g.Wait()
	s.open.Wait()
	return err
}

// Handler serves the paths of the protocol. Sessions end with ctx.
func (s *Server) Handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+proto.PathJoin, s.join)
	mux.HandleFunc("POST "+proto.PathRenew, s.known(s.renew))
	mux.HandleFunc("POST "+proto.PathLogs, s.known(s.logs))
	mux.HandleFunc("POST "+proto.PathAccessLogs, s.known(s.accessLogs))
	mux.HandleFunc("POST "+proto.PathMetrics, s.known(s.metrics))
	mux.HandleFunc("POST "+proto.PathTaskProtection, s.known(s.taskProtection))
	mux.HandleFunc("GET "+proto.PathSession, s.known(func(w http.ResponseWriter, r *http.Request, who ecs.Machine) { s.session(ctx, w, r, who) }))
	registry := http.StripPrefix(proto.PathRegistry, s.Registry)
	mux.HandleFunc("GET "+proto.PathRegistry+"/", s.known(func(w http.ResponseWriter, r *http.Request, _ ecs.Machine) { registry.ServeHTTP(w, r) }))
	return mux
}

// known lets only machines with a certificate through. Who they are is never taken from a message.
func (s *Server) known(next func(http.ResponseWriter, *http.Request, ecs.Machine)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := MachineOf(r.TLS)
		if !ok {
			http.Error(w, "a machine's certificate is needed: join with a token first", http.StatusUnauthorized)
			return
		}
		if s.revoked(who.ID) {
			http.Error(w, errRevoked.Message, http.StatusForbidden)
			return
		}
		next(w, r, who)
	}
}

// watch wakes the sessions whose machines' tasks change, and ends those whose instance has another session or is gone.
func (s *Server) watch(ctx context.Context) {
	w := s.Store.Watch(ctx, ecs.Tasks, ecs.ContainerInstances)
	for range w.Ready() {
		for _, c := range w.Take() {
			if before, after, ok := ecs.Tasks.Change(c); ok {
				if !sameAssignment(before, after) {
					s.wakeFor(before, after)
				}
				continue
			}
			if _, after, ok := ecs.ContainerInstances.Change(c); ok && after != nil && after.Status == ecs.InstanceInactive {
				s.wake(after.Key())
				s.rebalance(map[string]bool{after.Account + "/" + after.Region: true})
			}
		}
	}
}

// sameAssignment says that the change, a report usually, is none of an assignment.
func sameAssignment(before, after *ecs.Task) bool {
	return before != nil && after != nil && before.Desired == after.Desired && before.Leaving == after.Leaving && before.Active() == after.Active() &&
		before.InstanceKey() == after.InstanceKey()
}

func (s *Server) wakeFor(tasks ...*ecs.Task) {
	for _, t := range tasks {
		if t != nil {
			s.wake(t.InstanceKey())
		}
	}
}

func (s *Server) wake(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.sessions[instance]; one != nil {
		one.wake()
	}
}

// enter makes one the session of its machine. An older one is ended.
func (s *Server) enter(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.sessions[one.instance]; old != nil {
		old.end(errReplaced.Error())
	}
	s.sessions[one.instance], s.byMachine[one.machine] = one, one
}

func (s *Server) leave(one *session) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[one.instance] != one {
		return false
	}
	delete(s.sessions, one.instance)
	delete(s.byMachine, one.machine)
	return true
}

func (s *Server) of(machine string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byMachine[machine]
}

// heard is the session of the machine that asks; if there is none, the request is refused.
func (s *Server) heard(w http.ResponseWriter, who ecs.Machine) *session {
	one := s.of(who.ID)
	if one == nil {
		http.Error(w, "this machine has no session", http.StatusServiceUnavailable)
	}
	return one
}

// placed is a task that is placed on the machine of a session; of any other the request is refused.
func (s *Server) placed(w http.ResponseWriter, one *session, arn string) (ecs.Task, bool) {
	task, ok := ecs.TaskOn(s.Store.Read(), one.instance, arn)
	if !ok {
		http.Error(w, "the task is not placed on this machine", http.StatusForbidden)
	}
	return task, ok
}

// Steps is what a machine does for a task, in order, as far as its present session has told.
func (s *Server) Steps(instance, task string) []proto.Step {
	s.mu.Lock()
	one := s.sessions[instance]
	s.mu.Unlock()
	if one == nil {
		return nil
	}
	return one.stepsOf(task)
}

// Sessions is how many machines have a session.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
