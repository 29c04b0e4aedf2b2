package ecs

import (
	"strings"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/store"
)

// AssignmentFor is everything that the machine with the instance key should have: its tasks that are not STOPPED, in
// order of creation, and the definitions they refer to by key. A task that leaves its load balancers still runs. Overrides are merged into the definitions; tasks with
// the same definition and overrides share one.
func AssignmentFor(r store.Reader, instance string) ([]proto.Task, map[string]api.TaskDefinition) {
	tasks := []proto.Task{}
	definitions := map[string]api.TaskDefinition{}
	for t := range Tasks.By(r, byTaskActive, instance) {
		key := assignedKey(t)
		if _, ok := definitions[key]; !ok {
			if d, ok := TaskDefinitions.Get(r, t.DefinitionKey()); ok {
				definitions[key] = t.pinned(t.Merge(*d.wire()))
			}
		}
		out := assigned(t)
		if name, ok := strings.CutPrefix(t.Group, serviceGroup); ok {
			d, _ := Deployments.Get(r, ServiceKey(t.Account, t.Region, t.Cluster, name)+"/"+t.deployment())
			out.Hosts = d.hosts()
		}
		tasks = append(tasks, out)
	}
	return tasks, definitions
}

// assignedKey names the definition as the task runs it: the ARN, with a hash of the overrides and one of
// the digests of its images if there are any.
func assignedKey(t Task) string {
	key := string(t.DefinitionARN())
	if h := overrideHash(t.Overrides, t.Images); h != "" {
		key += "#" + h
	}
	if h := t.pinHash(); h != "" {
		key += "@" + h
	}
	return key
}

func assigned(t Task) proto.Task {
	out := proto.Task{
		Arn: string(t.ARN()), ClusterArn: string(t.ClusterARN()), DesiredStatus: t.Desired.String(), Definition: assignedKey(t),
		CreatedAt: t.Created.Time(), Group: t.Group, LaunchType: string(t.Launch), ContainerArns: map[string]string{},
	}
	switch {
	case t.Leaving:
		out.DesiredStatus = StateRunning.String()
	case t.Desired == StateStopped:
		out.StopCode, out.StoppedReason = string(t.StopCode), t.StopReason
	}
	for _, c := range t.Containers {
		out.ContainerArns[c.Name] = string(t.ContainerARN(c.Name))
		if len(c.GPUs) > 0 {
			if out.GPUIDs == nil {
				out.GPUIDs = map[string][]string{}
			}
			out.GPUIDs[c.Name] = c.GPUs
		}
	}
	return out
}

// Verdict says what becomes of a task that the machine has and that its assignment lacks. ok is true only if the store
// positively knows that the task is over or belongs to another machine; the task returned is then to be stopped.
// Otherwise the task is left alone: that nothing is known of it is no reason to stop it (I-08).
func Verdict(r store.Reader, instance, arn string) (task proto.Task, ok bool) {
	key, ok := taskKeyOf(arn)
	if !ok {
		return proto.Task{}, false
	}
	if t, known := Tasks.Get(r, key); known {
		if t.Active() && t.InstanceKey() == instance {
			return proto.Task{}, false
		}
		if t.Active() {
			t.StopCode, t.StopReason = api.TaskStopCodeUserInitiated, "The task is placed on another container instance"
		}
		t.Desired, t.Leaving = StateStopped, false
		return assigned(t), true
	}
	if dead, known := Tombstones.Get(r, key); known {
		return proto.Task{
			Arn: arn, DesiredStatus: StateStopped.String(), CreatedAt: dead.Created.Time(),
			StopCode: string(dead.Code), StoppedReason: dead.Reason,
		}, true
	}
	return proto.Task{}, false
}

// TaskOn finds the task that the ARN names if it is placed on the machine with the instance key, in any state.
func TaskOn(r store.Reader, instance, arn string) (Task, bool) {
	key, ok := taskKeyOf(arn)
	if !ok {
		return Task{}, false
	}
	t, ok := Tasks.Get(r, key)
	return t, ok && t.InstanceKey() == instance
}
