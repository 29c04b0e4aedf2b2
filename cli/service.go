package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	api "berth/api/ecs"
	"berth/aws"
)

// Service describes one service.
func (c *Client) Service(ctx context.Context, cluster, name string) (*api.Service, error) {
	name = strings.TrimPrefix(name, "service/")
	out, err := Call[api.DescribeServicesResponse](ctx, c, ECS, "DescribeServices", api.DescribeServicesRequest{Cluster: &cluster, Services: []string{name}})
	if err != nil {
		return nil, err
	}
	if len(out.Services) == 0 {
		return nil, &Failure{
			What: fmt.Sprintf("no service %q", name), Cause: "nothing in cluster " + cluster + " has that name",
			Fix: "aws ecs list-services --cluster " + cluster, Exit: ExitNotFound,
		}
	}
	return &out.Services[0], nil
}

// Derive registers the definition of a service's primary deployment again with another image for one container (empty:
// the only essential one) and returns the new revision's ARN.
func (c *Client) Derive(ctx context.Context, v *api.Service, container, image string) (string, error) {
	have, err := Call[api.DescribeTaskDefinitionResponse](ctx, c, ECS, "DescribeTaskDefinition",
		api.DescribeTaskDefinitionRequest{TaskDefinition: v.TaskDefinition, Include: []api.TaskDefinitionField{api.TaskDefinitionFieldTags}})
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(have.TaskDefinition)
	if err != nil {
		return "", fmt.Errorf("encode the task definition: %w", err)
	}
	in := api.RegisterTaskDefinitionRequest{}
	if err := json.Unmarshal(raw, &in); err != nil {
		return "", fmt.Errorf("copy the task definition: %w", err)
	}
	if len(have.Tags) > 0 {
		in.Tags = have.Tags
	}
	i, err := whichContainer(in.ContainerDefinitions, container)
	if err != nil {
		return "", err
	}
	in.ContainerDefinitions[i].Image = &image
	return c.register(ctx, &in)
}

func (c *Client) register(ctx context.Context, in *api.RegisterTaskDefinitionRequest) (string, error) {
	made, err := Call[api.RegisterTaskDefinitionResponse](ctx, c, ECS, "RegisterTaskDefinition", in)
	if err != nil {
		return "", err
	}
	return aws.Value(made.TaskDefinition.TaskDefinitionArn), nil
}

// Register registers the definition that is written in JSON as for the AWS CLI and returns its ARN.
func (c *Client) Register(ctx context.Context, text []byte) (string, error) {
	in := api.RegisterTaskDefinitionRequest{}
	if err := json.Unmarshal(text, &in); err != nil {
		return "", &Failure{What: "the task definition is not valid JSON", Cause: err.Error(), Exit: ExitUsage}
	}
	return c.register(ctx, &in)
}

func whichContainer(all []api.ContainerDefinition, name string) (int, error) {
	var names, essential []string
	found := -1
	for i, d := range all {
		names = append(names, aws.Value(d.Name))
		switch {
		case name != "" && aws.Value(d.Name) == name:
			return i, nil
		case name == "" && (d.Essential == nil || *d.Essential):
			essential, found = append(essential, aws.Value(d.Name)), i
		}
	}
	if name == "" && len(essential) == 1 {
		return found, nil
	}
	return 0, &Failure{
		What: "which container gets the image?", Cause: "the task definition has the containers " + strings.Join(names, ", "),
		Fix: "--container " + names[0], Exit: ExitUsage,
	}
}

// Goal says whether a service is where it should be. A *Failure means that it will not get there.
type Goal func(*api.Service, *api.ServiceDeployment) (bool, error)

// Stable is what `aws ecs wait services-stable` waits for.
func Stable(v *api.Service, _ *api.ServiceDeployment) (bool, error) {
	if aws.Value(v.Status) != "ACTIVE" {
		return false, &Failure{What: "service " + aws.Value(v.ServiceName) + " is " + aws.Value(v.Status)}
	}
	return len(v.Deployments) == 1 && aws.Value(v.RunningCount) == aws.Value(v.DesiredCount) && aws.Value(v.PendingCount) == 0, nil
}

// Deployed is the success of the current service deployment.
func Deployed(v *api.Service, d *api.ServiceDeployment) (bool, error) {
	switch d.Status {
	case api.ServiceDeploymentStatusSuccessful:
		return true, nil
	case api.ServiceDeploymentStatusStopped, api.ServiceDeploymentStatusRollbackSuccessful, api.ServiceDeploymentStatusRollbackFailed:
		return false, &Failure{
			What: "the deployment of " + aws.Value(v.ServiceName) + " ended as " + string(d.Status), Cause: aws.Value(d.StatusReason),
			Fix: "berth logs " + aws.Value(v.ServiceName),
		}
	}
	return false, nil
}

// RolledBack is the end of a rollback.
func RolledBack(v *api.Service, d *api.ServiceDeployment) (bool, error) {
	switch d.Status {
	case api.ServiceDeploymentStatusRollbackSuccessful:
		return true, nil
	case api.ServiceDeploymentStatusRollbackRequested, api.ServiceDeploymentStatusRollbackInProgress:
		return false, nil
	}
	return Deployed(v, d)
}

const (
	followServiceEvery = 500 * time.Millisecond
	heartbeat          = 30 * time.Second
	lastLines          = 5 // of a failing task's log
)

// ServiceFollower writes what happens to a service, one stamped line for each change and a heartbeat.
type ServiceFollower struct {
	Client  *Client
	Cluster string
	Out     io.Writer

	line   string
	said   time.Time
	events map[string]bool
	// failing are deployments of which tasks have failed, failed tasks whose end was shown.
	failing, failed map[string]bool
	began           time.Time
}

// Follow writes until the goal is reached. After the timeout it is a *Failure with ExitTimedOut.
func (f *ServiceFollower) Follow(ctx context.Context, name string, timeout time.Duration, goal Goal) error {
	f.began = time.Now()
	f.events, f.failing, f.failed = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for {
		v, d, err := f.look(ctx, name)
		if err != nil {
			return err
		}
		if err := f.show(ctx, v, d); err != nil {
			return err
		}
		if done, err := goal(v, d); done || err != nil {
			return err
		}
		if time.Since(f.began) > timeout {
			return &Failure{What: "timed out after " + timeout.String(), Cause: summary(v), Fix: "berth wait " + name, Exit: ExitTimedOut}
		}
		select {
		case <-ctx.Done():
			return &Failure{What: "no longer watching; the service goes on by itself", Cause: summary(v), Fix: "berth wait " + name + ", or berth rollback " + name}
		case <-time.After(followServiceEvery):
		}
	}
}

func (f *ServiceFollower) look(ctx context.Context, name string) (*api.Service, *api.ServiceDeployment, error) {
	v, err := f.Client.Service(ctx, f.Cluster, name)
	if err != nil || v.CurrentServiceDeployment == nil {
		return v, &api.ServiceDeployment{}, err
	}
	out, err := Call[api.DescribeServiceDeploymentsResponse](ctx, f.Client, ECS, "DescribeServiceDeployments",
		api.DescribeServiceDeploymentsRequest{ServiceDeploymentArns: []string{*v.CurrentServiceDeployment}})
	if err != nil || len(out.ServiceDeployments) == 0 {
		return v, &api.ServiceDeployment{}, err
	}
	return v, &out.ServiceDeployments[0], nil
}

func (f *ServiceFollower) say(format string, args ...any) {
	f.said = time.Now()
	fmt.Fprintf(f.Out, "%s %4.0fs  %s\n", f.said.Format("15:04:05"), f.said.Sub(f.began).Seconds(), fmt.Sprintf(format, args...))
}

func (f *ServiceFollower) show(ctx context.Context, v *api.Service, d *api.ServiceDeployment) error {
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
	if line := summary(v); line != f.line || time.Since(f.said) > heartbeat {
		f.line = line
		f.say("%s", line)
	}
	return f.showFailures(ctx, v)
}

// summary is a service in one line.
func summary(v *api.Service) string {
	out := fmt.Sprintf("%s: %d desired, %d running, %d pending", aws.Value(v.ServiceName), aws.Value(v.DesiredCount), aws.Value(v.RunningCount), aws.Value(v.PendingCount))
	for _, d := range v.Deployments {
		out += fmt.Sprintf("; %s %s %s %d running", aws.Value(d.Status), Revision(aws.Value(d.TaskDefinition)), d.RolloutState, aws.Value(d.RunningCount))
		if n := aws.Value(d.FailedTasks); n > 0 {
			out += fmt.Sprintf(", %d failed", n)
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
		if !f.failing[aws.Value(t.StartedBy)] || f.failed[arn] || t.StopCode == api.TaskStopCodeServiceSchedulerInitiated && t.HealthStatus != api.HealthStatusUnhealthy {
			continue
		}
		f.failed[arn] = true
		f.say("task %s: %s%s", TaskID(arn)[:12], aws.Value(t.StoppedReason), endings(t))
		f.lastWords(ctx, t)
	}
	return nil
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
	if err != nil {
		return
	}
	for _, l := range lines[max(0, len(lines)-lastLines):] {
		fmt.Fprintf(f.Out, "                 %s | %s\n", l.Source.Container, l.Message)
	}
}

// Before is the task definition that was deployed before the present one, with success.
func (c *Client) Before(ctx context.Context, cluster string, v *api.Service) (string, error) {
	list, err := Call[api.ListServiceDeploymentsResponse](ctx, c, ECS, "ListServiceDeployments", api.ListServiceDeploymentsRequest{
		Cluster: &cluster, Service: v.ServiceName, Status: []api.ServiceDeploymentStatus{api.ServiceDeploymentStatusSuccessful},
	})
	if err != nil {
		return "", err
	}
	var revisions []string
	for _, d := range list.ServiceDeployments {
		revisions = append(revisions, aws.Value(d.TargetServiceRevisionArn))
	}
	if len(revisions) > 0 {
		out, err := Call[api.DescribeServiceRevisionsResponse](ctx, c, ECS, "DescribeServiceRevisions",
			api.DescribeServiceRevisionsRequest{ServiceRevisionArns: revisions[:min(len(revisions), 20)]})
		if err != nil {
			return "", err
		}
		for _, r := range out.ServiceRevisions {
			if d := aws.Value(r.TaskDefinition); d != aws.Value(v.TaskDefinition) {
				return d, nil
			}
		}
	}
	return "", &Failure{What: "nothing to roll back to", Cause: "no other task definition was deployed to " + aws.Value(v.ServiceName) + " with success"}
}
