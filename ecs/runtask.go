package ecs

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/store"
)

// RunTask starts up to ten tasks where placement finds room. Tasks without room are reported in failures; that is no
// error. All that is written (tasks, reservations, the client token) is written in one transaction.
func (s *Service) RunTask(ctx context.Context, in *api.RunTaskRequest) (*api.RunTaskResponse, error) {
	q, err := runRequest(ctx, in)
	if err != nil {
		return nil, err
	}
	cluster, err := activeCluster(ctx, s.store.Read(), in.Cluster)
	if err != nil {
		return nil, err
	}
	q.cluster = cluster.Key()
	if in.ClientToken != nil {
		q.token, q.hash = *in.ClientToken, requestHash(in)
		if out, err := s.replay(s.store.Read(), q); out != nil || err != nil {
			return out, err
		}
	}
	l, err := s.newLaunch(q, in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	var out *api.RunTaskResponse
	k := s.placing.picker(q.cluster, rand.Uint64())
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		if out, err = s.replay(tx, q); out != nil || err != nil {
			return err
		}
		out, err = l.run(ctx, tx, k)
		return err
	})
	k.end(err == nil)
	if err != nil {
		return nil, err
	}
	s.log.Info("tasks placed", "cluster", q.cluster, "definition", l.definition.ARN(), "placed", len(out.Tasks), "failures", len(out.Failures))
	return out, nil
}

// replay answers a request whose token was used before: the same request gets the same tasks as they are now. It
// returns nil if the token is new.
func (s *Service) replay(r store.Reader, q *request) (*api.RunTaskResponse, error) {
	if q.token == "" {
		return nil, nil
	}
	used, ok := RunTokens.Get(r, RunToken{Cluster: q.cluster, Token: q.token}.Key())
	if !ok {
		return nil, nil
	}
	if used.Hash != q.hash {
		arns := []string{}
		for _, id := range used.Tasks {
			if t, ok := Tasks.Get(r, q.cluster+"/"+id); ok {
				arns = append(arns, string(t.ARN()))
			}
		}
		return nil, aws.Errorf(codeConflict, "The provided client token is already in use with a different RunTask request").With("resourceIds", arns)
	}
	out := &api.RunTaskResponse{Tasks: []api.Task{}, Failures: orEmpty(used.Failures)}
	shower := newTaskWire(r)
	for _, id := range used.Tasks {
		if t, ok := Tasks.Get(r, q.cluster+"/"+id); ok {
			out.Tasks = append(out.Tasks, shower.task(t, true))
		}
	}
	return out, nil
}

// launch is a checked request with the definition that it runs.
type launch struct {
	*request
	definition TaskDefinition
	merged     api.TaskDefinition
	images     map[string]string // Task.Images
	tags       map[string]string
	group      string
	needs      Reservation
	gpus       map[string]int32
	place      placement.Task
}

// newLaunch resolves the definition and checks the request against it.
func (s *Service) newLaunch(q *request, ref *string) (*launch, error) {
	d, err := runnableDefinition(s.store.Read(), q.caller, ref)
	if err != nil {
		return nil, err
	}
	if err := q.checkDefinition(&d); err != nil {
		return nil, err
	}
	now := s.now()
	q.now = MillisOf(now)
	for i := range q.count {
		q.ids = append(q.ids, newTaskID(now, i))
	}
	l := &launch{request: q, definition: d, group: q.group}
	if l.group == "" {
		l.group = "family:" + d.Family
	}
	l.merged = MergeOverrides(d.Definition, q.overrides)
	if l.tags, err = q.taskTags(d); err != nil {
		return nil, err
	}
	l.needs, l.gpus = needs(&l.merged)
	l.place, err = l.placementTask()
	return l, err
}

// taskTags are the definition's tags if they are to be propagated, then the request's, then those of the system.
func (q *request) taskTags(d TaskDefinition) (map[string]string, error) {
	out := map[string]string{}
	if q.propagate {
		for k, v := range d.Tags {
			out[k] = v
		}
	}
	for k, v := range q.tags {
		out[k] = v
	}
	if len(out) > maxTags {
		return nil, invalid("Number of tags exceeds limit %d", maxTags)
	}
	if q.managedTags {
		out["aws:ecs:clusterName"] = clusterNameOf(q.cluster)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// placementTask is a task of the launch as placement sees it.
func (l *launch) placementTask() (placement.Task, error) {
	t := placement.Task{
		Group: l.group, LaunchType: string(l.launchType),
		Needs: placement.Resources{
			CPU: int64(l.needs.CPU), Memory: int64(l.needs.Memory), TCP: narrow(l.needs.Ports), UDP: narrow(l.needs.PortsUDP),
		},
		Requires: platformAttributes(l.merged.RuntimePlatform),
	}
	for _, n := range l.gpus {
		t.Needs.GPU += int64(n)
	}
	for _, a := range l.merged.RequiresAttributes {
		t.Requires = append(t.Requires, placement.Attribute{Name: *a.Name})
	}
	for _, c := range l.merged.PlacementConstraints {
		if l.ignoresConstraints {
			break
		}
		made, err := placement.NewConstraint(string(c.Type), value(c.Expression))
		if err != nil {
			return t, invalid("%s", err)
		}
		t.Constraints = append(t.Constraints, made)
	}
	t.Constraints = append(t.Constraints, l.constraints...)
	if len(t.Constraints) > maxConstraints {
		return t, invalid("The number of placement constraints, those of the task definition included, can be at most %d.", maxConstraints)
	}
	return t, nil
}

// platformAttributes are the built-in attributes of instances that fit the platform.
func platformAttributes(p *api.RuntimePlatform) []placement.Attribute {
	var out []placement.Attribute
	if p == nil {
		return nil
	}
	switch p.CpuArchitecture {
	case api.CPUArchitectureX86x64:
		out = append(out, placement.Attribute{Name: "ecs.cpu-architecture", Value: "x86_64"})
	case api.CPUArchitectureARM64:
		out = append(out, placement.Attribute{Name: "ecs.cpu-architecture", Value: "arm64"})
	}
	if p.OperatingSystemFamily == api.OSFamilyLinux {
		out = append(out, placement.Attribute{Name: "ecs.os-type", Value: "linux"})
	} else if p.OperatingSystemFamily != "" {
		out = append(out, placement.Attribute{Name: "ecs.os-family", Value: string(p.OperatingSystemFamily)})
	}
	return out
}

func narrow(ports []int32) []uint16 {
	var out []uint16
	for _, p := range ports {
		out = append(out, uint16(p))
	}
	return out
}

// maxFailures bounds failures[]: beyond it, only the first task without room is explained.
const maxFailures = 1000

// run places the tasks and writes them.
func (l *launch) run(ctx context.Context, tx *store.Tx, k *picker) (*api.RunTaskResponse, error) {
	if err := l.recheck(ctx, tx); err != nil {
		return nil, err
	}
	none := invalid("No Container Instances were found in your cluster.")
	if clusterInstances(tx, l.cluster) == 0 {
		return nil, none
	}
	wanted := slices.Repeat([]placement.Task{l.place}, l.count)
	out := &api.RunTaskResponse{Tasks: []api.Task{}, Failures: []api.Failure{}}
	shower := newTaskWire(tx)
	token := RunToken{Cluster: l.cluster, Token: l.token, Hash: l.hash, Created: l.now}
	unplaced := 0
	for i, p := range k.pick(tx, wanted, l.strategy) {
		if p.Instance == "" {
			failures := l.failures(p.Refusals)
			if unplaced == 0 || len(out.Failures)+len(failures) <= maxFailures {
				out.Failures = append(out.Failures, failures...)
			}
			unplaced++
			continue
		}
		t := l.task(i, p.Instance, p.Held)
		Tasks.Put(tx, t)
		token.Tasks = append(token.Tasks, t.ID)
		out.Tasks = append(out.Tasks, shower.task(t, true))
	}
	if unplaced > 0 && len(out.Failures) == 0 {
		return nil, none // only machines that are draining or of another launch type
	}
	if token.Token != "" && len(token.Tasks) > 0 {
		token.Failures = out.Failures
		RunTokens.Put(tx, token)
	}
	return out, nil
}

// recheck makes sure, inside the transaction, that the cluster and the definition are still ACTIVE.
func (l *launch) recheck(ctx context.Context, tx *store.Tx) error {
	if _, err := activeCluster(ctx, tx, new(clusterNameOf(l.cluster))); err != nil {
		return err
	}
	if d, ok := TaskDefinitions.Get(tx, l.definition.Key()); !ok || d.Status != definitionActive {
		return clientError(msgDefinitionInactive)
	}
	return nil
}

// failures are refusals as the API shows them: one for each instance that was considered.
func (l *launch) failures(refusals []placement.Refusal) []api.Failure {
	out := []api.Failure{}
	for _, r := range refusals {
		if r.Considered() {
			out = append(out, l.failure(r.Instance, r))
		}
	}
	return out
}

func (l *launch) failure(instance string, r placement.Refusal) api.Failure {
	arn := aws.NewARN("ecs", l.caller.Region, l.caller.Account, "container-instance/"+clusterNameOf(l.cluster)+"/"+instance)
	f := api.Failure{Arn: new(string(arn)), Reason: new(r.Reason)}
	if r.Reason != reasonMissing && r.Reason != reasonInactive {
		f.Detail = new(r.Detail())
	}
	return f
}

// task makes the record of the i-th task of the call.
func (l *launch) task(i int, instance string, held Reservation) Task {
	t := Task{
		Account: l.caller.Account, Region: l.caller.Region, Cluster: clusterNameOf(l.cluster), ID: l.ids[i], Instance: instance,
		Family: l.definition.Family, Revision: l.definition.Revision, Launch: cmp.Or(l.launchType, api.LaunchTypeEC2), Exec: l.exec, Group: l.group, StartedBy: l.startedBy,
		Created: l.now, Overrides: l.overrides, Images: l.images, Reserved: &held, Tags: l.tags,
		Desired: StateRunning, Last: StatePending, Version: 1,
	}
	devices := held.GPUs
	for _, c := range l.merged.ContainerDefinitions {
		made := TaskContainer{Name: *c.Name, State: StatePending}
		if n := min(int(l.gpus[*c.Name]), len(devices)); n > 0 {
			made.GPUs, devices = devices[:n:n], devices[n:]
		}
		t.Containers = append(t.Containers, made)
	}
	return t
}

// StartTask starts one task on each of the named instances. Strategies and constraints do not apply; resources,
// ports, attributes and the agent's connection do.
func (s *Service) StartTask(ctx context.Context, in *api.StartTaskRequest) (*api.StartTaskResponse, error) {
	q, err := startRequest(ctx, in)
	if err != nil {
		return nil, err
	}
	cluster, err := activeCluster(ctx, s.store.Read(), in.Cluster)
	if err != nil {
		return nil, err
	}
	q.cluster = cluster.Key()
	l, err := s.newLaunch(q, in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	var out *api.StartTaskResponse
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		out, err = l.start(ctx, tx, in.ContainerInstances)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("tasks started", "cluster", q.cluster, "definition", l.definition.ARN(), "placed", len(out.Tasks), "failures", len(out.Failures))
	return out, nil
}

func (l *launch) start(ctx context.Context, tx *store.Tx, instances []string) (*api.StartTaskResponse, error) {
	if err := l.recheck(ctx, tx); err != nil {
		return nil, err
	}
	out := &api.StartTaskResponse{Tasks: []api.Task{}, Failures: []api.Failure{}}
	shower := newTaskWire(tx)
	cluster := clusterNameOf(l.cluster)
	for i, ref := range instances {
		in, id, ok := memberID(l.caller, "container-instance", ref)
		if !ok || in != "" && in != cluster {
			out.Failures = append(out.Failures, missing(memberARN(l.caller, "container-instance", cluster, ref)))
			continue
		}
		held, why, ok := reserve(tx, l.cluster+"/"+id, &l.place)
		if !ok {
			out.Failures = append(out.Failures, l.failure(id, why))
			continue
		}
		t := l.task(i, id, held)
		if c, _ := ContainerInstances.Get(tx, l.cluster+"/"+id); c.External {
			t.Launch = api.LaunchTypeExternal
		}
		Tasks.Put(tx, t)
		out.Tasks = append(out.Tasks, shower.task(t, true))
	}
	return out, nil
}

// clusterNameOf is the name in a cluster's key.
func clusterNameOf(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
