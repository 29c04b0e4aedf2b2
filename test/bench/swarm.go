package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// swarm is a Docker daemon of one node, with its data below a directory and in a network namespace of its own, so that no rule of the
// machine's firewall is touched.
type swarm struct {
	dir    string
	daemon *exec.Cmd
	log    *os.File
}

const swarmService = "many"

// startSwarm starts a daemon, makes it a swarm and makes a service of no task. The error says why there is none.
func startSwarm(ctx context.Context, dir, root string) (*swarm, error) {
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		return nil, errors.New("dockerd is not installed on this machine")
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, errors.New("the command docker is not installed on this machine")
	}
	s := &swarm{dir: filepath.Join(dir, "docker")}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return nil, err
	}
	s.daemon = exec.Command("unshare", "--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`, dockerd,
		"--host", s.host(), "--data-root", filepath.Join(s.dir, "data"), "--exec-root", filepath.Join(s.dir, "run"), "--pidfile", filepath.Join(s.dir, "pid"))
	s.daemon.Stdout, s.daemon.Stderr = s.log, s.log
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.daemon.Start(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, root); err != nil {
		said, _ := os.ReadFile(s.log.Name())
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		return nil, fmt.Errorf("dockerd does not run here: %w (%s)", errors.Join(err, s.end()), lines[len(lines)-1])
	}
	return s, nil
}

func (s *swarm) host() string { return "unix://" + filepath.Join(s.dir, "docker.sock") }

func (s *swarm) prepare(ctx context.Context, root string) error {
	up, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := s.docker(up, nil, "version")
		if err == nil {
			break
		}
		if pause(up, 200*time.Millisecond) != nil || s.daemon.Process.Signal(syscall.Signal(0)) != nil {
			return err
		}
	}
	tree, err := exec.CommandContext(ctx, "tar", "-c", "-C", root, ".").Output()
	if err != nil {
		return err
	}
	for _, step := range []struct {
		stdin []byte
		args  []string
	}{
		{tree, []string{"import", "-", "busybox:bench"}},
		{nil, []string{"swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"}},
		{nil, append([]string{"service", "create", "--detach", "--no-resolve-image", "--name", swarmService, "--replicas", "0", "--limit-memory", "6m", "--stop-grace-period", "2s", "busybox:bench"}, busybox...)},
	} {
		if _, err := s.docker(ctx, step.stdin, step.args...); err != nil {
			return err
		}
	}
	// Once up and down, so that everything is there that a first start makes.
	_, err = s.scale(up, 1)
	return err
}

// docker runs the command against this daemon.
func (s *swarm) docker(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"--host", s.host()}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), err
}

// scale times the service from no task to n, and takes it back to none.
func (s *swarm) scale(ctx context.Context, n int) (time.Duration, error) {
	began := time.Now()
	if err := s.to(ctx, n); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := s.to(ctx, 0); err != nil {
		return 0, err
	}
	for { // replicas are no longer counted before their containers have ended
		left, err := s.docker(ctx, nil, "ps", "--quiet")
		if err != nil || left == "" {
			return took, err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (s *swarm) to(ctx context.Context, n int) error {
	if _, err := s.docker(ctx, nil, "service", "scale", "--detach", fmt.Sprintf("%s=%d", swarmService, n)); err != nil {
		return err
	}
	want := fmt.Sprintf("%d/%d", n, n)
	for {
		now, err := s.docker(ctx, nil, "service", "ls", "--format", "{{.Replicas}}")
		if err != nil || now == want {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%s replicas: %w", now, err)
		}
	}
}

// end removes the service, ends the daemon and unmounts what it left.
func (s *swarm) end() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, _ = s.docker(ctx, nil, "swarm", "leave", "--force")
	_ = s.daemon.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- s.daemon.Wait() }()
	select {
	case <-ended:
	case <-ctx.Done():
		_ = syscall.Kill(-s.daemon.Process.Pid, syscall.SIGKILL) // its containerd too
		<-ended
	}
	_ = s.log.Close()
	return unmountBelow(s.dir)
}

// unmountBelow takes away mounts below a directory, the last made first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			err = errors.Join(err, syscall.Unmount(f[4], syscall.MNT_DETACH))
		}
	}
	return err
}
