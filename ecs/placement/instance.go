package placement

import (
	"slices"
	"time"
)

// StatusActive is the status of instances that take tasks.
const StatusActive = "ACTIVE"

// ZoneAttribute holds the availability zone of an instance.
const ZoneAttribute = "ecs.availability-zone"

// Resources are amounts of what instances have and tasks need.
type Resources struct {
	CPU    int64 // units, 1024 = one vCPU
	Memory int64 // MiB
	GPU    int64 // devices
	// TCP and UDP are host ports, in ascending order on an instance, in any order on a task.
	TCP []uint16
	UDP []uint16
	// Custom are further integer resources by name.
	Custom map[string]int64
}

// Instance is what placement knows of a container instance.
type Instance struct {
	ID        string // unique in an Index; Result and Refusal name it
	Status    string
	Connected bool
	External  bool   // launch type EXTERNAL
	Impaired  string // why it should get no new tasks for now; empty means healthy

	// Attributes by name; an attribute without a value has the value "".
	Attributes    map[string]string
	EC2InstanceID string
	AgentVersion  string
	RegisteredAt  time.Time

	Total Resources // as registered; its ports are not looked at
	Used  Resources // reserved by tasks that are not STOPPED, and ports taken otherwise

	Running int            // tasks that are RUNNING
	Groups  map[string]int // tasks that are not STOPPED, by group
}

// left is what the instance has of CPU and memory for further tasks.
func (i *Instance) left() (cpu, memory int64) {
	return i.Total.CPU - i.Used.CPU, i.Total.Memory - i.Used.Memory
}

// reserve adds a task to the instance. Ports and maps are copied before they are changed.
func (i *Instance) reserve(t *Task) {
	i.Used.CPU += t.Needs.CPU
	i.Used.Memory += t.Needs.Memory
	i.Used.GPU += t.Needs.GPU
	i.Used.TCP = withPorts(i.Used.TCP, t.Needs.TCP)
	i.Used.UDP = withPorts(i.Used.UDP, t.Needs.UDP)
	for name, n := range t.Needs.Custom {
		if i.Used.Custom == nil {
			i.Used.Custom = map[string]int64{}
		}
		i.Used.Custom[name] += n
	}
	if i.Groups == nil {
		i.Groups = map[string]int{}
	}
	i.Groups[t.Group]++
}

// release takes a task away from the instance.
func (i *Instance) release(t *Task) {
	i.Used.CPU -= t.Needs.CPU
	i.Used.Memory -= t.Needs.Memory
	i.Used.GPU -= t.Needs.GPU
	i.Used.TCP = withoutPorts(i.Used.TCP, t.Needs.TCP)
	i.Used.UDP = withoutPorts(i.Used.UDP, t.Needs.UDP)
	for name, n := range t.Needs.Custom {
		i.Used.Custom[name] -= n
	}
	if i.Groups[t.Group]--; i.Groups[t.Group] <= 0 {
		delete(i.Groups, t.Group)
	}
}

func withPorts(used, more []uint16) []uint16 {
	if len(more) == 0 {
		return used
	}
	out := make([]uint16, 0, len(used)+len(more))
	out = append(append(out, used...), more...)
	slices.Sort(out)
	return out
}

func withoutPorts(used, gone []uint16) []uint16 {
	if len(gone) == 0 {
		return used
	}
	out := make([]uint16, 0, len(used))
	for _, p := range used {
		if !slices.Contains(gone, p) {
			out = append(out, p)
		}
	}
	return out
}
