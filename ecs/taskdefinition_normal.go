package ecs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
)

var roleNamePattern = regexp.MustCompile(`^(?:[\x21-\x7e]*/)?[A-Za-z0-9_+=,.@-]{1,64}$`)

// roleARN expands a role's name; an ARN must name a role.
func roleARN(c aws.Caller, s *string) (*string, error) {
	if value(s) == "" {
		return nil, nil
	}
	if !aws.IsARN(*s) {
		if !roleNamePattern.MatchString(*s) {
			return nil, clientError("Role is not valid")
		}
		return new(string(aws.NewARN("iam", "", c.Account, "role/"+*s))), nil
	}
	arn, err := aws.ParseARN(*s)
	name, ok := strings.CutPrefix(arn.Resource(), "role/")
	if err != nil || !ok || arn.Service() != "iam" || !aws.IsAccountID(arn.Account()) || !roleNamePattern.MatchString(name) {
		return nil, clientError("Role is not valid")
	}
	return s, nil
}

// normalDefinition is the definition as ECS stores it: defaults filled in, sizes in plain numbers, roles as ARNs.
// The input has been checked; it is not changed.
func normalDefinition(c aws.Caller, in *api.RegisterTaskDefinitionRequest) (d api.TaskDefinition, err error) {
	d = api.TaskDefinition{
		NetworkMode: in.NetworkMode, PidMode: in.PidMode, IpcMode: in.IpcMode,
		RequiresCompatibilities: in.RequiresCompatibilities, RuntimePlatform: in.RuntimePlatform,
		EphemeralStorage: in.EphemeralStorage, InferenceAccelerators: in.InferenceAccelerators,
		EnableFaultInjection: in.EnableFaultInjection, ProxyConfiguration: in.ProxyConfiguration,
		Volumes: []api.Volume{}, PlacementConstraints: []api.TaskDefinitionPlacementConstraint{},
	}
	if d.TaskRoleArn, err = roleARN(c, in.TaskRoleArn); err != nil {
		return d, err
	}
	if d.ExecutionRoleArn, err = roleARN(c, in.ExecutionRoleArn); err != nil {
		return d, err
	}
	d.Cpu, d.Memory = normalCPU(in.Cpu), normalMemory(in.Memory)
	for _, v := range in.Volumes {
		d.Volumes = append(d.Volumes, normalVolume(v))
	}
	d.PlacementConstraints = append(d.PlacementConstraints, in.PlacementConstraints...)
	for _, container := range in.ContainerDefinitions {
		d.ContainerDefinitions = append(d.ContainerDefinitions, normalContainer(container, modeOf(in.NetworkMode)))
	}
	return d, nil
}

func normalCPU(s *string) *string {
	if n, _ := parseCPU(s); n > 0 {
		return new(strconv.Itoa(int(n)))
	}
	return nil
}

func normalMemory(s *string) *string {
	if n, _ := parseMemory(s); n > 0 {
		return new(strconv.Itoa(int(n)))
	}
	return nil
}

func normalVolume(v api.Volume) api.Volume {
	if v.DockerVolumeConfiguration == nil && v.Host == nil {
		v.Host = &api.HostVolumeProperties{}
	}
	if d := v.DockerVolumeConfiguration; d != nil {
		filled := *d
		if filled.Scope == "" {
			filled.Scope = api.ScopeTask
		}
		if value(filled.Driver) == "" {
			filled.Driver = new(localDriver)
		}
		v.DockerVolumeConfiguration = &filled
	}
	return v
}

func normalContainer(c api.ContainerDefinition, mode api.NetworkMode) api.ContainerDefinition {
	if c.Cpu == nil {
		c.Cpu = new(int32(0))
	}
	if c.Essential == nil {
		c.Essential = new(true)
	}
	c.PortMappings = slices.Clone(orEmpty(c.PortMappings))
	for i := range c.PortMappings {
		p := &c.PortMappings[i]
		p.Protocol = protocolOf(*p)
		switch {
		case p.ContainerPortRange != nil:
		case mode != api.NetworkModeBridge:
			p.HostPort = p.ContainerPort
		case p.HostPort == nil:
			p.HostPort = new(int32(0))
		}
	}
	c.Environment, c.MountPoints = orEmpty(c.Environment), orEmpty(c.MountPoints)
	c.VolumesFrom, c.SystemControls = orEmpty(c.VolumesFrom), orEmpty(c.SystemControls)
	if c.HealthCheck != nil {
		c.HealthCheck = normalHealthCheck(*c.HealthCheck)
	}
	return c
}

// normalHealthCheck fills in the defaults. Source: ECS API reference, HealthCheck.
func normalHealthCheck(h api.HealthCheck) *api.HealthCheck {
	if h.Interval == nil {
		h.Interval = new(int32(30))
	}
	if h.Timeout == nil {
		h.Timeout = new(int32(5))
	}
	if h.Retries == nil {
		h.Retries = new(int32(3))
	}
	return &h
}

// orEmpty is the list, never nil: ECS shows it also when it is empty.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
