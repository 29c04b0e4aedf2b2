package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	own "berth/api/berth"
	api "berth/api/ecs"
	"berth/aws"
)

const (
	followServiceEvery = 500 * time.Millisecond
	// heartbeat is how long a pipe may be silent.
	heartbeat = 15 * time.Second
	lastLines = 5 // of a failing task's log
	// unplacedAfter is how long tasks may be missing until it is asked why.
	unplacedAfter = 3 * time.Second
	// logPatience is how long is waited in all for logs of failed tasks: a first line makes its group and stream, which takes a moment.
	logPatience   = 3 * time.Second
	logAgainAfter = 100 * time.Millisecond
)

// ServiceFollower shows what happens to a service: on a terminal a block that is drawn anew, with what happened above it;
// elsewhere one stamped line for each change and a heartbeat.
type ServiceFollower struct {
	Client  *Client
	Cluster string
	Out     io.Writer

	screen screen
	line   string
	said   time.Time
	events map[string]bool
	// failing are deployments of which tasks have failed, failed tasks whose end was shown.
	failing, failed map[string]bool
	pauses          map[string]bool // hooks that wait for somebody, of which it was told
	reasons         map[string]bool // why tasks are missing, of which it was told
	whole           time.Time       // when no task was missing, or it was last asked why
	waited          time.Duration   // for logs
	began           time.Time
}

// ErrDetached says that ctx ended before the goal was reached. The service goes on by itself.
type ErrDetached struct{ Service, Summary string }

func (e *ErrDetached) Error() string { return "no longer watching " + e.Service }

// Follow writes until the goal is reached. After the timeout it is a *Failure with ExitTimedOut, after the end of ctx an
// *ErrDetached. It may be called again, and goes on.
func (f *ServiceFollower) Follow(ctx context.Context, name string, timeout time.Duration, goal Goal) error {
	if f.began.IsZero() {
		f.began = time.Now()
		f.events, f.failing, f.failed, f.pauses = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
		f.reasons, f.whole = map[string]bool{}, f.began
		f.screen = newScreen(f.Out)
	}
	defer f.screen.leave()
	var seen view
	for {
		now, err := f.look(ctx, name)
		if err == nil {
			seen = now
			err = f.show(ctx, seen)
		}
		if ctx.Err() != nil {
			return &ErrDetached{Service: name, Summary: seen.summary()}
		}
		if err != nil {
			return err
		}
		if done, err := goal(seen.service, seen.deployment); done || err != nil {
			// The service was read before its deployment: its last events may be of the time between.
			if last, lookErr := f.look(ctx, name); lookErr == nil {
				if shown := f.show(ctx, last); err == nil {
					err = shown
				}
			}
			return err
		}
		if time.Since(f.began) > timeout {
			return seen.timedOut(timeout)
		}
		select {
		case <-ctx.Done():
		case <-time.After(followServiceEvery):
		}
	}
}

// view is what is known of a service at one moment.
type view struct {
	service    *api.Service
	deployment *api.ServiceDeployment
	targets    []own.Target
}

func (f *ServiceFollower) look(ctx context.Context, name string) (view, error) {
	out := view{deployment: &api.ServiceDeployment{}}
	var err error
	if out.service, err = f.Client.Service(ctx, f.Cluster, name); err != nil {
		return out, err
	}
	if len(out.service.LoadBalancers) > 0 {
		if out.targets, err = f.Client.Targets(ctx, f.Cluster, name); err != nil {
			return out, err
		}
	}
	if out.service.CurrentServiceDeployment == nil {
		return out, nil
	}
	found, err := Call[api.DescribeServiceDeploymentsResponse](ctx, f.Client, ECS, "DescribeServiceDeployments",
		api.DescribeServiceDeploymentsRequest{ServiceDeploymentArns: []string{*out.service.CurrentServiceDeployment}})
	if err == nil && len(found.ServiceDeployments) > 0 {
		out.deployment = &found.ServiceDeployments[0]
	}
	return out, err
}

// Targets are the targets of a service's tasks, with their health.
func (c *Client) Targets(ctx context.Context, cluster, service string) ([]own.Target, error) {
	out, err := Call[own.ListTargetsResponse](ctx, c, Own, "ListTargets", own.ListTargetsRequest{Cluster: cluster, Service: service})
	if err != nil {
		return nil, err
	}
	return out.Targets, nil
}

func (f *ServiceFollower) say(format string, args ...any) {
	f.said = time.Now()
	f.screen.print(fmt.Sprintf("%s %4.0fs  %s\n", f.said.Format("15:04:05"), f.said.Sub(f.began).Seconds(), fmt.Sprintf(format, args...)))
}

func (f *ServiceFollower) show(ctx context.Context, now view) error {
	v, d := now.service, now.deployment
	since := f.began.Add(-time.Second)
	if d.CreatedAt != nil && d.CreatedAt.After(since) {
		since = d.CreatedAt.Time
	}
	for _, e := range slices.Backward(v.Events) {
		if id := aws.Value(e.Id); !f.events[id] && e.CreatedAt != nil && !e.CreatedAt.Before(since) {
			f.events[id] = true
			f.say("%s", strings.TrimPrefix(aws.Value(e.Message), "(service "+aws.Value(v.ServiceName)+") "))
		}
	}
	if err := f.showFailures(ctx, v); err != nil {
		return err
	}
	if err := f.showMissing(ctx, v); err != nil {
		return err
	}
	for id, command := range now.pauses() { // whole, above the block, whose lines are cut
		if !f.pauses[id] {
			f.pauses[id] = true
			f.say("%s waits for you; to go on:\n%s", stageName(now.deployment.LifecycleStage), command)
		}
	}
	if f.screen.live {
		f.screen.draw(now.block(time.Since(f.began)))
	} else if line := now.summary(); line != f.line || time.Since(f.said) > heartbeat {
		f.line = line
		f.say("%s", line)
	}
	return nil
}

// timedOut is the end of watching before the goal. A deployment that is under way goes on, unless somebody takes it back.
func (w view) timedOut(timeout time.Duration) error {
	name := aws.Value(w.service.ServiceName)
	out := &Failure{What: "timed out after " + timeout.String(), Cause: w.summary(), Fix: "berth why " + name, Exit: ExitTimedOut}
	if w.deployment.Status == api.ServiceDeploymentStatusInProgress {
		out.What += "; the deployment goes on"
		if len(w.deployment.SourceServiceRevisions) > 0 { // the first deployment has nothing before it
			out.Fix += ", or berth rollback " + name
		}
	}
	return out
}

// missing says whether tasks of the primary deployment are neither there nor on their way.
func missing(v *api.Service) bool {
	for _, d := range v.Deployments {
		if aws.Value(d.Status) == "PRIMARY" {
			return aws.Value(d.RunningCount)+aws.Value(d.PendingCount) < aws.Value(d.DesiredCount)
		}
	}
	return false
}

// showMissing says why tasks are missing, each reason once. The event that says so may be older than the watching.
func (f *ServiceFollower) showMissing(ctx context.Context, v *api.Service) error {
	if !missing(v) {
		f.whole = time.Now()
		return nil
	}
	if time.Since(f.whole) < unplacedAfter {
		return nil
	}
	f.whole = time.Now()
	why, err := Call[own.ExplainResponse](ctx, f.Client, Own, "Explain", own.ExplainRequest{Cluster: f.Cluster, Subject: aws.Value(v.ServiceArn)})
	if err != nil {
		return err
	}
	for _, reason := range why.Reasons {
		if !f.reasons[reason] {
			f.reasons[reason] = true
			f.say("%s", reason)
		}
	}
	return nil
}

// summary is a service in one line.
func (w view) summary() string {
	v := w.service
	if v == nil {
		return ""
	}
	out := fmt.Sprintf("%s: %d desired, %d running, %d pending", aws.Value(v.ServiceName), aws.Value(v.DesiredCount), aws.Value(v.RunningCount), aws.Value(v.PendingCount))
	for _, d := range v.Deployments {
		out += fmt.Sprintf("; %s %s %s %d running", aws.Value(d.Status), Revision(aws.Value(d.TaskDefinition)), d.RolloutState, aws.Value(d.RunningCount))
		if n := aws.Value(d.FailedTasks); n > 0 {
			out += fmt.Sprintf(", %d failed", n)
		}
	}
	for _, more := range []string{w.stage(), w.traffic(), w.targetCounts(), w.breaker()} {
		if more != "" {
			out += "; " + more
		}
	}
	return out
}

// showFailures shows how tasks of unfinished deployments ended, with the end of their logs.
func (f *ServiceFollower) showFailures(ctx context.Context, v *api.Service) error {
	for _, d := range v.Deployments {
		if aws.Value(d.FailedTasks) > 0 || d.RolloutState == api.DeploymentRolloutStateFailed {
			f.failing[aws.Value(d.Id)] = true
		}
	}
	if len(f.failing) == 0 {
		return nil
	}
	tasks, err := f.Client.Tasks(ctx, f.Cluster, api.DesiredStatusStopped, "", aws.Value(v.ServiceName))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		arn := aws.Value(t.TaskArn)
		if t.StoppingAt != nil && t.StoppingAt.Before(f.began) {
			continue // of the time before anybody watched
		}
		if !f.failing[aws.Value(t.StartedBy)] || f.failed[arn] || t.StopCode == api.TaskStopCodeServiceSchedulerInitiated && !failedChecks(t) {
			continue
		}
		f.failed[arn] = true
		f.say("task %s: %s%s", shortID(arn), aws.Value(t.StoppedReason), endings(t))
		f.lastWords(ctx, t)
	}
	return nil
}

// shortID is enough of a task's ID to tell it from others: twelve digits are the time of its making, which tasks of one call share.
func shortID(arn string) string {
	id := TaskID(arn)
	return id[:min(len(id), 18)]
}

// failedChecks says whether the scheduler stopped a task because of its health.
func failedChecks(t api.Task) bool {
	return strings.HasPrefix(aws.Value(t.StoppedReason), "Task failed")
}

func endings(t api.Task) (out string) {
	for _, c := range t.Containers {
		switch {
		case c.Reason != nil:
			out += "; " + aws.Value(c.Name) + ": " + *c.Reason
		case c.ExitCode != nil:
			out += fmt.Sprintf("; %s: exit code %d", aws.Value(c.Name), *c.ExitCode)
		}
	}
	return out
}

// lastWords writes the end of a task's log. A log that cannot be read is no reason to stop watching.
func (f *ServiceFollower) lastWords(ctx context.Context, t api.Task) {
	sources, _, err := f.Client.LogSources(ctx, []api.Task{t})
	if err != nil {
		return
	}
	lines, err := f.Client.ReadLogs(ctx, sources, time.Time{})
	for err == nil && len(lines) == 0 && len(sources) > 0 && t.StartedAt != nil && f.waited < logPatience {
		select {
		case <-ctx.Done():
			return
		case <-time.After(logAgainAfter):
		}
		f.waited += logAgainAfter
		lines, err = f.Client.ReadLogs(ctx, sources, time.Time{})
	}
	if err != nil {
		return
	}
	for _, l := range lines[max(0, len(lines)-lastLines):] {
		f.screen.print(fmt.Sprintf("                 %s | %s\n", l.Source.Container, l.Message))
	}
}
