package ecs

import (
	"fmt"
	"slices"
	"testing"
	"time"

	api "berth/api/ecs"
	"berth/store"
)

// fakeAlarms are alarms that are in ALARM when the test says so.
type fakeAlarms struct {
	in     []string
	window time.Duration
}

func (f *fakeAlarms) Window(store.Reader, string, string, []string) time.Duration { return f.window }

func (f *fakeAlarms) InAlarm(_ store.Reader, _, _ string, names []string) (out []string) {
	for _, n := range names {
		if slices.Contains(f.in, n) {
			out = append(out, n)
		}
	}
	return out
}

const alarming = `"alarms":{"enable":true,"rollback":%t,"alarmNames":["errors","slow"]}`

func TestAlarmRollsARollingDeploymentBack(t *testing.T) {
	for _, rollback := range []bool{true, false} {
		w := newServiceWorld(t, 2, "")
		alarms := &fakeAlarms{in: []string{"slow"}} // was so before, so it does not count
		w.alarms = alarms
		w.rounds(3, "web", always("HEALTHY"))
		w.update(`{"service":"web","taskDefinition":"web:2","deploymentConfiguration":{"bakeTimeInMinutes":3,` + fmt.Sprintf(alarming, rollback) + `}}`)
		w.rounds(3, "web", always("HEALTHY"))
		w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 IN_PROGRESS 2/0 failed=0 ACTIVE web:1 COMPLETED 0/0 failed=0")
		alarms.in = append(alarms.in, "errors")
		w.rounds(5, "web", always("HEALTHY"))
		want := "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0"
		if !rollback {
			want = "ACTIVE 2/2/0 PRIMARY web:2 FAILED 2/0 failed=0 ACTIVE web:1 COMPLETED 0/0 failed=0"
		}
		w.want("web", want)
		w.hasEvent("web", "deployment failed: alarm detected.")
		d := must(w.DescribeServiceDeployments(w.ctx, &api.DescribeServiceDeploymentsRequest{ServiceDeploymentArns: []string{*w.service("web").CurrentServiceDeployment}}))(t).ServiceDeployments[0]
		if d.Alarms.Status != "TRIGGERED" || fmt.Sprint(d.Alarms.TriggeredAlarmNames) != "[errors]" {
			t.Errorf("%+v", d.Alarms)
		}
	}
}

func TestRollingDeploymentBakes(t *testing.T) {
	w := newServiceWorld(t, 2, `,"deploymentConfiguration":{"bakeTimeInMinutes":3}`)
	w.rounds(3, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.rounds(5, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 IN_PROGRESS 2/0 failed=0 ACTIVE web:1 COMPLETED 0/0 failed=0")
	w.clock = w.clock.Add(3 * time.Minute)
	w.schedule("web")
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
}

func TestRollingDeploymentBakesUntilItsAlarmsHaveSeenIt(t *testing.T) {
	for _, row := range []struct{ window, want time.Duration }{{time.Minute, 5 * time.Minute}, {10 * time.Minute, 11 * time.Minute}} {
		w := newServiceWorld(t, 2, "")
		w.alarms = &fakeAlarms{window: row.window}
		w.rounds(3, "web", always("HEALTHY"))
		w.update(`{"service":"web","taskDefinition":"web:2","deploymentConfiguration":{` + fmt.Sprintf(alarming, true) + `}}`)
		w.rounds(5, "web", always("HEALTHY"))
		v, _ := Services.Get(w.store.Read(), ServiceKey(testAccount, testRegion, "default", "web"))
		d, _ := Deployments.Get(w.store.Read(), v.deploymentKey(v.Primary))
		w.clock = d.Baking.Time().Add(row.want - time.Second)
		w.schedule("web")
		w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 IN_PROGRESS 2/0 failed=0 ACTIVE web:1 COMPLETED 0/0 failed=0")
		w.clock = w.clock.Add(time.Second)
		w.schedule("web")
		w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
	}
}

func TestAlarmInTheBakeTimeReturnsTheTraffic(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	alarms := &fakeAlarms{}
	w.alarms = alarms
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:2","deploymentConfiguration":{` + fmt.Sprintf(alarming, true) + `}}`)
	w.until("BAKE_TIME")
	alarms.in = []string{"errors"}
	d := w.until("ROLLBACK_SUCCESSFUL")
	if d.Alarms.Status != "TRIGGERED" || w.shares(w.production) != "blue:100" {
		t.Errorf("%+v, traffic to %s", d.Alarms, w.shares(w.production))
	}
}
