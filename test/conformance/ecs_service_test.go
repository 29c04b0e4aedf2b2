package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func (w *tasks) service(stem string, desired int32) types.Service {
	w.t.Helper()
	out := must(w.ecs.CreateService(w.t.Context(), &ecs.CreateServiceInput{
		Cluster: &w.cluster, ServiceName: new(name(stem)), TaskDefinition: &w.family, DesiredCount: &desired,
		Tags: []types.Tag{{Key: new("team"), Value: new("a")}},
	}))(w.t)
	return *out.Service
}

// eventually asks until the condition holds: the reconciler works beside the test.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func TestECSServicesAreListedAndTagged(t *testing.T) {
	w := newTasks(t)
	var want []string
	for range 3 {
		want = append(want, *w.service("s", 0).ServiceArn)
	}
	var got []string
	for pages := ecs.NewListServicesPaginator(w.ecs, &ecs.ListServicesInput{Cluster: &w.cluster, MaxResults: new(int32(2))}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.ServiceArns...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	tags := must(w.ecs.ListTagsForResource(t.Context(), &ecs.ListTagsForResourceInput{ResourceArn: &want[0]}))(t).Tags
	if len(tags) != 1 || *tags[0].Value != "a" {
		t.Errorf("tags %v", tags)
	}
}

func TestECSServiceRevisionOfADeployment(t *testing.T) {
	w := newTasks(t)
	s := w.service("s", 1)
	if len(s.Deployments) != 1 {
		t.Fatalf("deployments %+v", s.Deployments)
	}
	id := strings.TrimPrefix(*s.Deployments[0].Id, "ecs-svc/")
	deployments := must(w.ecs.ListServiceDeployments(t.Context(), &ecs.ListServiceDeploymentsInput{Cluster: &w.cluster, Service: s.ServiceName}))(t).ServiceDeployments
	if len(deployments) != 1 || !strings.HasSuffix(*deployments[0].TargetServiceRevisionArn, "/"+id) {
		t.Fatalf("the revision of deployment %s is not named after it: %+v", id, deployments)
	}
	out := must(w.ecs.DescribeServiceRevisions(t.Context(), &ecs.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*deployments[0].TargetServiceRevisionArn}}))(t)
	if len(out.ServiceRevisions) != 1 || *out.ServiceRevisions[0].TaskDefinition != w.arn("task-definition/"+w.family+":1") {
		t.Errorf("got %+v", out)
	}
}

func TestECSTaskProtectionOfAService(t *testing.T) {
	w := newTasks(t)
	s := w.service("s", 1)
	var task string
	eventually(t, "the service has a task", func() bool {
		list := must(w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: &w.cluster, ServiceName: s.ServiceName}))(t).TaskArns
		if len(list) == 1 {
			task = list[0]
		}
		return task != ""
	})
	set := must(w.ecs.UpdateTaskProtection(t.Context(), &ecs.UpdateTaskProtectionInput{Cluster: &w.cluster, Tasks: []string{task}, ProtectionEnabled: true, ExpiresInMinutes: new(int32(5))}))(t)
	if len(set.ProtectedTasks) != 1 || set.ProtectedTasks[0].ExpirationDate == nil {
		t.Fatalf("got %+v", set)
	}
	got := must(w.ecs.GetTaskProtection(t.Context(), &ecs.GetTaskProtectionInput{Cluster: &w.cluster, Tasks: []string{task}}))(t)
	if len(got.ProtectedTasks) != 1 || !got.ProtectedTasks[0].ProtectionEnabled || got.Failures == nil {
		t.Errorf("got %+v", got)
	}
}

func TestECSClusterWithAServiceStays(t *testing.T) {
	w := newTasks(t)
	s := w.service("s", 0)
	must(w.ecs.DeregisterContainerInstance(t.Context(), &ecs.DeregisterContainerInstanceInput{Cluster: &w.cluster, ContainerInstance: &w.machine, Force: new(true)}))(t)
	_, err := w.ecs.DeleteCluster(t.Context(), &ecs.DeleteClusterInput{Cluster: &w.cluster})
	wantError(t, err, "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
	must(w.ecs.DeleteService(t.Context(), &ecs.DeleteServiceInput{Cluster: &w.cluster, Service: s.ServiceName}))(t)
}
