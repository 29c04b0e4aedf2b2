package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"berth/test/image"
)

// busybox is what tasks of services run: a shell that waits for its signal to end.
var busybox = []string{"/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; /bin/busybox sleep 86400 & wait"}

// makeBusybox unpacks Debian's static busybox below dir and returns the root file system.
func makeBusybox(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "busybox")
	if err := os.MkdirAll(filepath.Join(root, "tmp"), 0o755); err != nil {
		return "", err
	}
	return root, image.TreeFromDebian(ctx, filepath.Join(dir, "packages"), root, "busybox-static")
}

// service times 0 to 50 and 0 to 500 tasks of one service, against bare runc two at a time and against Docker Swarm.
func (b *bench) service(ctx context.Context) (err error) {
	root, err := makeBusybox(ctx, b.berth.dir)
	if errors.Is(err, image.ErrNoPackages) {
		b.report.note("Tasks of a service: skipped, Debian's package busybox-static is not to be had here: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.berth.define(ctx, root, "busybox:1", busybox...); err != nil {
		return err
	}
	l, err := b.newLabOf(ctx, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end(context.WithoutCancel(ctx))) }()
	const name = "many"
	if err := b.berth.call(ctx, "CreateService", object{"serviceName": name, "taskDefinition": definition, "desiredCount": 0}, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.berth.endService(context.WithoutCancel(ctx), name)) }()
	swarm, why := startSwarm(ctx, b.berth.dir, root)
	defer func() { err = errors.Join(err, swarm.end()) }()
	b.report.section("0 to many tasks of one service", "Busybox. Berth: UpdateService sent until DescribeServices shows as many running. Baseline: the same bundle by bare runc, two at a time. "+
		"Docker Swarm: `docker service scale` until the API, which `docker service ls` asks, shows as many.",
		"", "Berth", "bare runc", "ratio", "n", "aim", "Docker Swarm", "Berth over Swarm")
	for _, c := range []struct{ tasks, rounds int }{{50, pick(b, 3, 1)}, {500, 1}} {
		if c.tasks > b.tasks {
			continue
		}
		if err := l.serviceOf(ctx, name, c.tasks, c.rounds, swarm); err != nil {
			return fmt.Errorf("%d tasks: %w", c.tasks, err)
		}
	}
	if why != nil {
		b.report.note("Docker Swarm: skipped, %v.", why)
	}
	return nil
}

func (l *lab) serviceOf(ctx context.Context, name string, tasks, rounds int, swarm *swarm) error {
	var ours, bare, theirs []time.Duration
	var gaveUp error
	for i := range rounds {
		took, err := l.berth.scaleService(ctx, name, tasks)
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if took, err = l.manyBare(ctx, tasks, fmt.Sprintf("v%d-%d", tasks, i)); err != nil {
			return fmt.Errorf("bare runc: %w", err)
		}
		bare = append(bare, took)
		if swarm == nil || gaveUp != nil {
			continue
		}
		if took, gaveUp = swarm.scale(ctx, tasks); gaveUp == nil {
			theirs = append(theirs, took)
		}
		if last := i == rounds-1 && tasks == l.tasks; !last { // the last end with their daemon
			gaveUp = errors.Join(gaveUp, swarm.empty(ctx))
		}
	}
	ratio := float64(median(ours)) / float64(median(bare))
	other, over := "skipped", ""
	if gaveUp != nil {
		other = gaveUp.Error()
	}
	if len(theirs) > 0 {
		other, over = spread(theirs), fmt.Sprintf("%.2f", float64(median(ours))/float64(median(theirs)))
	}
	l.report.row(fmt.Sprintf("%d tasks", tasks), spread(ours), spread(bare), fmt.Sprintf("%.2f", ratio), fmt.Sprint(rounds), verdict(1.5, ratio < 1.5), other, over)
	return nil
}

// scaleService times a service from no task to n, and takes it back to none.
func (b *berth) scaleService(ctx context.Context, name string, n int) (time.Duration, error) {
	began := time.Now()
	if err := b.call(ctx, "UpdateService", object{"service": name, "desiredCount": n}, nil); err != nil {
		return 0, err
	}
	if err := b.untilRunning(ctx, name, n); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, b.emptyService(ctx, name)
}

// servicePause is between two looks at a service of so many tasks, which cost the more the more there are: less than a hundredth of its time to start.
func servicePause(n int) time.Duration { return time.Duration(n) * 200 * time.Microsecond }

// untilRunning waits until the service says that so many tasks run.
func (b *berth) untilRunning(ctx context.Context, name string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	for {
		var out struct {
			Services []struct {
				RunningCount int
				Events       []struct{ Message string }
			}
		}
		if err := b.call(ctx, "DescribeServices", object{"services": []string{name}}, &out); err != nil {
			return err
		}
		if len(out.Services) != 1 {
			return fmt.Errorf("service %s is gone", name)
		}
		s := out.Services[0]
		if s.RunningCount == n {
			return nil
		}
		if err := pause(ctx, servicePause(n)); err != nil {
			last := "none"
			if len(s.Events) > 0 {
				last = s.Events[0].Message
			}
			return fmt.Errorf("%d of %d tasks run, last event: %s: %w", s.RunningCount, n, last, err)
		}
	}
}

// emptyService scales a service to no task and waits until the last one has stopped.
func (b *berth) emptyService(ctx context.Context, name string) error {
	var arns []string
	in := object{"serviceName": name}
	for {
		var out struct {
			TaskArns  []string
			NextToken string
		}
		if err := b.call(ctx, "ListTasks", in, &out); err != nil {
			return err
		}
		if arns = append(arns, out.TaskArns...); out.NextToken == "" {
			break
		}
		in["nextToken"] = out.NextToken
	}
	if err := b.call(ctx, "UpdateService", object{"service": name, "desiredCount": 0}, nil); err != nil {
		return err
	}
	return b.until(ctx, arns, "STOPPED", 50*time.Millisecond, func(task) {})
}

// endService deletes a service with its tasks.
func (b *berth) endService(ctx context.Context, name string) error {
	err := b.emptyService(ctx, name)
	return errors.Join(err, b.call(ctx, "DeleteService", object{"service": name, "force": true}, nil))
}
