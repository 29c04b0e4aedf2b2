package ecs

import (
	"maps"
	"slices"

	api "berth/api/ecs"
	"berth/ecs/placement"
	"berth/store"
)

// reserve takes what a task needs from the named instance, inside the transaction that also writes the task.
// It checks everything that placement checks (status, agent, attributes, resources, constraints) on the records
// as the transaction sees them, so a task never lands where it does not fit. ok is false if it does not fit: then
// nothing is written and the refusal says why, as in failures[] ("MISSING" for no such instance).
//
// The caller stores the Reservation in Task.Reserved and the instance's ID in Task.Instance, and gives the
// reservation back with release, once, when the task becomes STOPPED. Tasks of one group are counted, so the
// group given to release must be the same. StartTask passes a task without constraints. RunTask does not call
// this: picker.pick does.
func reserve(tx *store.Tx, instance string, t *placement.Task) (held Reservation, why placement.Refusal, ok bool) {
	c, found := ContainerInstances.Get(tx, instance)
	if !found {
		return held, placement.Refusal{Reason: reasonMissing}, false
	}
	d, _ := InstanceDescriptions.Get(tx, instance)
	on := c.placed(d.attributes(), d.AgentVersion)
	if t.CountsRunning() {
		on.Running = CountTasks(tx, instance).Running
	}
	if why, ok = placement.Check(t, &on); !ok {
		return held, why, false
	}
	held = c.take(t)
	ContainerInstances.Put(tx, c)
	return held, why, true
}

// release gives back what a task of the group held on the instance. An instance that is gone is no error.
func release(tx *store.Tx, instance, group string, held Reservation) {
	c, ok := ContainerInstances.Get(tx, instance)
	if !ok {
		return
	}
	c.giveBack(group, held)
	ContainerInstances.Put(tx, c)
}

// take adds a task that fits to what is used. Records share slices and maps, so they are replaced, not changed.
func (c *ContainerInstance) take(t *placement.Task) Reservation {
	need, u := &t.Needs, &c.Used
	held := Reservation{CPU: int32(need.CPU), Memory: int32(need.Memory), Ports: widen(need.TCP), PortsUDP: widen(need.UDP)}
	for _, id := range c.GPUs {
		if len(held.GPUs) < int(need.GPU) && !slices.Contains(u.GPUs, id) {
			held.GPUs = append(held.GPUs, id)
		}
	}
	u.CPU += held.CPU
	u.Memory += held.Memory
	u.TCP, u.UDP = joinPorts(u.TCP, sortedPorts(need.TCP)), joinPorts(u.UDP, sortedPorts(need.UDP))
	u.GPUs = slices.Sorted(slices.Values(slices.Concat(u.GPUs, held.GPUs)))
	u.Groups = addCount(u.Groups, t.Group, 1)
	c.Version++
	return held
}

func (c *ContainerInstance) giveBack(group string, held Reservation) {
	u := &c.Used
	u.CPU = max(u.CPU-held.CPU, 0)
	u.Memory = max(u.Memory-held.Memory, 0)
	u.TCP, u.UDP = withoutPorts(u.TCP, held.Ports), withoutPorts(u.UDP, held.PortsUDP)
	u.GPUs = slices.DeleteFunc(slices.Clone(u.GPUs), func(id string) bool { return slices.Contains(held.GPUs, id) })
	u.Groups = addCount(u.Groups, group, -1)
	c.Version++
}

// addCount returns the counts with n more under the key; keys without count are left out.
func addCount(counts map[string]int, key string, n int) map[string]int {
	out := maps.Clone(counts)
	if out == nil {
		out = map[string]int{}
	}
	if out[key] += n; out[key] <= 0 {
		delete(out, key)
	}
	return out
}

func widen(ports []uint16) []int32 {
	var out []int32
	for _, p := range ports {
		out = append(out, int32(p))
	}
	return out
}

func sortedPorts(ports []uint16) []uint16 { return slices.Sorted(slices.Values(ports)) }

func withoutPorts(used []uint16, gone []int32) []uint16 {
	if len(gone) == 0 {
		return used
	}
	return slices.DeleteFunc(slices.Clone(used), func(p uint16) bool { return slices.Contains(gone, int32(p)) })
}

// orphanTasks ends, in the records, all tasks of an instance that is taken out of its cluster.
func orphanTasks(tx *store.Tx, instance string, now Millis) {
	for _, t := range slices.Collect(Tasks.By(tx, byTaskActive, instance)) {
		t.want(tx, api.TaskStopCodeUserInitiated, "Task is being stopped because the container instance was deregistered", now)
		t.finish(tx, now)
		Tasks.Put(tx, t)
	}
}
