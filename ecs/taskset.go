package ecs

import (
	"math"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// TaskSet is what makes a Deployment record a task set: one of several groups of tasks of a service with the deployment controller
// EXTERNAL, each with a task definition, load balancers and a share of the desired count of its own. The record is replaced, never
// changed in place. The service's Primary is the number of its PRIMARY task set.
//
//	CreateTaskSet ──▶ ACTIVE ⇄ PRIMARY (UpdateServicePrimaryTaskSet) ── DeleteTaskSet ──▶ DRAINING ──▶ no task left: gone
type TaskSet struct {
	// Written by: CreateTaskSet.
	External string `json:"e,omitzero"` // externalId
	Token    string `json:"k,omitzero"` // clientToken
	Hash     string `json:"h"`          // of the request without the token
	// Scale is the percentage of the service's desired count. Written by: CreateTaskSet, UpdateTaskSet.
	Scale float64 `json:"s,omitzero"`
	// Written by: DeleteTaskSet.
	Draining bool `json:"dr,omitzero"`
	Force    bool `json:"fo,omitzero"`
	// Steady says that For tasks were wanted, there and healthy, and no others; Since is when that last changed.
	// Written by: CreateTaskSet, UpdateTaskSet, the reconciler.
	Steady bool   `json:"st,omitzero"`
	For    int32  `json:"sf,omitzero"`
	Since  Millis `json:"sa"`
	// Tags. Written by: CreateTaskSet, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
}

const (
	maxTaskSets         = 5
	codeTaskSetNotFound = "TaskSetNotFoundException"
	msgTaskSetNotFound  = "The specified task set does not exist."
	msgNotExternal      = "Amazon ECS only supports task set management on services configured with external deployment controllers."
)

// external says whether the service's tasks are in task sets.
func (v ServiceRecord) external() bool {
	return v.Controller == api.DeploymentControllerTypeExternal
}

// controller is what decides of the service's deployments.
func (v ServiceRecord) controller() api.DeploymentControllerType {
	if v.Controller == "" {
		return api.DeploymentControllerTypeECS
	}
	return v.Controller
}

// setCount is how many tasks the task set should have.
func (d Deployment) setCount(v ServiceRecord) int32 {
	if d.Set.Draining || v.Draining {
		return 0
	}
	// Rounded first: 29 % of 100 are 29, not 29.000000000000004.
	return int32(math.Ceil(math.Round(float64(v.Desired)*d.Set.Scale*1e6/100) / 1e6))
}

// SetARN names the task set.
func (d Deployment) SetARN() aws.ARN {
	return aws.NewARN("ecs", d.Region, d.Account, "task-set/"+d.Cluster+"/"+d.Service+"/"+deploymentPrefix+d.Number)
}

// setWire is the task set as the API shows it.
func (d Deployment) setWire(v ServiceRecord, n taskCount, tags bool) api.TaskSet {
	want := d.setCount(v)
	out := api.TaskSet{
		Id: new(deploymentPrefix + d.Number), TaskSetArn: new(string(d.SetARN())), ServiceArn: new(string(v.ARN())),
		ClusterArn: new(string(clusterARN(v.Account, v.Region, v.Cluster))), Status: new(statusActive), TaskDefinition: new(string(d.DefinitionARN())),
		ComputedDesiredCount: new(want), PendingCount: new(n.pending), RunningCount: new(n.running),
		CreatedAt: d.Created.wire(), UpdatedAt: d.Updated.wire(), LaunchType: d.Launch,
		LoadBalancers: orEmpty(d.Balancers), ServiceRegistries: orEmpty(d.Registries), Scale: &api.Scale{Value: new(d.Set.Scale), Unit: api.ScaleUnitPercent},
		StabilityStatus: api.StabilityStatusStabilizing, StabilityStatusAt: d.Set.Since.wire(),
	}
	if d.Set.External != "" {
		out.ExternalId = new(d.Set.External)
	}
	if d.Set.Steady && d.Set.For == want {
		out.StabilityStatus = api.StabilityStatusSteadyState
	}
	switch {
	case d.Set.Draining || v.Draining:
		out.Status = new(statusDraining)
	case d.Number == v.Primary:
		out.Status = new("PRIMARY")
	}
	if tags {
		out.Tags = wireTags(d.Set.Tags)
	}
	return out
}

// showSets puts the task sets into the service as the API shows it.
func (v ServiceRecord) showSets(r store.Reader, out *api.Service, counts map[string]taskCount, tags bool) {
	out.TaskSets = []api.TaskSet{}
	for _, d := range liveDeployments(r, v) {
		out.TaskSets = append(out.TaskSets, d.setWire(v, counts[d.Number], tags))
	}
}

// setRef reads a reference to a task set of the service: its ID or ARN.
func setRef(c aws.Caller, v ServiceRecord, ref string) (number string, ok bool) {
	if aws.IsARN(ref) {
		rest, known := ecsResource(c, ref, "task-set")
		if ref, ok = strings.CutPrefix(rest, v.Cluster+"/"+v.Name+"/"); !known || !ok {
			return "", false
		}
	}
	return strings.CutPrefix(ref, deploymentPrefix)
}

// findSet finds a task set of the service.
func findSet(r store.Reader, c aws.Caller, v ServiceRecord, ref string) (Deployment, bool) {
	number, ok := setRef(c, v, ref)
	if !ok || number == "" {
		return Deployment{}, false
	}
	d, ok := Deployments.Get(r, v.deploymentKey(number))
	return d, ok && d.Set != nil && !d.Gone
}

// takeController takes the deployment controller, and refuses what belongs to task sets.
func (v *ServiceRecord) takeController(in *api.CreateServiceRequest) error {
	if in.DeploymentController == nil || in.DeploymentController.Type != api.DeploymentControllerTypeExternal {
		return nil
	}
	v.Controller = api.DeploymentControllerTypeExternal
	if v.Daemon {
		return invalid("The DAEMON scheduling strategy is not supported with the EXTERNAL deployment controller.")
	}
	if err := refuseInSets([]givenMember{
		{value(in.TaskDefinition) != "", "taskDefinition"}, {len(in.LoadBalancers) > 0, "loadBalancers"},
		{len(in.ServiceRegistries) > 0, "serviceRegistries"}, {in.LaunchType != "", "launchType"}, {value(in.Role) != "", "role"},
		{in.PlatformVersion != nil, "platformVersion"}, {in.NetworkConfiguration != nil, "networkConfiguration"},
		{len(in.CapacityProviderStrategy) > 0, "capacityProviderStrategy"},
	}); err != nil {
		return err
	}
	return checkExternalConfig(in.DeploymentConfiguration)
}

type givenMember struct {
	given bool
	name  string
}

func refuseInSets(members []givenMember) error {
	if i := slices.IndexFunc(members, func(m givenMember) bool { return m.given }); i >= 0 {
		return invalid("%s cannot be specified for services with the EXTERNAL deployment controller. Use task sets.", members[i].name)
	}
	return nil
}

// checkExternalConfig refuses what only Berth's own deployments have.
func checkExternalConfig(c *api.DeploymentConfiguration) error {
	if c == nil {
		return nil
	}
	return refuseInSets([]givenMember{
		{c.DeploymentCircuitBreaker != nil && value(c.DeploymentCircuitBreaker.Enable), "deploymentCircuitBreaker"},
		{c.Alarms != nil && value(c.Alarms.Enable), "alarms"}, {len(c.LifecycleHooks) > 0, "lifecycleHooks"},
		{c.Strategy != "" && c.Strategy != api.DeploymentStrategyRolling, "strategy"}, {value(c.BakeTimeInMinutes) != 0, "bakeTimeInMinutes"},
	})
}

// updateExternal changes a service whose tasks are in task sets. The caller puts it.
func updateExternal(v *ServiceRecord, in *api.UpdateServiceRequest) error {
	if err := refuseInSets([]givenMember{
		{value(in.TaskDefinition) != "", "taskDefinition"}, {in.LoadBalancers != nil, "loadBalancers"},
		{in.ServiceRegistries != nil, "serviceRegistries"}, {value(in.ForceNewDeployment), "forceNewDeployment"},
		{in.PlatformVersion != nil, "platformVersion"}, {in.NetworkConfiguration != nil, "networkConfiguration"},
		{len(in.CapacityProviderStrategy) > 0, "capacityProviderStrategy"},
	}); err != nil {
		return err
	}
	if err := checkExternalConfig(in.DeploymentConfiguration); err != nil {
		return err
	}
	return settings{
		config: in.DeploymentConfiguration, strategy: in.PlacementStrategy, constraints: in.PlacementConstraints,
		managedTags: in.EnableECSManagedTags, propagate: in.PropagateTags, grace: in.HealthCheckGracePeriodSeconds,
		rebalancing: in.AvailabilityZoneRebalancing,
	}.apply(v)
}
