package ecs

import (
	"cmp"
	"context"
	"slices"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// DescribeServices shows services, deleted ones included for a while.
func (s *Service) DescribeServices(ctx context.Context, in *api.DescribeServicesRequest) (*api.DescribeServicesResponse, error) {
	caller := aws.CallerFrom(ctx)
	switch {
	case len(in.Services) == 0:
		return nil, invalid("Services cannot be empty.")
	case len(in.Services) > maxDescribed:
		return nil, invalid("Services cannot have more than %d elements.", maxDescribed)
	}
	for _, i := range in.Include {
		if i != api.ServiceFieldTags {
			return nil, invalid("Invalid include '%s'. Valid values: [TAGS]", i)
		}
	}
	r := s.store.Read()
	cluster, err := s.describedCluster(r, caller, serviceCluster(in.Cluster, &in.Services[0]))
	if err != nil {
		return nil, err
	}
	out := &api.DescribeServicesResponse{Services: []api.Service{}, Failures: []api.Failure{}}
	for _, ref := range in.Services {
		v, ok := findService(r, caller, cluster, ref)
		if !ok {
			out.Failures = append(out.Failures, missing(memberARN(caller, "service", cluster, ref)))
			continue
		}
		out.Services = append(out.Services, serviceWire(r, v, len(in.Include) > 0))
	}
	return out, nil
}

// taskCount is the number of tasks of one deployment that should run.
type taskCount struct{ pending, running int32 }

// serviceTasks counts the tasks of a service that should run, by the number of their deployment.
func serviceTasks(r store.Reader, service string) map[string]taskCount {
	out := map[string]taskCount{}
	for t := range Tasks.By(r, byTaskService, service) {
		if t.Desired == StateStopped {
			continue
		}
		n := out[t.deployment()]
		if t.Last == StateRunning {
			n.running++
		} else {
			n.pending++
		}
		out[t.deployment()] = n
	}
	return out
}

// deployment is the number of the deployment that started a service's task.
func (t Task) deployment() string { return t.StartedBy[min(len(deploymentPrefix), len(t.StartedBy)):] }

// liveDeployments are the service's deployments that are not gone, the primary one first, then from the newest on.
func liveDeployments(r store.Reader, v ServiceRecord) []Deployment {
	out := slices.Collect(Deployments.By(r, byDeploymentLive, v.Key()))
	slices.SortFunc(out, func(a, b Deployment) int {
		if first := a.Number == v.Primary; first != (b.Number == v.Primary) {
			if first {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Number, a.Number)
	})
	return out
}

// serviceWire is a service as the API shows it.
func serviceWire(r store.Reader, v ServiceRecord, tags bool) api.Service {
	desired := v.Desired
	if v.Daemon && v.Status() == statusActive {
		desired = int32(len(daemonMachines(r, v)))
	}
	out := api.Service{
		ServiceArn: new(string(v.ARN())), ServiceName: new(v.Name), ClusterArn: new(string(clusterARN(v.Account, v.Region, v.Cluster))),
		Status: new(v.Status()), DesiredCount: new(desired), RunningCount: new(int32(0)), PendingCount: new(int32(0)),
		LaunchType: v.Launch, DeploymentConfiguration: new(v.Config), CreatedAt: v.Created.wire(), CreatedBy: new(v.CreatedBy),
		LoadBalancers: []api.LoadBalancer{}, ServiceRegistries: []api.ServiceRegistry{}, Deployments: []api.Deployment{},
		Events: latestEvents(r, v), PlacementConstraints: orEmpty(v.Constraints), PlacementStrategy: orEmpty(v.Strategy),
		HealthCheckGracePeriodSeconds: v.Grace, SchedulingStrategy: api.SchedulingStrategyReplica,
		DeploymentController: &api.DeploymentController{Type: v.controller()},
		EnableECSManagedTags: new(v.ManagedTags), PropagateTags: v.Propagate, EnableExecuteCommand: new(false),
		AvailabilityZoneRebalancing: v.rebalancing(), ResourceManagementType: api.ResourceManagementTypeCustomer,
	}
	if v.Daemon {
		out.SchedulingStrategy = api.SchedulingStrategyDaemon
	}
	if tags {
		out.Tags = wireTags(v.Tags)
	}
	if primary, ok := Deployments.Get(r, v.deploymentKey(v.Primary)); ok {
		out.TaskDefinition = new(string(primary.DefinitionARN()))
		out.LoadBalancers = orEmpty(primary.configured())
		out.ServiceRegistries = orEmpty(primary.Registries)
		out.RoleArn = v.roleARN(primary)
	}
	current, ok := Deployments.Get(r, v.deploymentKey(v.Current))
	if ok {
		out.CurrentServiceDeployment = new(string(current.ARN()))
	}
	counts := serviceTasks(r, v.Key())
	for _, n := range counts {
		*out.RunningCount += n.running
		*out.PendingCount += n.pending
	}
	if v.external() {
		v.showSets(r, &out, counts, tags)
		return out
	}
	for _, d := range liveDeployments(r, v) {
		shown := d.wire(v, counts[d.Number], desired)
		if current.Life != nil && current.under() {
			shown.DesiredCount = new(int32(current.wanted(d.Number, int(desired))))
		}
		out.Deployments = append(out.Deployments, shown)
		out.CurrentServiceRevisions = append(out.CurrentServiceRevisions, api.ServiceCurrentRevisionSummary{
			Arn: new(string(d.RevisionARN())), RequestedTaskCount: shown.DesiredCount,
			RunningTaskCount: shown.RunningCount, PendingTaskCount: shown.PendingCount,
		})
	}
	return out
}

// wire is the deployment as DescribeServices shows it.
func (d Deployment) wire(v ServiceRecord, n taskCount, desired int32) api.Deployment {
	out := api.Deployment{
		Id: new(deploymentPrefix + d.Number), Status: new("PRIMARY"), TaskDefinition: new(string(d.DefinitionARN())),
		DesiredCount: new(desired), PendingCount: new(n.pending), RunningCount: new(n.running), FailedTasks: new(d.Failed),
		CreatedAt: d.Created.wire(), UpdatedAt: d.Updated.wire(), LaunchType: d.Launch,
		RolloutState: d.State.wire(), RolloutStateReason: new(d.Reason),
	}
	d.connectWire(&out)
	if d.Number != v.Primary {
		out.Status, out.DesiredCount = new(statusActive), new(int32(0))
	}
	return out
}

// ListServices lists the active services of a cluster by name.
func (s *Service) ListServices(ctx context.Context, in *api.ListServicesRequest) (*api.ListServicesResponse, error) {
	size := 10
	if in.MaxResults != nil {
		var err error
		if size, err = pageSize(in.MaxResults, maxPage); err != nil {
			return nil, err
		}
	}
	switch {
	case in.LaunchType != "" && !slices.Contains(in.LaunchType.Values(), string(in.LaunchType)):
		return nil, invalid("launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]")
	case in.SchedulingStrategy != "" && !slices.Contains(in.SchedulingStrategy.Values(), string(in.SchedulingStrategy)):
		return nil, invalid("Invalid schedulingStrategy '%s'. Valid values: %v", in.SchedulingStrategy, in.SchedulingStrategy.Values())
	case in.ResourceManagementType != "" && !slices.Contains(in.ResourceManagementType.Values(), string(in.ResourceManagementType)):
		return nil, invalid("Invalid resourceManagementType '%s'. Valid values: %v", in.ResourceManagementType, in.ResourceManagementType.Values())
	}
	r := s.store.Read()
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	scope := "ecs/ListServices|" + cluster.Key() + "|" + string(in.LaunchType) + "|" + string(in.SchedulingStrategy) + "|" + string(in.ResourceManagementType)
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.ListServicesResponse{ServiceArns: []string{}}
	if in.ResourceManagementType == api.ResourceManagementTypeECS {
		return out, nil // those are Express services
	}
	last := ""
	for v := range Services.ByFrom(r, byServiceStatus, serviceStatusKey(cluster.Key(), statusActive, in.LaunchType), after) {
		if in.SchedulingStrategy != "" && v.Daemon != (in.SchedulingStrategy == api.SchedulingStrategyDaemon) {
			continue
		}
		if len(out.ServiceArns) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		out.ServiceArns = append(out.ServiceArns, string(v.ARN()))
		last = v.Key()
	}
	return out, nil
}
