package agent

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"

	ecs "berth/api/ecs"
)

// endpoints are what containers ask this agent over HTTP. There is a server for each way in, which is by network mode, and all serve
// the same paths:
//
//	/api/<id>/task-protection/v1/state
//
// Who asks is known by the path's ID, which nobody can guess, and in mode bridge also by the address that the request comes from: an ID
// that got into wrong hands is worth nothing there. The ID follows from a key of this agent and the container's ID, so that it stays
// what it is when agent or journal are lost.
type endpoints struct {
	at  Endpoints
	key []byte
	ask func(ctx context.Context, path string, body any) ([]byte, error) // the server, as this machine; set before serve
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	askers map[string]*asker
	ids    map[string]string // of askers, by the container's ID
}

// asker is a container that may ask.
type asker struct {
	task    string // ARN
	mode    string
	address netip.Addr // in mode bridge
	pace    *rate.Limiter
}

// Limits of the endpoints.
const (
	// askRate and askBurst are requests a second of one container. Source: ECS developer guide, throttling of task metadata, which
	// counts all containers of a machine: here none takes from others.
	askRate  = 40
	askBurst = 60
	// connsOfOne bounds open connections from one address, connsOfHost those from the machine's own.
	connsOfOne  = 64
	connsOfHost = 1024
	listenAgain = 5 * time.Second
)

// openEndpoints returns nil if containers do not reach this agent.
func openEndpoints(cfg *Config) (*endpoints, error) {
	if cfg.Deps.Endpoints == nil {
		return nil, nil
	}
	e := &endpoints{at: cfg.Deps.Endpoints, log: cfg.Log, askers: map[string]*asker{}, ids: map[string]string{}}
	path := filepath.Join(cfg.DataDir, "endpoints.key")
	var err error
	if e.key, err = os.ReadFile(path); err == nil && len(e.key) == sha256.Size {
		return e, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the endpoints: %w", err)
	}
	e.key = make([]byte, sha256.Size)
	_, _ = rand.Read(e.key)                              // never fails
	if err := writeFile(path, e.key, true); err != nil { // CreateTemp makes it 0600
		return nil, fmt.Errorf("store the key of the endpoints: %w", err)
	}
	return e, nil
}

func (e *endpoints) id(container string) string {
	h := hmac.New(sha256.New, e.key)
	h.Write([]byte(container))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// environment is what tells a container where to ask; nothing for those that cannot.
func (e *endpoints) environment(container string, mode ecs.NetworkMode) []string {
	if e == nil {
		return nil
	}
	at := e.at.Endpoint(string(mode))
	if !at.IsValid() {
		return nil
	}
	host := at.String()
	if at.Port() == 80 {
		host = at.Addr().String()
	}
	return []string{"ECS_AGENT_URI=http://" + host + "/api/" + e.id(container)}
}

// know lets the containers of a task ask from the time that their network is known until they are gone.
func (e *endpoints) know(t *task) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range t.Containers {
		is := asker{task: t.Want.Arn, mode: string(t.networkMode(c.Name))}
		if c.Net != nil {
			is.address, _ = netip.ParseAddr(c.Net.IPv4)
		}
		if c.Removed || c.Detached || is.mode != string(ecs.NetworkModeHost) && !is.address.IsValid() {
			e.drop(c.ID)
			continue
		}
		id, known := e.ids[c.ID]
		if !known {
			id = e.id(c.ID)
			e.ids[c.ID], e.askers[id] = id, &asker{pace: rate.NewLimiter(askRate, askBurst)}
		}
		a := e.askers[id]
		a.task, a.mode, a.address = is.task, is.mode, is.address
	}
}

// forget ends that the containers of a task may ask.
func (e *endpoints) forget(t *task) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range t.Containers {
		e.drop(c.ID)
	}
}

func (e *endpoints) drop(container string) {
	delete(e.askers, e.ids[container])
	delete(e.ids, container)
}

// who finds the container that sent a request by the way in of a network mode. status is 200, 404 if there is none, or 429 if it asks too
// often.
func (e *endpoints) who(mode string, r *http.Request) (from asker, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.askers[r.PathValue("id")]
	if a == nil || a.mode != mode {
		return asker{}, http.StatusNotFound
	}
	sender, err := netip.ParseAddrPort(r.RemoteAddr)
	if mode != string(ecs.NetworkModeHost) && (err != nil || sender.Addr().Unmap() != a.address) {
		return asker{}, http.StatusNotFound
	}
	if !a.pace.Allow() {
		return *a, http.StatusTooManyRequests
	}
	return *a, http.StatusOK
}

// handler serves what comes in by one network mode.
func (e *endpoints) handler(mode string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/{id}/task-protection/v1/state", e.taskProtection(mode, readNothing))
	mux.HandleFunc("PUT /api/{id}/task-protection/v1/state", e.taskProtection(mode, readProtection))
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who asked may be gone
}

// serve answers containers of a network mode until ctx ends.
func (e *endpoints) serve(ctx context.Context, mode string) {
	for {
		l, err := e.at.Listen(mode)
		if err == nil {
			err = e.serveOn(ctx, mode, l)
		}
		if ctx.Err() != nil {
			return
		}
		e.log.Warn("containers do not reach the agent; trying again", "mode", mode, "in", listenAgain, "err", err)
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return
		}
	}
}

func (e *endpoints) serveOn(ctx context.Context, mode string, l net.Listener) error {
	most := connsOfOne
	if mode == string(ecs.NetworkModeHost) {
		most = connsOfHost
	}
	server := &http.Server{
		Handler: e.handler(mode), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx }, ConnState: fewConns(most),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(ended); _ = server.Close() })
	err := server.Serve(l)
	if !stop() {
		<-ended
	}
	return errors.Join(err, server.Close())
}

// fewConns closes connections of an address that has more than most.
func fewConns(most int) func(net.Conn, http.ConnState) {
	var mu sync.Mutex // guards open
	open := map[netip.Addr]int{}
	return func(c net.Conn, s http.ConnState) {
		from, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch s {
		case http.StateNew:
			if open[from.Addr()]++; open[from.Addr()] > most {
				_ = c.Close()
			}
		case http.StateClosed:
			if open[from.Addr()]--; open[from.Addr()] == 0 {
				delete(open, from.Addr())
			}
		}
	}
}
