package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
)

// describeBatch is the most tasks that DescribeTasks takes at once.
const describeBatch = 100

// Tasks describes all tasks of a cluster with the given desired status (RUNNING or STOPPED), in the order of
// ListTasks. family and service narrow the list when they are not empty.
func (c *Client) Tasks(ctx context.Context, cluster string, desired api.DesiredStatus, family, service string) ([]api.Task, error) {
	in := api.ListTasksRequest{Cluster: &cluster, DesiredStatus: desired}
	if family != "" {
		in.Family = &family
	}
	if service != "" {
		in.ServiceName = &service
	}
	var arns []string
	for {
		page, err := Call[api.ListTasksResponse](ctx, c, ECS, "ListTasks", in)
		if err != nil {
			return nil, err
		}
		arns = append(arns, page.TaskArns...)
		if page.NextToken == nil {
			break
		}
		in.NextToken = page.NextToken
	}
	tasks := []api.Task{}
	for batch := range slices.Chunk(arns, describeBatch) {
		out, err := Call[api.DescribeTasksResponse](ctx, c, ECS, "DescribeTasks", api.DescribeTasksRequest{Cluster: &cluster, Tasks: batch})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, out.Tasks...)
	}
	return tasks, nil
}

// FindTasks resolves what a person typed: a task's ARN, ID or the beginning of an ID, a family, or the name of a
// service (all of its tasks). Running tasks come first; stopped ones are searched when none of those matched.
func (c *Client) FindTasks(ctx context.Context, cluster, subject string) ([]api.Task, error) {
	for _, desired := range []api.DesiredStatus{api.DesiredStatusRunning, api.DesiredStatusStopped} {
		all, err := c.Tasks(ctx, cluster, desired, "", "")
		if err != nil {
			return nil, err
		}
		found := slices.DeleteFunc(all, func(t api.Task) bool { return !isSubject(t, subject) })
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, &Failure{
		What:  fmt.Sprintf("no task or service %q", subject),
		Cause: "nothing in cluster " + cluster + " has that name, ID or beginning of an ID",
		Fix:   "berth ps --all --cluster " + cluster,
		Exit:  ExitNotFound,
	}
}

func isSubject(t api.Task, subject string) bool {
	id := strings.TrimPrefix(subject, "task/")
	if id == "" {
		return false
	}
	arn := aws.Value(t.TaskArn)
	if arn == subject || strings.HasPrefix(TaskID(arn), id) || Family(aws.Value(t.TaskDefinitionArn)) == subject {
		return true
	}
	service, ok := strings.CutPrefix(aws.Value(t.Group), "service:")
	if strings.HasPrefix(subject, "arn:") {
		return ok && strings.Contains(subject, ":service/") && TaskID(subject) == service
	}
	return ok && service == strings.TrimPrefix(subject, "service/")
}

// TaskID is the last part of a task's ARN.
func TaskID(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// Family is the family in a task definition's ARN.
func Family(arn string) string {
	name := Revision(arn)
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		return name[:i]
	}
	return name
}

// Revision is family:revision of a task definition's ARN.
func Revision(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
