package ecs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// Task is the record of one task. It is kept compact: the definition is referred to, never copied, and what can
// be derived (ARNs, container ARNs, image names, sizes) is not stored.
type Task struct {
	// Who and where. Written by: RunTask, StartTask.
	Account  string         `json:"a"`
	Region   string         `json:"r"`
	Cluster  string         `json:"c"`           // cluster name
	ID       string         `json:"i"`           // 32 hex digits; sorts by creation, see newTaskID
	Instance string         `json:"n,omitzero"`  // container instance ID in the same cluster; never changes (I-03)
	Family   string         `json:"f"`           // task definition
	Revision int32          `json:"fr"`          // task definition
	Launch   api.LaunchType `json:"lt"`          // EC2 or EXTERNAL
	Exec     bool           `json:"ex,omitzero"` // enableExecuteCommand

	Group     string            `json:"g"`
	StartedBy string            `json:"sb,omitzero"`
	Created   Millis            `json:"ct"`
	Overrides *api.TaskOverride `json:"o,omitzero"` // verbatim, only when given
	// Images are what containers run instead of their definition's image, by name. Written by: the reconciler "ecs.hook".
	Images map[string]string `json:"im,omitzero"`
	// Reserved is what the task holds on its container instance; nil once it is given back.
	// Written by: RunTask, StartTask; cleared where the task becomes STOPPED (finish).
	Reserved *Reservation `json:"rs,omitzero"`

	// Tags. Written by: RunTask, StartTask, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`

	// Desired is StateRunning or StateStopped and changes once.
	// Written by: stop (StopTask, the end of a container instance, a report of a task that ended by itself).
	Desired    TaskState        `json:"ds"`
	StopCode   api.TaskStopCode `json:"sc,omitzero"` // the first cause wins
	StopReason string           `json:"sr,omitzero"`
	Stopping   Millis           `json:"tt,omitzero"`

	// Last only rises. Written by: ApplyReport, finish and want (DEACTIVATING).
	Last         TaskState `json:"ls"`
	Stopped      Millis    `json:"td,omitzero"`
	Connected    Millis    `json:"tc,omitzero"` // connectivityAt. Written by: ApplyReport
	PullStarted  Millis    `json:"tp,omitzero"` // Written by: ApplyReport
	PullStopped  Millis    `json:"tq,omitzero"` // Written by: ApplyReport
	Started      Millis    `json:"ts,omitzero"` // Written by: ApplyReport
	ExecutionEnd Millis    `json:"te,omitzero"` // Written by: ApplyReport
	// Orphan is set when the control plane ended the task without its machine: containers may still run there.
	// Written by: finish; cleared by ApplyReport when the machine says STOPPED.
	Orphan bool `json:"or,omitzero"`

	// Protected is the moment until which the service scheduler leaves the task alone. Written by: UpdateTaskProtection.
	Protected Millis `json:"pu,omitzero"`
	// Proven says that the task has been healthy, Noted that the scheduler has taken note of its end. Written by: the
	// reconciler "ecs.service", for tasks of services only.
	Proven bool `json:"pv,omitzero"`
	Noted  bool `json:"nt,omitzero"`
	// Balanced says that the task was registered where its deployment says, Unfit that an event told of its target's ill
	// health. Written by: the reconciler "ecs.service".
	Balanced bool `json:"lb,omitzero"`
	Unfit    bool `json:"uf,omitzero"`
	// Leaving says that the task is to stop and its load balancers have not let go of it: its machine is not told yet.
	// Written by: want; cleared by the reconciler "ecs.leave", and where the task ends anyway (ApplyReport, finish).
	Leaving bool `json:"lv,omitzero"`

	// Containers stand in the order of the definition. Written by: ApplyReport.
	Containers []TaskContainer `json:"cs"`
	// Version rises by one with each change that is an event. Written by: every writer above.
	Version int64 `json:"ver"`
}

// TaskContainer is one container of a task.
type TaskContainer struct {
	Name      string    `json:"n"`
	State     TaskState `json:"s"`           // StatePending, StateRunning, StateStopped
	RuntimeID string    `json:"id,omitzero"` // with the task's ID written as ownID
	Digest    Digest    `json:"d,omitzero"`
	// Pinned says that the container runs the image with the digest, whatever its tag names. Written by: the reconciler "ecs.service".
	Pinned    bool             `json:"pd,omitzero"`
	ExitCode  *int32           `json:"x,omitzero"`
	Reason    string           `json:"w,omitzero"`
	Health    api.HealthStatus `json:"h,omitzero"` // empty means UNKNOWN
	Ports     []Binding        `json:"p,omitzero"`
	GPUs      []string         `json:"g,omitzero"` // Written by: RunTask, StartTask
	Restarts  int32            `json:"r,omitzero"`
	OOMKilled bool             `json:"om,omitzero"`
}

// Reservation is what a task takes of its container instance.
type Reservation struct {
	CPU      int32    `json:"c,omitzero"` // units
	Memory   int32    `json:"m,omitzero"` // MiB
	Ports    []int32  `json:"p,omitzero"` // fixed TCP host ports
	PortsUDP []int32  `json:"u,omitzero"` // fixed UDP host ports
	GPUs     []string `json:"g,omitzero"` // device IDs
}

// Indexes of Tasks.
const (
	byTaskDesired    = "desired"    // cluster, desired status
	byTaskFamily     = "family"     // cluster, desired status, family or, for tasks of services, group
	byTaskStarter    = "starter"    // cluster, desired status, startedBy
	byTaskInstance   = "instance"   // cluster, desired status, container instance
	byTaskGroup      = "group"      // cluster, group; tasks that are not STOPPED
	byTaskActive     = "active"     // container instance key; tasks that are not STOPPED
	byTaskStage      = "stage"      // cluster, launch type, running or pending
	byTaskDefinition = "definition" // task definition key
	// byTaskService is the service's key, for tasks that are not STOPPED or whose end its scheduler has not noted.
	byTaskService = "service"
	// byTaskDefinitionActive is byTaskDefinition for tasks that are not STOPPED.
	byTaskDefinitionActive = "definitionactive"
)

// Tasks has every task that can be described. IDs begin with the time of creation, so within a cluster both the
// table and each index value are in order of creation.
var Tasks = store.NewTable("ecs/task", Task.Key,
	store.Index(byTaskDesired, func(t Task) []string { return []string{t.listKey("")} }),
	store.Index(byTaskFamily, func(t Task) []string {
		if t.ServiceKey() != "" {
			return []string{t.listKey(t.Family), t.listKey(t.Group)}
		}
		return []string{t.listKey(t.Family)}
	}),
	store.Index(byTaskService, func(t Task) []string {
		key := t.ServiceKey()
		return one(key != "" && (t.Active() || !t.Noted), key)
	}),
	store.Index(byTaskStarter, func(t Task) []string { return one(t.StartedBy != "", t.listKey(t.StartedBy)) }),
	store.Index(byTaskInstance, func(t Task) []string { return one(t.Instance != "", t.listKey(t.Instance)) }),
	store.Index(byTaskGroup, func(t Task) []string { return one(t.Active(), groupKey(t.ClusterKey(), t.Group)) }),
	store.Index(byTaskActive, func(t Task) []string { return one(t.Active() && t.Instance != "", t.InstanceKey()) }),
	store.Index(byTaskStage, func(t Task) []string { return one(t.Active(), stageKey(t.ClusterKey(), t.Launch, t.Last)) }),
	store.Index(byTaskDefinition, func(t Task) []string { return []string{t.DefinitionKey()} }),
	store.Index(byTaskDefinitionActive, func(t Task) []string { return one(t.Active(), t.DefinitionKey()) }),
)

func one(when bool, value string) []string {
	if !when {
		return nil
	}
	return []string{value}
}

// TaskKey is the key of a task's record.
func TaskKey(account, region, cluster, id string) string {
	return ClusterKey(account, region, cluster) + "/" + id
}

// Key is account/region/cluster/id.
func (t Task) Key() string { return TaskKey(t.Account, t.Region, t.Cluster, t.ID) }

// ClusterKey is the key of the task's cluster.
func (t Task) ClusterKey() string { return ClusterKey(t.Account, t.Region, t.Cluster) }

// InstanceKey is the key of the task's container instance.
func (t Task) InstanceKey() string { return t.ClusterKey() + "/" + t.Instance }

// DefinitionKey is the key of the task's definition.
func (t Task) DefinitionKey() string {
	return TaskDefinitionKey(t.Account, t.Region, t.Family, t.Revision)
}

// ServiceKey is the key of the service that the task belongs to; empty for others. Only the scheduler can make tasks
// of such a group.
func (t Task) ServiceKey() string {
	name, ok := strings.CutPrefix(t.Group, serviceGroup)
	if !ok {
		return ""
	}
	return ServiceKey(t.Account, t.Region, t.Cluster, name)
}

// ARN names the task.
func (t Task) ARN() aws.ARN {
	return aws.NewARN("ecs", t.Region, t.Account, "task/"+t.Cluster+"/"+t.ID)
}

// InstanceARN names the task's container instance.
func (t Task) InstanceARN() aws.ARN {
	return aws.NewARN("ecs", t.Region, t.Account, "container-instance/"+t.Cluster+"/"+t.Instance)
}

// ClusterARN names the task's cluster.
func (t Task) ClusterARN() aws.ARN { return clusterARN(t.Account, t.Region, t.Cluster) }

// DefinitionARN names the task's definition.
func (t Task) DefinitionARN() aws.ARN {
	return taskDefinitionARN(t.Account, t.Region, t.Family, t.Revision)
}

// ContainerARN names one of the task's containers. Its last part is derived from the task and the name, so it needs
// no room in the record and is the same whoever asks.
func (t Task) ContainerARN(name string) aws.ARN {
	id := derivedUUID(t.ID + "/" + name)
	return aws.NewARN("ecs", t.Region, t.Account, "container/"+t.Cluster+"/"+t.ID+"/"+id)
}

// derivedUUID is the same UUID for the same text.
func derivedUUID(text string) string {
	sum := sha256.Sum256([]byte(text))
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Active says that the task is not STOPPED yet.
func (t Task) Active() bool { return t.Last != StateStopped }

// listKey is the index value under which lists find the task: its cluster, its desired status and one more filter.
func (t Task) listKey(filter string) string { return listKey(t.ClusterKey(), t.Desired, filter) }

func listKey(cluster string, desired TaskState, filter string) string {
	return cluster + "|" + desired.String() + "|" + filter
}

func groupKey(cluster, group string) string { return cluster + "|" + group }

// stageKey is the index value by which a cluster's tasks are counted.
func stageKey(cluster string, launch api.LaunchType, last TaskState) string {
	stage := "pending"
	if last >= StateRunning {
		stage = "running"
	}
	if last > StateRunning {
		stage = "stopping"
	}
	return cluster + "|" + string(launch) + "|" + stage
}

// newTaskID makes a task ID: 32 hex digits of which the first 12 are milliseconds since the epoch, the next is the
// task's place in its call and the rest is random (76 bits). So IDs sort by creation and say no more than createdAt does.
func newTaskID(now time.Time, place int) string {
	random := aws.NewHexID()
	return fmt.Sprintf("%012x%x", now.UnixMilli()&(1<<48-1), place&0xf) + random[13:]
}
