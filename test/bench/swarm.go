package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// swarm is a Docker daemon of one node, with its data below a directory and in namespaces of its own: no rule of the machine's firewall
// is touched, and its containers, its mounts and what it makes below /run end with it.
type swarm struct {
	dir    string
	group  string // its control group, below the machine's
	daemon *exec.Cmd
	log    *os.File
	api    *http.Client
}

const (
	swarmService  = "many"
	swarmPatience = 4 * time.Minute
)

// startSwarm starts a daemon, makes it a swarm and makes a service of no task. The error says why there is none.
func startSwarm(ctx context.Context, dir, root string) (*swarm, error) {
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		return nil, errors.New("dockerd is not installed on this machine")
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, errors.New("the command docker is not installed on this machine")
	}
	s := &swarm{dir: filepath.Join(dir, "docker"), group: filepath.Base(dir) + "-docker"}
	s.api = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "docker.sock"))
	}}}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return nil, err
	}
	s.daemon = exec.Command("sh", "-c", `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" "$@"`, dockerd,
		"--host", s.host(), "--data-root", filepath.Join(s.dir, "data"), "--exec-root", filepath.Join(s.dir, "run"), "--pidfile", filepath.Join(s.dir, "pid"),
		"--cgroup-parent", "/"+s.group, "--exec-opt", "native.cgroupdriver=cgroupfs")
	s.daemon.Stdout, s.daemon.Stderr = s.log, s.log
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
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
	if _, err := s.scale(ctx, 1); err != nil {
		return err
	}
	return s.empty(ctx)
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

// scale times the service from no task to n.
func (s *swarm) scale(ctx context.Context, n int) (time.Duration, error) {
	began := time.Now()
	err := s.to(ctx, n)
	return time.Since(began), err
}

// empty takes the service to no task and waits until no container is left.
func (s *swarm) empty(ctx context.Context) error {
	if err := s.to(ctx, 0); err != nil {
		return err
	}
	for { // replicas are no longer counted before their containers have ended
		left, err := s.docker(ctx, nil, "ps", "--quiet")
		if err != nil || left == "" {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// to scales the service and waits until it has so many tasks. It gives up after swarmPatience.
func (s *swarm) to(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, swarmPatience)
	defer cancel()
	if _, err := s.docker(ctx, nil, "service", "scale", "--detach", fmt.Sprintf("%s=%d", swarmService, n)); err != nil {
		return err
	}
	for {
		running, desired, err := s.replicas(ctx)
		if err != nil || running == n && desired == n {
			return err
		}
		if err := pause(ctx, servicePause(max(n, 50))); err != nil {
			return fmt.Errorf("%d of %d replicas after %s: %w", running, desired, swarmPatience, err)
		}
	}
}

// replicas asks the API, as `docker service ls` does: starting that command again and again would take much of what is measured.
func (s *swarm) replicas(ctx context.Context) (running, desired int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/services?status=true", nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := s.api.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var out []struct {
		ServiceStatus struct{ RunningTasks, DesiredTasks int }
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return 0, 0, fmt.Errorf("list services: %s: %w", resp.Status, err)
	}
	if len(out) != 1 {
		return 0, 0, fmt.Errorf("list services: %s: %d of them", resp.Status, len(out))
	}
	return out[0].ServiceStatus.RunningTasks, out[0].ServiceStatus.DesiredTasks, nil
}

// end kills the daemon, the first process of its namespace: all others, their mounts and their network end with it, and only its control
// groups are left to remove.
func (s *swarm) end() error {
	if s == nil {
		return nil
	}
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.api.CloseIdleConnections()
	_ = s.log.Close()
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, _ := filepath.Glob(pattern + s.group)
		for _, g := range groups {
			errs = append(errs, removeGroup(g))
		}
	}
	return errors.Join(errs...)
}

// removeGroup removes a control group with those below it.
func removeGroup(dir string) error {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	for _, path := range slices.Backward(all) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
