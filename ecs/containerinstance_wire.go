package ecs

import (
	"maps"
	"slices"
	"strconv"

	api "berth/api/ecs"
	"berth/store"
)

// instanceWire is a container instance as the API shows it.
func instanceWire(r store.Reader, c ContainerInstance, include []api.ContainerInstanceField) *api.ContainerInstance {
	d, _ := InstanceDescriptions.Get(r, c.Key())
	tasks := CountTasks(r, c.Key())
	out := &api.ContainerInstance{
		ContainerInstanceArn: new(string(c.ARN())), Ec2InstanceId: new(c.EC2ID), Version: new(c.Version),
		VersionInfo: &api.VersionInfo{
			AgentVersion: optional(d.AgentVersion), AgentHash: optional(d.AgentHash), DockerVersion: optional(d.DockerVersion),
		},
		RegisteredResources: c.registered(), RemainingResources: c.remaining(),
		Status: new(c.Status.String()), AgentConnected: new(c.Connected),
		RunningTasksCount: new(int32(tasks.Running)), PendingTasksCount: new(int32(tasks.Pending)),
		Attributes: d.wire(), RegisteredAt: c.Registered.wire(), Attachments: []api.Attachment{}, Tags: []api.Tag{},
	}
	if slices.Contains(include, api.ContainerInstanceFieldTags) {
		out.Tags = wireTags(c.Tags)
	}
	if slices.Contains(include, api.ContainerInstanceFieldContainerInstanceHealth) {
		out.HealthStatus = c.health()
	}
	return out
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// wire are all attributes in order of names.
func (d InstanceDescription) wire() []api.Attribute {
	all := d.attributes()
	out := make([]api.Attribute, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, api.Attribute{Name: new(name), Value: optional(all[name])})
	}
	return out
}

// registered and remaining list resources. Of ports they list those that are taken.
func (c ContainerInstance) registered() []api.Resource {
	return c.resources(c.CPU, c.Memory, c.TCP, c.UDP, c.GPUs, func(name string) int64 { return c.Custom[name] })
}

func (c ContainerInstance) remaining() []api.Resource {
	free := slices.DeleteFunc(slices.Clone(c.GPUs), func(id string) bool { return slices.Contains(c.Used.GPUs, id) })
	return c.resources(c.CPU-c.Used.CPU, c.Memory-c.Used.Memory, joinPorts(c.TCP, c.Used.TCP), joinPorts(c.UDP, c.Used.UDP), free,
		func(name string) int64 { return c.Custom[name] - c.Used.Custom[name] })
}

func (c ContainerInstance) resources(cpu, memory int32, tcp, udp []uint16, gpus []string, custom func(string) int64) []api.Resource {
	out := []api.Resource{
		integerResource(resourceCPU, cpu), integerResource(resourceMemory, memory),
		stringsResource(resourcePorts, portTexts(tcp)), stringsResource(resourcePortsUDP, portTexts(udp)),
	}
	if len(c.GPUs) > 0 {
		out = append(out, stringsResource(resourceGPU, gpus))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Custom)) {
		out = append(out, integerResource(name, int32(custom(name))))
	}
	return out
}

func integerResource(name string, n int32) api.Resource {
	return api.Resource{Name: new(name), Type: new(resourceInteger), DoubleValue: new(0.0), LongValue: new(int64(0)), IntegerValue: new(n)}
}

func stringsResource(name string, list []string) api.Resource {
	if list == nil {
		list = []string{}
	}
	return api.Resource{
		Name: new(name), Type: new(resourceStrings), DoubleValue: new(0.0), LongValue: new(int64(0)), IntegerValue: new(int32(0)),
		StringSetValue: list,
	}
}

func portTexts(ports []uint16) []string {
	var out []string
	for _, p := range ports {
		out = append(out, strconv.Itoa(int(p)))
	}
	return out
}

// health is what the agent says of its container runtime.
func (c ContainerInstance) health() *api.ContainerInstanceHealthStatus {
	state := api.InstanceHealthCheckStateOK
	switch {
	case !c.Connected:
		state = api.InstanceHealthCheckStateInsufficientData
	case c.Impaired != "":
		state = api.InstanceHealthCheckStateImpaired
	}
	return &api.ContainerInstanceHealthStatus{
		OverallStatus: state,
		Details: []api.InstanceHealthCheckResult{{
			Type: api.InstanceHealthCheckTypeContainerRuntime, Status: state, StatusReason: optional(c.Impaired), LastUpdated: c.LastSeen.wire(),
		}},
	}
}
