package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// pollPause is the pause between two looks at a task. It is part of Berth's times, half of it on average.
const pollPause = 4 * time.Millisecond

// lab is what the sections on real containers share: the definition, and bare runc with a sample of its bundle.
type lab struct {
	*bench
	bare   *bareRunc
	sample []string
}

// newLab has tasks of one small static program.
func (b *bench) newLab(ctx context.Context) (*lab, error) {
	root, err := makeImage(ctx, b.berth.dir)
	if err != nil {
		return nil, err
	}
	if err := b.berth.define(ctx, root, "probe:1", "/bin/probe", "sleep"); err != nil {
		return nil, err
	}
	return b.newLabOf(ctx, root)
}

// newLabOf runs one task of the newest definition, whose bundle is the baseline's.
func (b *bench) newLabOf(ctx context.Context, root string) (l *lab, err error) {
	l = &lab{bench: b}
	if l.sample, err = b.berth.runTasks(ctx, 1); err != nil {
		return nil, err
	}
	var container string
	err = b.berth.until(ctx, l.sample, "RUNNING", pollPause, func(t task) { container = t.Containers[0].RuntimeID })
	if err != nil {
		return nil, err
	}
	l.bare, err = b.berth.newBareRunc(container, root)
	return l, err
}

func (l *lab) end(ctx context.Context) error {
	return errors.Join(l.bare.clear(), l.berth.stopTasks(ctx, l.sample))
}

// start times single starts, and eight at once.
func (b *bench) start(ctx context.Context) (err error) {
	l, err := b.newLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end(context.WithoutCancel(ctx))) }()
	b.report.section("Task start", "Berth: RunTask sent until DescribeTasks shows RUNNING, bridge network. Baseline: `runc create` and `runc start` of the same bundle, "+
		"root mounted and network made beforehand.", "", "Berth", "bare runc", "ratio", "n", "aim")
	for _, c := range []struct {
		at, rounds int
		aim        float64
		name       string
	}{{1, pick(b, 50, 10), 1.3, "one at a time"}, {8, pick(b, 15, 3), 1.5, "each of 8 at once"}} {
		var ours, bare, oursAll, bareAll []time.Duration
		for i := range c.rounds + 1 {
			o, err := l.startTasks(ctx, c.at)
			if err != nil {
				return err
			}
			r, err := l.startBare(ctx, c.at, fmt.Sprintf("b%d-%d", c.at, i))
			if err != nil {
				return err
			}
			if i == 0 {
				continue // fills caches
			}
			ours, bare = append(ours, o...), append(bare, r...)
			oursAll, bareAll = append(oursAll, at(o, 1)), append(bareAll, at(r, 1))
		}
		b.report.times(c.name, ours, bare, c.aim)
		if c.at > 1 {
			b.report.times("all 8", oursAll, bareAll, 0)
		}
	}
	return nil
}

// startTasks starts tasks by as many requests at once and returns how long each took.
func (l *lab) startTasks(ctx context.Context, n int) ([]time.Duration, error) {
	arns, errs, began := make([]string, n), make([]error, n), time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			one, err := l.berth.runTasks(ctx, 1)
			if errs[i] = err; err == nil {
				arns[i] = one[0]
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var took []time.Duration
	err := l.berth.until(ctx, arns, "RUNNING", pollPause, func(task) { took = append(took, time.Since(began)) })
	return took, errors.Join(err, l.berth.stopTasks(ctx, arns))
}

// startBare starts the same bundle n times at once with bare runc.
func (l *lab) startBare(ctx context.Context, n int, name string) ([]time.Duration, error) {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", name, i)
		if err := l.bare.prepare(ids[i]); err != nil {
			return nil, err
		}
	}
	took, errs := make([]time.Duration, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { took[i], errs[i] = l.bare.start(ctx, ids[i]) })
	}
	wg.Wait()
	return took, errors.Join(errors.Join(errs...), l.bare.clear())
}
