package ecs

import (
	"context"

	"berth/aws"
	"berth/store"
)

// ServiceTargets are the targets of a service's tasks that run, as WhyTarget explains them.
// Errors: ClusterNotFoundException, ServiceNotFoundException.
func (s *Service) ServiceTargets(ctx context.Context, cluster, service string) ([]WhyTarget, error) {
	r := s.store.Read()
	v, err := s.serviceOf(ctx, r, cluster, service)
	if err != nil {
		return nil, err
	}
	p := &pass{r: r, now: s.now(), v: v}
	p.load()
	var out []WhyTarget
	for i := range p.tasks {
		if t := &p.tasks[i]; t.Active() && t.Last >= StateRunning {
			out = append(out, p.explainTargets(t)...)
		}
	}
	return out, nil
}

// ServiceAddresses says where a service answers.
type ServiceAddresses struct {
	Groups []string // ARNs of the target groups of its primary deployment
	Ports  []TaskPort
}

// TaskPort is a port of a task on its machine.
type TaskPort struct {
	Instance aws.ARN // of the container instance
	Host     string  // its address, as other machines reach it
	Port     int
	Protocol string // tcp, udp
}

// ServiceAddresses finds the load balancers and the tasks' own ports of a service.
// Errors: ClusterNotFoundException, ServiceNotFoundException.
func (s *Service) ServiceAddresses(ctx context.Context, cluster, service string) (out ServiceAddresses, err error) {
	r := s.store.Read()
	v, err := s.serviceOf(ctx, r, cluster, service)
	if err != nil {
		return out, err
	}
	d, _ := Deployments.Get(r, v.deploymentKey(v.Primary))
	for _, b := range d.Balancers {
		out.Groups = append(out.Groups, *b.TargetGroupArn)
	}
	for t := range Tasks.By(r, byTaskService, v.Key()) {
		if t.Last != StateRunning || t.Desired == StateStopped {
			continue
		}
		description, _ := InstanceDescriptions.Get(r, t.InstanceKey())
		for _, c := range t.Containers {
			for _, b := range c.Ports {
				out.Ports = append(out.Ports, TaskPort{Instance: t.InstanceARN(), Host: description.Address, Port: int(b.HostPort), Protocol: b.Protocol})
			}
		}
	}
	return out, nil
}

// serviceOf finds a service of the caller's by name or ARN.
func (s *Service) serviceOf(ctx context.Context, r store.Reader, cluster, service string) (ServiceRecord, error) {
	c, err := activeCluster(ctx, r, serviceCluster(&cluster, &service))
	if err != nil {
		return ServiceRecord{}, err
	}
	v, ok := findService(r, aws.CallerFrom(ctx), c.Name, service)
	if !ok {
		return v, aws.Errorf(codeServiceNotFound, msgServiceNotFound)
	}
	return v, nil
}
