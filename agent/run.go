package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	ecs "berth/api/ecs"
)

// collectEvery is how often the disk is looked at.
const collectEvery = 30 * time.Second

// Run runs the agent until ctx ends: it adopts what is on the machine, joins if it never did, and keeps a session. Its
// end leaves every container running. It fails only if it can't begin.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	n, err := openNode(&cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer n.wait()
	defer cancel()
	if err := n.start(ctx); err != nil {
		return err
	}
	id, err := Join(ctx, cfg)
	if err != nil {
		return err
	}
	id.cfg = &cfg
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return (&session{cfg: &cfg, id: id, node: n, log: cfg.Log}).run(ctx) })
	g.Go(func() error { id.keep(ctx); return nil })
	g.Go(func() error { n.collect(ctx); return nil })
	if e := n.endpoints; e != nil {
		e.ask = asking(id, &cfg)
		for _, mode := range []ecs.NetworkMode{ecs.NetworkModeBridge, ecs.NetworkModeHost} {
			g.Go(func() error { e.serve(ctx, string(mode)); return nil })
		}
	}
	if i := cfg.Deps.Ingress; i != nil {
		g.Go(func() error { return i.Run(ctx, poster(id, &cfg)) })
	}
	return g.Wait()
}

// collect removes unused images while the disk is nearly full.
func (n *node) collect(ctx context.Context) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if use, err := diskUse(n.cfg.DataDir); err != nil || use < collectAt {
			continue
		}
		if err := n.cfg.Deps.Images.Collect(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("collecting images failed", "err", err)
		}
	}
}

// CleanUp ends what tasks of the agent with this data directory left on the machine beside their containers and
// networks: holders of namespaces and memory shared between containers. No agent may be running there.
func CleanUp(dataDir string) error {
	cfg := Config{DataDir: dataDir}
	if _, err := os.Stat(cfg.tasksDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	j, err := openJournal(cfg.tasksDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	tasks, err := j.load()
	if err != nil {
		return err
	}
	for _, t := range tasks {
		t.Namespaces.release()
		err = errors.Join(err, os.RemoveAll(sharedMemory(t.Want.Arn)))
	}
	return err
}
