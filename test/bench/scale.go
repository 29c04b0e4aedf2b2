package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// scaleTo is the number of tasks that are started at once.
const scaleTo = 50

// scale times 0 to 50 tasks on this machine against bare runc, two at a time.
func (b *bench) scale(ctx context.Context) (err error) {
	l, err := b.newLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end(context.WithoutCancel(ctx))) }()
	b.report.section("0 to 50 tasks on one machine", "Berth: five RunTask calls of ten tasks until all are RUNNING. Baseline: the same bundle by bare runc, two at a time.",
		"", "Berth", "bare runc", "ratio", "n", "aim")
	var ours, bare []time.Duration
	var memory growth
	for i := range pick(b, 5, 1) {
		took, err := l.fifty(ctx, &memory)
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if took, err = l.manyBare(ctx, scaleTo, fmt.Sprint("s", i)); err != nil {
			return err
		}
		bare = append(bare, took)
	}
	b.report.times("50 tasks", ours, bare, 1.5)
	memory.print(b.report)
	return nil
}

func (l *lab) fifty(ctx context.Context, memory *growth) (time.Duration, error) {
	if err := memory.before(l.berth); err != nil {
		return 0, err
	}
	began := time.Now()
	var all []string
	for range scaleTo / 10 {
		arns, err := l.berth.runTasks(ctx, 10)
		if err != nil {
			return 0, err
		}
		all = append(all, arns...)
	}
	err := l.berth.until(ctx, all, "RUNNING", 2*pollPause, func(task) {})
	took := time.Since(began)
	if err == nil {
		err = memory.after(l.berth, scaleTo)
	}
	return took, errors.Join(err, l.berth.stopTasks(ctx, all))
}

// manyBare starts n containers, two at a time.
func (l *lab) manyBare(ctx context.Context, n int, name string) (time.Duration, error) {
	work := make(chan string, n)
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		if err := l.bare.prepare(id); err != nil {
			return 0, err
		}
		work <- id
	}
	close(work)
	var (
		wg   sync.WaitGroup
		errs [2]error
	)
	began := time.Now()
	for w := range errs {
		wg.Go(func() {
			for id := range work {
				if _, err := l.bare.start(ctx, id); err != nil {
					errs[w] = err
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	return took, errors.Join(errs[0], errs[1], l.bare.clear())
}
