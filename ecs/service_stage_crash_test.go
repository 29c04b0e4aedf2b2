package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/aws"
	"berth/store"
)

// A deployment that shifts traffic comes to the same end wherever the control plane dies, sends traffic only where it can be taken, and
// calls its hooks as often as without a crash but for repetitions with the same executionId.
func TestADeploymentThatShiftsTrafficResumesAfterACrashAtEveryTransaction(t *testing.T) {
	for _, row := range []struct {
		name, config, status, want, traffic string
		ids                                 int
	}{
		{"blue/green", fmt.Sprintf(blueGreenConfig, hooksAt("POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT")), "SUCCEEDED",
			"ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0", "green:100", 2},
		{"canary", strings.Replace(canaryConfig, "{", `{"lifecycleHooks":[],`, 1), "SUCCEEDED", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0", "green:100", 0},
		{"rolled back", fmt.Sprintf(blueGreenConfig, hooksAt("PRODUCTION_TRAFFIC_SHIFT")), "FAILED",
			"ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0", "blue:100", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			last := int64(1)
			for n := int64(0); n <= last; n++ {
				r := newReceiver(t)
				r.answer = func(int, hookPayload) (int, string) { return 200, `{"hookStatus":"` + row.status + `"}` }
				w := &world{t: t, clock: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)}
				w.ctx = aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))
				l := &crashLog{records: map[string]store.Record{}}
				w.start(l)
				v := w.shifting(`{"strategy":"BLUE_GREEN","bakeTimeInMinutes":0}`)
				v.until("SUCCESSFUL")
				v.clock = v.clock.Add(time.Second)
				v.update(`{"service":"web","taskDefinition":"web:2","deploymentConfiguration":` + strings.ReplaceAll(row.config, "URL", r.URL) + `}`)
				l.commits, l.fail = 0, n
				for range 400 {
					if d := v.deployment(); d.FinishedAt != nil {
						break
					}
					v.survives(l, v.turnOnce)
					v.lawOfTraffic()
					v.survives(l, v.runHooks)
					v.clock = v.clock.Add(time.Minute)
				}
				if n == 0 {
					last = l.commits
				}
				v.want("web", row.want)
				if got := v.shares(v.production); got != row.traffic {
					t.Errorf("crash at %d: traffic goes to %s", n, got)
				}
				if left := w.tasks(Task.Active); len(left) != 2 || len(targets(w)) != 2 {
					t.Errorf("crash at %d: %d tasks, %d targets", n, len(left), len(targets(w)))
				}
				ids := map[string]bool{}
				for _, c := range r.calls {
					ids[c.ExecutionID] = true
				}
				if len(ids) != row.ids || len(r.calls) > row.ids+1 {
					t.Errorf("crash at %d: %d calls of %d hooks", n, len(r.calls), len(ids))
				}
				_ = w.store.Close()
				r.Close()
			}
			t.Logf("%d transactions", last)
		})
	}
}

func hooksAt(stages ...string) string {
	return `,"lifecycleHooks":[{"hookTargetArn":"URL","lifecycleStages":["` + strings.Join(stages, `","`) + `"]}]`
}

// runHooks lets hooks have their turn; it panics with the error of a transaction that failed.
func (w *shifting) runHooks() {
	for h := range Hooks.All(w.store.Read()) {
		if _, err := (HookReconciler{w.Service}).Reconcile(w.ctx, h.Key()); err != nil {
			panic(err)
		}
	}
}
