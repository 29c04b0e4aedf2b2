package ecs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/ecs"
)

// compatibilities computes where the definition can run. A kind that requiresCompatibilities names and that the
// definition does not fit is an error.
func compatibilities(d *api.TaskDefinition) ([]api.Compatibility, error) {
	out := []api.Compatibility{api.CompatibilityEC2}
	for _, kind := range []struct {
		name  api.Compatibility
		check func(*api.TaskDefinition) error
	}{
		{api.CompatibilityEC2, func(*api.TaskDefinition) error { return nil }},
		{api.CompatibilityExternal, externalProblem},
		{api.CompatibilityFargate, fargateProblem},
		{api.CompatibilityManagedInstances, managedProblem},
	} {
		err := kind.check(d)
		if err != nil && slices.Contains(d.RequiresCompatibilities, kind.name) {
			return nil, err
		}
		if err == nil && kind.name != api.CompatibilityEC2 {
			out = append(out, kind.name)
		}
	}
	return out, nil
}

// externalProblem says why the definition can't run with launch type EXTERNAL, or nil.
func externalProblem(d *api.TaskDefinition) error {
	if modeOf(d.NetworkMode) == api.NetworkModeAwsvpc {
		return clientError("External instances do not support network mode 'awsvpc'.")
	}
	if len(d.InferenceAccelerators) > 0 {
		return clientError("External instances do not support inferenceAccelerators.")
	}
	return nil
}

// managedProblem says why the definition can't run on Managed Instances, or nil.
func managedProblem(d *api.TaskDefinition) error {
	refuse := func(what string) error { return clientError("Managed Instances do not support %s.", what) }
	switch {
	case modeOf(d.NetworkMode) == api.NetworkModeBridge:
		return refuse("network mode 'bridge'")
	case value(d.Cpu) == "" || value(d.Memory) == "":
		return clientError("Managed Instances require that 'cpu' and 'memory' be defined at the task level.")
	case len(d.InferenceAccelerators) > 0:
		return refuse("inferenceAccelerators")
	case d.PidMode == api.PidModeHost:
		return refuse("pidMode 'host'")
	case d.IpcMode != "":
		return refuse("ipcMode")
	case slices.ContainsFunc(d.Volumes, func(v api.Volume) bool { return v.DockerVolumeConfiguration != nil }):
		return refuse("dockerVolumeConfiguration")
	}
	return nil
}

// ecrPattern is an image in a private ECR registry.
var ecrPattern = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr[a-z-]*\.[a-z0-9-]+\.(amazonaws\.com|on\.aws)(\.cn)?/`)

// fargateProblem says why the definition can't run on Fargate, or nil.
func fargateProblem(d *api.TaskDefinition) error {
	if err := fargateTaskProblem(d); err != nil {
		return err
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if err := fargateContainerProblem(c); err != nil {
			return err
		}
		if value(d.ExecutionRoleArn) != "" {
			continue
		}
		if ecrPattern.MatchString(*c.Image) {
			return clientError("Fargate requires task definition to have execution role ARN to support ECR images.")
		}
		if l := c.LogConfiguration; l != nil && l.LogDriver == api.LogDriverAwslogs {
			return clientError("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
		}
	}
	return nil
}

func fargateRefuses(member string) error {
	return clientError("Fargate compatible task definitions do not support %s", member)
}

func fargateTaskProblem(d *api.TaskDefinition) error {
	cpu, _ := parseCPU(d.Cpu)
	memory, _ := parseMemory(d.Memory)
	switch {
	case cpu == 0:
		return clientError("Fargate requires that 'cpu' be defined at the task level.")
	case memory == 0:
		return clientError("Fargate requires that 'memory' be defined at the task level.")
	case !fargateSize(cpu, memory):
		return clientError("No Fargate configuration exists for given values: %d CPU, %d memory. See the Amazon ECS documentation for the valid values.", cpu, memory)
	case d.NetworkMode != api.NetworkModeAwsvpc:
		return clientError("Fargate only supports network mode ‘awsvpc’.")
	case d.PidMode == api.PidModeHost:
		return clientError("Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.")
	case d.IpcMode != "":
		return clientError("Tasks using the Fargate launch type do not support ipcMode.")
	case len(d.PlacementConstraints) > 0:
		return fargateRefuses("placementConstraints")
	case len(d.InferenceAccelerators) > 0:
		return fargateRefuses("inferenceAccelerators")
	}
	for _, v := range d.Volumes {
		if v.Host != nil && value(v.Host.SourcePath) != "" {
			return fargateRefuses("sourcePath")
		}
		if v.DockerVolumeConfiguration != nil {
			return fargateRefuses("dockerVolumeConfiguration")
		}
	}
	return nil
}

func fargateContainerProblem(c *api.ContainerDefinition) error {
	switch {
	case value(c.Privileged):
		return fargateRefuses("privileged")
	case len(c.Links) > 0:
		return fargateRefuses("links")
	case len(c.ResourceRequirements) > 0:
		return fargateRefuses("resourceRequirements")
	}
	for what, n := range map[string]*int32{"startTimeout": c.StartTimeout, "stopTimeout": c.StopTimeout} {
		if n != nil && (*n < 2 || *n > 120) {
			return within(*c.Name, what, n, 2, 120)
		}
	}
	if l := c.LogConfiguration; l != nil && l.LogDriver != api.LogDriverAwslogs && l.LogDriver != api.LogDriverSplunk && l.LogDriver != api.LogDriverAwsfirelens {
		return fargateRefuses("log driver " + string(l.LogDriver))
	}
	p := c.LinuxParameters
	if p == nil {
		return nil
	}
	switch {
	case len(p.Devices) > 0:
		return fargateRefuses("devices")
	case p.SharedMemorySize != nil:
		return fargateRefuses("sharedMemorySize")
	case len(p.Tmpfs) > 0:
		return fargateRefuses("tmpfs")
	case p.MaxSwap != nil:
		return fargateRefuses("maxSwap")
	case p.Swappiness != nil:
		return fargateRefuses("swappiness")
	case p.Capabilities != nil && slices.ContainsFunc(p.Capabilities.Add, func(s string) bool { return s != "SYS_PTRACE" }):
		return fargateRefuses("linuxParameters.capabilities.add other than SYS_PTRACE")
	}
	return nil
}

// Prefixes of capability attributes.
const (
	capability       = "ecs.capability."
	capabilityAmazon = "com.amazonaws.ecs.capability."
	remoteAPI        = capabilityAmazon + "docker-remote-api."
	manyCPUs         = 10 * 1024 // above this, instances need increased-task-cpu-limit
)

// requiredAttributes are what an instance must have to run the definition, sorted by name.
func requiredAttributes(d *api.TaskDefinition) []api.Attribute {
	need := map[string]bool{remoteAPI + "1.18": true}
	taskAttributes(d, need)
	for i := range d.ContainerDefinitions {
		containerAttributes(&d.ContainerDefinitions[i], value(d.ExecutionRoleArn) != "", need)
	}
	out := make([]api.Attribute, 0, len(need))
	for name := range need {
		out = append(out, api.Attribute{Name: new(name)})
	}
	slices.SortFunc(out, func(a, b api.Attribute) int { return strings.Compare(*a.Name, *b.Name) })
	return out
}

func taskAttributes(d *api.TaskDefinition, need map[string]bool) {
	cpu, _ := strconv.Atoi(value(d.Cpu))
	for name, when := range map[string]bool{
		capability + "task-cpu-mem-limit":               d.Cpu != nil || d.Memory != nil,
		capability + "increased-task-cpu-limit":         cpu > manyCPUs,
		capability + "task-eni":                         d.NetworkMode == api.NetworkModeAwsvpc,
		capability + "pid-ipc-namespace-sharing":        d.PidMode != "" || d.IpcMode != "",
		capability + "fault-injection":                  value(d.EnableFaultInjection),
		capabilityAmazon + "task-iam-role":              d.TaskRoleArn != nil && d.NetworkMode != api.NetworkModeHost,
		capabilityAmazon + "task-iam-role-network-host": d.TaskRoleArn != nil && d.NetworkMode == api.NetworkModeHost,
	} {
		if when {
			need[name] = true
		}
	}
	for _, v := range d.Volumes {
		if c := v.DockerVolumeConfiguration; c != nil {
			need[capability+"docker-plugin."+value(c.Driver)] = true
		}
	}
}

func containerAttributes(c *api.ContainerDefinition, executionRole bool, need map[string]bool) {
	ecr := ecrPattern.MatchString(*c.Image)
	l, p := c.LogConfiguration, c.LinuxParameters
	ranges := slices.ContainsFunc(c.PortMappings, func(p api.PortMapping) bool { return p.ContainerPortRange != nil })
	logs := l != nil && l.LogDriver == api.LogDriverAwslogs
	option := func(prefix string) bool {
		return slices.ContainsFunc(c.DockerSecurityOptions, func(o string) bool { return strings.HasPrefix(o, prefix) })
	}
	for name, when := range map[string]bool{
		capabilityAmazon + "ecr-auth":               ecr,
		capability + "execution-role-ecr-pull":      ecr && executionRole,
		capability + "execution-role-awslogs":       logs && executionRole,
		remoteAPI + "1.19":                          logs,
		remoteAPI + "1.21":                          c.MemoryReservation != nil,
		remoteAPI + "1.22":                          p != nil && (len(p.Tmpfs) > 0 || p.SharedMemorySize != nil),
		remoteAPI + "1.24":                          c.HealthCheck != nil,
		remoteAPI + "1.25":                          p != nil && value(p.InitProcessEnabled),
		capabilityAmazon + "privileged-container":   value(c.Privileged),
		capability + "container-health-check":       c.HealthCheck != nil,
		capability + "container-ordering":           len(c.DependsOn) > 0 || c.StartTimeout != nil || c.StopTimeout != nil,
		capability + "container-restart-policy":     c.RestartPolicy != nil,
		capability + "network.container-port-range": ranges,
		capabilityAmazon + "apparmor":               option("apparmor:"),
		capabilityAmazon + "selinux":                option("label:"),
	} {
		if when {
			need[name] = true
		}
	}
	if l != nil && l.LogDriver != logDriverNone {
		need[capabilityAmazon+"logging-driver."+string(l.LogDriver)] = true
	}
}
