package sim

import (
	"reflect"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
)

// A running task, and the machine that runs it.
func runningTask(w *world) (*machine, string) {
	w.Helper()
	w.define()
	m := w.join("a")
	arn := w.run(1)[0]
	w.settle(2 * startTime)
	w.wantTask(arn, "RUNNING", "RUNNING")
	return m, arn
}

// wantCounts checks how often the machine started and stopped the task.
func (w *world) wantCounts(m *machine, arn string, starts, stops int) {
	w.Helper()
	if a, b := m.counts(arn); a != starts || b != stops {
		w.Errorf("machine %s started the task %d times and stopped it %d times; the rule says %d and %d", m.name, a, b, starts, stops)
	}
}

func TestATaskRunsUntilItIsStopped(t *testing.T) {
	scenario(t, func(w *world) {
		m, arn := runningTask(w)
		w.stop(arn)
		w.settle(0)
		w.wantTask(arn, "RUNNING", "STOPPED")
		w.settle(2 * stopTime)
		w.wantTask(arn, "STOPPED", "STOPPED")
		w.wantCounts(m, arn, 1, 1)
	})
}

func TestReportsThatComeTwiceAndInAnyOrderChangeNothing(t *testing.T) {
	scenario(t, func(w *world) {
		m, arn := runningTask(w)
		before := w.task(arn)
		m.repeat()
		m.claim(arn, "PENDING")
		w.settle(time.Second)
		if after := w.task(arn); !reflect.DeepEqual(before, after) {
			w.Errorf("the task was %+v and is %+v", before, after)
		}
		w.stop(arn)
		w.settle(2 * stopTime)
		before = w.wantTask(arn, "STOPPED", "STOPPED")
		m.repeat()
		m.claim(arn, "RUNNING")
		w.settle(time.Second)
		if after := w.task(arn); !reflect.DeepEqual(before, after) {
			w.Errorf("the task was %+v and is %+v", before, after)
		}
		w.wantCounts(m, arn, 1, 1)
	})
}

func TestAReportOnAnotherMachinesTaskChangesNothing(t *testing.T) {
	scenario(t, func(w *world) {
		m, arn := runningTask(w)
		liar := w.join("b")
		before := w.task(arn)
		for _, state := range []string{"STOPPED", "PENDING", "DEPROVISIONING", "nonsense"} {
			liar.claim(arn, state)
		}
		liar.claim("arn:aws:ecs:"+region+":"+account+":task/default/00000000000000000000000000000000", "STOPPED")
		w.settle(time.Minute)
		if after := w.task(arn); !reflect.DeepEqual(before, after) {
			w.Errorf("the task was %+v and is %+v", before, after)
		}
		w.wantCounts(m, arn, 1, 0)
		w.wantConnected(liar, true)
	})
}

func TestAStoppedTaskVanishesAfterTheRetention(t *testing.T) {
	scenario(t, func(w *world) {
		_, arn := runningTask(w)
		w.stop(arn)
		w.settle(2 * stopTime)
		w.wantTask(arn, "STOPPED", "STOPPED")
		w.settle(retention - time.Minute)
		w.wantTask(arn, "STOPPED", "STOPPED")
		w.settle(2 * time.Minute)
		out, err := w.ecs.DescribeTasks(w.Context(), &sdk.DescribeTasksInput{Tasks: []string{arn}})
		if err != nil {
			w.Fatal(err)
		}
		if len(out.Tasks) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
			w.Errorf("after the retention: %+v, failures %+v", out.Tasks, out.Failures)
		}
	})
}
