package ecs

import (
	"context"
	"slices"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/elbv2"
	"berth/store"
)

const (
	kindInstance        = "container-instance"
	msgInstanceNotFound = "Referenced container instance %s not found."

	maxDescribeInstances = 100
	maxUpdateInstances   = 10
)

// findInstance resolves a reference to an instance of the cluster; INACTIVE ones count.
func findInstance(r store.Reader, c aws.Caller, cluster Cluster, ref string) (ContainerInstance, bool) {
	in, id, ok := memberID(c, kindInstance, ref)
	if !ok || in != "" && in != cluster.Name {
		return ContainerInstance{}, false
	}
	return ContainerInstances.Get(r, InstanceKey(c.Account, c.Region, cluster.Name, id))
}

// DescribeContainerInstances shows instances, deregistered ones included for a while.
func (s *Service) DescribeContainerInstances(ctx context.Context, in *api.DescribeContainerInstancesRequest) (*api.DescribeContainerInstancesResponse, error) {
	if len(in.ContainerInstances) == 0 {
		return nil, clientError("Container Instances cannot be empty.")
	}
	if len(in.ContainerInstances) > maxDescribeInstances {
		return nil, invalid("instanceIds can have at most %d items.", maxDescribeInstances)
	}
	for _, i := range in.Include {
		if !slices.Contains(i.Values(), string(i)) {
			return nil, invalid("Invalid include '%s'. Valid values: %v", i, i.Values())
		}
	}
	r, caller := s.store.Read(), aws.CallerFrom(ctx)
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeContainerInstancesResponse{ContainerInstances: []api.ContainerInstance{}, Failures: []api.Failure{}}
	for _, ref := range in.ContainerInstances {
		c, ok := findInstance(r, caller, cluster, ref)
		if !ok {
			out.Failures = append(out.Failures, missing(memberARN(caller, kindInstance, cluster.Name, ref)))
			continue
		}
		out.ContainerInstances = append(out.ContainerInstances, *instanceWire(r, c, in.Include))
	}
	return out, nil
}

// ListContainerInstances lists the instances of a cluster in order of registration, INACTIVE ones left out.
func (s *Service) ListContainerInstances(ctx context.Context, in *api.ListContainerInstancesRequest) (*api.ListContainerInstancesResponse, error) {
	size, err := pageSize(in.MaxResults, maxPage)
	if err != nil {
		return nil, err
	}
	status := anyStatus
	if in.Status != "" {
		if status = string(in.Status); !slices.Contains(in.Status.Values(), status) {
			return nil, invalid("Container instance status should be one of %v", in.Status.Values())
		}
	}
	var filter *placement.Expression
	if text := value(in.Filter); text != "" {
		if filter, err = placement.Compile(text); err != nil {
			return nil, invalid("%s", err.Error())
		}
	}
	r := s.store.Read()
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	scope := "ecs/ListContainerInstances/" + cluster.Key()
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	out, last := &api.ListContainerInstancesResponse{ContainerInstanceArns: []string{}}, ""
	for c := range ContainerInstances.ByFrom(r, byInstanceStatus, instanceStatusKey(cluster.Key(), status), after) {
		if !satisfies(r, c, filter) {
			continue
		}
		if len(out.ContainerInstanceArns) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		out.ContainerInstanceArns = append(out.ContainerInstanceArns, string(c.ARN()))
		last = c.Key()
	}
	return out, nil
}

// satisfies tells whether an instance satisfies a filter; all satisfy nil.
func satisfies(r store.Reader, c ContainerInstance, filter *placement.Expression) bool {
	if filter == nil {
		return true
	}
	d, _ := InstanceDescriptions.Get(r, c.Key())
	on := c.placed(d.attributes(), d.AgentVersion)
	if filter.CountsRunning() {
		on.Running = CountTasks(r, c.Key()).Running
	}
	return filter.Match(&on)
}

// UpdateContainerInstancesState sets instances to ACTIVE or DRAINING. DRAINING ones get no more tasks; their
// standalone tasks stay.
func (s *Service) UpdateContainerInstancesState(ctx context.Context, in *api.UpdateContainerInstancesStateRequest) (*api.UpdateContainerInstancesStateResponse, error) {
	var status InstanceStatus
	switch in.Status {
	case api.ContainerInstanceStatusActive:
	case api.ContainerInstanceStatusDraining:
		status = InstanceDraining
	default:
		return nil, invalid("Container instance status should be one of [ACTIVE,DRAINING]")
	}
	if len(in.ContainerInstances) == 0 {
		return nil, invalid("Container Instances cannot be empty.")
	}
	if len(in.ContainerInstances) > maxUpdateInstances {
		return nil, invalid("instanceIds can have at most %d items.", maxUpdateInstances)
	}
	caller := aws.CallerFrom(ctx)
	var changed []ContainerInstance
	var failures []api.Failure
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		changed, failures = nil, []api.Failure{}
		cluster, err := activeCluster(ctx, tx, in.Cluster)
		if err != nil {
			return err
		}
		for _, ref := range in.ContainerInstances {
			c, ok := findInstance(tx, caller, cluster, ref)
			if !ok {
				failures = append(failures, missing(memberARN(caller, kindInstance, cluster.Name, ref)))
				continue
			}
			if c.Status == InstanceInactive {
				failures = append(failures, api.Failure{Arn: new(string(c.ARN())), Reason: new(reasonInactive)})
				continue
			}
			if c.Status != status {
				c.Status = status
				c.Version++
				ContainerInstances.Put(tx, c)
			}
			changed = append(changed, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &api.UpdateContainerInstancesStateResponse{ContainerInstances: []api.ContainerInstance{}, Failures: failures}
	for r := s.store.Read(); len(changed) > 0; changed = changed[1:] {
		out.ContainerInstances = append(out.ContainerInstances, *instanceWire(r, changed[0], nil))
	}
	return out, nil
}

// DeregisterContainerInstance makes an instance INACTIVE. With force its tasks become STOPPED in the records; their
// containers are left running on the machine.
func (s *Service) DeregisterContainerInstance(ctx context.Context, in *api.DeregisterContainerInstanceRequest) (*api.DeregisterContainerInstanceResponse, error) {
	ref := value(in.ContainerInstance)
	if ref == "" {
		return nil, invalid("Container Instance can not be blank.")
	}
	caller, now := aws.CallerFrom(ctx), MillisOf(s.now())
	var c ContainerInstance
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		cluster, err := activeCluster(ctx, tx, in.Cluster)
		if err != nil {
			return err
		}
		var ok bool
		if c, ok = findInstance(tx, caller, cluster, ref); !ok || c.Status == InstanceInactive {
			return invalid(msgInstanceNotFound, ref)
		}
		if tasks := Tasks.CountBy(tx, byTaskActive, c.Key()); tasks > 0 && !value(in.Force) {
			return invalid("Found running tasks on the instance.")
		}
		orphanTasks(tx, c.Key(), now)
		c, _ = ContainerInstances.Get(tx, c.Key())
		c.Status, c.Removed, c.Connected, c.Session = InstanceInactive, now, false, ""
		c.Version++
		ContainerInstances.Put(tx, c)
		elbv2.Removed(tx, c.Account, c.Region, string(c.ARN()), c.EC2ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeregisterContainerInstanceResponse{ContainerInstance: instanceWire(s.store.Read(), c, nil)}, nil
}

// UpdateContainerAgent has nothing to do: an agent has the version of the Berth that was installed on its machine.
func (s *Service) UpdateContainerAgent(ctx context.Context, in *api.UpdateContainerAgentRequest) (*api.UpdateContainerAgentResponse, error) {
	ref := value(in.ContainerInstance)
	if ref == "" {
		return nil, invalid("Container Instance can not be blank.")
	}
	r := s.store.Read()
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	if c, ok := findInstance(r, aws.CallerFrom(ctx), cluster, ref); !ok || c.Status == InstanceInactive {
		return nil, invalid(msgInstanceNotFound, ref)
	}
	return nil, aws.Errorf("NoUpdateAvailableException", "There is no update available for your container agent.")
}
