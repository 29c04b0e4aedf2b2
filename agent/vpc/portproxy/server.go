package portproxy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"berth/agent/vpc/names"
)

// Run is the process: it serves until it is told to stop or gets SIGTERM. dir holds its configuration.
func Run(ctx context.Context, dir string) error {
	ctx, cancel := signal.NotifyContext(ctx, unix.SIGTERM)
	defer cancel()
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	cfg, err := readConfig(dir)
	if err != nil {
		return err
	}
	s := &server{
		cfg: cfg, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), stop: cancel,
		ipv6: ipv6Available(), leases: map[string]*lease{},
	}
	control, err := listenControl(dir)
	if err != nil {
		return err
	}
	known := names.Open(dir, cfg.Loopback, cfg.DNS, func(err error) { s.log.Warn("DNS answers the names that were known before", "err", err) })
	dns, err := listenDNS(cfg, known)
	if err != nil {
		control.Close()
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return dns.serve(ctx) })
	g.Go(func() error { s.serveMachine(ctx, known); return nil })
	g.Go(func() error { return s.serve(ctx, control) })
	reportReady()
	err = g.Wait()
	s.closeAll()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another port proxy serves %s: %w", dir, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("write %s: %w", f.Name(), err)
		}
	}
	return f, nil
}

func listenControl(dir string) (net.Listener, error) {
	_ = os.Remove(filepath.Join(dir, socketFile))
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketFile))
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", dir, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, os.Chmod(filepath.Join(dir, socketFile), 0o600)
}

func reportReady() {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "ready")
	_, _ = f.Write([]byte{1})
	f.Close()
}

// ipv6Available tells whether this network namespace lets a socket listen on all IPv6 addresses.
func ipv6Available() bool {
	l, err := net.Listen("tcp6", "[::]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

type server struct {
	cfg  Config
	log  *slog.Logger
	stop func()
	ipv6 bool

	mu     sync.Mutex // guards leases
	leases map[string]*lease
}

// lease is what one owner holds.
type lease struct {
	ports []Port
	held  []holder
}

// holder is one bound port that carries traffic until closed.
type holder interface{ Close() error }

func (s *server) serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("accept: %w", err)
		}
		conns.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			s.converse(conn)
		})
	}
}

func (s *server) converse(conn net.Conn) {
	dec, enc := json.NewDecoder(bufio.NewReader(conn)), json.NewEncoder(conn)
	for {
		var req request
		if err := dec.Decode(&req); err != nil {
			return
		}
		resp := s.answer(req)
		if err := enc.Encode(resp); err != nil {
			return
		}
		if req.Op == "stop" {
			s.stop()
		}
	}
}

func (s *server) answer(req request) response {
	switch req.Op {
	case "hello":
		return response{Hello: &Hello{Version: Version, PID: os.Getpid(), Config: s.cfg, IPv6: s.ipv6}}
	case "open":
		ports, err := s.open(req.Owner, req.Ports)
		if conflict, ok := errors.AsType[*ConflictError](err); ok {
			return response{Conflict: conflict}
		}
		if err != nil {
			return response{Error: err.Error()}
		}
		return response{Ports: ports}
	case "close":
		s.close(req.Owner)
		return response{}
	case "owners":
		return response{Owners: s.owners()}
	case "stop":
		return response{}
	}
	return response{Error: fmt.Sprintf("unknown operation %q", req.Op)}
}

func (s *server) open(owner string, ports []Port) ([]Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // binding is quick, and two owners must not race for one range
	if have, ok := s.leases[owner]; ok {
		return have.ports, nil
	}
	got := &lease{}
	for _, p := range ports {
		p.Count = max(p.Count, 1)
		bound, held, err := s.bind(p)
		if err != nil {
			closeHeld(got.held)
			return nil, err
		}
		got.ports = append(got.ports, bound)
		got.held = append(got.held, held...)
	}
	s.leases[owner] = got
	return got.ports, nil
}

func (s *server) close(owner string) {
	s.mu.Lock()
	l := s.leases[owner]
	delete(s.leases, owner)
	s.mu.Unlock()
	if l != nil {
		closeHeld(l.held)
	}
}

func (s *server) closeAll() {
	for _, owner := range s.owners() {
		s.close(owner)
	}
}

func (s *server) owners() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for owner := range s.leases {
		all = append(all, owner)
	}
	slices.Sort(all)
	return all
}

func closeHeld(held []holder) {
	for _, h := range held {
		_ = h.Close()
	}
}
