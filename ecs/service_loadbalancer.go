package ecs

import (
	"reflect"
	"slices"

	api "berth/api/ecs"
	"berth/aws"
	"berth/elbv2"
	"berth/store"
)

const maxTargetGroups = 5

// takeBalancers checks the load balancers that a service is given, as far as nothing has to be looked up, and takes what
// comes with them.
func (v *ServiceRecord) takeBalancers(given []api.LoadBalancer, role *string) error {
	if len(given) == 0 {
		if value(role) != "" {
			return invalid("IAM roles are only valid for services configured to use load balancers.")
		}
		return nil
	}
	if v.Launch == api.LaunchTypeExternal {
		return invalid("Load balancers are not supported with the EXTERNAL launch type.")
	}
	if len(given) > maxTargetGroups {
		return invalid("loadBalancers can have at most %d items.", maxTargetGroups)
	}
	if classic := func(b api.LoadBalancer) bool { return value(b.LoadBalancerName) != "" }; slices.ContainsFunc(given, classic) &&
		slices.ContainsFunc(given, func(b api.LoadBalancer) bool { return !classic(b) }) {
		return invalid("All loadBalancers must be strictly either ELBv1 (defining loadBalancerName) or ELBv2 (defining targetGroupArn)")
	}
	seen := map[string]bool{}
	for _, b := range given {
		if err := checkBalancer(b); err != nil {
			return err
		}
		if seen[*b.TargetGroupArn] {
			return invalid("Duplicate targetGroupArn found: %s", *b.TargetGroupArn)
		}
		seen[*b.TargetGroupArn] = true
	}
	if v.Grace == nil {
		v.Grace = new(int32(0))
	}
	if v.Role = value(role); v.Role != "" && !aws.IsARN(v.Role) {
		v.Role = string(aws.NewARN("iam", "", v.Account, "role/"+v.Role))
	}
	return nil
}

func checkBalancer(b api.LoadBalancer) error {
	switch {
	case value(b.LoadBalancerName) != "" && value(b.TargetGroupArn) != "":
		return invalid("loadBalancerName and targetGroupArn cannot both be specified.")
	case value(b.LoadBalancerName) != "" && b.AdvancedConfiguration != nil:
		return invalid("advancedConfiguration field is not allowed with ELBv1 loadBalancers")
	case value(b.LoadBalancerName) != "":
		return notYet("loadBalancers.loadBalancerName (Classic Load Balancers; use targetGroupArn)")
	case value(b.TargetGroupArn) == "":
		return invalid("Target group ARN can not be blank.")
	case value(b.ContainerName) == "":
		return invalid("Container Name can not be blank.")
	case b.ContainerPort == nil:
		return invalid("Container Port can not be blank.")
	}
	return nil
}

// checkGroups checks load balancers against their target groups and the definition.
func checkGroups(r store.Reader, balancers []api.LoadBalancer, d TaskDefinition) error {
	for _, b := range balancers {
		arn := *b.TargetGroupArn
		g, ok := elbv2.GroupByARN(r, arn)
		if !ok || g.Account != d.Account || g.Region != d.Region {
			return invalid("Unable to assume role and validate the specified targetGroupArn. " +
				"Please verify that the ECS service role being passed has the proper permissions.")
		}
		if !g.InUse(r) {
			return invalid("The target group with targetGroupArn %s does not have an associated load balancer.", arn)
		}
		if mode := networkMode(&d.Definition); g.TargetType != "instance" || mode == api.NetworkModeAwsvpc || mode == api.NetworkModeNone {
			return invalid("The provided target group %s has target type %s, which is incompatible with the %s network mode specified in the task definition.",
				arn, g.TargetType, mode)
		}
	}
	return checkBalancedPorts(balancers, d)
}

// checkUpdatedGroups checks the load balancers that an update gives; if it gives none, those that there are need only have
// their ports in the definition.
func checkUpdatedGroups(r store.Reader, given, balancers []api.LoadBalancer, d TaskDefinition) error {
	if len(given) > 0 {
		return checkGroups(r, given, d)
	}
	return checkBalancedPorts(balancers, d)
}

func checkBalancedPorts(balancers []api.LoadBalancer, d TaskDefinition) error {
	for _, b := range balancers {
		i := slices.IndexFunc(d.Definition.ContainerDefinitions, func(c api.ContainerDefinition) bool { return value(c.Name) == *b.ContainerName })
		if i < 0 {
			return invalid("The container %s does not exist in the task definition.", *b.ContainerName)
		}
		if _, ok := mappingOf(&d.Definition.ContainerDefinitions[i], *b.ContainerPort); !ok {
			return invalid("The container %s did not have a container port %d defined.", *b.ContainerName, *b.ContainerPort)
		}
	}
	return nil
}

// mappingOf is the port mapping of a container that publishes the port.
func mappingOf(c *api.ContainerDefinition, port int32) (api.PortMapping, bool) {
	for _, m := range c.PortMappings {
		if value(m.ContainerPort) == port {
			return m, true
		}
		if first, last, ok := parsePortRange(value(m.ContainerPortRange)); ok && first <= port && port <= last {
			return m, true
		}
	}
	return api.PortMapping{}, false
}

func networkMode(d *api.TaskDefinition) api.NetworkMode {
	if d.NetworkMode == "" {
		return api.NetworkModeBridge
	}
	return d.NetworkMode
}

// hostPort is the port of its machine at which a running task's container port answers; 0 if its machine did not say.
func (t Task) hostPort(d *api.TaskDefinition, b api.LoadBalancer, g elbv2.TargetGroup) int32 {
	protocol := "tcp"
	if g.Protocol == "UDP" {
		protocol = "udp"
	}
	return t.portOf(d, *b.ContainerName, *b.ContainerPort, protocol)
}

// portOf is hostPort for a container, its port and a protocol, tcp or udp.
func (t Task) portOf(d *api.TaskDefinition, container string, port int32, protocol string) int32 {
	if networkMode(d) == api.NetworkModeHost {
		return port
	}
	for _, c := range t.Containers {
		if c.Name != container {
			continue
		}
		for _, p := range c.Ports {
			if p.Protocol == protocol && p.ContainerPort <= port && port < p.ContainerPort+max(p.Count, 1) {
				return p.HostPort + port - p.ContainerPort
			}
		}
	}
	return 0
}

func sameBalancers(a, b []api.LoadBalancer) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// groups are the ARNs of the target groups of a deployment that is not gone.
func (d Deployment) groups() (out []string) {
	for _, b := range d.Balancers {
		if !d.Gone {
			out = append(out, *b.TargetGroupArn)
		}
	}
	return out
}

// roleARN is the role by which ECS speaks to load balancers; nil without any.
func (v ServiceRecord) roleARN(primary Deployment) *string {
	switch {
	case len(primary.Balancers) == 0:
		return nil
	case v.Role != "":
		return new(v.Role)
	}
	return new(string(aws.NewARN("iam", "", v.Account, "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS")))
}
