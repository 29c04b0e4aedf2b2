package ecs

import (
	"context"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// maxScan bounds the records that one page looks at. A page with fewer tasks than asked for still has a token, as
// in AWS.
const maxScan = 2000

// ListTasks lists the tasks of a cluster in order of creation. Without desiredStatus it lists those that should run.
func (s *Service) ListTasks(ctx context.Context, in *api.ListTasksRequest) (*api.ListTasksResponse, error) {
	caller := aws.CallerFrom(ctx)
	size, err := pageSize(in.MaxResults, maxPage)
	if err != nil {
		return nil, err
	}
	if err := checkListTasks(in); err != nil {
		return nil, err
	}
	r := s.store.Read()
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	instance, err := listedInstance(r, caller, cluster, in.ContainerInstance)
	if err != nil {
		return nil, err
	}
	scope := strings.Join([]string{"ecs/ListTasks", cluster.Key(), instance, value(in.Family), value(in.StartedBy),
		string(in.DesiredStatus), string(in.LaunchType), value(in.ServiceName)}, "|")
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	service := ""
	if in.ServiceName != nil {
		v, ok := findService(r, caller, cluster.Name, *in.ServiceName)
		if !ok {
			return nil, aws.Errorf(codeServiceNotFound, msgServiceNotFound)
		}
		service = serviceGroup + v.Name
	}
	out := &api.ListTasksResponse{TaskArns: []string{}}
	if in.DesiredStatus == api.DesiredStatusPending || in.DaemonName != nil {
		return out, nil
	}
	index, key := listIndex(cluster.Key(), instance, service, in)
	last, seen := after, 0
	for t := range Tasks.ByFrom(r, index, key, after) {
		if len(out.TaskArns) == size || seen == maxScan {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		seen++
		last = t.Key()
		if matchesList(t, instance, in) {
			out.TaskArns = append(out.TaskArns, string(t.ARN()))
		}
	}
	return out, nil
}

func checkListTasks(in *api.ListTasksRequest) error {
	if in.DesiredStatus != "" && !slices.Contains(in.DesiredStatus.Values(), string(in.DesiredStatus)) {
		return invalid("Invalid desiredStatus '%s'. Valid values: [RUNNING,PENDING,STOPPED]", in.DesiredStatus)
	}
	if in.LaunchType != "" && !slices.Contains(in.LaunchType.Values(), string(in.LaunchType)) {
		return invalid("launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]")
	}
	if in.StartedBy == nil {
		return nil
	}
	for _, other := range []struct {
		name  string
		given bool
	}{
		{"family", in.Family != nil}, {"serviceName", in.ServiceName != nil}, {"containerInstance", in.ContainerInstance != nil},
		{"launchType", in.LaunchType != ""}, {"daemonName", in.DaemonName != nil},
	} {
		if other.given {
			return invalid("Only one of startedBy or %s may be specified", other.name)
		}
	}
	return nil
}

// listedInstance resolves the containerInstance filter to an ID; "" without the filter.
func listedInstance(r store.Reader, c aws.Caller, cluster Cluster, ref *string) (string, error) {
	if ref == nil {
		return "", nil
	}
	in, id, ok := memberID(c, "container-instance", *ref)
	if !ok || in != "" && in != cluster.Name || !stateOfInstance(r, cluster.Key()+"/"+id).known {
		return "", invalid("Referenced container instance %s not found.", *ref)
	}
	return id, nil
}

// listIndex chooses the narrowest index for a list.
func listIndex(cluster, instance, service string, in *api.ListTasksRequest) (index, key string) {
	desired := StateRunning
	if in.DesiredStatus == api.DesiredStatusStopped {
		desired = StateStopped
	}
	switch {
	case in.StartedBy != nil:
		return byTaskStarter, listKey(cluster, desired, *in.StartedBy)
	case service != "":
		return byTaskFamily, listKey(cluster, desired, service)
	case instance != "":
		return byTaskInstance, listKey(cluster, desired, instance)
	case in.Family != nil:
		return byTaskFamily, listKey(cluster, desired, *in.Family)
	}
	return byTaskDesired, listKey(cluster, desired, "")
}

func matchesList(t Task, instance string, in *api.ListTasksRequest) bool {
	return (in.Family == nil || t.Family == *in.Family) && (instance == "" || t.Instance == instance) &&
		(in.LaunchType == "" || t.Launch == in.LaunchType)
}
