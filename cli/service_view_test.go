package cli

import (
	"errors"
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

func TestBlockAfterARollback(t *testing.T) {
	revision := func(n string) *string {
		return new("arn:aws:ecs:us-east-1:000000000000:service-revision/default/web/" + n)
	}
	w := view{
		service: &api.Service{ServiceName: new("web"), DesiredCount: new(int32(2)), Deployments: []api.Deployment{
			{Id: new("ecs-svc/1"), Status: new("PRIMARY"), TaskDefinition: new("task-definition/web:7"), RunningCount: new(int32(2))},
			{Id: new("ecs-svc/2"), Status: new("ACTIVE"), TaskDefinition: new("task-definition/web:8"), RunningCount: new(int32(1))},
		}},
		deployment: &api.ServiceDeployment{
			Status:                api.ServiceDeploymentStatusRollbackSuccessful,
			TargetServiceRevision: &api.ServiceRevisionSummary{Arn: revision("2"), RequestedProductionTrafficWeight: new(0.0)},
		},
	}
	want := `web  rollback successful                                     3s
  old       #################### 2 of 2 running                web:7
  new       ##########.......... 1 running                     web:8
  traffic   100 % on the old revision`
	if got := strings.Join(w.block(3*time.Second), "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPausesAreToldWhole(t *testing.T) {
	var out strings.Builder
	f := ServiceFollower{Out: &out, pauses: map[string]bool{}, screen: screen{out: &out, live: true, width: func() int { return 80 }}}
	arn, id := "arn:aws:ecs:us-east-1:000000000000:service-deployment/default/web/dXGO9Y7WfgqBNAxYHRxsB", "ecs-pause-dXGO9Y7WfgqBNAxYHRxsBPl0KVWcztnDKaclU4pSQa4"
	now := view{service: &api.Service{ServiceName: new("web")}, deployment: &api.ServiceDeployment{
		ServiceDeploymentArn: &arn, LifecycleStage: api.ServiceDeploymentLifecycleStagePostScaleUp,
		LifecycleHookDetails: []api.DeploymentLifecycleHookDetail{{Status: "AWAITING_ACTION", HookId: &id}},
	}}
	for range 2 {
		if err := f.show(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	command := "post scale up waits for you; to go on:\naws ecs continue-service-deployment --service-deployment-arn " + arn + " --hook-id " + id + "\n"
	if got := out.String(); strings.Count(got, command) != 1 || !strings.Contains(got, "  hooks     post scale up waits for you\n") {
		t.Errorf("got %s", got)
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

func TestTimedOutSaysHowADeploymentUnderWayEnds(t *testing.T) {
	w := view{service: &api.Service{ServiceName: new("web")}, deployment: &api.ServiceDeployment{
		Status: api.ServiceDeploymentStatusInProgress, SourceServiceRevisions: []api.ServiceRevisionSummary{{}},
	}}
	f, _ := errors.AsType[*Failure](w.timedOut(time.Minute))
	if f == nil || f.Fix != "berth why web, or berth rollback web" || f.Exit != ExitTimedOut {
		t.Errorf("under way: %+v", f)
	}
	w.deployment.SourceServiceRevisions = nil
	if f, _ := errors.AsType[*Failure](w.timedOut(time.Minute)); f == nil || f.Fix != "berth why web" {
		t.Errorf("the first one: %+v", f)
	}
	w.deployment.Status = api.ServiceDeploymentStatusSuccessful
	if f, _ := errors.AsType[*Failure](w.timedOut(time.Minute)); f == nil || f.Fix != "berth why web" {
		t.Errorf("ended: %+v", f)
	}
}

func TestMissingAreTasksThatAreNeitherThereNorOnTheirWay(t *testing.T) {
	for _, tt := range []struct {
		running, pending int32
		want             bool
	}{{2, 0, false}, {1, 1, false}, {1, 0, true}} {
		v := &api.Service{Deployments: []api.Deployment{
			{Status: new("ACTIVE"), DesiredCount: new(int32(5))},
			{Status: new("PRIMARY"), DesiredCount: new(int32(2)), RunningCount: &tt.running, PendingCount: &tt.pending},
		}}
		if got := missing(v); got != tt.want {
			t.Errorf("%d running, %d pending: %t", tt.running, tt.pending, got)
		}
	}
}
