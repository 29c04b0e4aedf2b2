package cli

import (
	"strings"
	"testing"
	"time"

	own "berth/api/berth"
	api "berth/api/ecs"
)

func TestBlockShowsWhatADeploymentDoes(t *testing.T) {
	w := view{
		service: &api.Service{
			ServiceName: new("web"), DesiredCount: new(int32(4)), RunningCount: new(int32(6)),
			Deployments: []api.Deployment{
				{Status: new("PRIMARY"), TaskDefinition: new("arn:aws:ecs:us-east-1:000000000000:task-definition/web:8"), RunningCount: new(int32(2)), PendingCount: new(int32(1))},
				{Status: new("ACTIVE"), TaskDefinition: new("arn:aws:ecs:us-east-1:000000000000:task-definition/web:7"), RunningCount: new(int32(4))},
			},
		},
		deployment: &api.ServiceDeployment{
			Status: api.ServiceDeploymentStatusInProgress, LifecycleStage: api.ServiceDeploymentLifecycleStageProductionTrafficShift,
			TargetServiceRevision:    &api.ServiceRevisionSummary{RequestedProductionTrafficWeight: new(12.5)},
			DeploymentCircuitBreaker: &api.ServiceDeploymentCircuitBreaker{Status: api.ServiceDeploymentRollbackMonitorsStatusMonitoring, FailureCount: new(int32(1)), Threshold: new(int32(3))},
		},
		targets: []own.Target{{State: "healthy"}, {State: "healthy"}, {State: "initial"}},
	}
	want := `web  in progress                                             1m15s
  stages    [7/10] production traffic shift
  new       ##########.......... 2 of 4 running, 1 pending     web:8
  old       #################### 4 running                     web:7
  targets   2 healthy, 1 initial targets
  traffic   12.5 % on the new revision
  breaker   1 of 3 failures`
	if got := strings.Join(w.block(75*time.Second), "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	wantLine := "web: 4 desired, 6 running, 0 pending; PRIMARY web:8  2 running; ACTIVE web:7  4 running; stage production traffic shift; " +
		"12.5 % on the new revision; 2 healthy, 1 initial targets; 1 of 3 failures"
	if got := w.summary(); got != wantLine {
		t.Errorf("got %s\nwant %s", got, wantLine)
	}
}

func TestScreenPrintsAboveItsBlock(t *testing.T) {
	var out strings.Builder
	s := screen{out: &out, live: true, width: func() int { return 6 }}
	s.draw([]string{"one", "two is too long"})
	s.print("news\n")
	s.draw([]string{"three"})
	const up = "\x1b[1A\x1b[2K"
	want := "one\ntwo i\n" + up + up + "news\none\ntwo i\n" + up + up + "three\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
