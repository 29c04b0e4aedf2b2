package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	api "berth/api/ecs"
	"berth/aws"
)

// stages are the lifecycle stages of deployments that shift traffic, in order. Source: ECS developer guide, lifecycle stages.
var stages = []api.ServiceDeploymentLifecycleStage{
	api.ServiceDeploymentLifecycleStageReconcileService, api.ServiceDeploymentLifecycleStagePreScaleUp, api.ServiceDeploymentLifecycleStageScaleUp,
	api.ServiceDeploymentLifecycleStagePostScaleUp, api.ServiceDeploymentLifecycleStageTestTrafficShift,
	api.ServiceDeploymentLifecycleStagePostTestTrafficShift, api.ServiceDeploymentLifecycleStageProductionTrafficShift,
	api.ServiceDeploymentLifecycleStagePostProductionTrafficShift, api.ServiceDeploymentLifecycleStageBakeTime, api.ServiceDeploymentLifecycleStageCleanUp,
}

// barWidth is the width of a bar of replicas, in characters.
const barWidth = 20

// block is a service as it is drawn on a terminal, line by line.
func (w view) block(took time.Duration) []string {
	v := w.service
	head := fmt.Sprintf("%s  %s", aws.Value(v.ServiceName), strings.ToLower(strings.ReplaceAll(string(w.deployment.Status), "_", " ")))
	out := []string{fmt.Sprintf("%-60s %s", head, took.Round(time.Second))}
	row := func(name, text string) {
		if text != "" {
			out = append(out, fmt.Sprintf("  %-9s %s", name, text))
		}
	}
	row("stages", w.stageLine())
	desired := int(aws.Value(v.DesiredCount))
	for _, d := range v.Deployments {
		name := "old"
		if w.isNew(d) {
			name = "new"
		}
		running, pending := int(aws.Value(d.RunningCount)), int(aws.Value(d.PendingCount))
		text := fmt.Sprintf("%s %d running", bar(running, desired), running)
		if aws.Value(d.Status) == "PRIMARY" {
			text = fmt.Sprintf("%s %d of %d running", bar(running, desired), running, desired)
		}
		if pending > 0 {
			text += fmt.Sprintf(", %d pending", pending)
		}
		row(name, fmt.Sprintf("%-50s %s", text, Revision(aws.Value(d.TaskDefinition))))
	}
	row("targets", w.targetCounts())
	row("traffic", w.traffic())
	row("breaker", w.breaker())
	row("hooks", w.hooks())
	return out
}

// isNew says whether one of the service's deployments is the one that is watched: after a rollback, the primary is not.
func (w view) isNew(d api.Deployment) bool {
	if t := w.deployment.TargetServiceRevision; t != nil && t.Arn != nil {
		return TaskID(*t.Arn) == TaskID(aws.Value(d.Id))
	}
	return aws.Value(d.Status) == "PRIMARY"
}

// backing says whether the deployment is, or was, rolled back.
func (w view) backing() bool { return strings.HasPrefix(string(w.deployment.Status), "ROLLBACK") }

func bar(n, of int) string {
	full := barWidth
	if of > 0 {
		full = min(barWidth, n*barWidth/of)
	}
	if n == 0 {
		full = 0
	}
	return strings.Repeat("#", full) + strings.Repeat(".", barWidth-full)
}

// stageName is a stage in words.
func stageName(s api.ServiceDeploymentLifecycleStage) string {
	return strings.ToLower(strings.ReplaceAll(string(s), "_", " "))
}

func (w view) stage() string {
	if w.deployment.LifecycleStage == "" {
		return ""
	}
	return "stage " + stageName(w.deployment.LifecycleStage)
}

// stageLine has the stages that are over, the present one in brackets, and how many follow.
func (w view) stageLine() string {
	at := slices.Index(stages, w.deployment.LifecycleStage)
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("[%d/%d] %s", at+1, len(stages), stageName(stages[at]))
}

// traffic is the share of the new revision, where a load balancer shifts it; once the deployment is rolled back, that of the old one.
func (w view) traffic() string {
	t := w.deployment.TargetServiceRevision
	if t == nil || t.RequestedProductionTrafficWeight == nil {
		return ""
	}
	if w.backing() {
		return fmt.Sprintf("%g %% on the old revision", 100-*t.RequestedProductionTrafficWeight)
	}
	out := fmt.Sprintf("%g %% on the new revision", *t.RequestedProductionTrafficWeight)
	if t.RequestedTestTrafficWeight != nil {
		out += fmt.Sprintf(", %g %% of test traffic", *t.RequestedTestTrafficWeight)
	}
	return out
}

// targetCounts says how many targets are in which state.
func (w view) targetCounts() string {
	counts := map[string]int{}
	for _, t := range w.targets {
		counts[t.State]++
	}
	var out []string
	for _, state := range []string{"healthy", "initial", "unhealthy", "unused", "draining", "unavailable"} {
		if counts[state] > 0 {
			out = append(out, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, ", ") + " targets"
}

// breaker is the circuit breaker's counter while it counts.
func (w view) breaker() string {
	b := w.deployment.DeploymentCircuitBreaker
	if b == nil || b.Threshold == nil || b.Status == api.ServiceDeploymentRollbackMonitorsStatusDisabled {
		return ""
	}
	return fmt.Sprintf("%d of %d failures", aws.Value(b.FailureCount), *b.Threshold)
}

// hooks are those that are waited for.
func (w view) hooks() string {
	var out []string
	for _, h := range w.deployment.LifecycleHookDetails {
		switch status := string(h.Status); status {
		case "AWAITING_ACTION":
			out = append(out, stageName(w.deployment.LifecycleStage)+" waits for you")
		case "IN_PROGRESS":
			out = append(out, aws.Value(h.TargetArn)+" runs")
		}
	}
	return strings.Join(out, "; ")
}

// pauses are the commands that end the hooks which wait for somebody, by hook ID.
func (w view) pauses() map[string]string {
	out := map[string]string{}
	for _, h := range w.deployment.LifecycleHookDetails {
		if h.Status == "AWAITING_ACTION" {
			out[aws.Value(h.HookId)] = fmt.Sprintf("aws ecs continue-service-deployment --service-deployment-arn %s --hook-id %s",
				aws.Value(w.deployment.ServiceDeploymentArn), aws.Value(h.HookId))
		}
	}
	return out
}
