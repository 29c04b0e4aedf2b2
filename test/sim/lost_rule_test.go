package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// plain makes a service without load balancers on the machines that are there.
func plain(w *world, n int32) {
	w.Helper()
	w.define()
	if _, err := w.ecs.CreateService(w.Context(), &sdk.CreateServiceInput{ServiceName: new("web"), TaskDefinition: new("web"), DesiredCount: &n}); err != nil {
		w.Fatal(err)
	}
	w.settle(2 * time.Minute)
	w.wantService(fmt.Sprintf("ACTIVE %d/%d/0 COMPLETED", n, n))
}

// on counts the service's tasks that should run on a machine.
func (w *world) on(m *machine) (n int) {
	w.Helper()
	for _, t := range w.tasksOf() {
		if t.InstanceARN().String() == m.arn() {
			n++
		}
	}
	return n
}

// events are the texts of the service's events that contain a part.
func (w *world) events(part string) (out []string) {
	w.Helper()
	for _, e := range w.service().Events {
		if strings.Contains(*e.Message, part) {
			out = append(out, *e.Message)
		}
	}
	return out
}

// After five minutes of silence the tasks of services on a machine are replaced; what else it runs is waited for, and what is too much
// ends when it is back.
func TestALostMachinesServicesAreReplaced(t *testing.T) {
	scenario(t, func(w *world) {
		a, alone := runningTask(w)
		b := w.join("b")
		plain(w, 4)
		lost := w.on(a)
		if lost == 0 {
			w.Fatal("no task is on the machine")
		}
		a.cable.pull()
		w.settle(5 * time.Minute)
		if w.on(a) != lost {
			w.Error("tasks were given up too early")
		}
		w.settle(2 * time.Minute)
		w.wantService("ACTIVE 4/4/0 COMPLETED")
		if w.on(b) != 4 {
			w.Errorf("%d of 4 tasks are on the machine that is left", w.on(b))
		}
		if got := w.events("has given up"); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf("%d tasks", lost)) {
			w.Errorf("events: %q", got)
		}
		w.wantTask(alone, "RUNNING", "RUNNING")
		a.cable.plug()
		w.settle(time.Minute)
		w.wantTask(alone, "RUNNING", "RUNNING")
		if told := slices.Compact(slices.Sorted(slices.Values(a.toldToStop()))); len(told) != lost {
			w.Errorf("the machine was told to stop %d tasks of %d", len(told), lost)
		}
		w.wantService("ACTIVE 4/4/0 COMPLETED")
	})
}

func TestAMachineMayBeWaitedFor(t *testing.T) {
	scenario(t, func(w *world) {
		a := w.join("a")
		plain(w, 2)
		w.join("b")
		put := func(value string) error {
			_, err := w.ecs.PutAttributes(w.Context(), &sdk.PutAttributesInput{Attributes: []types.Attribute{{
				Name: new("berth.lost-after"), Value: &value, TargetType: types.TargetTypeContainerInstance, TargetId: new(a.arn()),
			}}})
			return err
		}
		if err := put("soon"); err == nil || !strings.Contains(err.Error(), "InvalidParameterException") {
			w.Errorf("a value that is no duration: %v", err)
		}
		if err := put("never"); err != nil {
			w.Fatal(err)
		}
		a.cable.pull()
		w.settle(time.Hour)
		if w.on(a) != 2 {
			w.Error("tasks were given up")
		}
		if err := put("90m"); err != nil {
			w.Fatal(err)
		}
		w.settle(20 * time.Minute)
		if w.on(a) != 2 {
			w.Error("tasks were given up too early")
		}
		w.settle(20 * time.Minute)
		w.wantService("ACTIVE 2/2/0 COMPLETED")
		if w.on(a) != 0 {
			w.Error("tasks were not given up")
		}
	})
}

// When more than 55 % of a zone's machines go silent within a minute, nothing on them is replaced until enough are back.
func TestALossOfManyMachinesIsBraked(t *testing.T) {
	scenario(t, func(w *world) {
		var machines []*machine
		for i := range 20 {
			machines = append(machines, w.join(fmt.Sprintf("m%d", i)))
		}
		plain(w, 20)
		before := map[string]bool{}
		for _, t := range w.tasksOf() {
			before[t.ID] = true
		}
		fresh := func() (n int) {
			for _, t := range w.tasksOf() {
				if !before[t.ID] {
					n++
				}
			}
			return n
		}
		for i := range 12 {
			machines[i].cable.pull()
			w.settle(4 * time.Second)
		}
		w.settle(30 * time.Minute)
		if n := fresh(); n != 0 {
			w.Errorf("%d tasks were replaced", n)
		}
		if got := w.events("has paused"); len(got) != 1 || !strings.Contains(got[0], "12 of 20 container instances in "+region+"a were lost") {
			w.Errorf("events: %q", got)
		}
		machines[0].cable.plug() // 11 of 20 are no more than 55 %
		w.settle(2 * time.Minute)
		gone := 0
		for _, m := range machines[1:12] {
			gone += w.on(m)
		}
		if n := fresh(); gone != 0 || n == 0 {
			w.Errorf("%d tasks were replaced, %d are still where nothing is heard", n, gone)
		}
		w.wantService("ACTIVE 20/20/0 COMPLETED")
	})
}

// A loss that goes on for longer than a minute is none of a line: each machine is replaced when its time is over.
func TestASlowLossIsNotBraked(t *testing.T) {
	scenario(t, func(w *world) {
		var machines []*machine
		for i := range 5 {
			machines = append(machines, w.join(fmt.Sprintf("m%d", i)))
		}
		plain(w, 5)
		for _, m := range machines[:3] {
			m.cable.pull()
			w.settle(2 * time.Minute)
		}
		w.settle(10 * time.Minute)
		if n := w.on(machines[3]) + w.on(machines[4]); n != 5 {
			w.Errorf("%d of 5 tasks are on the machines that are left: %v", n, w.events("has paused"))
		}
		w.wantService("ACTIVE 5/5/0 COMPLETED")
	})
}
