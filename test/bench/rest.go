package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"berth/api/ecs"
)

const (
	restCluster  = "rest"
	restMachines = 10
	restTasks    = 2 // of each service
)

// atRest measures the server's processor time while services have all that they want, and before there were any.
func (b *bench) atRest(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	services, rounds, each := pick(b, 1000, 100), pick(b, 4, 2), pick(b, 20*time.Second, 5*time.Second)
	ended := make(chan error, restMachines)
	if err := b.berth.prepareRest(ctx, ended); err != nil {
		return err
	}
	b.report.section("Services at rest", fmt.Sprintf("Processor time of the server over %s, in percent of one core, smallest to largest of %d rounds. Baseline: the same server, with the same %d simulated machines, before there was a service. "+
		"Each service has %d tasks that run, by what the machines say. Aim: no more than the baseline, give or take what its rounds differ by.", each, rounds, restMachines, restTasks),
		"services", "tasks", "server", "n")
	without, err := b.idle(ctx, rounds, each)
	if err != nil {
		return err
	}
	b.report.row("0", "0", percents(without), fmt.Sprint(rounds))
	began := time.Now()
	if err := b.berth.manyServices(ctx, services); err != nil {
		return err
	}
	made := time.Since(began)
	with, err := b.idle(ctx, rounds, each)
	if err != nil {
		return err
	}
	b.report.row(fmt.Sprint(services), fmt.Sprint(services*restTasks), percents(with), fmt.Sprint(rounds))
	more, scatter := median(with)-median(without), slices.Max(without)-slices.Min(without)
	result := "met"
	if more > scatter {
		result = "missed"
	}
	b.report.note("Median with services less that without: %.2f %% of a core; rounds without services differ by %.2f %%: %s. All %d services were steady %s after the first CreateService.",
		more, scatter, result, services, made.Round(100*time.Millisecond))
	select {
	case err := <-ended:
		return fmt.Errorf("a simulated machine's session ended while it was measured: %w", err)
	default:
		return nil
	}
}

func percents(p []float64) string {
	return fmt.Sprintf("%.2f %% (%.2f to %.2f)", median(p), slices.Min(p), slices.Max(p))
}

// idle measures what the server uses when nobody asks it anything, in percent of a core.
func (b *bench) idle(ctx context.Context, rounds int, each time.Duration) (percent []float64, err error) {
	// What was begun ends, and garbage is collected.
	if err := pause(ctx, pick(b, 40*time.Second, 5*time.Second)); err != nil {
		return nil, err
	}
	pid, err := b.berth.process("server")
	if err != nil {
		return nil, err
	}
	for range rounds {
		before, err := processorTime(pid)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := pause(ctx, each); err != nil {
			return nil, err
		}
		after, err := processorTime(pid)
		if err != nil {
			return nil, err
		}
		percent = append(percent, 100*float64(after-before)/float64(time.Since(began)))
	}
	return percent, nil
}

// prepareRest makes the cluster with its machines, and the definition.
func (b *berth) prepareRest(ctx context.Context, ended chan<- error) error {
	if err := b.call(ctx, "CreateCluster", object{"clusterName": restCluster}, nil); err != nil {
		return err
	}
	var out struct {
		TaskDefinition struct{ RequiresAttributes []ecs.Attribute }
	}
	if err := b.call(ctx, "RegisterTaskDefinition", object{"family": restCluster, "containerDefinitions": []object{
		{"name": "main", "image": "example.com/app:1", "memory": 6, "environment": []object{{"name": "STAGE", "value": "bench"}}},
	}}, &out); err != nil {
		return err
	}
	for i := range restMachines {
		if err := b.joinMachine(ctx, restCluster, fmt.Sprint("machine-", i), out.TaskDefinition.RequiresAttributes, ended); err != nil {
			return err
		}
	}
	return nil
}

// manyServices makes services and waits until each has its tasks and its deployment is over.
func (b *berth) manyServices(ctx context.Context, n int) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		names = make([]string, n)
		work  = make(chan string, n)
	)
	for i := range n {
		names[i] = fmt.Sprintf("service-%d", i)
		work <- names[i]
	}
	close(work)
	for range 8 {
		wg.Go(func() {
			for name := range work {
				err := b.call(ctx, "CreateService", object{"cluster": restCluster, "serviceName": name, "taskDefinition": restCluster, "desiredCount": restTasks}, nil)
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := firstOf(errs); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		left, why, err := b.unsteady(ctx, names)
		if err != nil {
			return err
		}
		if names = left; len(names) == 0 {
			return nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return errors.Join(err, fmt.Errorf("%d services are not steady: %s", len(left), why))
		}
	}
}

// unsteady are those services that are not steady yet, with what one of them has.
func (b *berth) unsteady(ctx context.Context, names []string) (left []string, why string, err error) {
	for some := range slices.Chunk(names, 10) {
		var out struct {
			Services []struct {
				ServiceName                string
				RunningCount, PendingCount int
				Deployments                []struct{ RolloutState string }
				Events                     []struct{ Message string }
			}
		}
		if err := b.call(ctx, "DescribeServices", object{"cluster": restCluster, "services": some}, &out); err != nil {
			return nil, "", err
		}
		for _, s := range out.Services {
			if s.RunningCount == restTasks && len(s.Deployments) == 1 && s.Deployments[0].RolloutState == "COMPLETED" {
				continue
			}
			left, why = append(left, s.ServiceName), fmt.Sprint(s)
		}
	}
	return left, why, nil
}
