package ecs

import (
	"context"
	"slices"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// CreateService makes a service and its first deployment. The same request again returns the service that there is.
func (s *Service) CreateService(ctx context.Context, in *api.CreateServiceRequest) (*api.CreateServiceResponse, error) {
	if err := s.checkAlarms(in.DeploymentConfiguration); err != nil {
		return nil, err
	}
	v, err := newService(aws.CallerFrom(ctx), in)
	if err != nil {
		return nil, err
	}
	cluster, err := activeCluster(ctx, s.store.Read(), in.Cluster)
	if err != nil {
		return nil, err
	}
	v.Cluster = cluster.Name
	now := s.now()
	v.Created = MillisOf(now)
	ids := newDeploymentIDs(now)
	var out ServiceRecord
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		out = v
		cluster, err := activeCluster(ctx, tx, new(v.Cluster))
		if err != nil {
			return err
		}
		if have, found, err := earlierService(tx, v); found || err != nil {
			out = have
			return err
		}
		if v.external() {
			Services.Put(tx, out)
			return nil
		}
		d, err := runnableDefinition(tx, aws.CallerFrom(ctx), in.TaskDefinition)
		if err != nil {
			return err
		}
		if _, err := out.launch(d); err != nil {
			return err
		}
		if err := checkGroups(tx, in.LoadBalancers, d); err != nil {
			return err
		}
		if err := checkAdvanced(tx, out.Config.Strategy, in.LoadBalancers, d); err != nil {
			return err
		}
		if err := checkRegistries(tx, in.ServiceRegistries, d); err != nil {
			return err
		}
		connect, err := out.connect(tx, connectConfig(in.ServiceConnectConfiguration, cluster), d, ids.number, now)
		if err != nil {
			return err
		}
		out.newDeployment(tx, ids, d, attached{in.LoadBalancers, in.ServiceRegistries, connect}, out.Created)
		s.resolve(tx, out.deploymentKey(ids.number))
		Services.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("service created", "service", out.ARN())
	return &api.CreateServiceResponse{Service: new(serviceWire(s.store.Read(), out, true))}, nil
}

// newService checks what CreateService is asked, before anything is looked up.
func newService(c aws.Caller, in *api.CreateServiceRequest) (v ServiceRecord, err error) {
	v = ServiceRecord{
		Account: c.Account, Region: c.Region, Name: value(in.ServiceName), CreatedBy: string(c.ARN), Launch: in.LaunchType,
		Daemon: in.SchedulingStrategy == api.SchedulingStrategyDaemon, Token: value(in.ClientToken), Desired: value(in.DesiredCount),
		Propagate: api.PropagateTagsNone,
	}
	switch {
	case v.Name == "":
		return v, invalid("Service name can not be blank.")
	case !namePattern.MatchString(v.Name):
		return v, invalid("The specified service name is invalid. Up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens are allowed.")
	case in.ClientToken != nil && (len(v.Token) > maxServiceToken || !tokenPattern.MatchString(v.Token)):
		return v, invalid("The client token must have 1 to %d characters in the ASCII range 33-126.", maxServiceToken)
	case in.SchedulingStrategy != "" && !slices.Contains(in.SchedulingStrategy.Values(), string(in.SchedulingStrategy)):
		return v, invalid("Invalid schedulingStrategy '%s'. Valid values: %v", in.SchedulingStrategy, in.SchedulingStrategy.Values())
	case in.LaunchType != "" && len(in.CapacityProviderStrategy) > 0:
		return v, invalid("Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	}
	if err := v.takeController(in); err != nil {
		return v, err
	}
	if err := v.takeBalancers(in.LoadBalancers, in.Role); err != nil {
		return v, err
	}
	if err := v.takeRegistries(in.ServiceRegistries); err != nil {
		return v, err
	}
	if err := checkServiceLaunch(&v); err != nil {
		return v, err
	}
	if err := v.checkConnect(in.ServiceConnectConfiguration); err != nil {
		return v, err
	}
	if v.external() {
		v.Launch = ""
	}
	if err := checkDesired(v.Daemon, in.DesiredCount, !v.external()); err != nil {
		return v, err
	}
	if err := (later{
		volumes: in.VolumeConfigurations, lattice: in.VpcLatticeConfigurations, providers: in.CapacityProviderStrategy,
		controller: in.DeploymentController, platform: in.PlatformVersion, network: in.NetworkConfiguration,
		exec: in.EnableExecuteCommand, rebalancing: in.AvailabilityZoneRebalancing,
	}).refuse(); err != nil {
		return v, err
	}
	if v.Tags, err = checkTags(in.Tags); err != nil {
		return v, err
	}
	request := *in
	request.ClientToken = nil
	v.Hash = hashOf(&request)
	v.Config = defaultDeploymentConfig(v.Daemon)
	return v, settings{
		config: in.DeploymentConfiguration, strategy: in.PlacementStrategy, constraints: in.PlacementConstraints,
		managedTags: in.EnableECSManagedTags, propagate: in.PropagateTags, grace: in.HealthCheckGracePeriodSeconds,
		rebalancing: in.AvailabilityZoneRebalancing,
	}.apply(&v)
}

func checkServiceLaunch(v *ServiceRecord) error {
	switch v.Launch {
	case "":
		v.Launch = api.LaunchTypeEC2
	case api.LaunchTypeEC2, api.LaunchTypeExternal:
	case api.LaunchTypeFargate:
		if v.Daemon {
			return invalid("The daemon scheduling strategy does not support the FARGATE launch type.")
		}
		return notYet("launchType FARGATE")
	default:
		return invalid("launch type should be one of [EC2,FARGATE,EXTERNAL]")
	}
	return nil
}

// checkDesired checks a desiredCount, which replicas must be given at their creation and daemons never.
func checkDesired(daemon bool, n *int32, created bool) error {
	switch {
	case daemon && n != nil:
		return invalid("The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again")
	case !daemon && n == nil && created:
		return invalid("desiredCount must be specified")
	case value(n) < 0:
		return invalid("desiredCount must not be negative")
	}
	return nil
}

// earlierService finds the service that an equal request made. It is an error if the name or the token is taken by
// another one. A service that is INACTIVE makes room for the new one.
func earlierService(tx *store.Tx, v ServiceRecord) (have ServiceRecord, found bool, err error) {
	have, found = Services.Get(tx, v.Key())
	switch {
	case found && have.Status() == statusDraining:
		return have, false, invalid("Unable to Start a service that is still Draining.")
	case found && have.Status() == statusActive:
		if have.Hash == v.Hash && (v.Token == have.Token || v.Token == "") {
			return have, true, nil
		}
		return have, false, invalid(msgNotIdempotent)
	}
	if v.Token != "" && Services.CountBy(tx, byServiceToken, v.ClusterKey()+"|"+v.Token) > 0 && !(found && have.Token == v.Token) {
		return have, false, invalid(msgNotIdempotent)
	}
	if found {
		forgetService(tx, have)
	}
	return have, false, nil
}

// forgetService removes the record of an INACTIVE service with its deployments. Its events, which may be more than a transaction takes, go when
// their time is over; nobody sees them until then, as those of another service of the name are counted from 1 again.
func forgetService(tx *store.Tx, v ServiceRecord) {
	for _, d := range slices.Collect(Deployments.Prefix(tx, v.Key()+"/")) {
		Deployments.Delete(tx, d.Key())
	}
	Services.Delete(tx, v.Key())
}
