package ecs

import (
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const (
	maxServiceToken = 36
	maxDescribed    = 10

	msgServiceNotFound  = "Service not found."
	msgServiceNotActive = "Service was not ACTIVE."
	msgNotIdempotent    = "Creation of service was not idempotent."
)

// later are the members of CreateService and UpdateService that Berth does not act on yet.
type later struct {
	volumes     []api.ServiceVolumeConfiguration
	lattice     []api.VpcLatticeConfiguration
	providers   []api.CapacityProviderStrategyItem
	controller  *api.DeploymentController
	platform    *string
	network     *api.NetworkConfiguration
	exec        *bool
	rebalancing api.AvailabilityZoneRebalancing
}

func (l later) refuse() error {
	for _, m := range []struct {
		given bool
		what  string
	}{
		{len(l.volumes) > 0, "volumeConfigurations (volumes configured at launch)"},
		{len(l.lattice) > 0, "vpcLatticeConfigurations (VPC Lattice)"},
		{len(l.providers) > 0, "capacityProviderStrategy (capacity providers)"},
		{l.network != nil && l.network.AwsvpcConfiguration != nil, "networkConfiguration (network mode awsvpc)"},
		{value(l.exec), "enableExecuteCommand (ECS Exec)"},
	} {
		if m.given {
			return notYet(m.what)
		}
	}
	if l.rebalancing != "" && !slices.Contains(l.rebalancing.Values(), string(l.rebalancing)) {
		return invalid("Invalid availabilityZoneRebalancing '%s'. Valid values: %v", l.rebalancing, l.rebalancing.Values())
	}
	if l.platform != nil {
		return invalid("The platform version must be null when specifying an EC2 launch type.")
	}
	if l.controller == nil || l.controller.Type == "" || l.controller.Type == api.DeploymentControllerTypeECS {
		return nil
	}
	if !slices.Contains(l.controller.Type.Values(), string(l.controller.Type)) {
		return invalid("Invalid deploymentController type '%s'. Valid values: %v", l.controller.Type, l.controller.Type.Values())
	}
	if l.controller.Type == api.DeploymentControllerTypeExternal {
		return nil
	}
	return notYet("deploymentController " + string(l.controller.Type))
}

// owner is what a deployment configuration is checked for.
type owner struct {
	caller aws.Caller
	daemon bool
}

// deploymentConfig merges what is given into what is there (the defaults, on creation) and checks it.
func deploymentConfig(o owner, in *api.DeploymentConfiguration, have api.DeploymentConfiguration) (api.DeploymentConfiguration, error) {
	if in == nil {
		return have, nil
	}
	if err := takeStrategy(o.caller, in, &have, o.daemon); err != nil {
		return have, err
	}
	if in.MaximumPercent != nil {
		have.MaximumPercent = in.MaximumPercent
	}
	if in.MinimumHealthyPercent != nil {
		have.MinimumHealthyPercent = in.MinimumHealthyPercent
	}
	if b := in.DeploymentCircuitBreaker; b != nil {
		made, err := circuitBreaker(b)
		if err != nil {
			return have, err
		}
		have.DeploymentCircuitBreaker = made
	}
	if a := in.Alarms; a != nil {
		have.Alarms = &api.DeploymentAlarms{AlarmNames: orEmpty(a.AlarmNames), Enable: new(value(a.Enable)), Rollback: new(value(a.Rollback))}
	}
	least, most := value(have.MinimumHealthyPercent), value(have.MaximumPercent)
	switch {
	case least < 0 || least > 100:
		return have, invalid("minimumHealthyPercent must be between 0 and 100")
	case most <= 0:
		return have, invalid("maximumPercent must be greater than 0")
	case most < least || !o.daemon && most < 100:
		return have, invalid("maximumPercent must be at least 100 and not less than minimumHealthyPercent")
	}
	return have, nil
}

// defaultDeploymentConfig is what a service without a deploymentConfiguration has.
func defaultDeploymentConfig(daemon bool) api.DeploymentConfiguration {
	out := api.DeploymentConfiguration{
		MaximumPercent: new(int32(200)), MinimumHealthyPercent: new(int32(100)), Strategy: api.DeploymentStrategyRolling,
		DeploymentCircuitBreaker: &api.DeploymentCircuitBreaker{Enable: new(false), Rollback: new(false)},
		Alarms:                   &api.DeploymentAlarms{AlarmNames: []string{}, Enable: new(false), Rollback: new(false)},
	}
	if daemon {
		out.MaximumPercent, out.MinimumHealthyPercent = new(int32(100)), new(int32(0))
	}
	return out
}

// settings are the members that CreateService and UpdateService share and that don't start a deployment.
type settings struct {
	config      *api.DeploymentConfiguration
	strategy    []api.PlacementStrategy
	constraints []api.PlacementConstraint
	managedTags *bool
	propagate   api.PropagateTags
	grace       *int32
	rebalancing api.AvailabilityZoneRebalancing
}

// apply checks the settings and puts those that are given into the record.
func (s settings) apply(v *ServiceRecord) (err error) {
	if v.Config, err = deploymentConfig(owner{aws.Caller{Account: v.Account, Region: v.Region}, v.Daemon}, s.config, v.Config); err != nil {
		return err
	}
	if s.strategy != nil {
		if v.Daemon && len(s.strategy) > 0 {
			return invalid("The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again")
		}
		v.Strategy = slices.Clone(s.strategy)
	}
	if s.constraints != nil {
		v.Constraints = s.constraints
	}
	if s.managedTags != nil {
		v.ManagedTags = *s.managedTags
	}
	if s.propagate != "" {
		if !slices.Contains(s.propagate.Values(), string(s.propagate)) {
			return invalid("Invalid propagateTags '%s'. Valid values: [TASK_DEFINITION,SERVICE,NONE]", s.propagate)
		}
		v.Propagate = s.propagate
	}
	if s.grace != nil {
		if *s.grace < 0 {
			return invalid("healthCheckGracePeriodSeconds must be between 0 and 2147483647")
		}
		v.Grace = s.grace
	}
	q, err := v.request()
	if err != nil {
		return err
	}
	for i := range s.strategy {
		if field := q.strategy[i].Field; field != "" {
			v.Strategy[i].Field = new(field) // as the API shows it
		}
	}
	return v.takeRebalancing(s.rebalancing)
}

// launch is what starts tasks of the service from the definition. It is an error if the definition cannot be run so.
func (v ServiceRecord) launch(d TaskDefinition) (*launch, error) {
	q, err := v.request()
	if err != nil {
		return nil, err
	}
	if err := q.checkDefinition(&d); err != nil {
		return nil, err
	}
	l := &launch{request: q, definition: d, group: q.group, merged: d.Definition}
	if l.tags, err = q.taskTags(d); err != nil {
		return nil, err
	}
	if v.ManagedTags {
		l.tags["aws:ecs:serviceName"] = v.Name
	}
	l.needs, l.gpus = needs(&l.merged)
	l.place, err = l.placementTask()
	return l, err
}

// serviceRef reads a reference to a service: a name, an ARN with the cluster or an old ARN without it. ok is false for
// what cannot be in the caller's cluster.
func serviceRef(c aws.Caller, cluster, ref string) (name string, ok bool) {
	if !aws.IsARN(ref) {
		return ref, namePattern.MatchString(ref)
	}
	rest, ok := ecsResource(c, ref, "service")
	if in, name, two := strings.Cut(rest, "/"); two {
		return name, ok && in == cluster && namePattern.MatchString(name)
	}
	return rest, ok && namePattern.MatchString(rest)
}

// findService finds a service of the cluster by name or ARN, whatever its status.
func findService(r store.Reader, c aws.Caller, cluster, ref string) (ServiceRecord, bool) {
	name, ok := serviceRef(c, cluster, ref)
	if !ok {
		return ServiceRecord{}, false
	}
	return Services.Get(r, ServiceKey(c.Account, c.Region, cluster, name))
}

// serviceCluster is the cluster that a request about a service means: the argument, or the one in the service's ARN.
func serviceCluster(arg, ref *string) *string {
	if value(arg) != "" || !aws.IsARN(value(ref)) {
		return arg
	}
	arn, err := aws.ParseARN(*ref)
	if err != nil {
		return arg
	}
	if parts := strings.Split(arn.Resource(), "/"); len(parts) > 2 {
		return &parts[1]
	}
	return arg
}
