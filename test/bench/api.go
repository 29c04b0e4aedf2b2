package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	apiCluster   = "bench"
	apiInstances = 50
	smallTask    = "small"
	firstPage    = 100 // tasks at the smallest size: one page, so that a page is the same at every size
	turns        = 4   // turns of Berth and the baseline for each figure
)

// apiLab is a cluster of instances that have no agent, filled with tasks through the public API.
type apiLab struct {
	*bench
	bareURL string
	arns    []string
	stored  int
	needs   []object           // attributes that the definition asks of an instance
	pages   map[string]float64 // ratio at the smallest size
}

// api measures requests at three sizes of the store.
func (b *bench) api(ctx context.Context) error {
	url, stop, err := startBareHTTP(ctx)
	if err != nil {
		return err
	}
	defer stop()
	l := &apiLab{bench: b, bareURL: url, pages: map[string]float64{}}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	alive, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { l.keepInstances(alive) })
	defer wg.Wait()
	defer cancel()
	b.report.section("Requests", "Over HTTP on loopback, clients on the same machine. ListTasks: the first page of 100; DescribeTasks: ten tasks; RunTask: one task, stored durably. "+
		"Tasks are stored by RunTask through the API, on instances registered by RegisterContainerInstance. Baseline: Go's HTTP server answering as many bytes, no signature, no store. "+
		"Page: the ratio over that of the same row at 100 stored tasks.",
		"stored", "operation", "clients", "Berth", "p99", "bare HTTP", "p99", "ratio", "page")
	empty, _, err := b.berth.both()
	if err != nil {
		return err
	}
	var notes []string
	for _, size := range pick(b, []int{firstPage, 5_000, 100_000}, []int{firstPage, 5_000}) {
		if err := l.fill(ctx, size); err != nil {
			return err
		}
		if size > firstPage {
			u, err := l.settled(ctx)
			if err != nil {
				return err
			}
			notes = append(notes, fmt.Sprintf("Server with %d stored tasks: %s resident; %s more for each 1,000.", size, mebibytes(u.resident), mebibytes((u.anonymous-empty.anonymous)*1000/float64(size))))
		}
		if err := l.measure(ctx, size); err != nil {
			return err
		}
	}
	for _, n := range notes {
		b.report.note("%s", n)
	}
	return nil
}

// settled waits until the server's memory no longer shrinks.
func (l *apiLab) settled(ctx context.Context) (u usage, err error) {
	for range pick(l.bench, 30, 2) {
		last := u
		if u, err = l.berth.usage("server"); err != nil || last.resident > 0 && u.resident > 0.99*last.resident {
			return u, err
		}
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return u, ctx.Err()
		}
	}
	return u, nil
}

func (l *apiLab) prepare(ctx context.Context) error {
	if err := l.berth.call(ctx, "CreateCluster", object{"clusterName": apiCluster}, nil); err != nil {
		return err
	}
	var out struct {
		TaskDefinition struct{ RequiresAttributes []object }
	}
	err := l.berth.call(ctx, "RegisterTaskDefinition", object{"family": smallTask, "containerDefinitions": []object{
		{"name": "main", "image": "example.com/app:1", "memory": 6, "essential": true, "environment": []object{{"name": "STAGE", "value": "bench"}}},
	}}, &out)
	if err != nil {
		return err
	}
	l.needs = out.TaskDefinition.RequiresAttributes
	return l.registerInstances(ctx)
}

// registerInstances registers the instances, or again, which keeps them connected.
func (l *apiLab) registerInstances(ctx context.Context) error {
	for i := range apiInstances {
		identity, _ := json.Marshal(object{"instanceId": fmt.Sprintf("i-%017x", i+1), "availabilityZone": l.berth.region + string(rune('a'+i%3)), "instanceType": "m7.large"})
		err := l.berth.call(ctx, "RegisterContainerInstance", object{
			"cluster": apiCluster, "instanceIdentityDocument": string(identity), "attributes": l.needs,
			"totalResources": []object{{"name": "CPU", "type": "INTEGER", "integerValue": 1 << 30}, {"name": "MEMORY", "type": "INTEGER", "integerValue": 1 << 30}},
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *apiLab) keepInstances(ctx context.Context) {
	for {
		select {
		case <-time.After(40 * time.Second):
		case <-ctx.Done():
			return
		}
		_ = l.registerInstances(ctx) // if it fails, so does RunTask
	}
}

// fill runs tasks, ten by a request, until so many are stored.
func (l *apiLab) fill(ctx context.Context, size int) error {
	const workers = 16
	var (
		mu   sync.Mutex
		errs []error
		wg   sync.WaitGroup
	)
	calls := make(chan int)
	for range workers {
		wg.Go(func() {
			for range calls {
				var out tasks
				err := l.berth.call(ctx, "RunTask", object{"cluster": apiCluster, "taskDefinition": smallTask, "count": 10}, &out)
				if err == nil && len(out.Tasks) != 10 {
					err = fmt.Errorf("RunTask placed %d of 10: %v", len(out.Tasks), out.Failures[:min(2, len(out.Failures))])
				}
				mu.Lock()
				errs = append(errs, err)
				for _, t := range out.Tasks {
					if l.stored++; len(l.arns) < 10 {
						l.arns = append(l.arns, t.TaskArn)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range (size - l.stored) / 10 {
		calls <- i
	}
	close(calls)
	wg.Wait()
	return firstOf(errs)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *apiLab) measure(ctx context.Context, size int) error {
	for _, op := range []struct {
		name string
		in   object
	}{
		{"ListTasks", object{"cluster": apiCluster}},
		{"DescribeTasks", object{"cluster": apiCluster, "tasks": l.arns}},
		{"RunTask", object{"cluster": apiCluster, "taskDefinition": smallTask}},
	} {
		for _, clients := range pick(l.bench, []int{1, 16, 128}, []int{1, 16}) {
			if err := l.measureOne(ctx, size, op.name, op.in, clients); err != nil {
				return fmt.Errorf("%s, %d clients: %w", op.name, clients, err)
			}
		}
	}
	return nil
}

func (l *apiLab) measureOne(ctx context.Context, size int, op string, in object, clients int) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	header, err := l.berth.sign(ctx, op, body)
	if err != nil {
		return err
	}
	ours := load{url: l.berth.endpoint + "/", header: header, body: body}
	answer, err := l.berth.send(ctx, ours.url, header.Clone(), body)
	if err != nil {
		return err
	}
	bare := load{url: l.bareURL, header: http.Header{"X-Bytes": {strconv.Itoa(len(answer))}}, body: body}
	var most int64 // RunTask is bounded by number, so that the store stays near its size
	if op == "RunTask" {
		l.stored++
		most = int64(pick(l.bench, 250, 60) * min(clients, 4) / turns * 2)
	}
	d := pick(l.bench, 700, 250) * int(time.Millisecond)
	var a, z runs
	for range turns {
		o, err := l.berth.drive(ctx, ours, clients, time.Duration(d), most)
		if err != nil {
			return err
		}
		if op == "RunTask" {
			l.stored += len(o.took)
		}
		a.add(o)
		if o, err = l.berth.drive(ctx, bare, clients, time.Duration(d/2), 0); err != nil {
			return err
		}
		z.add(o)
	}
	row := fmt.Sprint(op, clients)
	if size == firstPage {
		l.pages[row] = a.rate() / z.rate()
	}
	l.report.row(strconv.Itoa(size), op, strconv.Itoa(clients), rate(a.rate()), milliseconds(at(a.took, 0.99)),
		rate(z.rate()), milliseconds(at(z.took, 0.99)), fmt.Sprintf("%.2f", a.rate()/z.rate()), fmt.Sprintf("%.2f", a.rate()/z.rate()/l.pages[row]))
	return nil
}
