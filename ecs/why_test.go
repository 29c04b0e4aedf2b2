package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	api "berth/api/ecs"
)

func TestWhyExplainsMachineByMachine(t *testing.T) {
	w := newInstanceWorld(t)
	capable := []string{}
	for v := 17; v <= 44; v++ {
		capable = append(capable, fmt.Sprint("com.amazonaws.ecs.capability.docker-remote-api.1.", v))
	}
	big, small := w.connect(t, "big", hello(2048, 4096, capable...)), w.connect(t, "small", hello(512, 4096, capable...))
	bare, lost := w.connect(t, "bare", hello(2048, 4096)), w.connect(t, "lost", hello(2048, 4096, capable...))
	if err := w.Disconnect(w.ctx, lost.Key(), "session-lost"); err != nil {
		t.Fatal(err)
	}
	_, err := w.RegisterTaskDefinition(w.ctx, &api.RegisterTaskDefinitionRequest{
		Family:               new("web"),
		ContainerDefinitions: []api.ContainerDefinition{{Name: new("c"), Image: new("nginx"), Cpu: new(int32(1024)), Memory: new(int32(512))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	lacks := WhyMachine{bare.ID, false, "ATTRIBUTE", "lacks attribute com.amazonaws.ecs.capability.docker-remote-api.1.18"}
	others := []WhyMachine{{small.ID, false, "RESOURCE:CPU", "needs 1024 CPU units, 512 left of 512"}, lacks, {lost.ID, false, "AGENT", "the agent is disconnected"}}
	expect := func(subject, summary string, first WhyMachine) {
		t.Helper()
		got, err := w.Why(w.ctx, "", subject)
		if err != nil {
			t.Fatal(err)
		}
		if got.Summary != summary {
			t.Errorf("%s: got %q, want %q", subject, got.Summary, summary)
		}
		if diff := cmp.Diff(got.Machines, append([]WhyMachine{first}, others...)); diff != "" {
			t.Errorf("%s: %s", subject, diff)
		}
	}
	expect("web", "one more task of web:1 fits on 1 of 4 machines", WhyMachine{big.ID, true, "", ""})
	out, err := w.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("web"), Count: new(int32(3))})
	if err != nil || len(out.Tasks) != 2 || len(out.Failures) != 4 {
		t.Fatalf("got %+v, %v", out, err)
	}
	id := (*out.Tasks[0].TaskArn)[strings.LastIndex(*out.Tasks[0].TaskArn, "/")+1:]
	here := WhyMachine{big.ID, true, "", "the task is here"}
	for _, name := range []string{id, id[:14], *out.Tasks[0].TaskArn} {
		expect(name, "task "+id+" of web:1 is PENDING on machine "+big.ID, here)
	}
	full := WhyMachine{big.ID, false, "RESOURCE:CPU", "needs 1024 CPU units, 0 left of 2048"}
	expect("web:1", "one more task of web:1 fits on 0 of 4 machines; "+big.ID+": RESOURCE:CPU, needs 1024 CPU units, 0 left of 2048", full)
	others = []WhyMachine{
		{small.ID, true, "", "512 of 512 CPU units and 4096 of 4096 MiB left"}, {bare.ID, true, "", "2048 of 2048 CPU units and 4096 of 4096 MiB left"},
		{lost.ID, false, "AGENT", "the agent is disconnected; 2048 of 2048 CPU units and 4096 of 4096 MiB left"},
	}
	for _, subject := range []string{"", "default"} {
		expect(subject, "3 of 4 machines of cluster default take tasks", WhyMachine{big.ID, true, "", "0 of 2048 CPU units and 3072 of 4096 MiB left"})
	}
	_, err = w.Why(w.ctx, "", "nothing")
	wantError(t, err, "ResourceNotFoundException", "No task, task definition or cluster is named nothing.")
	_, err = w.Why(w.ctx, "", "0")
	wantError(t, err, "InvalidParameterException", "Several tasks have IDs that begin with 0.")
	_, err = w.Why(w.ctx, "none", "web")
	wantError(t, err, "ClusterNotFoundException", "Cluster not found.")
}

func TestInstanceReconciler(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	i := w.InstanceReconciler()
	reconcile := func() time.Duration {
		t.Helper()
		again, err := i.Reconcile(w.ctx, c.Key())
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	if again := reconcile(); again < lostAgent-time.Second || again > lostAgent {
		t.Errorf("wakes in %v", again)
	}
	w.now = w.now.Add(lostAgent)
	if again := reconcile(); again != 0 || w.instance(t, c.Key()).Connected {
		t.Errorf("a silent agent is still connected, wakes in %v", again)
	}
	if again := reconcile(); again != 0 {
		t.Errorf("a disconnected instance wakes in %v", again)
	}
	if ok, err := w.Seen(w.ctx, c.Key(), "session-m", ""); !ok || err != nil || !w.instance(t, c.Key()).Connected {
		t.Errorf("it cannot come back: %v", err)
	}
	if _, err := w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(c.ID)}); err != nil {
		t.Fatal(err)
	}
	if again := reconcile(); again < inactiveInstanceLife-time.Minute {
		t.Errorf("a deregistered instance wakes in %v", again)
	}
	w.now = w.now.Add(inactiveInstanceLife)
	reconcile()
	if _, ok := ContainerInstances.Get(w.store.Read(), c.Key()); ok || InstanceDescriptions.Len(w.store.Read()) != 0 {
		t.Error("a deregistered instance is kept for ever")
	}
	if again := reconcile(); again != 0 {
		t.Errorf("a missing instance wakes in %v", again)
	}
}
