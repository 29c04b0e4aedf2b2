package ecs

import (
	"context"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

const maxDescribeTasks = 100

// DescribeTasks shows tasks, stopped ones until their time is over.
func (s *Service) DescribeTasks(ctx context.Context, in *api.DescribeTasksRequest) (*api.DescribeTasksResponse, error) {
	caller := aws.CallerFrom(ctx)
	if len(in.Tasks) == 0 {
		return nil, invalid("Tasks cannot be empty.")
	}
	if len(in.Tasks) > maxDescribeTasks {
		return nil, invalid("Tasks cannot have more than %d elements.", maxDescribeTasks)
	}
	for _, i := range in.Include {
		if i != api.TaskFieldTags {
			return nil, invalid("Invalid include '%s'. Valid values: [TAGS]", i)
		}
	}
	r := s.store.Read()
	cluster, err := s.describedCluster(r, caller, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeTasksResponse{Tasks: []api.Task{}, Failures: []api.Failure{}}
	shower := newTaskWire(r)
	for _, ref := range in.Tasks {
		t, ok := findTask(r, caller, cluster, ref)
		if !ok {
			out.Failures = append(out.Failures, missing(memberARN(caller, "task", cluster, ref)))
			continue
		}
		out.Tasks = append(out.Tasks, shower.task(t, len(in.Include) > 0))
	}
	return out, nil
}

// describedCluster resolves a cluster whose tasks may be described: a deleted one too.
func (s *Service) describedCluster(r store.Reader, c aws.Caller, arg *string) (string, error) {
	name, err := clusterName(c, arg)
	if err != nil {
		return "", err
	}
	if _, ok := Clusters.Get(r, ClusterKey(c.Account, c.Region, name)); !ok {
		return "", aws.Errorf(codeClusterNotFound, msgClusterNotFound)
	}
	return name, nil
}

// findTask finds a task of the cluster by ID or ARN.
func findTask(r store.Reader, c aws.Caller, cluster, ref string) (Task, bool) {
	in, id, ok := memberID(c, "task", ref)
	if !ok || in != "" && in != cluster {
		return Task{}, false
	}
	return Tasks.Get(r, TaskKey(c.Account, c.Region, cluster, id))
}

// taskWire turns tasks into what the API shows; it remembers definitions and instances between tasks.
type taskWire struct {
	r           store.Reader
	definitions map[string]TaskDefinition
	instances   map[string]instanceState
}

// instanceState is what a task shows of its instance.
type instanceState struct {
	known, connected bool
	zone             string
}

// stateOfInstance reads the instance with the key.
func stateOfInstance(r store.Reader, key string) instanceState {
	c, ok := ContainerInstances.Get(r, key)
	if !ok {
		return instanceState{}
	}
	d, _ := InstanceDescriptions.Get(r, key)
	return instanceState{known: true, connected: c.Connected && c.Status != InstanceInactive, zone: d.attributes()[placement.ZoneAttribute]}
}

func newTaskWire(r store.Reader) *taskWire {
	return &taskWire{r: r, definitions: map[string]TaskDefinition{}, instances: map[string]instanceState{}}
}

func (w *taskWire) definition(t Task) TaskDefinition {
	key := t.DefinitionKey()
	d, ok := w.definitions[key]
	if !ok {
		d, _ = TaskDefinitions.Get(w.r, key)
		w.definitions[key] = d
	}
	return d
}

func (w *taskWire) instance(t Task) instanceState {
	key := t.InstanceKey()
	i, ok := w.instances[key]
	if !ok {
		i = stateOfInstance(w.r, key)
		w.instances[key] = i
	}
	return i
}

// task is a task as the API shows it.
func (w *taskWire) task(t Task, tags bool) api.Task {
	definition := w.definition(t).Definition
	merged := t.Merge(definition)
	out := api.Task{
		TaskArn: new(string(t.ARN())), ClusterArn: new(string(t.ClusterARN())), TaskDefinitionArn: new(string(t.DefinitionARN())),
		Attachments: []api.Attachment{}, Attributes: []api.Attribute{}, InferenceAccelerators: []api.InferenceAccelerator{}, Tags: []api.Tag{},
		Group: new(t.Group), LaunchType: t.Launch, EnableExecuteCommand: new(t.Exec), Version: new(t.Version),
		DesiredStatus: new(t.Desired.String()), LastStatus: new(t.Last.String()), StopCode: t.StopCode,
		CreatedAt: t.Created.wire(), ConnectivityAt: t.Connected.wire(), PullStartedAt: t.PullStarted.wire(),
		PullStoppedAt: t.PullStopped.wire(), StartedAt: t.Started.wire(), StoppingAt: t.Stopping.wire(),
		ExecutionStoppedAt: t.ExecutionEnd.wire(), StoppedAt: t.Stopped.wire(),
		Cpu: new(taskCPU(&merged)), Memory: new(taskMemory(&merged)), Overrides: wireOverrides(&definition, t.Overrides),
		HealthStatus: taskHealth(t, &merged),
	}
	if t.StartedBy != "" {
		out.StartedBy = new(t.StartedBy)
	}
	if t.StopReason != "" {
		out.StoppedReason = new(t.StopReason)
	}
	if tags {
		out.Tags = wireTags(t.Tags)
	}
	w.place(t, &out)
	for i := range t.Containers {
		out.Containers = append(out.Containers, containerWire(t, &t.Containers[i], &merged))
	}
	return out
}

// place fills in what depends on the task's instance.
func (w *taskWire) place(t Task, out *api.Task) {
	if t.Instance == "" {
		return
	}
	out.ContainerInstanceArn = new(string(t.InstanceARN()))
	i := w.instance(t)
	if i.zone != "" {
		out.AvailabilityZone = new(i.zone)
	}
	if t.Connected == 0 {
		return
	}
	out.Connectivity = api.ConnectivityDisconnected
	if i.connected || !t.Active() {
		out.Connectivity = api.ConnectivityConnected
	}
}

// taskCPU is the task's size, or the sum of its containers as ECS shows it.
func taskCPU(d *api.TaskDefinition) string {
	r, _ := needs(d)
	return itoa(r.CPU)
}

func taskMemory(d *api.TaskDefinition) string {
	r, _ := needs(d)
	return itoa(r.Memory)
}

func definitionOf(d *api.TaskDefinition, name string) api.ContainerDefinition {
	for _, c := range d.ContainerDefinitions {
		if *c.Name == name {
			return c
		}
	}
	return api.ContainerDefinition{Name: new(name)}
}

func containerWire(t Task, c *TaskContainer, merged *api.TaskDefinition) api.Container {
	d := definitionOf(merged, c.Name)
	out := api.Container{
		ContainerArn: new(string(t.ContainerARN(c.Name))), TaskArn: new(string(t.ARN())), Name: new(c.Name), Image: d.Image,
		LastStatus: new(c.State.String()), ExitCode: c.ExitCode, HealthStatus: c.Health, GpuIds: c.GPUs,
		NetworkBindings: []api.NetworkBinding{}, NetworkInterfaces: []api.NetworkInterface{}, Cpu: new(itoa(value(d.Cpu))),
	}
	if out.HealthStatus == "" {
		out.HealthStatus = api.HealthStatusUnknown
	}
	if c.RuntimeID != "" {
		out.RuntimeId = new(strings.Replace(c.RuntimeID, ownID, t.ID, 1))
	}
	if c.Digest != "" {
		out.ImageDigest = new(string(c.Digest))
	}
	if c.Reason != "" {
		out.Reason = new(c.Reason)
	}
	if d.Memory != nil {
		out.Memory = new(itoa(*d.Memory))
	}
	if d.MemoryReservation != nil {
		out.MemoryReservation = new(itoa(*d.MemoryReservation))
	}
	for _, b := range c.Ports {
		out.NetworkBindings = append(out.NetworkBindings, b.wire()...)
	}
	return out
}

// taskHealth is the health of the essential containers that have a check: one UNHEALTHY makes the task so, else one
// UNKNOWN does. Without any check it is UNKNOWN.
func taskHealth(t Task, d *api.TaskDefinition) api.HealthStatus {
	out := api.HealthStatus("")
	for i := range t.Containers {
		c := &t.Containers[i]
		def := definitionOf(d, c.Name)
		if !isEssential(&def) || !hasHealthCheck(&def) {
			continue
		}
		switch {
		case c.Health == api.HealthStatusUnhealthy:
			return c.Health
		case c.Health != api.HealthStatusHealthy:
			out = api.HealthStatusUnknown
		case out == "":
			out = api.HealthStatusHealthy
		}
	}
	if out == "" {
		return api.HealthStatusUnknown
	}
	return out
}
