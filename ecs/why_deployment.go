package ecs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	api "berth/api/ecs"
	"berth/store"
)

// explainDeployment explains the service while it is busy with the deployment; of one that has ended, or is rolled back, how that went.
func explainDeployment(r store.Reader, v ServiceRecord, d Deployment, now, since time.Time) *WhyService {
	out := explainService(r, v, now, since)
	if d.Set != nil || d.under() && d.Number == v.Primary {
		return out
	}
	p := &pass{r: r, now: now, since: since, v: v}
	service, reasons := out.Summary, out.Reasons
	out.Deployment, out.Rollout, out.Failed = deploymentPrefix+d.Number, string(d.State.wire()), int(d.Failed)
	out.Steady, out.Tasks, out.Machines = false, nil, nil
	out.Summary = fmt.Sprintf("deployment %s%s of service %s (%s:%d) is %s", deploymentPrefix, d.Number, v.Name, d.Family, d.Revision, d.Status)
	if ended := cmp.Or(d.Finished, d.Stopped); ended != 0 && !d.under() {
		out.Summary += " since " + ended.Time().UTC().Format(time.RFC3339)
	}
	out.Reasons = nil
	for _, why := range []string{d.StatusReason, d.RollbackReason} {
		if why != "" && !slices.Contains(out.Reasons, why) {
			out.Reasons = append(out.Reasons, why)
		}
	}
	if len(out.Reasons) > 0 {
		out.Summary += ": " + out.Reasons[0]
	}
	if d.RollbackTo != "" {
		out.Reasons = append(out.Reasons, fmt.Sprintf("the rollback to %s%s began at %s", deploymentPrefix, d.RollbackTo, d.RollbackAt.Time().UTC().Format(time.RFC3339)))
	}
	if d.Failed > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf("%d of its tasks failed", d.Failed))
	}
	if failure := p.lastFailure(d.Number); failure != "" {
		out.Reasons = append(out.Reasons, failure)
	}
	if v.Current == d.Number && d.under() && d.Life != nil {
		out.Reasons = append(out.Reasons, reasons...)
	}
	out.Reasons = append(out.Reasons, "now "+service)
	return out
}

// count says how many tasks are healthy; while tasks of several deployments are, of each.
func (w *WhyService) count(p *pass, primary *Deployment) string {
	out := fmt.Sprintf("%d of %d tasks healthy", w.healthy[primary.Number], w.Desired)
	var others []string
	for _, d := range liveDeployments(p.r, p.v) {
		if n := w.healthy[d.Number]; n > 0 && d.Number != primary.Number {
			others = append(others, fmt.Sprintf("%d of %s:%d", n, d.Family, d.Revision))
		}
	}
	if len(others) > 0 {
		out = fmt.Sprintf("%d of %d tasks of %s:%d healthy, and %s", w.healthy[primary.Number], w.Desired, primary.Family, primary.Revision, strings.Join(others, ", "))
	}
	return out
}

// lastFailure says how the newest task of a deployment that ended by itself or failed its checks did; empty if there is none.
func (p *pass) lastFailure(deployment string) (out string) {
	for t := range Tasks.By(p.r, byTaskFamily, listKey(p.v.ClusterKey(), StateStopped, serviceGroup+p.v.Name)) {
		itself := t.StopCode == api.TaskStopCodeEssentialContainerExited || t.StopCode == api.TaskStopCodeTaskFailedToStart
		if t.deployment() != deployment || !itself && !strings.HasPrefix(t.StopReason, "Task failed") {
			continue
		}
		out = fmt.Sprintf("task %s failed: %s", t.ID, t.StopReason)
		for _, c := range t.Containers {
			switch {
			case c.Reason != "":
				out += fmt.Sprintf("; %s: %s", c.Name, c.Reason)
			case c.ExitCode != nil:
				out += fmt.Sprintf("; %s: exit code %d", c.Name, *c.ExitCode)
			}
		}
	}
	return out
}
