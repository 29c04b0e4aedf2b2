package ecs

import (
	"regexp"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/ecs/placement"
)

const (
	maxContainers   = 10
	maxNameLength   = 255
	minMemory       = 6 // MiB, the least a container can have
	maxConstraints  = 10
	maxIgnoredExits = 50
)

var imagePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

// enum is any generated enum.
type enum interface {
	~string
	Values() []string
}

// checkEnum refuses a value that is not in the model.
func checkEnum[E enum](member string, v E) error {
	if v == "" || slices.Contains(v.Values(), string(v)) {
		return nil
	}
	return clientError("Invalid value '%s' for %s. Valid values: [%s]", string(v), member, strings.Join(v.Values(), ","))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFamily(in *api.RegisterTaskDefinitionRequest) error {
	family := value(in.Family)
	switch {
	case family == "":
		return clientError("Family should not be null or empty.")
	case tooLong(family, maxNameLength):
		return clientError("Family should be %d characters or less.", maxNameLength)
	case !namePattern.MatchString(family):
		return clientError("Family contains invalid characters.")
	}
	return nil
}

func checkDefinitionEnums(in *api.RegisterTaskDefinitionRequest) error {
	err := firstError(
		checkEnum("networkMode", in.NetworkMode), checkEnum("pidMode", in.PidMode), checkEnum("ipcMode", in.IpcMode))
	for _, c := range in.RequiresCompatibilities {
		err = firstError(err, checkEnum("requiresCompatibilities", c))
	}
	if p := in.RuntimePlatform; p != nil {
		err = firstError(err, checkEnum("runtimePlatform.cpuArchitecture", p.CpuArchitecture),
			checkEnum("runtimePlatform.operatingSystemFamily", p.OperatingSystemFamily))
	}
	return err
}

func checkContainers(in *api.RegisterTaskDefinitionRequest) error {
	if len(in.ContainerDefinitions) == 0 {
		return clientError("Container list cannot be empty.")
	}
	if len(in.ContainerDefinitions) > maxContainers {
		return clientError("Too many containers.")
	}
	seen := map[string]bool{}
	essential := false
	for i := range in.ContainerDefinitions {
		c := &in.ContainerDefinitions[i]
		if err := checkContainer(c); err != nil {
			return err
		}
		if seen[*c.Name] {
			return clientError("Container names must be unique within a Task Definition.")
		}
		seen[*c.Name] = true
		essential = essential || isEssential(c)
	}
	if !essential {
		return clientError("Task definition doesn't have any essential container.")
	}
	return nil
}

func isEssential(c *api.ContainerDefinition) bool { return c.Essential == nil || *c.Essential }

// settingError is the common form of complaints about one container.
func settingError(container, format string, args ...any) error {
	return clientError("Invalid setting for container '"+container+"'. "+format, args...)
}

func checkContainer(c *api.ContainerDefinition) error {
	name, image := value(c.Name), value(c.Image)
	switch {
	case name == "":
		return clientError("Container.name should not be null or empty.")
	case tooLong(name, maxNameLength):
		return clientError("Container.name should be %d characters or less.", maxNameLength)
	case !namePattern.MatchString(name):
		return clientError("Container.name contains invalid characters.")
	case image == "":
		return clientError("Container.image should not be null or empty.")
	case !imagePattern.MatchString(image):
		return clientError("Container.image contains invalid characters.")
	case tooLong(repositoryOf(image), maxNameLength):
		return clientError("Container.image repository should be %d characters or less.", maxNameLength)
	}
	return firstError(
		checkEnvironment(c), checkHealthCheck(c), checkRestartPolicy(c), checkLogging(c), checkUlimits(c),
		checkLinuxParameters(c), checkSystemControls(c), checkRequirements(name, c.ResourceRequirements), checkTimeouts(c),
		checkEnum("versionConsistency", c.VersionConsistency), checkSecurityOptions(c), checkHosts(c))
}

// repositoryOf is the image without tag and digest.
func repositoryOf(image string) string {
	repository, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository = repository[:i]
	}
	return repository
}

func checkEnvironment(c *api.ContainerDefinition) error {
	for _, e := range c.Environment {
		if value(e.Name) == "" {
			return settingError(*c.Name, "Environment variable names should not be null or empty.")
		}
		if strings.ContainsAny(*e.Name, "=\x00") || strings.ContainsRune(value(e.Value), 0) {
			return settingError(*c.Name, "Environment variable '%s' contains invalid characters.", strings.ReplaceAll(*e.Name, "\x00", ""))
		}
	}
	return nil
}

func checkHealthCheck(c *api.ContainerDefinition) error {
	h := c.HealthCheck
	if h == nil {
		return nil
	}
	if len(h.Command) == 0 {
		return settingError(*c.Name, "The health check command should not be null or empty.")
	}
	switch h.Command[0] {
	case "NONE":
	case "CMD", "CMD-SHELL":
		if len(h.Command) < 2 {
			return settingError(*c.Name, "The health check command should have something to run after '%s'.", h.Command[0])
		}
	default:
		return settingError(*c.Name, "The health check command must start with CMD, CMD-SHELL or NONE.")
	}
	return firstError(
		within(*c.Name, "health check interval", h.Interval, 5, 300),
		within(*c.Name, "health check timeout", h.Timeout, 2, 60),
		within(*c.Name, "health check retries", h.Retries, 1, 10),
		within(*c.Name, "health check startPeriod", h.StartPeriod, 0, 300))
}

func within(container, what string, n *int32, low, high int32) error {
	if n == nil || *n >= low && *n <= high {
		return nil
	}
	return clientError("Invalid setting for container '%s': %s must be between %d and %d", container, what, low, high)
}

func checkRestartPolicy(c *api.ContainerDefinition) error {
	p := c.RestartPolicy
	switch {
	case p == nil:
		return nil
	case p.Enabled == nil:
		return settingError(*c.Name, "restartPolicy.enabled should not be null.")
	case len(p.IgnoredExitCodes) > maxIgnoredExits:
		return settingError(*c.Name, "restartPolicy.ignoredExitCodes can have at most %d items.", maxIgnoredExits)
	}
	return within(*c.Name, "restartAttemptPeriod", p.RestartAttemptPeriod, 60, 1800)
}

func checkTimeouts(c *api.ContainerDefinition) error {
	if value(c.StartTimeout) < 0 {
		return settingError(*c.Name, "'startTimeout' must not be negative.")
	}
	if value(c.StopTimeout) < 0 {
		return settingError(*c.Name, "'stopTimeout' must not be negative.")
	}
	return nil
}

func checkUlimits(c *api.ContainerDefinition) error {
	seen := map[api.UlimitName]bool{}
	for _, u := range c.Ulimits {
		if u.Name == "" || u.SoftLimit == nil || u.HardLimit == nil {
			return settingError(*c.Name, "A ulimit needs name, softLimit and hardLimit.")
		}
		if err := checkEnum("ulimits.name", u.Name); err != nil {
			return err
		}
		if *u.SoftLimit > *u.HardLimit && *u.HardLimit >= 0 || *u.SoftLimit < 0 && *u.HardLimit >= 0 {
			return settingError(*c.Name, "The softLimit of ulimit '%s' must not be greater than its hardLimit.", u.Name)
		}
		if seen[u.Name] {
			return settingError(*c.Name, "Ulimit '%s' is given more than once.", u.Name)
		}
		seen[u.Name] = true
	}
	return nil
}

func checkRequirements(container string, list []api.ResourceRequirement) error {
	for _, r := range list {
		if err := checkEnum("resourceRequirements.type", r.Type); err != nil {
			return err
		}
		if r.Type == "" || r.Value == nil {
			return settingError(container, "A resource requirement needs type and value.")
		}
		if _, ok := gpuCount(r); !ok && r.Type == api.ResourceTypeGPU {
			return settingError(container, "The value '%s' of resource requirement GPU must be a number from 1 to 1024.", *r.Value)
		}
	}
	return nil
}

// checkConstraints checks placementConstraints of the definition: memberOf only.
func checkConstraints(in *api.RegisterTaskDefinitionRequest) error {
	if len(in.PlacementConstraints) > maxConstraints {
		return clientError("Placement constraints can have at most %d items.", maxConstraints)
	}
	for _, p := range in.PlacementConstraints {
		if p.Type != api.TaskDefinitionPlacementConstraintTypeMemberOf {
			return clientError("Invalid value '%s' for placementConstraints.type. Valid values: [memberOf]", p.Type)
		}
		if _, err := placement.NewConstraint(string(p.Type), value(p.Expression)); err != nil {
			return invalid("%s", err)
		}
	}
	return nil
}
