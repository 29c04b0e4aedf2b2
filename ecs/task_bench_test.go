package ecs

import (
	"fmt"
	"testing"
	"time"

	api "berth/api/ecs"
	"berth/store"
)

// BenchmarkPage shows that a page of ListTasks, DescribeTasks and DescribeClusters costs the same however many tasks
// are stored.
func BenchmarkPage(b *testing.B) {
	for _, stored := range []int{100, 5000, 100000} {
		w := benchWorld(b, stored)
		list, err := w.ListTasks(w.ctx, &api.ListTasksRequest{})
		if err != nil {
			b.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"ListTasks": func() error { _, err := w.ListTasks(w.ctx, &api.ListTasksRequest{}); return err },
			"ListTasks2": func() error {
				_, err := w.ListTasks(w.ctx, &api.ListTasksRequest{NextToken: list.NextToken})
				return err
			},
			"DescribeTasks": func() error {
				_, err := w.DescribeTasks(w.ctx, &api.DescribeTasksRequest{Tasks: list.TaskArns[:10]})
				return err
			},
			"DescribeClusters": func() error { _, err := w.DescribeClusters(w.ctx, &api.DescribeClustersRequest{}); return err },
			"RunTask": func() error {
				out, err := w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("small")})
				if err != nil || len(out.Tasks) != 1 {
					return fmt.Errorf("%w %s", err, show(out))
				}
				return nil
			},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, stored), func(b *testing.B) {
				for b.Loop() {
					if err := call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// benchWorld has a cluster with one huge machine and so many running tasks.
func benchWorld(b *testing.B, stored int) *world {
	w := newWorld(b)
	w.cluster("default")
	m := w.machine("default", "m1", 1<<30, 1<<30)
	w.register(smallDefinition)
	for done := 0; done < stored; done += 1000 {
		err := w.store.Update(w.ctx, func(tx *store.Tx) error {
			for i := range min(1000, stored-done) {
				Tasks.Put(tx, Task{
					Account: testAccount, Region: testRegion, Cluster: "default", ID: newTaskID(w.clock.Add(time.Duration(done+i)*time.Millisecond), 0),
					Instance: m.ID, Family: "small", Revision: 1, Launch: api.LaunchTypeEC2, Group: "family:small",
					Created: MillisOf(w.clock), Desired: StateRunning, Last: StateRunning, Version: 2,
					Containers: []TaskContainer{{Name: "a", State: StateRunning}},
				})
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return w
}

// BenchmarkRunTaskAtOnce has many clients place on ten machines.
func BenchmarkRunTaskAtOnce(b *testing.B) {
	w := newWorld(b)
	w.cluster("default")
	for i := range 10 {
		w.machine("default", fmt.Sprint("m", i), 1<<30, 1<<30)
	}
	w.register(smallDefinition)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("small")}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
