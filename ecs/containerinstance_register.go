package ecs

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

// Names and types of resources.
const (
	resourceCPU      = "CPU"
	resourceMemory   = "MEMORY"
	resourcePorts    = "PORTS"
	resourcePortsUDP = "PORTS_UDP"
	resourceGPU      = "GPU"

	resourceInteger = "INTEGER"
	resourceLong    = "LONG"
	resourceDouble  = "DOUBLE"
	resourceStrings = "STRINGSET"
)

// Attributes that the control plane adds.
const (
	attributeZone         = placement.ZoneAttribute
	attributeImage        = "ecs.ami-id"
	attributeInstanceType = "ecs.instance-type"
	attributeOSType       = "ecs.os-type"
	attributeOSFamily     = "ecs.os-family"
	attributeExternal     = "ecs.capability.external"
)

// machine is what a registration says of a machine, wherever it comes from.
type machine struct {
	machine, ec2ID string
	external       bool
	cpu, memory    int32
	gpus           []string
	tcp, udp       []uint16
	custom         map[string]int64

	address string // IP address

	attributes                             map[string]string
	agentVersion, agentHash, dockerVersion string
}

// identity is the part of an EC2 instance identity document that is used. Its signature is not checked: whoever
// may call RegisterContainerInstance may name any instance.
type identity struct {
	InstanceID       string `json:"instanceId"`
	AvailabilityZone string `json:"availabilityZone"`
	InstanceType     string `json:"instanceType"`
	ImageID          string `json:"imageId"`
}

// RegisterContainerInstance registers a machine, or one again. The agent of such a machine has to connect within the
// grace of a lost agent (see lostAgent), or the instance is shown as disconnected. Berth's own agent does not come this
// way: see Connect.
func (s *Service) RegisterContainerInstance(ctx context.Context, in *api.RegisterContainerInstanceRequest) (*api.RegisterContainerInstanceResponse, error) {
	caller := aws.CallerFrom(ctx)
	cluster, err := clusterName(caller, in.Cluster)
	if err != nil {
		return nil, err
	}
	m, err := registeredMachine(in)
	if err != nil {
		return nil, err
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	fresh := newInstanceID(s.now())
	if m.ec2ID == "" {
		m.ec2ID, m.external = "mi-"+fresh[:17], true
		m.attributes[attributeExternal] = ""
	}
	now := MillisOf(s.now())
	var out ContainerInstance
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		if err := ensureCluster(tx, caller.Account, caller.Region, cluster, now); err != nil {
			return err
		}
		var known bool
		if out, known, err = earlierRegistration(tx, caller, cluster, in.ContainerInstanceArn, m); err != nil {
			return err
		}
		if !known {
			out = ContainerInstance{Account: caller.Account, Region: caller.Region, Cluster: cluster, ID: fresh, Registered: now, EC2ID: m.ec2ID, External: m.external}
		}
		out.Connected, out.LastSeen = true, now
		if len(tags) > 0 {
			out.Tags = tags
		}
		out.describe(m)
		out.Version++
		ContainerInstances.Put(tx, out)
		putDescription(tx, out.Key(), m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	shown := instanceWire(s.store.Read(), out, []api.ContainerInstanceField{api.ContainerInstanceFieldTags})
	return &api.RegisterContainerInstanceResponse{ContainerInstance: shown}, nil
}

// earlierRegistration finds the instance that registers again: by its ARN, or by its EC2 instance ID.
func earlierRegistration(tx *store.Tx, caller aws.Caller, cluster string, arn *string, m machine) (c ContainerInstance, ok bool, err error) {
	if value(arn) == "" {
		for c := range ContainerInstances.By(tx, byInstanceEC2ID, ClusterKey(caller.Account, caller.Region, cluster)+"|"+m.ec2ID) {
			return c, true, nil
		}
		return c, false, nil
	}
	in, id, ok := memberID(caller, kindInstance, *arn)
	if in != "" && in != cluster {
		return c, false, invalid("The container instance is registered in another cluster.")
	}
	if ok {
		c, ok = ContainerInstances.Get(tx, InstanceKey(caller.Account, caller.Region, cluster, id))
	}
	switch {
	case !ok || c.Status == InstanceInactive:
		return c, false, clientError(msgInstanceNotFound, *arn)
	case c.CPU != m.cpu || c.Memory != m.memory || !slices.Equal(c.GPUs, m.gpus):
		return c, false, clientError("Container instance type changes are not supported.")
	}
	return c, true, nil
}

// describe takes over what the machine has. It never has less than its tasks hold (I-05): what shrank counts as
// before until tasks have ended and it registers again.
func (c *ContainerInstance) describe(m machine) {
	c.CPU, c.Memory = max(m.cpu, c.Used.CPU), max(m.memory, c.Used.Memory)
	c.GPUs = slices.Clone(m.gpus)
	for _, held := range c.Used.GPUs {
		if !slices.Contains(c.GPUs, held) {
			c.GPUs = append(c.GPUs, held)
		}
	}
	c.TCP, c.UDP, c.Custom = m.tcp, m.udp, m.custom
}

// putDescription writes an instance's description if it changed.
func putDescription(tx *store.Tx, key string, m machine) {
	d, known := InstanceDescriptions.Get(tx, key)
	same := known && maps.Equal(d.Attributes, m.attributes) && d.AgentVersion == m.agentVersion && d.AgentHash == m.agentHash &&
		d.DockerVersion == m.dockerVersion && d.Address == m.address
	if same {
		return
	}
	d.Key, d.Attributes, d.Address = key, m.attributes, m.address
	d.AgentVersion, d.AgentHash, d.DockerVersion = m.agentVersion, m.agentHash, m.dockerVersion
	d.Version++
	InstanceDescriptions.Put(tx, d)
}

// ensureCluster makes the cluster "default" if it is missing, and refuses any other that is missing.
func ensureCluster(tx *store.Tx, account, region, name string, now Millis) error {
	c, ok := Clusters.Get(tx, ClusterKey(account, region, name))
	switch {
	case ok && !c.Inactive:
		return nil
	case ok && name != defaultCluster:
		return aws.Errorf(codeClusterNotFound, msgClusterInactive)
	case name != defaultCluster:
		return aws.Errorf(codeClusterNotFound, msgClusterNotFound)
	}
	setting := effectiveSetting(tx, aws.Caller{Account: account, Region: region}, settingContainerInsights)
	Clusters.Put(tx, Cluster{
		Account: account, Region: region, Name: name, Created: now,
		Settings: []api.ClusterSetting{{Name: api.ClusterSettingNameContainerInsights, Value: new(setting)}},
	})
	return nil
}

// registeredMachine checks a registration and reads the machine out of it.
func registeredMachine(in *api.RegisterContainerInstanceRequest) (machine, error) {
	m := machine{attributes: map[string]string{attributeOSType: "linux", attributeOSFamily: "LINUX"}}
	if text := value(in.InstanceIdentityDocument); text != "" {
		var doc identity
		if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.InstanceID == "" {
			return m, clientError("Instance identity document is not valid.")
		}
		m.ec2ID = doc.InstanceID
		for name, v := range map[string]string{attributeZone: doc.AvailabilityZone, attributeInstanceType: doc.InstanceType, attributeImage: doc.ImageID} {
			if v != "" {
				m.attributes[name] = v
			}
		}
	}
	for _, a := range in.Attributes {
		if err := checkAttribute(a); err != nil {
			return m, err
		}
		m.attributes[value(a.Name)] = value(a.Value)
	}
	if v := in.VersionInfo; v != nil {
		m.agentVersion, m.agentHash, m.dockerVersion = value(v.AgentVersion), value(v.AgentHash), value(v.DockerVersion)
	}
	for _, r := range in.TotalResources {
		if err := m.addResource(r); err != nil {
			return m, err
		}
	}
	for _, d := range in.PlatformDevices {
		if id := value(d.Id); d.Type == api.PlatformDeviceTypeGPU && !slices.Contains(m.gpus, id) {
			m.gpus = append(m.gpus, id)
		}
	}
	if m.cpu < 0 || m.memory < 0 {
		return m, invalid("Resource values can not be negative.")
	}
	return m, nil
}

func (m *machine) addResource(r api.Resource) (err error) {
	name := value(r.Name)
	switch name {
	case resourceCPU:
		m.cpu = value(r.IntegerValue)
	case resourceMemory:
		m.memory = value(r.IntegerValue)
	case resourcePorts:
		m.tcp, err = parsePorts(r.StringSetValue)
	case resourcePortsUDP:
		m.udp, err = parsePorts(r.StringSetValue)
	case resourceGPU:
		m.gpus = slices.Compact(slices.Sorted(slices.Values(r.StringSetValue)))
	default:
		if name == "" || value(r.Type) != resourceInteger {
			return invalid("Resource '%s' of type '%s' is not supported.", name, value(r.Type))
		}
		if m.custom == nil {
			m.custom = map[string]int64{}
		}
		m.custom[name] = int64(value(r.IntegerValue))
	}
	return err
}

// parsePorts reads host ports into ascending order without doubles.
func parsePorts(list []string) ([]uint16, error) {
	var out []uint16
	for _, s := range list {
		p, err := strconv.ParseUint(s, 10, 16)
		if err != nil || p == 0 {
			return nil, invalid("Invalid port '%s'.", s)
		}
		out = append(out, uint16(p))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
