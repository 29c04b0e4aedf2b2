package ingress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/elbv2/haproxy"
)

// At most reloadBurst reloads begin in as many reloadPauses: a load balancer comes with its listeners and rules in a moment. Frames that come
// meanwhile are served by the next one.
const (
	reloadPause = time.Second
	// refusedPause is the time until a configuration that HAProxy did not take is tried again though it has not changed: the disk may have
	// been full, or the machine too busy to start a worker in time.
	refusedPause = 10 * time.Second
	reloadBurst  = 3
)

// keeper keeps HAProxy running and at the newest frame. It is one goroutine's.
type keeper struct {
	*Ingress
	process *process
	ended   <-chan struct{}
	stop    context.CancelFunc // of ended
	loaded  []time.Time        // when the last reloads began, at most reloadBurst
	started time.Time          // of process
	good    *rendered          // what process serves; nil before any is known
	sockets listeners          // of process
	refused string             // digest of what HAProxy did not take at refusedAt

	refusedAt time.Time
}

// keepConfig runs until ctx ends and leaves HAProxy alone then.
func (i *Ingress) keepConfig(ctx context.Context) {
	k := &keeper{Ingress: i}
	p, err := i.cfg.find()
	if err != nil {
		i.log.Warn("an earlier HAProxy can't be looked for", "err", err)
	}
	if p != nil {
		i.log.Info("HAProxy is taken over", "pid", p.pid)
		k.have(ctx, p)
		k.keepListeners(ctx, k.hold(ctx))
	}
	defer k.drop()
	defer k.sockets.close()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.ended:
			said := i.cfg.said()
			k.drop()
			k.revive(ctx)
			i.log.Error("HAProxy ended; it is started again", "said", said)
		case <-i.wakeConfig:
		case <-again.C:
		}
		if wait := k.step(ctx); wait > 0 {
			again.Reset(wait)
		}
	}
}

func (k *keeper) have(ctx context.Context, p *process) {
	own, stop := context.WithCancel(ctx)
	k.process, k.ended, k.stop = p, p.ended(own), stop
}

func (k *keeper) drop() {
	if k.process != nil {
		k.stop()
		k.process.close()
		k.process, k.ended = nil, nil
	}
}

// revive starts HAProxy again with what it served, at once: that was checked when it came. Whatever else is to be done is the next step's,
// also after a failure, and the pause between two starts of a HAProxy that ends again and again.
func (k *keeper) revive(ctx context.Context) {
	if k.good == nil || time.Since(k.started) < reloadPause {
		return
	}
	if _, identity := k.cfg.Network.TaskNamespace(); k.good.machine.Namespace != "" && identity != k.good.identity {
		return
	}
	k.setLoading(true)
	defer k.setLoading(false)
	// Not synced to the disk: after a power failure the file is written anew anyway.
	path := k.cfg.path(configFile + ".new")
	err := os.WriteFile(path, k.text(*k.good), 0o600)
	if err == nil {
		err = os.Rename(path, k.cfg.path(configFile))
	}
	if err == nil {
		err = k.run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		k.log.Warn("HAProxy does not start again as it was", "err", err)
	}
}

// step brings HAProxy to the newest frame and returns when to look again; 0 means when something changes.
func (k *keeper) step(ctx context.Context) time.Duration {
	k.mu.Lock()
	if !k.state.have {
		k.mu.Unlock()
		return 0
	}
	claims := k.state.Claims
	problem := k.claim()
	var err error
	if !maps.Equal(claims, k.state.Claims) {
		err = k.cfg.writeSaved(k.state.saved)
	}
	r, before := k.render(), k.state.running
	k.mu.Unlock()
	if err != nil {
		k.log.Warn("who has published addresses was not noted", "err", err)
	}
	k.problem("publish", problem)
	k.problem("frame", problemsText(r.problems))
	if err := k.cfg.Network.Balance(ctx, k.openings()); err != nil {
		k.problem("network", "addresses of load balancers: "+err.Error())
		k.caughtUp(r.Revision)
		return retryPause
	}
	k.problem("network", "")
	switch {
	case k.process == nil && !r.serves():
		k.reached(r)
		return 0
	case k.process == nil && time.Since(k.started) < reloadPause:
		return reloadPause - time.Since(k.started)
	case k.process != nil && r.Digest == before.Digest:
		k.reached(r)
		return k.again(problem)
	case r.Digest == k.refused && k.process != nil && time.Since(k.refusedAt) < refusedPause:
		k.caughtUp(r.Revision)
		return refusedPause - time.Since(k.refusedAt)
	case k.process != nil:
		if len(k.loaded) == reloadBurst {
			if wait := reloadBurst*reloadPause - time.Since(k.loaded[0]); wait > 0 {
				return wait
			}
		}
	}
	if err := k.serve(ctx, r, before); err != nil {
		if ctx.Err() == nil {
			k.problem("config", err.Error())
			k.caughtUp(r.Revision)
		}
		return retryPause
	}
	k.refused = ""
	k.problem("config", "")
	k.reached(r)
	return k.again(problem)
}

// again looks at taken addresses from time to time: nobody tells when they are free.
func (k *keeper) again(problem string) time.Duration {
	if problem != "" {
		return 5 * time.Second
	}
	return 0
}

func problemsText(problems []haproxy.Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "; ")
}

// serve makes HAProxy run what was rendered. What it refuses changes nothing.
func (k *keeper) serve(ctx context.Context, r rendered, before running) error {
	path := k.cfg.path(configFile + ".new")
	if k.process == nil && r.Digest == before.Digest {
		// It ended and was good before: only the slots are new.
		if err := errors.Join(r.writeFiles(), writeFile(path, k.text(r))); err != nil {
			return err
		}
	} else {
		var err error
		if path, err = k.prepare(ctx, r); err != nil {
			k.refused, k.refusedAt = r.Digest, time.Now()
			if k.process == nil {
				err = errors.Join(err, k.startLast(ctx))
			}
			return err
		}
	}
	last, err := os.ReadFile(k.cfg.path(configFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	k.setLoading(true)
	defer k.setLoading(false)
	if err := os.Rename(path, k.cfg.path(configFile)); err != nil {
		return err
	}
	if k.process == nil {
		err = k.run(ctx)
	} else {
		err = k.reload(ctx)
	}
	if err != nil {
		k.refused, k.refusedAt = r.Digest, time.Now()
		if len(last) > 0 {
			err = errors.Join(err, writeFile(k.cfg.path(configFile), last))
		}
		if k.process == nil {
			err = errors.Join(err, k.startLast(ctx))
		}
		return err
	}
	k.took(r)
	if err := k.cfg.writeRunning(r.running); err != nil {
		k.log.Warn("what HAProxy serves was not noted", "err", err)
	}
	if err := k.cfg.dropFiles(r); err != nil {
		k.log.Warn("files of an earlier configuration stay", "err", err)
	}
	return nil
}

// startLast runs the last file that was good, if there is one.
func (k *keeper) startLast(ctx context.Context) error {
	if _, err := os.Stat(k.cfg.path(configFile)); err != nil {
		return nil //nolint:nilerr // there never was one
	}
	return k.run(ctx)
}

// run starts HAProxy and returns when a worker serves.
func (k *keeper) run(ctx context.Context) error {
	began := time.Now()
	p, err := k.startServing(ctx)
	if err != nil {
		k.sockets.close() // the next try is without them, and who connects until then is refused
		return err
	}
	k.have(ctx, p)
	k.keepListeners(ctx, k.hold(ctx))
	k.started = time.Now()
	k.log.Info("HAProxy started", "pid", p.pid, "took", time.Since(began).Round(time.Millisecond))
	wake(k.wakeSlots)
	return nil
}

// startServing starts HAProxy, with the listeners of the last one if they are kept, and returns when a worker serves.
func (k *keeper) startServing(ctx context.Context) (*process, error) {
	if _, identity := k.cfg.Network.TaskNamespace(); identity != k.sockets.identity {
		k.sockets.close()
	}
	given := ""
	if len(k.sockets.parts) > 0 {
		given = k.cfg.path(keptSocket)
		end, err := k.sockets.offer(given)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	p, err := k.cfg.start(given)
	if err != nil {
		return nil, err
	}
	if err := k.serving(ctx, p, 0, 0); err != nil {
		return nil, errors.Join(err, p.stop(k.cfg))
	}
	return p, nil
}

// keepListeners makes the listeners of a worker the ones that are kept.
func (k *keeper) keepListeners(ctx context.Context, pid int) {
	l, err := k.cfg.takeListeners(ctx, pid)
	if err != nil {
		k.log.Warn("clients are refused while HAProxy starts again after it was killed", "err", err)
	}
	k.sockets.close()
	k.sockets = l
}

// reload makes the master start a worker with the new file; the old one keeps the connections that it has.
func (k *keeper) reload(ctx context.Context) error {
	began := time.Now()
	k.loaded = append(k.loaded[max(0, len(k.loaded)+1-reloadBurst):], began)
	before, err := k.master.processes(ctx)
	if err != nil {
		return err
	}
	if err := k.process.signal(unix.SIGUSR2); err != nil {
		return err
	}
	newest := 0
	if len(before.Workers) > 0 {
		newest = before.Workers[0].PID
	}
	if err := k.serving(ctx, k.process, newest, before.Failed); err != nil {
		return err
	}
	k.keepListeners(ctx, k.hold(ctx))
	wake(k.reloaded)
	k.log.Info("HAProxy took a new configuration", "took", time.Since(began).Round(time.Millisecond))
	wake(k.wakeSlots)
	return nil
}

// serving waits until the newest worker is another one than before.
func (k *keeper) serving(ctx context.Context, p *process, before, failed int) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		procs, err := k.master.processes(ctx)
		if err == nil && procs.Master == p.pid {
			if len(procs.Workers) > 0 && !procs.Workers[0].Old && procs.Workers[0].PID != before {
				return nil
			}
			if procs.Failed > failed {
				return fmt.Errorf("HAProxy did not take the new configuration: %s", k.cfg.said())
			}
		}
		if p.gone(5) {
			return fmt.Errorf("HAProxy ended: %s", k.cfg.said())
		}
		if ctx.Err() != nil {
			return fmt.Errorf("HAProxy does not serve: %w: %s", ctx.Err(), k.cfg.said())
		}
	}
}

// said is the last alert of HAProxy's output.
func (c Config) said() string {
	out, err := os.ReadFile(c.path(outputFile))
	if err != nil {
		return err.Error()
	}
	return lastAlert(string(out))
}

func (k *keeper) setLoading(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state.loading = on
	if !on {
		wake(k.wakeSlots)
	}
}

// took notes what HAProxy runs now.
func (k *keeper) took(r rendered) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state.running, k.state.machine = r.running, r.machine
	for _, b := range r.Backends {
		k.state.groups[b.Name] = b.Group
	}
}

// reached notes that what HAProxy runs is right for a revision; traffic follows it when its slots are set too.
func (k *keeper) reached(r rendered) {
	k.mu.Lock()
	if k.process == nil {
		k.state.running = running{} // nothing to serve, and nobody who does
	}
	k.state.running.Revision, k.state.machine = r.Revision, r.machine
	k.mu.Unlock()
	if k.good = nil; k.process != nil {
		k.good = &r
	}
	k.caughtUp(r.Revision)
}

// caughtUp notes that HAProxy gets no other configuration for a revision: what leaves may leave.
func (k *keeper) caughtUp(revision uint64) {
	k.mu.Lock()
	if k.state.Revision == revision {
		k.state.behind = false
	}
	k.mu.Unlock()
	wake(k.wakeSlots)
}
