package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"berth/ecs"
)

func TestTasksAreMovedToZonesThatJoin(t *testing.T) {
	scenario(t, func(w *world) {
		w.zones = map[string]string{"a": region + "a", "b": region + "b", "c": region + "c"}
		w.join("a")
		w.defineWeb()
		out, err := w.ecs.CreateService(w.Context(), &sdk.CreateServiceInput{ServiceName: new("web"), TaskDefinition: new("web"), DesiredCount: new(int32(6)),
			DeploymentConfiguration: &types.DeploymentConfiguration{MaximumPercent: new(int32(150)), MinimumHealthyPercent: new(int32(100))}})
		if err != nil {
			w.Fatal(err)
		}
		if out.Service.AvailabilityZoneRebalancing != types.AvailabilityZoneRebalancingEnabled {
			w.Errorf("rebalancing is %s", out.Service.AvailabilityZoneRebalancing)
		}
		w.settle(time.Minute)
		w.wantService("ACTIVE 6/6/0 COMPLETED")
		b := w.join("b")
		w.moved("eu-west-1a=3 eu-west-1b=3")
		w.join("c")
		w.moved("eu-west-1a=2 eu-west-1b=2 eu-west-1c=2")
		w.wantService("ACTIVE 6/6/0 COMPLETED")
		b.cable.pull() // a machine that is away keeps its tasks and its zone
		w.moved("eu-west-1a=2 eu-west-1b=2 eu-west-1c=2")
		if n := len(w.service().Deployments); n != 1 {
			w.Errorf("%d deployments", n)
		}
		var completed int
		for _, e := range w.service().Events {
			if strings.Contains(*e.Message, "is AZ balanced with") {
				completed++
			}
		}
		if completed != 2 {
			w.Errorf("%d times balanced, want 2", completed)
		}
	})
}

// moved lets five minutes pass, in which never less than six tasks run and never more than nine, and checks where they are then.
func (w *world) moved(want string) {
	w.Helper()
	for range 300 {
		w.settle(time.Second)
		running, all := 0, 0
		for _, t := range w.tasksOf() {
			if t.Active() && t.Desired == ecs.StateRunning {
				all++
				if t.Last == ecs.StateRunning {
					running++
				}
			}
		}
		if running < 6 || all > 9 {
			w.Fatalf("%d tasks run, %d are to run", running, all)
		}
	}
	zones := map[string]int{}
	for _, t := range w.tasksOf() {
		if t.Active() {
			zones[*w.task(string(t.ARN())).AvailabilityZone]++
		}
	}
	var got []string
	for _, z := range []string{"a", "b", "c"} {
		if n := zones[region+z]; n > 0 {
			got = append(got, fmt.Sprintf("%s=%d", region+z, n))
		}
	}
	if text := strings.Join(got, " "); text != want {
		w.Errorf("tasks are in %s, want %s", text, want)
	}
}
