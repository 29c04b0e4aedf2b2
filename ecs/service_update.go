package ecs

import (
	"context"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/rollout"
	"berth/store"
)

// UpdateService changes the members that are given. Another task definition, other load
// balancers or forceNewDeployment start a deployment.
func (s *Service) UpdateService(ctx context.Context, in *api.UpdateServiceRequest) (*api.UpdateServiceResponse, error) {
	if value(in.Service) == "" {
		return nil, invalid("Service can not be blank.")
	}
	if err := s.checkAlarms(in.DeploymentConfiguration); err != nil {
		return nil, err
	}
	if err := (later{
		volumes: in.VolumeConfigurations, lattice: in.VpcLatticeConfigurations, providers: in.CapacityProviderStrategy,
		controller: in.DeploymentController, platform: in.PlatformVersion, network: in.NetworkConfiguration,
		exec: in.EnableExecuteCommand, rebalancing: in.AvailabilityZoneRebalancing,
	}).refuse(); err != nil {
		return nil, err
	}
	caller, now := aws.CallerFrom(ctx), s.now()
	ids := newDeploymentIDs(now)
	var out ServiceRecord
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := activeCluster(ctx, tx, serviceCluster(in.Cluster, in.Service))
		if err != nil {
			return err
		}
		v, ok := findService(tx, caller, cluster.Name, *in.Service)
		if !ok {
			return aws.Errorf(codeServiceNotFound, msgServiceNotFound)
		}
		if v.Status() != statusActive {
			return aws.Errorf(codeServiceNotActive, msgServiceNotActive)
		}
		if out, err = updateService(tx, cluster, v, in, ids, now); err == nil {
			s.resolve(tx, out.deploymentKey(ids.number))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("service updated", "service", out.ARN())
	return &api.UpdateServiceResponse{Service: new(serviceWire(s.store.Read(), out, true))}, nil
}

func updateService(tx *store.Tx, c Cluster, v ServiceRecord, in *api.UpdateServiceRequest, ids deploymentIDs, now time.Time) (ServiceRecord, error) {
	if err := checkDesired(v.Daemon, in.DesiredCount, false); err != nil {
		return v, err
	}
	if in.DesiredCount != nil {
		v.Desired = *in.DesiredCount
	}
	if c := in.DeploymentController; c != nil && c.Type != "" && c.Type != v.controller() {
		return v, notYet("another deploymentController for a service that exists")
	}
	if err := v.checkConnect(in.ServiceConnectConfiguration); err != nil {
		return v, err
	}
	if v.external() {
		err := updateExternal(&v, in)
		Services.Put(tx, v)
		return v, err
	}
	if err := (settings{
		config: in.DeploymentConfiguration, strategy: in.PlacementStrategy, constraints: in.PlacementConstraints,
		managedTags: in.EnableECSManagedTags, propagate: in.PropagateTags, grace: in.HealthCheckGracePeriodSeconds,
		rebalancing: in.AvailabilityZoneRebalancing,
	}).apply(&v); err != nil {
		return v, err
	}
	primary, _ := Deployments.Get(tx, v.deploymentKey(v.Primary))
	d, known := TaskDefinitions.Get(tx, primary.DefinitionKey())
	if value(in.TaskDefinition) != "" {
		given, err := runnableDefinition(tx, aws.Caller{Account: v.Account, Region: v.Region}, in.TaskDefinition)
		if err != nil {
			return v, err
		}
		d, known = given, true
	}
	to, err := v.updatedAttached(primary, in)
	if err != nil {
		return v, err
	}
	connect := primary.connectConfig()
	if in.ServiceConnectConfiguration != nil {
		connect = connectConfig(in.ServiceConnectConfiguration, c)
	}
	if err := v.checkShift(connect); err != nil {
		return v, err
	}
	if known {
		if err := v.checkAttached(tx, in, to, d); err != nil {
			return v, err
		}
	}
	if value(in.ForceNewDeployment) || d.Key() != primary.DefinitionKey() || !sameBalancers(to.balancers, primary.configured()) ||
		!sameRegistries(to.registries, primary.Registries) || !sameConnect(connect, primary.connectConfig()) {
		if !known {
			return v, clientError(msgDefinitionNotFound)
		}
		if to.connect, err = v.connect(tx, connect, d, ids.number, now); err != nil {
			return v, err
		}
		v.newDeployment(tx, ids, d, to, MillisOf(now))
	} else if primary.Rounds > 0 {
		primary.setPause(rollout.Pause{})
		Deployments.Put(tx, primary)
	}
	Services.Put(tx, v)
	return v, nil
}

// updatedAttached are the load balancers and service registries that an update gives or that there are.
func (v *ServiceRecord) updatedAttached(primary Deployment, in *api.UpdateServiceRequest) (to attached, err error) {
	to.balancers, to.registries = primary.configured(), primary.Registries
	if in.LoadBalancers != nil {
		if err := v.takeBalancers(in.LoadBalancers, nil); err != nil {
			return to, err
		}
		to.balancers = in.LoadBalancers
	}
	if in.ServiceRegistries != nil {
		if err := v.takeRegistries(in.ServiceRegistries); err != nil {
			return to, err
		}
		to.registries = in.ServiceRegistries
	}
	return to, nil
}

// checkAttached checks them against the definition and what they name.
func (v ServiceRecord) checkAttached(tx *store.Tx, in *api.UpdateServiceRequest, to attached, d TaskDefinition) error {
	if _, err := v.launch(d); err != nil {
		return err
	}
	if err := checkUpdatedGroups(tx, in.LoadBalancers, to.balancers, d); err != nil {
		return err
	}
	if in.LoadBalancers != nil || in.DeploymentConfiguration != nil {
		if err := checkAdvanced(tx, v.Config.Strategy, to.balancers, d); err != nil {
			return err
		}
	}
	return checkRegistries(tx, to.registries, d)
}

// DeleteService ends a service: its tasks stop, then it is INACTIVE. Deleting it again returns it again.
func (s *Service) DeleteService(ctx context.Context, in *api.DeleteServiceRequest) (*api.DeleteServiceResponse, error) {
	if value(in.Service) == "" {
		return nil, invalid("Service can not be blank.")
	}
	caller, now := aws.CallerFrom(ctx), MillisOf(s.now())
	var out ServiceRecord
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := activeCluster(ctx, tx, serviceCluster(in.Cluster, in.Service))
		if err != nil {
			return err
		}
		var ok bool
		if out, ok = findService(tx, caller, cluster.Name, *in.Service); !ok {
			return aws.Errorf(codeServiceNotFound, msgServiceNotFound)
		}
		if out.Ended != 0 || out.Draining && (out.Force || !value(in.Force)) {
			return nil
		}
		if !value(in.Force) && !out.Daemon && out.Desired > 0 {
			return invalid("The service cannot be stopped while it is scaled above 0.")
		}
		if !value(in.Force) && out.scalesDown(tx) {
			return invalid("The service cannot be stopped while deployments are active.")
		}
		out.Draining, out.Desired, out.Force = true, 0, value(in.Force)
		out.supersede(tx, now)
		Services.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("service deleted", "service", out.ARN())
	return &api.DeleteServiceResponse{Service: new(serviceWire(s.store.Read(), out, true))}, nil
}

// scalesDown says whether there are task sets, or tasks of deployments besides the primary one that are not to stop.
func (v ServiceRecord) scalesDown(r store.Reader) bool {
	switch {
	case v.external():
		return Deployments.CountBy(r, byDeploymentLive, v.Key()) > 0
	case v.Daemon:
		return false
	}
	for number := range serviceTasks(r, v.Key()) {
		if number != v.Primary {
			return true
		}
	}
	return false
}
