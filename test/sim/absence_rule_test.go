package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// backAgain is long enough for an agent to notice that its session is dead and to open another.
const backAgain = 4 * heartbeat

func TestASilentMachineIsDisconnectedAndItsTasksGoOn(t *testing.T) {
	scenario(t, func(w *world) {
		a, arn := runningTask(w)
		b := w.join("b")
		a.cable.pull()
		w.settle(2*heartbeat - time.Second)
		w.wantConnected(a, true)
		w.settle(heartbeat + 2*time.Second)
		w.wantConnected(a, false)
		for _, fresh := range w.run(3) {
			if on := *w.task(fresh).ContainerInstanceArn; on != b.arn() {
				w.Errorf("a new task went to %s, which is silent", on)
			}
		}
		w.settle(10 * time.Minute)
		w.wantTask(arn, "RUNNING", "RUNNING")
		a.cable.plug()
		w.settle(backAgain)
		w.wantConnected(a, true)
		w.wantTask(arn, "RUNNING", "RUNNING")
		w.wantCounts(a, arn, 1, 0)
		if told := a.toldToStop(); len(told) > 0 {
			w.Errorf("the machine was told to stop %v", told)
		}
	})
}

func TestAnAgentThatLostItsMemoryStopsNothing(t *testing.T) {
	scenario(t, func(w *world) {
		m, arn := runningTask(w)
		m.halt()
		m.forget()
		m.boot()
		w.settle(time.Minute)
		w.wantConnected(m, true)
		w.wantTask(arn, "RUNNING", "RUNNING")
		w.wantCounts(m, arn, 1, 0)
		if told := m.toldToStop(); len(told) > 0 {
			w.Errorf("the machine was told to stop %v", told)
		}
		w.stop(arn) // it is still heard: its reports count on from the last one
		w.settle(2 * stopTime)
		w.wantTask(arn, "STOPPED", "STOPPED")
		w.wantCounts(m, arn, 1, 1)
	})
}

func TestATaskStoppedWhileItsMachineIsAwayStopsWhenItIsBack(t *testing.T) {
	scenario(t, func(w *world) {
		m, arn := runningTask(w)
		m.cable.pull()
		w.settle(time.Minute)
		w.stop(arn)
		w.settle(10 * time.Minute)
		w.wantTask(arn, "RUNNING", "STOPPED")
		w.wantCounts(m, arn, 1, 0)
		m.cable.plug()
		w.settle(backAgain)
		w.wantTask(arn, "STOPPED", "STOPPED")
		w.wantCounts(m, arn, 1, 1)
	})
}

func TestADrainingMachineGetsNoNewTasks(t *testing.T) {
	scenario(t, func(w *world) {
		a, arn := runningTask(w)
		_, err := w.ecs.UpdateContainerInstancesState(w.Context(), &sdk.UpdateContainerInstancesStateInput{
			Status: types.ContainerInstanceStatusDraining, ContainerInstances: []string{a.arn()},
		})
		if err != nil {
			w.Fatal(err)
		}
		out, err := w.ecs.RunTask(w.Context(), &sdk.RunTaskInput{TaskDefinition: new("web")})
		if err == nil || !strings.Contains(err.Error(), "InvalidParameterException") {
			w.Errorf("a draining machine alone: %+v, %v", out, err)
		}
		b := w.join("b")
		for _, fresh := range w.run(4) {
			if on := *w.task(fresh).ContainerInstanceArn; on != b.arn() {
				w.Errorf("a new task went to %s, which drains", on)
			}
		}
		w.settle(time.Minute)
		w.wantTask(arn, "RUNNING", "RUNNING")
		w.wantCounts(a, arn, 1, 0)
	})
}

func TestADeregisteredMachinesTasksEndAndItIsRefused(t *testing.T) {
	scenario(t, func(w *world) {
		m, arn := runningTask(w)
		m.cable.pull()
		w.settle(time.Minute)
		_, err := w.ecs.DeregisterContainerInstance(w.Context(), &sdk.DeregisterContainerInstanceInput{ContainerInstance: new(m.arn()), Force: new(true)})
		if err != nil {
			w.Fatal(err)
		}
		w.settle(0)
		before := w.wantTask(arn, "STOPPED", "STOPPED")
		m.cable.plug()
		w.settle(backAgain)
		if !strings.Contains(m.refusal(), "InactiveInstanceException") {
			w.Errorf("the machine came back and was told %q", m.refusal())
		}
		after := w.wantTask(arn, "STOPPED", "STOPPED")
		if before.Version != after.Version {
			w.Errorf("the task's version went from %d to %d", before.Version, after.Version)
		}
	})
}

func TestAClientTokenNamesTheSameTaskWhileItsMachineIsAway(t *testing.T) {
	scenario(t, func(w *world) {
		w.define()
		m := w.join("a")
		again := func() string {
			w.Helper()
			out, err := w.ecs.RunTask(w.Context(), &sdk.RunTaskInput{TaskDefinition: new("web"), ClientToken: new("order-1")})
			if err != nil || len(out.Tasks) != 1 {
				w.Fatalf("run: %v %+v", err, out)
			}
			return *out.Tasks[0].TaskArn
		}
		arn := again()
		w.settle(2 * startTime)
		m.cable.pull()
		w.settle(time.Minute)
		w.join("b")
		if second := again(); second != arn {
			w.Errorf("the same request made %s and then %s", arn, second)
		}
		m.cable.plug()
		w.settle(backAgain)
		if second := again(); second != arn {
			w.Errorf("the same request made %s and then %s", arn, second)
		}
		out, err := w.ecs.ListTasks(w.Context(), &sdk.ListTasksInput{})
		if err != nil || !slices.Equal(out.TaskArns, []string{arn}) {
			w.Errorf("tasks: %v %v", out, err)
		}
		w.wantCounts(m, arn, 1, 0)
	})
}
