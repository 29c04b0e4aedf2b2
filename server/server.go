package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/aws/wire"
	"berth/store"
	"berth/store/etcd"
)

// ErrRefused marks errors that starting again will not change, such as a port in use.
var ErrRefused = errors.New("the server cannot start")

// Time that open requests get when the server ends.
const shutdownGrace = 5 * time.Second

// runFile is DIR/run/server.json: how this server is reached.
type runFile struct {
	PID         int    `json:"pid"`
	Listen      string `json:"listen"`
	AgentListen string `json:"agentListen"`
}

// Parts are what a control plane is assembled on. It owns them: Close closes them.
type Parts struct {
	// Store has the tables of Tables.
	Store *store.Store
	// Etcd is the store's log; nil if the store is in memory only, and then there are no backups.
	Etcd *etcd.Log
	// API is for clients, Agents for machines.
	API, Agents net.Listener
}

// Server is a control plane that has been assembled and not yet started.
type Server struct {
	config Config
	log    *slog.Logger
	etcd   *etcd.Log
	store  *store.Store
	*services
	api, agents net.Listener
}

// Run opens the store, listens, and serves until ctx ends. Tasks go on without it.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var s *Server
	parts, err := open(ctx, c, log)
	if err == nil {
		s, err = Assemble(ctx, c, parts, log)
	}
	if err != nil {
		return errors.Join(err, parts.close())
	}
	log.Info("berth serves", "listen", s.api.Addr().String(), "agents", s.agents.Addr().String(), "version", c.Version)
	return errors.Join(s.Serve(ctx), s.Close())
}

// open listens and opens the store. What it has opened is returned with an error as well.
func open(ctx context.Context, c Config, log *slog.Logger) (p Parts, err error) {
	if err := makeFolders(c); err != nil {
		return p, err
	}
	// Listening first makes a second server on the same ports end before it touches the store.
	if p.API, err = listen(c.Listen); err != nil {
		return p, err
	}
	if p.Agents, err = listen(c.AgentListen); err != nil {
		return p, err
	}
	tls, err := c.Etcd.tls()
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	etcdConfig := etcd.Config{Endpoints: c.Etcd.Endpoints, TLS: tls, Logger: log}
	if len(etcdConfig.Endpoints) == 0 {
		etcdConfig.Dir = c.path("etcd")
	}
	if p.Etcd, err = etcd.Open(ctx, etcdConfig); err != nil {
		return p, fmt.Errorf("open the store's log: %w", err)
	}
	if p.Store, err = store.Open(store.Config{Tables: Tables(), Log: p.Etcd, Logger: log}); err != nil {
		return p, fmt.Errorf("open the store: %w", err)
	}
	return p, nil
}

func makeFolders(c Config) error {
	for _, dir := range []string{c.DataDir, filepath.Join(c.DataDir, "run"), c.path()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("%w: make the data directory: %w", ErrRefused, err)
		}
	}
	return nil
}

// Assemble makes a control plane of its parts and writes its credentials. On an error the parts stay the caller's.
func Assemble(ctx context.Context, c Config, p Parts, log *slog.Logger) (*Server, error) {
	if err := makeFolders(c); err != nil {
		return nil, err
	}
	s := &Server{config: c, log: log, etcd: p.Etcd, store: p.Store, api: p.API, agents: p.Agents}
	if err := writeCredentials(ctx, s.store, c); err != nil {
		return nil, err
	}
	var err error
	s.services, err = s.assemble(ctx)
	return s, err
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return l, err
}

// Serve runs everything until ctx ends or one part fails.
func (s *Server) Serve(ctx context.Context) error {
	// The files come first: who sees the server answer finds them.
	file := runFile{PID: os.Getpid(), Listen: s.api.Addr().String(), AgentListen: s.agents.Addr().String()}
	if err := writeJSON(filepath.Join(s.config.DataDir, "run", "server.json"), file); err != nil {
		return err
	}
	if err := s.writeLocalToken(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return wire.Serve(ctx, wire.NewServer(s.frontDoor(), s.log), s.api, shutdownGrace) })
	g.Go(func() error { return s.dispatch.Serve(ctx, s.agents) })
	g.Go(func() error { return s.loop.Run(ctx) })
	g.Go(func() error { return s.samples.Run(ctx) })
	return g.Wait()
}

// Close closes the control plane, which has ended, and its parts.
func (s *Server) Close() error {
	return errors.Join(s.services.close(), Parts{Store: s.store, Etcd: s.etcd, API: s.api, Agents: s.agents}.close())
}

func (p Parts) close() error {
	var errs []error
	for _, l := range []net.Listener{p.API, p.Agents} {
		if l != nil {
			_ = l.Close() // closed already when it was served
		}
	}
	if p.Store != nil {
		errs = append(errs, p.Store.Close())
	}
	if p.Etcd != nil {
		errs = append(errs, p.Etcd.Close())
	}
	return errors.Join(errs...)
}

// Restore puts a snapshot in the place of the embedded store of a control plane that does not run.
func Restore(ctx context.Context, c Config, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(c.path(), 0o700); err != nil {
		return err
	}
	_, err = etcd.Restore(ctx, f, c.path("etcd"))
	return err
}
