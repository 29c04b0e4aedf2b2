package ecs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/elbv2"
	"berth/store"
)

const (
	homeAccount = "111122223333"
	homeRegion  = "eu-west-1"
)

// instanceWorld is a service on a memory store with a clock that stands still until it is moved.
type instanceWorld struct {
	*Service
	ctx context.Context
	now time.Time
}

func newInstanceWorld(t *testing.T) *instanceWorld {
	t.Helper()
	st, err := store.Open(store.Config{Tables: append(Tables(), elbv2.Tables()...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &instanceWorld{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	w.ctx = aws.WithCaller(t.Context(), aws.Caller{Account: homeAccount, Region: homeRegion})
	w.Service = New(Deps{Store: st, Pages: aws.NewPages([]byte("key")), Now: func() time.Time { w.now = w.now.Add(time.Millisecond); return w.now }})
	return w
}

func hello(cpu, memory int32, attributes ...string) proto.Hello {
	h := proto.Hello{ProtocolVersion: 1, BerthVersion: "1.2.3", BootID: "boot", CPU: cpu, Memory: memory, Ports: []string{"22", "51678"}, Zone: "z1"}
	for _, a := range attributes {
		name, v, ok := strings.Cut(a, "=")
		attr := api.Attribute{Name: new(name)}
		if ok {
			attr.Value = new(v)
		}
		h.Attributes = append(h.Attributes, attr)
	}
	return h
}

func (w *instanceWorld) connect(t *testing.T, machine string, h proto.Hello) ContainerInstance {
	t.Helper()
	c, err := w.Connect(w.ctx, Machine{ID: machine, Account: homeAccount, Region: homeRegion}, "session-"+machine, h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *instanceWorld) instance(t *testing.T, key string) ContainerInstance {
	t.Helper()
	c, ok := ContainerInstances.Get(w.store.Read(), key)
	if !ok {
		t.Fatalf("no instance %s", key)
	}
	return c
}

// wantError checks an AWS error: its code and a part of its message.
func wantError(t *testing.T, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[*aws.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Message, message) {
		t.Errorf("got %v, want %s: %s", err, code, message)
	}
}

func TestRegisterContainerInstance(t *testing.T) {
	w := newInstanceWorld(t)
	in := &api.RegisterContainerInstanceRequest{
		InstanceIdentityDocument: new(`{"instanceId":"i-0abc","availabilityZone":"eu-west-1b","instanceType":"m7.large","imageId":"ami-1"}`),
		TotalResources: []api.Resource{
			{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: new(int32(2048))},
			{Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: new(int32(3900))},
			{Name: new("PORTS"), Type: new("STRINGSET"), StringSetValue: []string{"2375", "22"}},
			{Name: new("PORTS_UDP"), Type: new("STRINGSET")},
			{Name: new("GPU"), Type: new("STRINGSET"), StringSetValue: []string{"gpu-b", "gpu-a"}},
			{Name: new("NEURON_CORES"), Type: new("INTEGER"), IntegerValue: new(int32(2))},
		},
		Attributes:  []api.Attribute{{Name: new("com.amazonaws.ecs.capability.docker-remote-api.1.44")}, {Name: new("stack"), Value: new("prod")}},
		VersionInfo: &api.VersionInfo{AgentVersion: new("1.94.0")},
		Tags:        []api.Tag{{Key: new("k"), Value: new("v")}},
	}
	out, err := w.RegisterContainerInstance(w.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	got := out.ContainerInstance
	zero, none := new(0.0), new(int64(0))
	number := func(name string, n int32) api.Resource {
		return api.Resource{Name: new(name), Type: new("INTEGER"), DoubleValue: zero, LongValue: none, IntegerValue: new(n)}
	}
	set := func(name string, list ...string) api.Resource {
		return api.Resource{Name: new(name), Type: new("STRINGSET"), DoubleValue: zero, LongValue: none, IntegerValue: new(int32(0)), StringSetValue: append([]string{}, list...)}
	}
	resources := []api.Resource{number("CPU", 2048), number("MEMORY", 3900), set("PORTS", "22", "2375"), set("PORTS_UDP"), set("GPU", "gpu-a", "gpu-b"), number("NEURON_CORES", 2)}
	want := &api.ContainerInstance{
		ContainerInstanceArn: got.ContainerInstanceArn, Ec2InstanceId: new("i-0abc"), Version: new(int64(1)), VersionInfo: &api.VersionInfo{AgentVersion: new("1.94.0")},
		RegisteredResources: resources, RemainingResources: resources, Status: new("ACTIVE"), AgentConnected: new(true),
		RunningTasksCount: new(int32(0)), PendingTasksCount: new(int32(0)), RegisteredAt: got.RegisteredAt,
		Attributes: []api.Attribute{
			{Name: new("com.amazonaws.ecs.capability.docker-remote-api.1.44")}, {Name: new("ecs.ami-id"), Value: new("ami-1")},
			{Name: new("ecs.availability-zone"), Value: new("eu-west-1b")}, {Name: new("ecs.instance-type"), Value: new("m7.large")},
			{Name: new("ecs.os-family"), Value: new("LINUX")}, {Name: new("ecs.os-type"), Value: new("linux")}, {Name: new("stack"), Value: new("prod")},
		},
		Attachments: []api.Attachment{}, Tags: []api.Tag{{Key: new("k"), Value: new("v")}},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(*got.ContainerInstanceArn, "arn:aws:ecs:eu-west-1:111122223333:container-instance/default/") {
		t.Errorf("ARN %s", *got.ContainerInstanceArn)
	}
	for name, arn := range map[string]*string{"the same EC2 instance": nil, "the same ARN": got.ContainerInstanceArn} {
		in.ContainerInstanceArn = arn
		again, err := w.RegisterContainerInstance(w.ctx, in)
		if err != nil || *again.ContainerInstance.ContainerInstanceArn != *got.ContainerInstanceArn {
			t.Errorf("%s makes another instance: %v", name, err)
		}
	}
	in.ContainerInstanceArn, in.TotalResources[0].IntegerValue = got.ContainerInstanceArn, new(int32(4096))
	_, err = w.RegisterContainerInstance(w.ctx, in)
	wantError(t, err, "ClientException", "Container instance type changes are not supported.")
}

func TestRegisterContainerInstanceRefuses(t *testing.T) {
	w := newInstanceWorld(t)
	for _, row := range []struct {
		name          string
		in            api.RegisterContainerInstanceRequest
		code, message string
	}{
		{"a missing cluster", api.RegisterContainerInstanceRequest{Cluster: new("prod")}, "ClusterNotFoundException", "Cluster not found."},
		{"a bad document", api.RegisterContainerInstanceRequest{InstanceIdentityDocument: new("{")}, "ClientException", "Instance identity document is not valid."},
		{"a document of no instance", api.RegisterContainerInstanceRequest{InstanceIdentityDocument: new("{}")}, "ClientException", "not valid"},
		{"an unknown ARN", api.RegisterContainerInstanceRequest{ContainerInstanceArn: new("arn:aws:ecs:eu-west-1:111122223333:container-instance/default/0123456789abcdef0123456789abcdef")}, "ClientException", "not found."},
		{"an ARN of another cluster", api.RegisterContainerInstanceRequest{ContainerInstanceArn: new("arn:aws:ecs:eu-west-1:111122223333:container-instance/prod/0123456789abcdef0123456789abcdef")}, "InvalidParameterException", "another cluster"},
		{"an unknown type of resource", api.RegisterContainerInstanceRequest{TotalResources: []api.Resource{{Name: new("X"), Type: new("STRINGSET")}}}, "InvalidParameterException", "Resource 'X' of type 'STRINGSET' is not supported."},
		{"a bad port", api.RegisterContainerInstanceRequest{TotalResources: []api.Resource{{Name: new("PORTS"), Type: new("STRINGSET"), StringSetValue: []string{"ssh"}}}}, "InvalidParameterException", "Invalid port 'ssh'."},
		{"negative CPU", api.RegisterContainerInstanceRequest{TotalResources: []api.Resource{{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: new(int32(-1))}}}, "InvalidParameterException", "negative"},
		{"a bad attribute", api.RegisterContainerInstanceRequest{Attributes: []api.Attribute{{Name: new("a"), Value: new(" x")}}}, "InvalidParameterException", "Invalid value ' x'"},
		{"a reserved tag", api.RegisterContainerInstanceRequest{Tags: []api.Tag{{Key: new("aws:x"), Value: new("")}}}, "InvalidParameterException", "reserved"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := w.RegisterContainerInstance(w.ctx, &row.in)
			wantError(t, err, row.code, row.message)
		})
	}
}

func TestDescribeContainerInstances(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(2048, 4096))
	runOn(t, w, c, "g", 512, 1000, 8080)
	absent := "0123456789abcdef0123456789abcdef"
	out, err := w.DescribeContainerInstances(w.ctx, &api.DescribeContainerInstancesRequest{
		ContainerInstances: []string{c.ID, string(c.ARN()), absent, "nonsense"}, Include: []api.ContainerInstanceField{"CONTAINER_INSTANCE_HEALTH"},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:ecs:eu-west-1:111122223333:container-instance/default/"
	want := []api.Failure{{Arn: new(arn + absent), Reason: new("MISSING")}, {Arn: new(arn + "nonsense"), Reason: new("MISSING")}}
	if diff := cmp.Diff(out.Failures, want); diff != "" {
		t.Error(diff)
	}
	if len(out.ContainerInstances) != 2 {
		t.Fatalf("got %d instances", len(out.ContainerInstances))
	}
	got := out.ContainerInstances[0]
	if n := *got.RemainingResources[0].IntegerValue; n != 1536 {
		t.Errorf("%d CPU units remain", n)
	}
	if n := *got.RemainingResources[1].IntegerValue; n != 3096 {
		t.Errorf("%d MiB remain", n)
	}
	if diff := cmp.Diff(got.RemainingResources[2].StringSetValue, []string{"22", "8080", "51678"}); diff != "" {
		t.Error(diff)
	}
	if *got.PendingTasksCount != 1 || *got.RunningTasksCount != 0 || got.HealthStatus.OverallStatus != "OK" {
		t.Errorf("got %d pending, %d running, %s", *got.PendingTasksCount, *got.RunningTasksCount, got.HealthStatus.OverallStatus)
	}
	_, err = w.DescribeContainerInstances(w.ctx, &api.DescribeContainerInstancesRequest{})
	wantError(t, err, "ClientException", "Container Instances cannot be empty.")
	_, err = w.DescribeContainerInstances(w.ctx, &api.DescribeContainerInstancesRequest{ContainerInstances: make([]string, 101)})
	wantError(t, err, "InvalidParameterException", "instanceIds can have at most 100 items.")
	_, err = w.DescribeContainerInstances(w.ctx, &api.DescribeContainerInstancesRequest{ContainerInstances: []string{"x"}, Cluster: new("none")})
	wantError(t, err, "ClusterNotFoundException", "Cluster not found.")
	_, err = w.DescribeContainerInstances(w.ctx, &api.DescribeContainerInstancesRequest{ContainerInstances: []string{"x"}, Include: []api.ContainerInstanceField{"ALL"}})
	wantError(t, err, "InvalidParameterException", "Invalid include 'ALL'")
}

func TestListContainerInstancesFiltersAndPages(t *testing.T) {
	w := newInstanceWorld(t)
	var all []ContainerInstance
	for i := range 5 {
		all = append(all, w.connect(t, fmt.Sprint("m", i), hello(1024, 1024, fmt.Sprintf("rack=%d", i%2))))
	}
	if _, err := w.UpdateContainerInstancesState(w.ctx, &api.UpdateContainerInstancesStateRequest{Status: "DRAINING", ContainerInstances: []string{all[1].ID}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(all[4].ID)}); err != nil {
		t.Fatal(err)
	}
	runOn(t, w, all[2], "service:web", 1, 1)
	for _, row := range []struct {
		name string
		in   api.ListContainerInstancesRequest
		want []int
	}{
		{"all but INACTIVE", api.ListContainerInstancesRequest{}, []int{0, 1, 2, 3}},
		{"in pages", api.ListContainerInstancesRequest{MaxResults: new(int32(3))}, []int{0, 1, 2, 3}},
		{"one by one", api.ListContainerInstancesRequest{MaxResults: new(int32(1)), Filter: new("attribute:rack == 1")}, []int{1, 3}},
		{"ACTIVE", api.ListContainerInstancesRequest{Status: "ACTIVE"}, []int{0, 2, 3}},
		{"DRAINING", api.ListContainerInstancesRequest{Status: "DRAINING"}, []int{1}},
		{"REGISTERING", api.ListContainerInstancesRequest{Status: "REGISTERING"}, nil},
		{"by attribute", api.ListContainerInstancesRequest{Filter: new("attribute:rack == 0 and agentConnected == true")}, []int{0, 2}},
		{"by group of tasks", api.ListContainerInstancesRequest{Filter: new("task:group == service:web")}, []int{2}},
		{"by running tasks", api.ListContainerInstancesRequest{Filter: new("runningTasksCount == 0 and agentVersion >= 1.2")}, []int{0, 1, 2, 3}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got, want []string
			for pages := 0; pages < 9; pages++ {
				out, err := w.ListContainerInstances(w.ctx, &row.in)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, out.ContainerInstanceArns...)
				if row.in.NextToken = out.NextToken; out.NextToken == nil {
					break
				}
			}
			for _, i := range row.want {
				want = append(want, string(all[i].ARN()))
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, row := range []struct {
		in            api.ListContainerInstancesRequest
		code, message string
	}{
		{api.ListContainerInstancesRequest{Filter: new("rack == 1")}, "InvalidParameterException", "Invalid expression"},
		{api.ListContainerInstancesRequest{Status: "INACTIVE"}, "InvalidParameterException", "Container instance status should be one of"},
		{api.ListContainerInstancesRequest{MaxResults: new(int32(101))}, "InvalidParameterException", "maxResults"},
		{api.ListContainerInstancesRequest{NextToken: new("x")}, "InvalidParameterException", "Invalid token x"},
		{api.ListContainerInstancesRequest{Cluster: new("none")}, "ClusterNotFoundException", "Cluster not found."},
	} {
		_, err := w.ListContainerInstances(w.ctx, &row.in)
		wantError(t, err, row.code, row.message)
	}
}

func TestUpdateContainerInstancesState(t *testing.T) {
	w := newInstanceWorld(t)
	c, gone := w.connect(t, "m", hello(1024, 1024)), w.connect(t, "gone", hello(1024, 1024))
	if _, err := w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(gone.ID)}); err != nil {
		t.Fatal(err)
	}
	set := func(status api.ContainerInstanceStatus, refs ...string) (*api.UpdateContainerInstancesStateResponse, error) {
		return w.UpdateContainerInstancesState(w.ctx, &api.UpdateContainerInstancesStateRequest{Status: status, ContainerInstances: refs})
	}
	out, err := set("DRAINING", c.ID, gone.ID, "none")
	if err != nil || len(out.ContainerInstances) != 1 || *out.ContainerInstances[0].Status != "DRAINING" {
		t.Fatalf("got %+v, %v", out, err)
	}
	if len(out.Failures) != 2 || *out.Failures[0].Reason != "INACTIVE" || *out.Failures[1].Reason != "MISSING" {
		t.Errorf("failures %+v", out.Failures)
	}
	version := w.instance(t, c.Key()).Version
	if out, err = set("DRAINING", c.ID); err != nil || *out.ContainerInstances[0].Version != version {
		t.Errorf("a second time changes it: %v", err)
	}
	if out, err = set("ACTIVE", string(c.ARN())); err != nil || *out.ContainerInstances[0].Status != "ACTIVE" {
		t.Errorf("got %+v, %v", out, err)
	}
	_, err = set("INACTIVE", c.ID)
	wantError(t, err, "InvalidParameterException", "Container instance status should be one of [ACTIVE,DRAINING]")
	_, err = set("ACTIVE", make([]string, 11)...)
	wantError(t, err, "InvalidParameterException", "at most 10 items")
	_, err = set("ACTIVE")
	wantError(t, err, "InvalidParameterException", "cannot be empty")
}

func TestDeregisterContainerInstance(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	task := runOn(t, w, c, "g", 512, 512, 80)
	deregister := func(ref string, force bool) (*api.DeregisterContainerInstanceResponse, error) {
		return w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{ContainerInstance: new(ref), Force: new(force)})
	}
	_, err := deregister(c.ID, false)
	wantError(t, err, "InvalidParameterException", "Found running tasks on the instance.")
	out, err := deregister(c.ID, true)
	if err != nil || *out.ContainerInstance.Status != "INACTIVE" || *out.ContainerInstance.AgentConnected {
		t.Fatalf("got %+v, %v", out, err)
	}
	stopped, _ := Tasks.Get(w.store.Read(), task.Key())
	if stopped.Last != StateStopped || stopped.Desired != StateStopped || stopped.Reserved != nil || !stopped.Orphan ||
		stopped.StopReason != "Task is being stopped because the container instance was deregistered" {
		t.Errorf("got %+v", stopped)
	}
	if got := w.instance(t, c.Key()); got.Used.CPU != 0 || len(got.Used.TCP) != 0 || len(got.Used.Groups) != 0 {
		t.Errorf("still held: %+v", got.Used)
	}
	shown, err := w.DescribeContainerInstances(w.ctx, &api.DescribeContainerInstancesRequest{ContainerInstances: []string{c.ID}})
	if err != nil || len(shown.ContainerInstances) != 1 {
		t.Errorf("not describable: %v", err)
	}
	_, err = deregister(c.ID, false)
	wantError(t, err, "InvalidParameterException", "Referenced container instance "+c.ID+" not found.")
	_, err = deregister("", false)
	wantError(t, err, "InvalidParameterException", "can not be blank")
	if clusterInstances(w.store.Read(), c.ClusterKey()) != 0 {
		t.Error("it still counts")
	}
}

func TestUpdateContainerAgentHasNoUpdate(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	_, err := w.UpdateContainerAgent(w.ctx, &api.UpdateContainerAgentRequest{ContainerInstance: new(c.ID)})
	wantError(t, err, "NoUpdateAvailableException", "There is no update available for your container agent.")
	_, err = w.UpdateContainerAgent(w.ctx, &api.UpdateContainerAgentRequest{ContainerInstance: new("none")})
	wantError(t, err, "InvalidParameterException", "Referenced container instance none not found.")
}
