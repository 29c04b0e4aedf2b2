package ecs

import (
	"fmt"
	"strings"
	"testing"

	api "berth/api/ecs"
)

func TestRebalancingIsOnWhereItCanBe(t *testing.T) {
	for _, row := range []struct{ more, want string }{
		{"", "ENABLED"},
		{`,"availabilityZoneRebalancing":"DISABLED"`, "DISABLED"},
		{`,"placementStrategy":[{"type":"spread","field":"attribute:ecs.availability-zone"}]`, "ENABLED"},
		{`,"placementStrategy":[{"type":"binpack","field":"cpu"}]`, "DISABLED"},
		{`,"placementStrategy":[{"type":"spread","field":"instanceId"}],"availabilityZoneRebalancing":"ENABLED"`, "a placement strategy"},
		{`,"placementConstraints":[{"type":"memberOf","expression":"attribute:ecs.availability-zone == a"}],"availabilityZoneRebalancing":"ENABLED"`, "a placement constraint"},
		{`,"deploymentConfiguration":{"maximumPercent":100,"minimumHealthyPercent":50}`, "DISABLED"},
		{`,"deploymentConfiguration":{"maximumPercent":100,"minimumHealthyPercent":50},"availabilityZoneRebalancing":"ENABLED"`, "a maximumPercent"},
		{`,"launchType":"EXTERNAL","availabilityZoneRebalancing":"ENABLED"`, "the EXTERNAL launch type"},
		{`,"availabilityZoneRebalancing":"MAYBE"`, "Invalid availabilityZoneRebalancing"},
	} {
		w := newWorld(t)
		w.cluster("default")
		w.register(fmt.Sprintf(checkedDefinition, "web"))
		out, err := w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","taskDefinition":"web","desiredCount":1`+row.more+`}`))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = string(out.Service.AvailabilityZoneRebalancing)
		}
		if !strings.Contains(got, row.want) {
			t.Errorf("%s: got %s, want %s", row.more, got, row.want)
		}
	}
	w := newServiceWorld(t, 1, `,"availabilityZoneRebalancing":"ENABLED"`)
	_, err := w.UpdateService(w.ctx, input[api.UpdateServiceRequest](t, `{"service":"web","deploymentConfiguration":{"maximumPercent":100,"minimumHealthyPercent":0}}`))
	if err == nil || !strings.Contains(err.Error(), "a maximumPercent that is not greater than 100") {
		t.Errorf("a setting that does not go with it: %v", err)
	}
}

// zoned has machines in the zones, all but the first with so much memory, and a service of n tasks, which came up on the first.
func zoned(t *testing.T, n int, memory int32, zones ...string) *world {
	w := newWorld(t)
	w.cluster("default")
	w.register(fmt.Sprintf(checkedDefinition, "web"))
	w.machineIn(zones[0], "default", "m0", 1000, 1000)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, fmt.Sprintf(`{"serviceName":"web","taskDefinition":"web","desiredCount":%d}`, n))))(t)
	w.rounds(2, "web", always("HEALTHY"))
	for i, z := range zones[1:] {
		w.machineIn(z, "default", fmt.Sprint("m", i+1), 1000, memory)
	}
	return w
}

func TestTasksMoveToAnotherZone(t *testing.T) {
	w := zoned(t, 4, 1000, "az1", "az2", "az3")
	w.rounds(6, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 4/4/0 PRIMARY web:1 COMPLETED 4/0 failed=0")
	for _, text := range []string{
		"is not AZ balanced with 4 tasks in az1, 0 tasks in az2, 0 tasks in az3. AZ Rebalancing in progress.",
		"has started 1 tasks in az2 to AZ Rebalance: (task ", "has started 1 tasks in az3 to AZ Rebalance: (task ",
		"has stopped 2 running tasks in az1 due to AZ rebalancing: (task ",
		"is AZ balanced with 2 tasks in az1, 1 tasks in az2, 1 tasks in az3.",
	} {
		w.hasEvent("web", "(service web) "+text)
	}
	for _, task := range w.tasks(func(t Task) bool { return t.Desired == StateStopped }) {
		if want := "Availability-zone rebalancing initiated by (deployment " + task.StartedBy + ")"; task.StopReason != want || task.StopCode != api.TaskStopCodeServiceSchedulerInitiated {
			t.Errorf("stopped for %s %q", task.StopCode, task.StopReason)
		}
	}
}

func TestADeploymentEndsRebalancing(t *testing.T) {
	w := zoned(t, 4, 1000, "az1", "az2")
	w.schedule("web")
	w.hasEvent("web", "AZ Rebalancing in progress.")
	w.update(`{"service":"web","desiredCount":2}`)
	w.schedule("web")
	w.hasEvent("web", "(service web) stopped AZ Rebalancing.")
	w.rounds(6, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
}

func TestAZoneWithoutRoomIsPassedOver(t *testing.T) {
	w := zoned(t, 4, 5, "az1", "az2")
	w.machineIn("az3", "default", "m9", 1000, 1000)
	w.rounds(6, "web", always("HEALTHY"))
	w.hasEvent("web", "(service web) is unable to place a task in az2 because no container instance met all of its requirements.")
	w.hasEvent("web", "(service web) has started 2 tasks in az3 to AZ Rebalance: (task ")
	w.want("web", "ACTIVE 4/4/0 PRIMARY web:1 COMPLETED 4/0 failed=0")
	if got := strings.Join(w.events("web"), "\n"); strings.Count(got, "in az2 because") != 1 || strings.Contains(got, "is AZ balanced") {
		t.Errorf("events\n%s", got)
	}
	w.machineIn("az2", "default", "m10", 1000, 1000)
	w.rounds(6, "web", always("HEALTHY"))
	w.hasEvent("web", "is AZ balanced with 1 tasks in az1, 1 tasks in az2, 2 tasks in az3.")
}

func TestProtectedTasksAreNotMoved(t *testing.T) {
	w := zoned(t, 2, 1000, "az1")
	for _, c := range w.tasks(Task.Active) {
		must(w.UpdateTaskProtection(w.ctx, input[api.UpdateTaskProtectionRequest](t, `{"cluster":"default","tasks":["`+c.ID+`"],"protectionEnabled":true}`)))(t)
	}
	w.machineIn("az2", "default", "m1", 1000, 1000)
	w.schedule("web")
	w.hasEvent("web", "was unable to AZ Rebalance because task set (taskSet ecs-svc/")
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
}
