package ecs

import (
	"context"
	"regexp"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
)

const (
	maxCount      = 10
	maxGroup      = 255
	maxStartedBy  = 128
	maxStrategies = 5
	maxToken      = 64
)

var tokenPattern = regexp.MustCompile(`^[\x21-\x7e]{1,64}$`)

// request is what RunTask and StartTask have in common, checked as far as it can be without the task definition.
type request struct {
	caller    aws.Caller
	cluster   string // key
	now       Millis
	ids       []string // one for each task that may be made
	count     int
	group     string // empty: the default
	startedBy string
	// launchType is EC2 or EXTERNAL; StartTask takes the instance's.
	launchType  api.LaunchType
	overrides   *api.TaskOverride
	tags        map[string]string
	managedTags bool
	propagate   bool // the definition's tags
	exec        bool
	network     *api.NetworkConfiguration
	volumes     []api.TaskVolumeConfiguration
	strategy    []placement.Strategy
	constraints []placement.Constraint
	// ignoresConstraints is set by StartTask, where the definition's constraints do not apply.
	ignoresConstraints bool
	token, hash        string
}

// runRequest checks what RunTask is asked, before anything is looked up.
func runRequest(ctx context.Context, in *api.RunTaskRequest) (*request, error) {
	q := &request{caller: aws.CallerFrom(ctx), count: 1, launchType: in.LaunchType}
	if in.Count != nil {
		if *in.Count < 1 || *in.Count > maxCount {
			return nil, invalid("count should be in range [1, %d]", maxCount)
		}
		q.count = int(*in.Count)
	}
	if in.ClientToken != nil && !tokenPattern.MatchString(*in.ClientToken) {
		return nil, invalid("The client token must have 1 to %d characters in the ASCII range 33-126.", maxToken)
	}
	if err := q.checkLaunchType(in); err != nil {
		return nil, err
	}
	err := q.common(taskRequest{
		definition: in.TaskDefinition, group: in.Group, startedBy: in.StartedBy, tags: in.Tags, propagate: in.PropagateTags,
		managedTags: in.EnableECSManagedTags, exec: in.EnableExecuteCommand, referenceID: in.ReferenceId, overrides: in.Overrides,
		network: in.NetworkConfiguration, volumes: in.VolumeConfigurations,
	})
	if err != nil {
		return nil, err
	}
	return q, q.checkPlacement(in)
}

func (q *request) checkLaunchType(in *api.RunTaskRequest) error {
	if in.LaunchType != "" && len(in.CapacityProviderStrategy) > 0 {
		return invalid("Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	}
	if len(in.CapacityProviderStrategy) > 0 {
		return notYet("capacityProviderStrategy (capacity providers)")
	}
	switch in.LaunchType {
	case "":
		q.launchType = api.LaunchTypeEC2
	case api.LaunchTypeEC2, api.LaunchTypeExternal, api.LaunchTypeFargate:
	default:
		return invalid("launch type should be one of [EC2,FARGATE,EXTERNAL]")
	}
	if in.PlatformVersion != nil && q.launchType != api.LaunchTypeFargate {
		return invalid("The platform version must be null when specifying an EC2 launch type.")
	}
	return nil
}

func (q *request) checkPlacement(in *api.RunTaskRequest) error {
	if len(in.PlacementStrategy) > maxStrategies {
		return invalid("Placement strategies can have at most %d items.", maxStrategies)
	}
	for _, p := range in.PlacementStrategy {
		made, err := placement.NewStrategy(string(p.Type), value(p.Field))
		if err != nil {
			return invalid("%s", err)
		}
		q.strategy = append(q.strategy, made)
	}
	if len(in.PlacementConstraints) > maxConstraints {
		return invalid("Placement constraints can have at most %d items.", maxConstraints)
	}
	for _, p := range in.PlacementConstraints {
		made, err := placement.NewConstraint(string(p.Type), value(p.Expression))
		if err != nil {
			return invalid("%s", err)
		}
		q.constraints = append(q.constraints, made)
	}
	return nil
}

const maxStartInstances = 10

// startRequest checks what StartTask is asked, before anything is looked up.
func startRequest(ctx context.Context, in *api.StartTaskRequest) (*request, error) {
	if len(in.ContainerInstances) == 0 {
		return nil, invalid("Container Instances cannot be empty.")
	}
	if len(in.ContainerInstances) > maxStartInstances {
		return nil, invalid("Container Instances can have at most %d items.", maxStartInstances)
	}
	q := &request{caller: aws.CallerFrom(ctx), count: len(in.ContainerInstances), ignoresConstraints: true}
	return q, q.common(taskRequest{
		definition: in.TaskDefinition, group: in.Group, startedBy: in.StartedBy, tags: in.Tags, propagate: in.PropagateTags,
		managedTags: in.EnableECSManagedTags, exec: in.EnableExecuteCommand, referenceID: in.ReferenceId, overrides: in.Overrides,
		network: in.NetworkConfiguration, volumes: in.VolumeConfigurations,
	})
}

// taskRequest has the members that RunTask and StartTask share.
type taskRequest struct {
	definition, group, startedBy, referenceID *string
	tags                                      []api.Tag
	propagate                                 api.PropagateTags
	managedTags, exec                         *bool
	overrides                                 *api.TaskOverride
	network                                   *api.NetworkConfiguration
	volumes                                   []api.TaskVolumeConfiguration
}

func (q *request) common(in taskRequest) (err error) {
	q.group, q.startedBy = value(in.group), value(in.startedBy)
	q.managedTags, q.exec = value(in.managedTags), value(in.exec)
	q.overrides, q.network, q.volumes = in.overrides, in.network, in.volumes
	switch {
	case value(in.definition) == "":
		return invalid("TaskDefinition can not be blank.")
	case tooLong(q.group, maxGroup):
		return invalid("Group can have at most %d characters.", maxGroup)
	case strings.HasPrefix(q.group, "service:"), strings.HasPrefix(q.group, "ecs-svc"):
		return invalid("Invalid namespace for group. The prefixes service: and ecs-svc are reserved.")
	case tooLong(q.startedBy, maxStartedBy):
		return invalid("startedBy can have at most %d characters.", maxStartedBy)
	case !startedPattern.MatchString(q.startedBy), strings.HasPrefix(q.startedBy, "ecs-svc/"):
		return invalid("startedBy contains invalid characters.")
	case in.referenceID != nil:
		return notYet("referenceId")
	}
	switch in.propagate {
	case "", api.PropagateTagsNone:
	case api.PropagateTagsTaskDefinition:
		q.propagate = true
	default:
		return invalid("Invalid propagateTags '%s'. Valid values: [TASK_DEFINITION,NONE]", in.propagate)
	}
	q.tags, err = checkTags(in.tags)
	return err
}

// checkDefinition checks the request against the definition that it runs.
func (q *request) checkDefinition(t *TaskDefinition) error {
	d := &t.Definition
	if err := q.checkCompatible(d); err != nil {
		return err
	}
	if err := q.checkNetwork(d); err != nil {
		return err
	}
	if len(q.volumes) > 0 {
		return invalid("The task definition has no volume that is configured at launch, so volumeConfigurations can't be given.")
	}
	if len(d.InferenceAccelerators) > 0 {
		return notYet("Running task definitions with inferenceAccelerators")
	}
	var err error
	if q.overrides, err = checkOverrides(q.caller, d, q.overrides); err != nil {
		return err
	}
	merged := MergeOverrides(*d, q.overrides)
	if q.exec && value(merged.TaskRoleArn) == "" {
		return invalid("The task couldn't be run because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again.")
	}
	if q.exec {
		return notYet("enableExecuteCommand (ECS Exec)")
	}
	return nil
}

func (q *request) checkCompatible(d *api.TaskDefinition) error {
	if q.launchType == "" {
		return nil
	}
	if !slices.Contains(d.Compatibilities, api.Compatibility(q.launchType)) {
		return invalid("Task definition does not support launch_type %s.", q.launchType)
	}
	if q.launchType == api.LaunchTypeFargate {
		return notYet("launchType FARGATE")
	}
	return nil
}

func (q *request) checkNetwork(d *api.TaskDefinition) error {
	given := q.network != nil && q.network.AwsvpcConfiguration != nil
	switch {
	case d.NetworkMode != api.NetworkModeAwsvpc && given:
		return invalid("Network Configuration is not valid for the given networkMode of this task definition.")
	case d.NetworkMode != api.NetworkModeAwsvpc:
		return nil
	case !given:
		return invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	case len(q.network.AwsvpcConfiguration.Subnets) == 0:
		return invalid("subnets can not be empty.")
	}
	return notYet("Running tasks with networkMode awsvpc")
}
