package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// look is the pause between two looks at who is in rotation. It is part of the times, half of it on average.
const look = 10 * time.Millisecond

// checkingProxy checks its servers as Berth's group is checked.
const checkingProxy = `global
  nbthread 1
  stats socket DIR/stats.sock mode 600 level admin
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check %ds
frontend web
  bind fd@3
  default_backend servers
backend servers
  option httpchk GET /
  default-server check inter %ds fall %d rise %d
`

// fickle is a target that can fail.
type fickle struct {
	port   int
	server *http.Server
	ill    atomic.Bool
}

func newFickle() (*fickle, error) {
	l, ports, err := listen(1)
	if err != nil {
		return nil, err
	}
	f := &fickle{port: ports[0]}
	f.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if f.ill.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})}
	go f.server.Serve(l[0]) //nolint:errcheck // it ends when it is told to
	return f, nil
}

// watch is who noticed which failure when.
type watch struct {
	name   string
	socket string
	gone   map[int]time.Time // by port
}

// failures measures the time from a target's failure until it gets no more requests.
func (b *bench) failures(ctx context.Context) error {
	if _, err := findHAProxy(); err != nil {
		b.report.note("Failing targets: skipped, HAProxy is not installed on this machine.")
		return nil
	}
	b.report.section("From a target's failure to its removal", fmt.Sprintf("Until HAProxy's runtime socket, looked at every %s, says that it gets no more requests. Checks every %d s, unhealthy after %d in a row, time limit %d s: "+
		"a failure at any moment between two checks is to be seen after %d to %d s. Baseline: a bare HAProxy that checks the same targets with the same figures, at the same time.",
		look, checkInterval, checkThreshold, checkTimeout, checkInterval*(checkThreshold-1), checkInterval*checkThreshold),
		"failure", "Berth", "bare HAProxy", "ratio", "n", "aim")
	return errors.Join(b.checkedFailures(ctx), b.killedContainers(ctx))
}

// checkedFailures lets targets refuse connections and answer 500, one after the other.
func (b *bench) checkedFailures(ctx context.Context) (err error) {
	const well = 3 // that stay, so that there is always one to send requests to
	n := pick(b, 30, 8)
	l, err := b.berth.newBalancer(ctx, "fickle")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.remove(context.WithoutCancel(ctx))) }()
	var targets []*fickle
	var ports []int
	defer func() {
		for _, f := range targets {
			f.server.Close()
		}
	}()
	for range 2*n + well {
		f, err := newFickle()
		if err != nil {
			return err
		}
		targets, ports = append(targets, f), append(ports, f.port)
	}
	var text strings.Builder
	fmt.Fprintf(&text, checkingProxy, checkTimeout, checkInterval, checkThreshold, checkThreshold)
	for i, p := range ports {
		fmt.Fprintf(&text, "  server s%d 127.0.0.1:%d\n", i, p)
	}
	front, _, err := listen(1)
	if err != nil {
		return err
	}
	h, err := startHAProxy(ctx, b.berth.dir, text.String(), front...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.end()) }()
	if err := errors.Join(l.register(ctx, ports...), b.berth.inRotation(ctx, ports...)); err != nil {
		return err
	}
	// All are checked once more, so that the moments of the checks are spread as they are in the long run.
	if err := pause(ctx, 2*checkInterval*time.Second); err != nil {
		return err
	}
	failed := failInTurn(ctx, targets[:2*n])
	watches := []*watch{{name: "Berth", socket: b.berth.statsSocket()}, {name: "HAProxy", socket: filepath.Join(h.dir, "stats.sock")}}
	if err := observe(ctx, watches, ports[:2*n]); err != nil {
		return err
	}
	at := failed()
	for kind, name := range []string{"refuses connections", "answers 500"} {
		var took [2][]time.Duration
		for i := kind; i < 2*n; i += 2 {
			for w := range watches {
				took[w] = append(took[w], watches[w].gone[ports[i]].Sub(at[i]))
			}
		}
		b.report.times(fmt.Sprintf("%s (%d s x %d)", name, checkInterval, checkThreshold), took[0], took[1], 0)
	}
	return nil
}

// failInTurn lets every second target refuse and the others answer 500, evenly over two intervals. The result waits for the end and has when each failed.
func failInTurn(ctx context.Context, targets []*fickle) func() []time.Time {
	at := make([]time.Time, len(targets))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, f := range targets {
			if pause(ctx, 2*checkInterval*time.Second/time.Duration(len(targets))) != nil {
				return
			}
			at[i] = time.Now()
			if i%2 == 0 {
				f.server.Close()
			} else {
				f.ill.Store(true)
			}
		}
	})
	return func() []time.Time { wg.Wait(); return at }
}

// observe looks until everybody has taken all ports out.
func observe(ctx context.Context, watches []*watch, ports []int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, w := range watches {
		w.gone = map[int]time.Time{}
	}
	for left := -1; left != 0; {
		left = 0
		for _, w := range watches {
			now, err := rotation(ctx, w.socket)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			at := time.Now()
			for _, p := range ports {
				if _, ok := w.gone[p]; ok {
					continue
				}
				if now[p] {
					left++
				} else {
					w.gone[p] = at
				}
			}
		}
		if err := pause(ctx, look); err != nil {
			return fmt.Errorf("%d targets are still in rotation: %w", left, err)
		}
	}
	return nil
}

// killedContainers kills containers of a service: the agent sees the end of the process, no check is needed.
func (b *bench) killedContainers(ctx context.Context) (err error) {
	root, err := makeImage(ctx, b.berth.dir)
	if err != nil {
		return err
	}
	image, err := b.berth.command(ctx, "image", "push", root, "probe:1", "-o", "name")
	if err != nil {
		return err
	}
	const service = "killed"
	if err := b.berth.call(ctx, "RegisterTaskDefinition", object{"family": service, "containerDefinitions": []object{
		{"name": "main", "image": image, "memory": 16, "command": []string{"/bin/probe", "serve", ":8080"}, "portMappings": []object{{"containerPort": 8080}}},
	}}, nil); err != nil {
		return err
	}
	l, err := b.berth.newBalancer(ctx, service)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.remove(context.WithoutCancel(ctx))) }()
	if err := b.berth.call(ctx, "CreateService", object{"serviceName": service, "taskDefinition": service, "desiredCount": 3,
		"loadBalancers": []object{{"targetGroupArn": l.group, "containerName": "main", "containerPort": 8080}}}, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.berth.endService(context.WithoutCancel(ctx), service)) }()
	var took []time.Duration
	for range pick(b, 10, 4) {
		port, pid, err := b.berth.victim(ctx, service)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		w := &watch{name: "Berth", socket: b.berth.statsSocket()}
		if err := observe(ctx, []*watch{w}, []int{port}); err != nil {
			return err
		}
		took = append(took, w.gone[port].Sub(began))
	}
	b.report.row("container killed, its task ends", spread(took), "none: nothing but checks would tell it", "", strconv.Itoa(len(took)), "")
	return nil
}

// victim waits until three tasks of a service get requests and returns the port and the process of one.
func (b *berth) victim(ctx context.Context, service string) (port, pid int, err error) {
	err = b.eventually(ctx, "three tasks get requests", func() error {
		var list struct{ TaskArns []string }
		if err := b.call(ctx, "ListTasks", object{"serviceName": service}, &list); err != nil {
			return err
		}
		if len(list.TaskArns) != 3 {
			return fmt.Errorf("%d tasks", len(list.TaskArns))
		}
		all, err := b.describe(ctx, list.TaskArns)
		if err != nil {
			return err
		}
		now, err := rotation(ctx, b.statsSocket())
		if err != nil {
			return err
		}
		for _, t := range all {
			bindings := t.Containers[0].NetworkBindings
			if t.LastStatus != "RUNNING" || len(bindings) == 0 || !now[bindings[0].HostPort] {
				return fmt.Errorf("task %s is %s, ports %v", t.TaskArn, t.LastStatus, bindings)
			}
		}
		// The oldest: it has been in rotation for longest.
		oldest := slices.MinFunc(all, func(a, b task) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
		data, err := os.ReadFile(filepath.Join(b.dir, "agent", "oci", "containers", oldest.Containers[0].RuntimeID, "pidfile"))
		if err != nil {
			return err
		}
		port = oldest.Containers[0].NetworkBindings[0].HostPort
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err
	})
	return port, pid, err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
