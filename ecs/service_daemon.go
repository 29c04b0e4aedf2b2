package ecs

import (
	"slices"

	"berth/ecs/placement"
	"berth/store"
)

// daemonMachines are the IDs of the instances that should have a task of a DAEMON service, in order of registration:
// ACTIVE ones that fit its attributes and constraints, whatever room they have. An instance that is disconnected or not
// known keeps the task that it has (I-08).
func daemonMachines(r store.Reader, v ServiceRecord) []string {
	d, ok := Deployments.Get(r, v.deploymentKey(v.Primary))
	if !ok {
		return nil
	}
	definition, ok := TaskDefinitions.Get(r, d.DefinitionKey())
	if !ok {
		return nil
	}
	l, err := v.launch(definition)
	if err != nil {
		return nil
	}
	return machinesFor(r, v, l.place)
}

func machinesFor(r store.Reader, v ServiceRecord, t placement.Task) []string {
	t.Needs = placement.Resources{}
	t.Constraints = slices.DeleteFunc(slices.Clone(t.Constraints), func(c placement.Constraint) bool {
		return c.Type == placement.TypeDistinctInstance // each has one task anyway
	})
	has := map[string]bool{}
	for task := range Tasks.By(r, byTaskService, v.Key()) {
		if task.Desired != StateStopped {
			has[task.Instance] = true
		}
	}
	var out []string
	for c := range ContainerInstances.By(r, byInstanceStatus, instanceStatusKey(v.ClusterKey(), anyStatus)) {
		if c.Status != InstanceActive {
			delete(has, c.ID)
			continue
		}
		description, _ := InstanceDescriptions.Get(r, c.Key())
		on := c.placed(description.attributes(), description.AgentVersion)
		why, fits := placement.Check(&t, &on)
		if fits || why.Reason == placement.ReasonAgent && has[c.ID] {
			out = append(out, c.ID)
		}
		delete(has, c.ID)
	}
	for id := range has {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
