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
	s := &Server{config: c, log: log}
	err := s.open(ctx)
	if err == nil {
		log.Info("berth serves", "listen", s.api.Addr().String(), "agents", s.agents.Addr().String(), "version", c.Version)
		err = s.serve(ctx)
	}
	return errors.Join(err, s.close())
}

func (s *Server) open(ctx context.Context) (err error) {
	for _, dir := range []string{s.config.DataDir, filepath.Join(s.config.DataDir, "run"), s.config.path()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("%w: make the data directory: %w", ErrRefused, err)
		}
	}
	// Listening first makes a second server on the same ports end before it touches the store.
	if s.api, err = listen(s.config.Listen); err != nil {
		return err
	}
	if s.agents, err = listen(s.config.AgentListen); err != nil {
		return err
	}
	tls, err := s.config.Etcd.tls()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	etcdConfig := etcd.Config{Endpoints: s.config.Etcd.Endpoints, TLS: tls, Logger: s.log}
	if len(etcdConfig.Endpoints) == 0 {
		etcdConfig.Dir = s.config.path("etcd")
	}
	if s.etcd, err = etcd.Open(ctx, etcdConfig); err != nil {
		return fmt.Errorf("open the store's log: %w", err)
	}
	if s.store, err = store.Open(store.Config{Tables: tables(), Log: s.etcd, Logger: s.log}); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	if err := writeCredentials(ctx, s.store, s.config); err != nil {
		return err
	}
	s.services, err = s.assemble(ctx)
	return err
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return l, err
}

// serve runs everything until ctx ends or one part fails.
func (s *Server) serve(ctx context.Context) error {
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
	return g.Wait()
}

func (s *Server) close() error {
	var errs []error
	for _, l := range []net.Listener{s.api, s.agents} {
		if l != nil {
			_ = l.Close() // closed already when it was served
		}
	}
	if s.services != nil {
		errs = append(errs, s.events.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.etcd != nil {
		errs = append(errs, s.etcd.Close())
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
