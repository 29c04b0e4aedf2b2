package ecs

import (
	"fmt"
	"slices"
	"time"

	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

// ContainerInstance is the record of one machine of a cluster: its state and what tasks hold of it. It is written
// with every task that is placed or ends, so what seldom changes is in its InstanceDescription.
type ContainerInstance struct {
	// Who and where. Written by: RegisterContainerInstance, Connect.
	Account    string `json:"a"`
	Region     string `json:"r"`
	Cluster    string `json:"c"` // cluster name
	ID         string `json:"i"` // 32 hex digits; sorts by registration, see newInstanceID
	Registered Millis `json:"ct"`
	// Machine is the identity in the certificate of the machine's agent; empty if none ever came.
	Machine string `json:"mc,omitzero"`
	// EC2ID is the EC2 instance ID: that of the identity document, of agents of Berth's i- and 17 hex digits (see ec2IDOf), else mi-.
	EC2ID    string `json:"e,omitzero"`
	External bool   `json:"x,omitzero"` // launch type EXTERNAL

	// Written by: RegisterContainerInstance, Connect, UpdateContainerInstancesState, DeregisterContainerInstance.
	Status  InstanceStatus `json:"s,omitzero"`
	Removed Millis         `json:"dt,omitzero"` // when it became INACTIVE

	// The agent. Written by: RegisterContainerInstance, Connect, Seen, Disconnect, the reconciler "ecs.instance".
	Connected bool   `json:"k,omitzero"`
	Session   string `json:"ss,omitzero"` // the session that it is connected by
	Boot      string `json:"bo,omitzero"` // boot ID of the machine
	LastSeen  Millis `json:"ls,omitzero"` // at most 30 s old while connected
	Silent    Millis `json:"si,omitzero"` // since when it is not connected
	Impaired  string `json:"im,omitzero"` // why nothing new should be placed here, in the agent's words

	// What the machine has. Written by: RegisterContainerInstance, Connect.
	CPU    int32            `json:"tc"`          // units, 1024 = one vCPU
	Memory int32            `json:"tm"`          // MiB
	GPUs   []string         `json:"tg,omitzero"` // device IDs
	TCP    []uint16         `json:"tp,omitzero"` // host ports taken by others than tasks, ascending
	UDP    []uint16         `json:"tu,omitzero"` // likewise
	Custom map[string]int64 `json:"tx,omitzero"` // further integer resources

	// What tasks hold. Written by: reserve and release, and by nobody else.
	Used Used `json:"u,omitzero"`

	// Tags. Written by: RegisterContainerInstance, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
	// Version rises by one with each change but LastSeen and Tags. Written by: every writer above.
	Version int64 `json:"ver"`
}

// Used is what tasks that are not STOPPED hold of an instance: I-05, it never exceeds what the instance has.
type Used struct {
	CPU    int32            `json:"c,omitzero"`
	Memory int32            `json:"m,omitzero"`
	TCP    []uint16         `json:"p,omitzero"` // fixed host ports, ascending
	UDP    []uint16         `json:"u,omitzero"`
	GPUs   []string         `json:"g,omitzero"` // device IDs, ascending
	Custom map[string]int64 `json:"x,omitzero"`
	Groups map[string]int   `json:"n,omitzero"` // number of tasks by group
}

// InstanceDescription is the part of a container instance that seldom changes.
type InstanceDescription struct {
	Key string `json:"k"` // that of the instance

	// Attributes by name: what the agent says and what Berth adds. Written by: RegisterContainerInstance, Connect.
	Attributes map[string]string `json:"at,omitzero"`
	// Custom are attributes that users set. Written by: PutAttributes, DeleteAttributes.
	Custom map[string]string `json:"cu,omitzero"`

	// Written by: RegisterContainerInstance, Connect.
	AgentVersion  string `json:"av,omitzero"`
	AgentHash     string `json:"ah,omitzero"`
	DockerVersion string `json:"dv,omitzero"`
	// Address is where other machines reach this one; empty if no agent of Berth's has told.
	Address string `json:"ad,omitzero"`

	// Version rises by one with each change. Written by: every writer above.
	Version int64 `json:"ver"`
}

// InstanceStatus is the status of a container instance. The numbers are stored.
type InstanceStatus uint8

// The states of an instance; ACTIVE and DRAINING change into each other, INACTIVE is the end.
const (
	InstanceActive   InstanceStatus = 0
	InstanceDraining InstanceStatus = 1
	InstanceInactive InstanceStatus = 2
)

// String is the name that the API shows.
func (s InstanceStatus) String() string {
	switch s {
	case InstanceDraining:
		return "DRAINING"
	case InstanceInactive:
		return statusInactive
	}
	return statusActive
}

// Indexes of ContainerInstances.
const (
	byInstanceStatus  = "status"  // cluster|status, and cluster|* for all but INACTIVE
	byInstanceMachine = "machine" // identity of the agent
	byInstanceEC2ID   = "ec2"     // cluster|ec2InstanceId; all but INACTIVE
	byInstanceHost    = "host"    // account/region|ec2InstanceId; all but INACTIVE
)

// ContainerInstances has the machines of all clusters and, for a while, those that were deregistered. Within a
// cluster the table and its indexes are in order of registration.
var ContainerInstances = store.NewTable("ecs/container-instance", ContainerInstance.Key,
	store.Index(byInstanceStatus, func(c ContainerInstance) []string {
		values := []string{instanceStatusKey(c.ClusterKey(), c.Status.String())}
		if c.Status != InstanceInactive {
			values = append(values, instanceStatusKey(c.ClusterKey(), anyStatus))
		}
		return values
	}),
	store.Index(byInstanceMachine, func(c ContainerInstance) []string { return one(c.Machine != "", c.Machine) }),
	store.Index(byInstanceEC2ID, func(c ContainerInstance) []string {
		return one(c.EC2ID != "" && c.Status != InstanceInactive, c.ClusterKey()+"|"+c.EC2ID)
	}),
	store.Index(byInstanceHost, func(c ContainerInstance) []string {
		return one(c.EC2ID != "" && c.Status != InstanceInactive, c.Account+"/"+c.Region+"|"+c.EC2ID)
	}),
)

// InstanceDescriptions has one record for each of ContainerInstances, under the same key.
var InstanceDescriptions = store.NewTable("ecs/container-instance-description", func(d InstanceDescription) string { return d.Key })

// anyStatus stands for every status but INACTIVE.
const anyStatus = "*"

func instanceStatusKey(cluster, status string) string { return cluster + "|" + status }

// clusterInstances is the number of instances of a cluster that are not INACTIVE.
func clusterInstances(r store.Reader, cluster string) int {
	return ContainerInstances.CountBy(r, byInstanceStatus, instanceStatusKey(cluster, anyStatus))
}

// InstanceKey is the key of a container instance's records.
func InstanceKey(account, region, cluster, id string) string {
	return ClusterKey(account, region, cluster) + "/" + id
}

// Key is account/region/cluster/id.
func (c ContainerInstance) Key() string { return InstanceKey(c.Account, c.Region, c.Cluster, c.ID) }

// ClusterKey is the key of the instance's cluster.
func (c ContainerInstance) ClusterKey() string { return ClusterKey(c.Account, c.Region, c.Cluster) }

// ARN names the instance.
func (c ContainerInstance) ARN() aws.ARN {
	return aws.NewARN("ecs", c.Region, c.Account, "container-instance/"+c.Cluster+"/"+c.ID)
}

// newInstanceID makes a container instance ID: 32 hex digits of which the first 12 are milliseconds since the epoch.
func newInstanceID(now time.Time) string {
	return fmt.Sprintf("%012x", now.UnixMilli()&(1<<48-1)) + aws.NewHexID()[12:]
}

// attributes are all attributes of the instance, by name. The result is for reading only.
func (d InstanceDescription) attributes() map[string]string {
	if len(d.Custom) == 0 {
		return d.Attributes
	}
	out := make(map[string]string, len(d.Attributes)+len(d.Custom))
	for _, m := range [...]map[string]string{d.Attributes, d.Custom} {
		for name, v := range m {
			out[name] = v
		}
	}
	return out
}

// placed is the instance as placement sees it. It shares maps with the record and with attributes.
// Running is left out: see CountTasks.
func (c ContainerInstance) placed(attributes map[string]string, agentVersion string) placement.Instance {
	return placement.Instance{
		ID: c.ID, Status: c.Status.String(), Connected: c.Connected, External: c.External, Impaired: c.Impaired,
		Attributes: attributes, EC2InstanceID: c.EC2ID, AgentVersion: agentVersion, RegisteredAt: c.Registered.Time(),
		Total: placement.Resources{CPU: int64(c.CPU), Memory: int64(c.Memory), GPU: int64(len(c.GPUs)), Custom: c.Custom},
		Used: placement.Resources{
			CPU: int64(c.Used.CPU), Memory: int64(c.Used.Memory), GPU: int64(len(c.Used.GPUs)),
			TCP: joinPorts(c.TCP, c.Used.TCP), UDP: joinPorts(c.UDP, c.Used.UDP), Custom: c.Used.Custom,
		},
		Groups: c.Used.Groups,
	}
}

// joinPorts merges two ascending lists without changing them.
func joinPorts(a, b []uint16) []uint16 {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// InstanceTasks are the tasks of one instance that are not STOPPED.
type InstanceTasks struct {
	Pending, Running, Stopping int // before, at and after lastStatus RUNNING
}

// CountTasks counts the tasks of the instance with the key.
func CountTasks(r store.Reader, instance string) (n InstanceTasks) {
	for t := range Tasks.By(r, byTaskActive, instance) {
		switch {
		case t.Last < StateRunning:
			n.Pending++
		case t.Last == StateRunning:
			n.Running++
		default:
			n.Stopping++
		}
	}
	return n
}

// ZoneOf is the availability zone of an instance.
func ZoneOf(r store.Reader, c ContainerInstance) string {
	d, _ := InstanceDescriptions.Get(r, c.Key())
	return d.Zone()
}

// Zone is the availability zone of the instance.
func (d InstanceDescription) Zone() string { return d.Attributes[placement.ZoneAttribute] }
