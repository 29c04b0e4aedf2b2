package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

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
