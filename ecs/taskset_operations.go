package ecs

import (
	"context"
	"math"
	"slices"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// setService finds the ACTIVE service with task sets that a request means.
func setService(ctx context.Context, r store.Reader, cluster, service *string) (ServiceRecord, error) {
	if value(service) == "" {
		return ServiceRecord{}, invalid("Service can not be blank.")
	}
	c, err := activeCluster(ctx, r, serviceCluster(cluster, service))
	if err != nil {
		return ServiceRecord{}, err
	}
	v, ok := findService(r, aws.CallerFrom(ctx), c.Name, *service)
	switch {
	case !ok:
		return v, aws.Errorf(codeServiceNotFound, msgServiceNotFound)
	case v.Status() != statusActive:
		return v, aws.Errorf(codeServiceNotActive, msgServiceNotActive)
	case !v.external():
		return v, invalid(msgNotExternal)
	}
	return v, nil
}

// checkScale reads a scale; 0 percent without one.
func checkScale(s *api.Scale) (float64, error) {
	if s == nil {
		return 0, nil
	}
	n := value(s.Value)
	switch {
	case s.Unit != "" && s.Unit != api.ScaleUnitPercent:
		return 0, invalid("Invalid scale unit '%s'. Valid values: %v", s.Unit, s.Unit.Values())
	case math.IsNaN(n) || n < 0 || n > 100:
		return 0, invalid("The scale value must be between 0.0 and 100.0.")
	}
	return n, nil
}

// CreateTaskSet adds a task set to a service with the deployment controller EXTERNAL. The same token again returns the one that
// there is.
func (s *Service) CreateTaskSet(ctx context.Context, in *api.CreateTaskSetRequest) (*api.CreateTaskSetResponse, error) {
	made, err := newSet(in)
	if err != nil {
		return nil, err
	}
	if made.Tags, err = checkTags(in.Tags); err != nil {
		return nil, err
	}
	caller, now := aws.CallerFrom(ctx), s.now()
	ids := newDeploymentIDs(now)
	made.Since = MillisOf(now)
	var v ServiceRecord
	var out Deployment
	err = s.store.Update(ctx, func(tx *store.Tx) (err error) {
		if v, err = setService(ctx, tx, in.Cluster, in.Service); err != nil {
			return err
		}
		sets := slices.Collect(Deployments.By(tx, byDeploymentLive, v.Key()))
		if i := slices.IndexFunc(sets, func(d Deployment) bool { return made.Token != "" && d.Set.Token == made.Token }); i >= 0 {
			if out = sets[i]; out.Set.Hash != made.Hash {
				return invalid("Creation of task set was not idempotent.")
			}
			return nil
		}
		if len(sets) >= maxTaskSets {
			return invalid("%d deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit.", len(sets))
		}
		d, err := runnableDefinition(tx, caller, in.TaskDefinition)
		if err != nil {
			return err
		}
		out = Deployment{
			Account: v.Account, Region: v.Region, Cluster: v.Cluster, Service: v.Name, Number: ids.number, Created: MillisOf(now), Updated: MillisOf(now),
			Family: d.Family, Revision: d.Revision, Balancers: in.LoadBalancers, Registries: in.ServiceRegistries, Config: v.Config, Set: new(made),
		}
		if out.Launch, err = v.takeSet(tx, in, d); err != nil {
			return err
		}
		Deployments.Put(tx, out)
		s.resolve(tx, out.Key())
		Services.Put(tx, v) // its grace period, and nobody else adds a task set meanwhile
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("task set created", "taskset", out.SetARN())
	return &api.CreateTaskSetResponse{TaskSet: new(s.setShown(v, out))}, nil
}

// newSet checks what CreateTaskSet is asked, before anything is looked up.
func newSet(in *api.CreateTaskSetRequest) (made TaskSet, err error) {
	made = TaskSet{External: value(in.ExternalId), Token: value(in.ClientToken)}
	switch {
	case value(in.TaskDefinition) == "":
		return made, invalid("TaskDefinition can not be blank.")
	case in.ClientToken != nil && (len(made.Token) > maxServiceToken || !tokenPattern.MatchString(made.Token)):
		return made, invalid("The client token must have 1 to %d characters in the ASCII range 33-126.", maxServiceToken)
	case in.LaunchType != "" && len(in.CapacityProviderStrategy) > 0:
		return made, invalid("Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	case len(in.LoadBalancers) > 1:
		return made, invalid("A task set can have at most one load balancer.")
	}
	request := *in
	request.ClientToken = nil
	made.Hash = hashOf(&request)
	if made.Scale, err = checkScale(in.Scale); err != nil {
		return made, err
	}
	return made, later{providers: in.CapacityProviderStrategy, platform: in.PlatformVersion, network: in.NetworkConfiguration}.refuse()
}

// takeSet checks what a task set of the service is given against what there is, and takes what the service gets of it.
func (v *ServiceRecord) takeSet(tx *store.Tx, in *api.CreateTaskSetRequest, d TaskDefinition) (api.LaunchType, error) {
	as := *v
	as.Launch = in.LaunchType
	if err := checkServiceLaunch(&as); err != nil {
		return "", err
	}
	if err := as.takeBalancers(in.LoadBalancers, nil); err != nil {
		return "", err
	}
	if err := as.takeRegistries(in.ServiceRegistries); err != nil {
		return "", err
	}
	if _, err := as.launch(d); err != nil {
		return "", err
	}
	if err := checkGroups(tx, in.LoadBalancers, d); err != nil {
		return "", err
	}
	v.Grace = as.Grace
	return as.Launch, checkRegistries(tx, in.ServiceRegistries, d)
}

func (s *Service) setShown(v ServiceRecord, d Deployment) api.TaskSet {
	return d.setWire(v, serviceTasks(s.store.Read(), v.Key())[d.Number], true)
}

// changeSet finds a task set and lets f change it and its service.
func (s *Service) changeSet(ctx context.Context, cluster, service, set *string, f func(tx *store.Tx, v *ServiceRecord, d *Deployment) error) (*api.TaskSet, error) {
	if value(set) == "" {
		return nil, invalid("Task set can not be blank.")
	}
	now := MillisOf(s.now())
	var v ServiceRecord
	var d Deployment
	err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
		if v, err = setService(ctx, tx, cluster, service); err != nil {
			return err
		}
		var ok bool
		if d, ok = findSet(tx, aws.CallerFrom(ctx), v, *set); !ok {
			return aws.Errorf(codeTaskSetNotFound, msgTaskSetNotFound)
		}
		d.Set, d.Updated = new(*d.Set), now
		if err := f(tx, &v, &d); err != nil {
			return err
		}
		Deployments.Put(tx, d)
		Services.Put(tx, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(s.setShown(v, d)), nil
}

// UpdateTaskSet changes the scale of a task set.
func (s *Service) UpdateTaskSet(ctx context.Context, in *api.UpdateTaskSetRequest) (*api.UpdateTaskSetResponse, error) {
	if in.Scale == nil {
		return nil, invalid("Scale can not be blank.")
	}
	scale, err := checkScale(in.Scale)
	if err != nil {
		return nil, err
	}
	now := MillisOf(s.now())
	out, err := s.changeSet(ctx, in.Cluster, in.Service, in.TaskSet, func(_ *store.Tx, v *ServiceRecord, d *Deployment) error {
		if d.Set.Draining {
			return invalid("The task set is DRAINING and cannot be updated.")
		}
		before := d.setCount(*v)
		if d.Set.Scale = scale; d.setCount(*v) != before {
			d.Set.Steady, d.Set.Since = false, now
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateTaskSetResponse{TaskSet: out}, nil
}

// DeleteTaskSet ends a task set: its tasks stop, then it is gone. A set that is scaled above 0 or PRIMARY needs force.
func (s *Service) DeleteTaskSet(ctx context.Context, in *api.DeleteTaskSetRequest) (*api.DeleteTaskSetResponse, error) {
	out, err := s.changeSet(ctx, in.Cluster, in.Service, in.TaskSet, func(_ *store.Tx, v *ServiceRecord, d *Deployment) error {
		force := value(in.Force)
		switch {
		case d.Set.Draining:
			d.Set.Force = d.Set.Force || force
			return nil
		case !force && v.Primary == d.Number:
			return invalid("The task set cannot be deleted while it is the primary task set. Use force to delete it.")
		case !force && d.Set.Scale > 0:
			return invalid("The task set cannot be deleted while it is scaled above 0. Use force to delete it.")
		}
		if v.Primary == d.Number {
			v.Primary, v.Launch = "", ""
		}
		d.Set.Draining, d.Set.Force, d.Set.Scale, d.Set.Steady = true, force, 0, false
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteTaskSetResponse{TaskSet: out}, nil
}

// UpdateServicePrimaryTaskSet makes a task set the one whose members the service shows as its own. The former one becomes ACTIVE.
func (s *Service) UpdateServicePrimaryTaskSet(ctx context.Context, in *api.UpdateServicePrimaryTaskSetRequest) (*api.UpdateServicePrimaryTaskSetResponse, error) {
	out, err := s.changeSet(ctx, in.Cluster, in.Service, in.PrimaryTaskSet, func(_ *store.Tx, v *ServiceRecord, d *Deployment) error {
		if d.Set.Draining {
			return invalid("The task set is DRAINING and cannot become the primary task set.")
		}
		v.Primary, v.Launch = d.Number, d.Launch
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateServicePrimaryTaskSetResponse{TaskSet: out}, nil
}

// DescribeTaskSets shows task sets of a service: those that are named, or all.
func (s *Service) DescribeTaskSets(ctx context.Context, in *api.DescribeTaskSetsRequest) (*api.DescribeTaskSetsResponse, error) {
	for _, i := range in.Include {
		if i != api.TaskSetFieldTags {
			return nil, invalid("Invalid include '%s'. Valid values: [TAGS]", i)
		}
	}
	caller, r := aws.CallerFrom(ctx), s.store.Read()
	v, err := setService(ctx, r, in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	counts, tags := serviceTasks(r, v.Key()), len(in.Include) > 0
	out := &api.DescribeTaskSetsResponse{TaskSets: []api.TaskSet{}, Failures: []api.Failure{}}
	for _, ref := range in.TaskSets {
		d, ok := findSet(r, caller, v, ref)
		if !ok {
			arn := ref
			if !aws.IsARN(ref) {
				arn = string(aws.NewARN("ecs", v.Region, v.Account, "task-set/"+v.Cluster+"/"+v.Name+"/"+ref))
			}
			out.Failures = append(out.Failures, missing(arn))
			continue
		}
		out.TaskSets = append(out.TaskSets, d.setWire(v, counts[d.Number], tags))
	}
	if len(in.TaskSets) > 0 {
		return out, nil
	}
	for _, d := range liveDeployments(r, v) {
		out.TaskSets = append(out.TaskSets, d.setWire(v, counts[d.Number], tags))
	}
	return out, nil
}
