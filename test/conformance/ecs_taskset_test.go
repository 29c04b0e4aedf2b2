package conformance

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestECSTaskSets(t *testing.T) {
	w := newTasks(t)
	v := must(w.ecs.CreateService(t.Context(), &ecs.CreateServiceInput{
		Cluster: &w.cluster, ServiceName: new(name("s")), DesiredCount: new(int32(2)),
		DeploymentController: &types.DeploymentController{Type: types.DeploymentControllerTypeExternal},
	}))(t).Service
	if len(v.Deployments) != 0 || len(v.TaskSets) != 0 || v.TaskDefinition != nil || v.DeploymentController.Type != types.DeploymentControllerTypeExternal {
		t.Errorf("created %+v", v)
	}
	set := must(w.ecs.CreateTaskSet(t.Context(), &ecs.CreateTaskSetInput{
		Cluster: &w.cluster, Service: v.ServiceName, TaskDefinition: &w.family, ExternalId: new("v1"), ClientToken: new(name("k")),
		Scale: &types.Scale{Value: 50, Unit: types.ScaleUnitPercent}, Tags: []types.Tag{{Key: new("team"), Value: new("a")}},
	}))(t).TaskSet
	if *set.Status != "ACTIVE" || set.ComputedDesiredCount != 1 || *set.ExternalId != "v1" || set.Scale.Value != 50 || set.StabilityStatus != types.StabilityStatusStabilizing || len(set.Tags) != 1 {
		t.Errorf("task set %+v", set)
	}
	eventually(t, "the task set has a task", func() bool {
		out := must(w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: &w.cluster, StartedBy: set.Id}))(t)
		return len(out.TaskArns) == 1
	})
	primary := must(w.ecs.UpdateServicePrimaryTaskSet(t.Context(), &ecs.UpdateServicePrimaryTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, PrimaryTaskSet: set.Id}))(t).TaskSet
	if *primary.Status != "PRIMARY" {
		t.Errorf("status %s", *primary.Status)
	}
	shown := must(w.ecs.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: &w.cluster, Services: []string{*v.ServiceName}}))(t).Services[0]
	if len(shown.TaskSets) != 1 || *shown.TaskDefinition != *set.TaskDefinition || shown.LaunchType != types.LaunchTypeEc2 {
		t.Errorf("service %+v", shown)
	}
	scaled := must(w.ecs.UpdateTaskSet(t.Context(), &ecs.UpdateTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, TaskSet: set.TaskSetArn, Scale: &types.Scale{Value: 0, Unit: types.ScaleUnitPercent}}))(t).TaskSet
	if scaled.ComputedDesiredCount != 0 {
		t.Errorf("scaled %+v", scaled)
	}
	_, err := w.ecs.DeleteTaskSet(t.Context(), &ecs.DeleteTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, TaskSet: set.Id})
	if bad := (*types.InvalidParameterException)(nil); !errors.As(err, &bad) {
		t.Errorf("the primary task set without force: %v", err)
	}
	gone := must(w.ecs.DeleteTaskSet(t.Context(), &ecs.DeleteTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, TaskSet: set.Id, Force: new(true)}))(t).TaskSet
	if *gone.Status != "DRAINING" {
		t.Errorf("deleted %s", *gone.Status)
	}
	// No agent answers here, so its task stays; a set without tasks goes.
	empty := must(w.ecs.CreateTaskSet(t.Context(), &ecs.CreateTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, TaskDefinition: &w.family}))(t).TaskSet
	must(w.ecs.DeleteTaskSet(t.Context(), &ecs.DeleteTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, TaskSet: empty.Id}))(t)
	eventually(t, "the empty task set is gone", func() bool {
		out := must(w.ecs.DescribeTaskSets(t.Context(), &ecs.DescribeTaskSetsInput{Cluster: &w.cluster, Service: v.ServiceName, TaskSets: []string{*empty.Id}}))(t)
		return len(out.TaskSets) == 0 && len(out.Failures) == 1
	})
	_, err = w.ecs.UpdateTaskSet(t.Context(), &ecs.UpdateTaskSetInput{Cluster: &w.cluster, Service: v.ServiceName, TaskSet: empty.Id, Scale: &types.Scale{Value: 1, Unit: types.ScaleUnitPercent}})
	if bad := (*types.TaskSetNotFoundException)(nil); !errors.As(err, &bad) {
		t.Errorf("a task set that is gone: %v", err)
	}
	own := w.service("own", 0)
	_, err = w.ecs.CreateTaskSet(t.Context(), &ecs.CreateTaskSetInput{Cluster: &w.cluster, Service: own.ServiceName, TaskDefinition: &w.family})
	if bad := (*types.InvalidParameterException)(nil); !errors.As(err, &bad) {
		t.Errorf("a service of another controller: %v", err)
	}
}
