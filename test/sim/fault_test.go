package sim

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"berth/ecs"
)

const faultSteps = 300

// Whatever happens to machines, cables and reports: I-03, I-05, I-07 and I-08 hold after every step, no task is started
// twice, and when the faults end, what was not stopped runs and what was stopped is stopped.
// BERTH_SIM_SEED repeats a run's choices.
func TestTheLawsHoldUnderRandomFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BERTH_SIM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BERTH_SIM_SEED=%d", seed)
	scenario(t, func(w *world) {
		w.define()
		for _, name := range []string{"a", "b", "c"} {
			w.join(name)
		}
		f := &faults{world: w, Rand: rand.New(rand.NewPCG(seed, 0)), was: map[string]ecs.Task{}, mayStop: map[string]bool{}, asked: map[string]bool{}}
		for range faultSteps {
			step := f.step()
			w.settle(time.Duration(f.IntN(int(15 * time.Second))))
			if f.check(); w.Failed() {
				w.Fatalf("after the step: %s", step)
			}
		}
		f.calm()
	})
}

// faults does random things to a world and checks the laws.
type faults struct {
	*world
	*rand.Rand
	was     map[string]ecs.Task // as the last check saw it
	mayStop map[string]bool     // tasks that a client, or their own machine's report, gave a reason to stop
	asked   map[string]bool     // tasks that a client stopped
	known   []string
}

func (f *faults) machine() *machine { return f.machines[f.IntN(len(f.machines))] }

func (f *faults) anyTask() (arn string, ok bool) {
	if len(f.known) == 0 {
		return "", false
	}
	return f.known[f.IntN(len(f.known))], true
}

// step does one thing and says what.
func (f *faults) step() string {
	m := f.machine()
	switch f.IntN(12) {
	case 0, 1, 2:
		out, err := f.ecs.RunTask(f.Context(), &sdk.RunTaskInput{TaskDefinition: new("web"), Count: new(f.Int32N(3) + 1)})
		if err != nil {
			return "run: " + err.Error() // no machine is there
		}
		for _, t := range out.Tasks {
			f.known = append(f.known, *t.TaskArn)
		}
		return "run"
	case 3, 4:
		if arn, ok := f.anyTask(); ok {
			f.mayStop[arn] = true
			if _, err := f.ecs.StopTask(f.Context(), &sdk.StopTaskInput{Task: &arn}); err == nil { // else it is gone
				f.asked[arn] = true
			}
		}
		return "stop"
	case 5:
		m.cable.pull()
		return "pull the cable of " + m.name
	case 6, 7:
		m.cable.slow(time.Duration(f.IntN(int(300 * time.Millisecond))))
		m.cable.plug()
		return "plug the cable of " + m.name
	case 8:
		m.halt()
		if f.IntN(2) == 0 {
			m.forget()
		}
		m.boot()
		return "restart the agent of " + m.name
	case 9:
		m.repeat()
		return "repeat the reports of " + m.name
	case 10:
		return f.lie(m)
	default:
		status := []types.ContainerInstanceStatus{types.ContainerInstanceStatusActive, types.ContainerInstanceStatusDraining}[f.IntN(2)]
		_, err := f.ecs.UpdateContainerInstancesState(f.Context(), &sdk.UpdateContainerInstancesStateInput{
			Status: status, ContainerInstances: []string{m.arn()},
		})
		if err != nil {
			f.Error(err)
		}
		return string(status) + " " + m.name
	}
}

// lie lets a machine claim something of any task.
func (f *faults) lie(m *machine) string {
	arn, ok := f.anyTask()
	if !ok {
		return "nothing to lie about"
	}
	state := []string{"PENDING", "ACTIVATING", "DEACTIVATING", "STOPPED", "nonsense"}[f.IntN(5)]
	for t := range ecs.Tasks.All(f.store.Read()) {
		if t.ARN().String() == arn && (t.InstanceARN().String() == m.arn()) && (state == "DEACTIVATING" || state == "STOPPED") {
			f.mayStop[arn] = true
		}
	}
	m.claim(arn, state)
	return m.name + " claims " + state
}

// check looks at the whole store.
func (f *faults) check() {
	r := f.store.Read()
	cpu, memory := map[string]int32{}, map[string]int32{}
	on := map[string]string{}
	for t := range ecs.Tasks.All(r) {
		arn := t.ARN().String()
		on[arn] = t.InstanceKey()
		if was, seen := f.was[arn]; seen {
			f.checkLife(was, t)
		}
		f.was[arn] = t
		if t.Desired == ecs.StateStopped && !f.mayStop[arn] {
			f.Errorf("I-08: %s is to stop and nobody gave a reason: %s %s", arn, t.StopCode, t.StopReason)
		}
		if t.Active() != (t.Reserved != nil) {
			f.Errorf("I-05: %s is %s and reserves %+v", arn, t.Last, t.Reserved)
		}
		if t.Reserved != nil {
			cpu[t.InstanceKey()] += t.Reserved.CPU
			memory[t.InstanceKey()] += t.Reserved.Memory
		}
	}
	keys := map[string]string{} // of instances, by ARN
	for c := range ecs.ContainerInstances.All(r) {
		k := c.Key()
		keys[c.ARN().String()] = k
		if cpu[k] > c.CPU || memory[k] > c.Memory || cpu[k] != c.Used.CPU || memory[k] != c.Used.Memory {
			f.Errorf("I-05: %s has %d CPU, %d MiB; tasks hold %d, %d; noted are %d, %d", k, c.CPU, c.Memory, cpu[k], memory[k], c.Used.CPU, c.Used.Memory)
		}
	}
	for _, m := range f.machines {
		for _, arn := range m.toldToStop() {
			if mine := on[arn] == "" || on[arn] == keys[m.arn()]; mine && !f.mayStop[arn] {
				f.Errorf("I-08: machine %s was told to stop %s", m.name, arn)
			}
		}
	}
}

func (f *faults) checkLife(was, is ecs.Task) {
	switch {
	case was.Instance != is.Instance:
		f.Errorf("I-03: %s moved from %s to %s", is.ID, was.Instance, is.Instance)
	case is.Last < was.Last || is.Desired < was.Desired:
		f.Errorf("I-07: %s went back from %s, %s to %s, %s", is.ID, was.Last, was.Desired, is.Last, is.Desired)
	case is.Version < was.Version, is.Version == was.Version && (is.Last != was.Last || is.Desired != was.Desired):
		f.Errorf("I-07: %s went from %s, %s to %s, %s and its version from %d to %d", is.ID, was.Last, was.Desired, is.Last, is.Desired, was.Version, is.Version)
	}
	for _, m := range f.machines {
		if starts, _ := m.counts(is.ARN().String()); starts > 1 || starts == 1 && m.arn() != is.InstanceARN().String() {
			f.Errorf("machine %s started %s %d times; it is placed on %s", m.name, is.ID, starts, is.Instance)
		}
	}
}

// calm ends the faults and checks that everything comes to its end.
func (f *faults) calm() {
	for _, m := range f.machines {
		m.cable.plug()
		m.halt()
		m.boot() // so that it tells everything once more
	}
	f.settle(2 * time.Minute)
	f.check()
	running := 0
	for t := range ecs.Tasks.All(f.store.Read()) {
		arn := t.ARN().String()
		switch {
		case t.Desired == ecs.StateRunning && t.Last == ecs.StateRunning && !f.asked[arn]:
			running++
		case t.Desired != ecs.StateStopped || t.Last != ecs.StateStopped:
			f.Errorf("in the end %s is %s and wanted %s; stopped by a client: %t", t.ID, t.Last, t.Desired, f.asked[arn])
		default:
			f.checkGone(arn)
		}
	}
	f.Logf("%d tasks were made, %d run in the end", len(f.known), running)
}

// checkGone checks that no machine goes on with a task that is over, unless its agent forgot it.
func (f *faults) checkGone(arn string) {
	for _, m := range f.machines {
		if starts, stops := m.counts(arn); starts > stops && !m.forgotten(arn) {
			f.Errorf("in the end %s is STOPPED and runs on machine %s", arn, m.name)
		}
	}
}
