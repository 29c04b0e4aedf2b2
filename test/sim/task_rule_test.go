package sim

import "testing"

func TestATaskRunsUntilItIsStopped(t *testing.T) {
	scenario(t, func(w *world) {
		w.define()
		m := w.join("a")
		arn := w.run(1)[0]
		w.settle(2 * startTime)
		w.wantTask(arn, "RUNNING", "RUNNING")
		w.stop(arn)
		w.settle(0)
		w.wantTask(arn, "RUNNING", "STOPPED")
		w.settle(2 * stopTime)
		w.wantTask(arn, "STOPPED", "STOPPED")
		if starts, stops := m.counts(arn); starts != 1 || stops != 1 {
			t.Errorf("the machine started it %d times and stopped it %d times", starts, stops)
		}
	})
}
