package ecs

import (
	"testing"

	api "berth/api/ecs"
)

func TestThresholdOfTheBreakerIsTheUsers(t *testing.T) {
	w := newServiceWorld(t, 2, `,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true,"resetOnHealthyTask":false,
		"thresholdConfiguration":{"type":"COUNT","value":2}}}`)
	w.rounds(3, "web", always("HEALTHY"))
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	shown := func() *api.ServiceDeploymentCircuitBreaker {
		out := must(w.DescribeServiceDeployments(w.ctx, &api.DescribeServiceDeploymentsRequest{ServiceDeploymentArns: []string{*w.service("web").CurrentServiceDeployment}}))(t)
		return out.ServiceDeployments[0].DeploymentCircuitBreaker
	}
	// One task fails, one is healthy: the failure is remembered.
	w.schedule("web")
	first := w.tasks(func(t Task) bool { return t.Revision == 2 })[0]
	w.agents(func(t Task) string {
		if t.ID == first.ID {
			return "exit 7"
		}
		return "HEALTHY"
	})
	w.schedule("web")
	w.agents(func(t Task) string {
		return map[bool]string{true: "UNKNOWN", false: "HEALTHY"}[t.Revision == 2 && !t.Proven]
	})
	w.schedule("web")
	if b := shown(); b.Status != "MONITORING" || *b.FailureCount != 1 || *b.Threshold != 2 {
		t.Errorf("after one failure and one healthy task: %s %d of %d", b.Status, *b.FailureCount, *b.Threshold)
	}
	w.rounds(2, "web", func(t Task) string {
		if t.Revision == 2 && !t.Proven {
			return "exit 7"
		}
		return "HEALTHY"
	})
	if b := shown(); b.Status != "TRIGGERED" || *b.FailureCount != 2 {
		t.Errorf("after two failures: %s %d of %d", b.Status, *b.FailureCount, *b.Threshold)
	}
	if c := w.service("web").DeploymentConfiguration.DeploymentCircuitBreaker; *c.ThresholdConfiguration.Value != 2 || *c.ResetOnHealthyTask {
		t.Errorf("shown %+v", c)
	}
	for _, row := range []struct{ breaker, want string }{
		{`"type":"SOME","value":1`, "InvalidParameterException: Invalid thresholdConfiguration type 'SOME'. Valid values: [COUNT BOUNDED_PERCENT UNBOUNDED_PERCENT]"},
		{`"type":"COUNT"`, "InvalidParameterException: thresholdConfiguration value must be at least 1"},
		{`"type":"BOUNDED_PERCENT","value":101`, "InvalidParameterException: thresholdConfiguration value must be between 1 and 100 for the type BOUNDED_PERCENT"},
	} {
		if got := w.call("UpdateService", `{"service":"web","deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true,"thresholdConfiguration":{`+row.breaker+`}}}}`); got != row.want {
			t.Errorf("%s: got %q, want %q", row.breaker, got, row.want)
		}
	}
}
