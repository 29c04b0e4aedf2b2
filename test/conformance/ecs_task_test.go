package conformance

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// tasks is a cluster with one machine, and a definition with two containers and a fixed port.
type tasks struct {
	*world
	cluster, family, machine string
}

func newTasks(t *testing.T) *tasks {
	t.Helper()
	w := &tasks{world: newWorld(t), family: name("web")}
	w.cluster = w.world.cluster("t")
	w.machine = *w.world.machine(w.cluster).ContainerInstanceArn
	must(w.ecs.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: &w.family, Tags: []types.Tag{{Key: new("from"), Value: new("definition")}, {Key: new("both"), Value: new("definition")}},
		ContainerDefinitions: []types.ContainerDefinition{
			{Name: new("app"), Image: new("app:1"), Cpu: 10, Memory: new(int32(64)), PortMappings: []types.PortMapping{{ContainerPort: new(int32(80))}}},
			{Name: new("side"), Image: new("side:1"), Memory: new(int32(32)), Essential: new(false)},
		},
	}))(t)
	return w
}

func (w *tasks) run(more func(*ecs.RunTaskInput)) *ecs.RunTaskOutput {
	w.t.Helper()
	in := &ecs.RunTaskInput{Cluster: &w.cluster, TaskDefinition: &w.family}
	if more != nil {
		more(in)
	}
	return must(w.ecs.RunTask(w.t.Context(), in))(w.t)
}

func TestECSRunTask(t *testing.T) {
	w := newTasks(t)
	out := w.run(func(in *ecs.RunTaskInput) {
		in.StartedBy, in.PropagateTags, in.EnableECSManagedTags = new("me"), types.PropagateTagsTaskDefinition, true
		in.Tags = []types.Tag{{Key: new("both"), Value: new("request")}}
		in.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: new("app"), Command: []string{"x"}, Memory: new(int32(128))}}}
	})
	if len(out.Tasks) != 1 || out.Failures == nil || len(out.Failures) != 0 {
		t.Fatalf("got %+v", out)
	}
	task := out.Tasks[0]
	for got, want := range map[string]string{
		*task.LastStatus: "PENDING", *task.DesiredStatus: "RUNNING", *task.Group: "family:" + w.family, *task.StartedBy: "me", *task.Cpu: "10", *task.Memory: "160",
		*task.ClusterArn: w.arn("cluster/" + w.cluster), *task.TaskDefinitionArn: w.arn("task-definition/" + w.family + ":1"), *task.ContainerInstanceArn: w.machine,
		*task.AvailabilityZone: "us-east-1a", string(task.LaunchType): "EC2",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !recent(task.CreatedAt) || task.Version != 1 || task.StartedAt != nil || task.EnableExecuteCommand || !strings.HasPrefix(*task.TaskArn, w.arn("task/"+w.cluster+"/")) {
		t.Errorf("got %+v", task)
	}
	if task.Attachments == nil || task.Attributes == nil || task.InferenceAccelerators == nil || task.Overrides.InferenceAcceleratorOverrides == nil {
		t.Errorf("an empty list is left out: %+v", task)
	}
	if o := task.Overrides.ContainerOverrides; len(o) != 2 || *o[0].Name != "app" || o[0].Command[0] != "x" || *o[1].Name != "side" {
		t.Errorf("overrides %+v", o)
	}
	if diff := cmp.Diff(tagTexts(task.Tags), []string{"aws:ecs:clusterName=" + w.cluster, "both=request", "from=definition"}); diff != "" {
		t.Error(diff)
	}
	app := task.Containers[0]
	if *app.Name != "app" || *app.LastStatus != "PENDING" || *app.Cpu != "10" || *app.Memory != "128" || *app.Image != "app:1" || *app.TaskArn != *task.TaskArn {
		t.Errorf("container %+v", app)
	}
	if app.NetworkBindings == nil || app.NetworkInterfaces == nil || app.HealthStatus != types.HealthStatusUnknown || *task.Containers[1].Cpu != "0" {
		t.Errorf("container %+v", app)
	}
	shown := must(w.ecs.DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{Cluster: &w.cluster, ContainerInstances: []string{w.machine}}))(t).ContainerInstances[0]
	if left := resources(shown.RemainingResources); left["CPU"] != "1014" || left["MEMORY"] != "840" || shown.PendingTasksCount != 1 {
		t.Errorf("the machine has left %v, %d tasks pending", left, shown.PendingTasksCount)
	}
	must(w.ecs.StopTask(t.Context(), &ecs.StopTaskInput{Cluster: &w.cluster, Task: task.TaskArn}))(t)
}

func TestECSRunTaskAnswersWhatDoesNotFit(t *testing.T) {
	w := newTasks(t)
	out := w.run(func(in *ecs.RunTaskInput) {
		in.Count = new(int32(3))
		in.Overrides = &types.TaskOverride{Memory: new("400")}
	})
	if len(out.Tasks) != 2 || len(out.Failures) != 1 || *out.Failures[0].Arn != w.machine || *out.Failures[0].Reason != "RESOURCE:MEMORY" {
		t.Errorf("got %d tasks, failures %+v", len(out.Tasks), out.Failures)
	}
	none := w.run(func(in *ecs.RunTaskInput) {
		in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: new("attribute:rack == other")}}
	})
	if len(none.Tasks) != 0 || none.Tasks == nil || len(none.Failures) != 1 || *none.Failures[0].Reason != "MemberOf placement constraint unsatisfied" {
		t.Errorf("got %+v", none)
	}
	again := w.run(func(in *ecs.RunTaskInput) {
		in.Count, in.PlacementConstraints = new(int32(2)), []types.PlacementConstraint{{Type: types.PlacementConstraintTypeDistinctInstance}}
		in.Group = new(name("g"))
	})
	if len(again.Tasks) != 1 || len(again.Failures) != 1 || *again.Failures[0].Reason != "distinctInstance placement constraint unsatisfied." {
		t.Errorf("got %+v", again.Failures)
	}
	must(w.ecs.UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{
		Cluster: &w.cluster, ContainerInstances: []string{w.machine}, Status: types.ContainerInstanceStatusDraining,
	}))(t)
	_, err := w.ecs.RunTask(t.Context(), &ecs.RunTaskInput{Cluster: &w.cluster, TaskDefinition: &w.family})
	wantError(t, err, "InvalidParameterException", "No Container Instances were found in your cluster.")
}

func TestECSRunTaskIsIdempotentByToken(t *testing.T) {
	w := newTasks(t)
	token := func(in *ecs.RunTaskInput) { in.ClientToken = new("token-1") }
	first := w.run(token)
	again := w.run(token)
	if len(again.Tasks) != 1 || *again.Tasks[0].TaskArn != *first.Tasks[0].TaskArn {
		t.Errorf("got %+v", again.Tasks)
	}
	_, err := w.ecs.RunTask(t.Context(), &ecs.RunTaskInput{Cluster: &w.cluster, TaskDefinition: &w.family, ClientToken: new("token-1"), Count: new(int32(2))})
	e, ok := errors.AsType[*types.ConflictException](err)
	if !ok || !slices.Equal(e.ResourceIds, []string{*first.Tasks[0].TaskArn}) {
		t.Errorf("got %v, resources %v", err, e)
	}
	wantError(t, err, "ConflictException", "The provided client token is already in use with a different RunTask request")
}

func TestECSStartAndStopTask(t *testing.T) {
	w := newTasks(t)
	ctx := t.Context()
	missing := "00000000000000000000000000000000"
	t.Run("StartTask", func(t *testing.T) {
		out := must(w.ecs.StartTask(ctx, &ecs.StartTaskInput{
			Cluster: &w.cluster, TaskDefinition: &w.family, ContainerInstances: []string{w.machine, missing}, Group: new("g"), Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
		}))(t)
		if len(out.Tasks) != 1 || *out.Tasks[0].ContainerInstanceArn != w.machine || *out.Tasks[0].Group != "g" || !slices.Equal(tagTexts(out.Tasks[0].Tags), []string{"k=v"}) {
			t.Errorf("got %+v", out.Tasks)
		}
		if len(out.Failures) != 1 || *out.Failures[0].Arn != w.arn("container-instance/"+w.cluster+"/"+missing) || *out.Failures[0].Reason != "MISSING" {
			t.Errorf("failures %+v", out.Failures)
		}
	})
	t.Run("StopTask", func(t *testing.T) {
		one, two := w.run(nil).Tasks[0], w.run(nil).Tasks[0]
		out := must(w.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &w.cluster, Task: one.TaskArn, Reason: new("enough")}))(t)
		if *out.Task.DesiredStatus != "STOPPED" || *out.Task.StoppedReason != "enough" || out.Task.StopCode != types.TaskStopCodeUserInitiated || !recent(out.Task.StoppingAt) {
			t.Errorf("got %+v", out.Task)
		}
		again := must(w.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &w.cluster, Task: one.TaskArn, Reason: new("other")}))(t)
		if *again.Task.StoppedReason != "enough" || again.Task.Version != out.Task.Version {
			t.Errorf("the first reason stays: %+v", again.Task)
		}
		id := (*two.TaskArn)[len(*two.TaskArn)-32:]
		if out = must(w.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &w.cluster, Task: &id}))(t); *out.Task.StoppedReason != "Task stopped by user" {
			t.Errorf("got %+v", out.Task)
		}
	})
	t.Run("a cluster with tasks or machines stays", func(t *testing.T) {
		_, err := w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &w.cluster})
		wantError(t, err, "ClusterContainsContainerInstancesException", "The Cluster cannot be deleted while Container Instances are active or draining.")
		_, err = w.ecs.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: &w.cluster, ContainerInstance: &w.machine})
		wantError(t, err, "InvalidParameterException", "Found running tasks on the instance.")
	})
	t.Run("DeregisterContainerInstance with force ends the tasks' records", func(t *testing.T) {
		task := w.run(nil).Tasks[0]
		must(w.ecs.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: &w.cluster, ContainerInstance: &w.machine, Force: new(true)}))(t)
		out := must(w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &w.cluster, Tasks: []string{*task.TaskArn}}))(t)
		if got := out.Tasks[0]; *got.LastStatus != "STOPPED" || !recent(got.StoppedAt) || got.StoppedReason == nil {
			t.Errorf("got %+v", got)
		}
		gone := must(w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &w.cluster}))(t)
		if *gone.Cluster.Status != "INACTIVE" {
			t.Errorf("got %s", *gone.Cluster.Status)
		}
		out = must(w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &w.cluster, Tasks: []string{*task.TaskArn}}))(t)
		if len(out.Tasks) != 1 {
			t.Errorf("stopped tasks of a deleted cluster stay describable: %+v", out)
		}
	})
}

func TestECSDescribeAndListTasks(t *testing.T) {
	w := newTasks(t)
	ctx := t.Context()
	other := *w.world.machine(w.cluster).ContainerInstanceArn
	second := name("job")
	w.definition(second)
	start := func(family, machine, by string) string {
		out := must(w.ecs.StartTask(ctx, &ecs.StartTaskInput{Cluster: &w.cluster, TaskDefinition: &family, ContainerInstances: []string{machine}, StartedBy: &by}))(t)
		if len(out.Tasks) != 1 {
			t.Fatalf("failures %+v", out.Failures)
		}
		return *out.Tasks[0].TaskArn
	}
	var arns []string
	for range 3 {
		arns = append(arns, start(w.family, w.machine, "a"))
	}
	arns = append(arns, start(second, w.machine, "b"), start(second, other, "a"), start(second, other, "b"))
	must(w.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &w.cluster, Task: &arns[5]}))(t)
	t.Run("DescribeTasks", func(t *testing.T) {
		missing := "00000000000000000000000000000000"
		out := must(w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &w.cluster, Tasks: []string{arns[0], arns[1][len(arns[1])-32:], missing}}))(t)
		if len(out.Tasks) != 2 || *out.Tasks[1].TaskArn != arns[1] || out.Tasks[0].Tags == nil || len(out.Tasks[0].Tags) != 0 {
			t.Errorf("got %+v", out.Tasks)
		}
		if len(out.Failures) != 1 || *out.Failures[0].Arn != w.arn("task/"+w.cluster+"/"+missing) || *out.Failures[0].Reason != "MISSING" || out.Failures[0].Detail != nil {
			t.Errorf("failures %+v", out.Failures)
		}
	})
	t.Run("ListTasks", func(t *testing.T) {
		for _, c := range []struct {
			name string
			in   ecs.ListTasksInput
			want []string
		}{
			{"all that shall run", ecs.ListTasksInput{}, arns[:5]},
			{"stopping ones", ecs.ListTasksInput{DesiredStatus: types.DesiredStatusStopped}, arns[5:]},
			{"pending finds nothing", ecs.ListTasksInput{DesiredStatus: types.DesiredStatusPending}, nil},
			{"family", ecs.ListTasksInput{Family: &second}, arns[3:5]},
			{"machine", ecs.ListTasksInput{ContainerInstance: &other}, arns[4:5]},
			{"machine by ID and family", ecs.ListTasksInput{ContainerInstance: new(w.machine[len(w.machine)-32:]), Family: &second}, arns[3:4]},
			{"starter", ecs.ListTasksInput{StartedBy: new("a")}, append(slices.Clone(arns[:3]), arns[4])},
			{"launch type", ecs.ListTasksInput{LaunchType: types.LaunchTypeEc2}, arns[:5]},
			{"other launch type", ecs.ListTasksInput{LaunchType: types.LaunchTypeFargate}, nil},
			{"unknown family", ecs.ListTasksInput{Family: new("none")}, nil},
		} {
			var got []string
			c.in.Cluster, c.in.MaxResults = &w.cluster, new(int32(2))
			for pages := ecs.NewListTasksPaginator(w.ecs, &c.in); pages.HasMorePages(); {
				page := must(pages.NextPage(ctx))(t)
				if page.TaskArns == nil || len(page.TaskArns) > 2 {
					t.Fatalf("%s: page %v", c.name, page.TaskArns)
				}
				got = append(got, page.TaskArns...)
			}
			t.Run(c.name, func(t *testing.T) { sameSet(t, got, c.want) })
		}
	})
	t.Run("counts of the cluster", func(t *testing.T) {
		c := must(w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{w.cluster}}))(t).Clusters[0]
		if c.RegisteredContainerInstancesCount != 2 || c.PendingTasksCount != 6 || c.RunningTasksCount != 0 {
			t.Errorf("got %+v", c)
		}
	})
}
