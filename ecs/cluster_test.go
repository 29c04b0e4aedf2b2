package ecs

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/reconcile"
)

func TestCreateClusterShowsTheWholeCluster(t *testing.T) {
	w := newWorld(t)
	head := `{"cluster":{"clusterArn":"arn:aws:ecs:eu-west-1:111122223333:cluster/`
	counts := `"status":"ACTIVE","registeredContainerInstancesCount":0,"runningTasksCount":0,"pendingTasksCount":0,"activeServicesCount":0,"statistics":[],`
	tail := `"capacityProviders":[],"defaultCapacityProviderStrategy":[]}}`
	for _, row := range []struct{ name, in, want string }{
		{"no input makes default", `{}`, head + `default","clusterName":"default",` + counts + `"tags":[],"settings":[{"name":"containerInsights","value":"disabled"}],` + tail},
		{"settings and tags", `{"clusterName":"web","settings":[{"name":"containerInsights","value":"enhanced"}],"tags":[{"key":"b"},{"key":"a","value":"1"}]}`,
			head + `web","clusterName":"web",` + counts + `"tags":[{"key":"a","value":"1"},{"key":"b","value":""}],"settings":[{"name":"containerInsights","value":"enhanced"}],` + tail},
		{"an existing cluster stays as it is", `{"clusterName":"web","settings":[{"name":"containerInsights","value":"disabled"}],"tags":[{"key":"z"}]}`,
			head + `web","clusterName":"web",` + counts + `"tags":[{"key":"a","value":"1"},{"key":"b","value":""}],"settings":[{"name":"containerInsights","value":"enhanced"}],` + tail},
	} {
		out := must(w.CreateCluster(w.ctx, input[api.CreateClusterRequest](t, row.in)))(t)
		if got := show(out); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestDescribeClustersShowsWhatIsIncluded(t *testing.T) {
	w := newWorld(t)
	must(w.CreateCluster(w.ctx, input[api.CreateClusterRequest](t, `{"tags":[{"key":"a"}],"configuration":{"executeCommandConfiguration":{"kmsKeyId":"k"}}}`)))(t)
	describe := func(in string) *api.DescribeClustersResponse {
		return must(w.DescribeClusters(w.ctx, input[api.DescribeClustersRequest](t, in)))(t)
	}
	plain := describe(`{}`).Clusters[0]
	if len(plain.Tags)+len(plain.Settings)+len(plain.Statistics) != 0 || plain.Configuration != nil || plain.Attachments != nil {
		t.Errorf("without include: %s", show(plain))
	}
	full := describe(`{"include":["TAGS","SETTINGS","STATISTICS","CONFIGURATIONS","ATTACHMENTS"]}`).Clusters[0]
	if len(full.Tags) != 1 || len(full.Settings) != 1 || len(full.Statistics) != 16 || full.Configuration.ExecuteCommandConfiguration.Logging != "DEFAULT" || full.Attachments == nil {
		t.Errorf("with include: %s", show(full))
	}
	out := describe(`{"clusters":["none","default","arn:aws:ecs:eu-west-1:999999999999:cluster/default"]}`)
	want := `[{"arn":"arn:aws:ecs:eu-west-1:111122223333:cluster/none","reason":"MISSING"},{"arn":"arn:aws:ecs:eu-west-1:999999999999:cluster/default","reason":"MISSING"}]`
	if len(out.Clusters) != 1 || show(out.Failures) != want {
		t.Errorf("got %d clusters, failures %s", len(out.Clusters), show(out.Failures))
	}
}

func TestClusterCountsItsTasks(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1024, 1024)
	w.register(smallDefinition)
	arns := w.run(`{"taskDefinition":"small","count":4}`)
	for i, state := range []string{"RUNNING", "STOPPING", "STOPPED"} {
		if err := w.report(m, proto.TaskStatus{Arn: arns[i], LastStatus: state}); err != nil {
			t.Fatal(err)
		}
	}
	c := must(w.DescribeClusters(w.ctx, &api.DescribeClustersRequest{Include: []api.ClusterField{"STATISTICS"}}))(t).Clusters[0]
	if *c.RunningTasksCount != 1 || *c.PendingTasksCount != 1 || *c.RegisteredContainerInstancesCount != 1 {
		t.Errorf("got %s", show(c))
	}
	if got := show(c.Statistics[:2]); got != `[{"name":"runningEC2TasksCount","value":"1"},{"name":"pendingEC2TasksCount","value":"1"}]` {
		t.Errorf("statistics %s", got)
	}
}

func TestDeleteClusterWaitsForNothingToBeLeft(t *testing.T) {
	w := newWorld(t)
	w.cluster("web")
	m := w.machine("web", "m1", 1024, 1024)
	w.register(smallDefinition)
	arn := w.run(`{"cluster":"web","taskDefinition":"small"}`)[0]
	if got := w.call("DeleteCluster", `{"cluster":"web"}`); !strings.HasPrefix(got, "ClusterContainsContainerInstancesException") {
		t.Errorf("with an instance: %s", got)
	}
	must(w.DeregisterContainerInstance(w.ctx, &api.DeregisterContainerInstanceRequest{Cluster: new("web"), ContainerInstance: new(m.ID), Force: new(true)}))(t)
	for range 2 {
		out := must(w.DeleteCluster(w.ctx, &api.DeleteClusterRequest{Cluster: new("web")}))(t)
		if *out.Cluster.Status != "INACTIVE" {
			t.Errorf("deleted: %s", show(out))
		}
	}
	if got := w.describe("web", arn); *got.LastStatus != "STOPPED" {
		t.Errorf("its stopped tasks stay describable: %s", show(got))
	}
	if out := must(w.ListClusters(w.ctx, &api.ListClustersRequest{}))(t); len(out.ClusterArns) != 0 {
		t.Errorf("an INACTIVE cluster is listed: %v", out.ClusterArns)
	}
	again := must(w.CreateCluster(w.ctx, &api.CreateClusterRequest{ClusterName: new("web")}))(t)
	if *again.Cluster.Status != "ACTIVE" {
		t.Errorf("made anew: %s", show(again))
	}
}

func TestADeletedClusterIsForgottenAfterItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Service.now = time.Now
		w.cluster("web")
		must(w.DeleteCluster(w.ctx, &api.DeleteClusterRequest{Cluster: new("web")}))(t)
		go func() { _ = reconcile.Run(t.Context(), w.store, w.Reconcilers()...) }()
		time.Sleep(deletedClusterLife - time.Second)
		synctest.Wait()
		if Clusters.Len(w.store.Read()) != 1 {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if Clusters.Len(w.store.Read()) != 0 {
			t.Error("still known")
		}
	})
}

func TestUpdateClusterReplacesWhatIsNamed(t *testing.T) {
	w := newWorld(t)
	w.cluster("web")
	must(w.UpdateCluster(w.ctx, input[api.UpdateClusterRequest](t, `{"cluster":"web","configuration":{"managedStorageConfiguration":{"kmsKeyId":"k"}}}`)))(t)
	out := must(w.UpdateClusterSettings(w.ctx, input[api.UpdateClusterSettingsRequest](t, `{"cluster":"web","settings":[{"name":"containerInsights","value":"enabled"}]}`)))(t)
	if show(out.Cluster.Settings) != `[{"name":"containerInsights","value":"enabled"}]` || *out.Cluster.Configuration.ManagedStorageConfiguration.KmsKeyId != "k" {
		t.Errorf("got %s", show(out))
	}
	must(w.PutClusterCapacityProviders(w.ctx, input[api.PutClusterCapacityProvidersRequest](t, `{"cluster":"web","capacityProviders":[],"defaultCapacityProviderStrategy":[]}`)))(t)
}

func TestListClustersInPages(t *testing.T) {
	w := newWorld(t)
	var want []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.cluster(name)
		want = append(want, "arn:aws:ecs:eu-west-1:111122223333:cluster/"+name)
	}
	other := aws.WithCaller(w.ctx, aws.RootCaller("999999999999", testRegion, "X"))
	must(w.CreateCluster(other, &api.CreateClusterRequest{}))(t)
	var got []string
	in := &api.ListClustersRequest{MaxResults: new(int32(2))}
	for {
		out := must(w.ListClusters(w.ctx, in))(t)
		got = append(got, out.ClusterArns...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAccountSettingsHold(t *testing.T) {
	w := newWorld(t)
	list := func(in string) string {
		t.Helper()
		var out []string
		for _, s := range must(w.ListAccountSettings(w.ctx, input[api.ListAccountSettingsRequest](t, in)))(t).Settings {
			out = append(out, string(s.Name)+"="+*s.Value)
		}
		return strings.Join(out, " ")
	}
	if got := list(`{}`); got != "" {
		t.Errorf("nothing set: %s", got)
	}
	if got := list(`{"name":"containerInsights","effectiveSettings":true}`); got != "containerInsights=disabled" {
		t.Errorf("effective: %s", got)
	}
	put := must(w.PutAccountSettingDefault(w.ctx, input[api.PutAccountSettingDefaultRequest](t, `{"name":"containerInsights","value":"enabled"}`)))(t)
	if got := show(put.Setting); got != `{"name":"containerInsights","value":"enabled","principalArn":"arn:aws:iam::111122223333:root","type":"user"}` {
		t.Errorf("put: %s", got)
	}
	if got := list(`{}`); got != "containerInsights=enabled" {
		t.Errorf("explicit: %s", got)
	}
	c := must(w.CreateCluster(w.ctx, &api.CreateClusterRequest{}))(t)
	if show(c.Cluster.Settings) != `[{"name":"containerInsights","value":"enabled"}]` {
		t.Errorf("a new cluster has %s", show(c.Cluster.Settings))
	}
	user := "arn:aws:iam::111122223333:user/u"
	must(w.PutAccountSetting(w.ctx, input[api.PutAccountSettingRequest](t, `{"name":"containerInsights","value":"enhanced","principalArn":"`+user+`"}`)))(t)
	if got := list(`{"principalArn":"` + user + `","effectiveSettings":true,"name":"containerInsights"}`); got != "containerInsights=enhanced" {
		t.Errorf("the user's own: %s", got)
	}
	if got := list(`{"name":"containerInsights","value":"enhanced"}`); got != "" {
		t.Errorf("filtered by another value: %s", got)
	}
	deleted := must(w.DeleteAccountSetting(w.ctx, input[api.DeleteAccountSettingRequest](t, `{"name":"containerInsights","principalArn":"`+user+`"}`)))(t)
	if *deleted.Setting.Value != "enabled" {
		t.Errorf("deleted: %s", show(deleted))
	}
	first := must(w.ListAccountSettings(w.ctx, &api.ListAccountSettingsRequest{EffectiveSettings: new(true)}))(t)
	second := must(w.ListAccountSettings(w.ctx, &api.ListAccountSettingsRequest{EffectiveSettings: new(true), NextToken: first.NextToken}))(t)
	if len(first.Settings) != 10 || len(second.Settings) != len(settingRules())-10 || second.NextToken != nil {
		t.Errorf("pages of %d and %d", len(first.Settings), len(second.Settings))
	}
}

func TestTagsOfEveryResource(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 1024, 1024)
	w.register(smallDefinition)
	task := w.run(`{"taskDefinition":"small","enableECSManagedTags":true}`)[0]
	arn := "arn:aws:ecs:eu-west-1:111122223333:"
	for _, resource := range []string{arn + "cluster/default", arn + "task-definition/small:1", task, string(m.ARN())} {
		tags := func() string {
			return show(must(w.ListTagsForResource(w.ctx, &api.ListTagsForResourceRequest{ResourceArn: new(resource)}))(t).Tags)
		}
		system := ""
		if resource == task {
			system = `{"key":"aws:ecs:clusterName","value":"default"},` // sorts between a and b
		}
		must(w.TagResource(w.ctx, input[api.TagResourceRequest](t, `{"resourceArn":"`+resource+`","tags":[{"key":"a","value":"1"},{"key":"b"}]}`)))(t)
		must(w.TagResource(w.ctx, input[api.TagResourceRequest](t, `{"resourceArn":"`+resource+`","tags":[{"key":"a","value":"2"}]}`)))(t)
		if got, want := tags(), `[{"key":"a","value":"2"},`+system+`{"key":"b","value":""}]`; got != want {
			t.Errorf("%s: got %s, want %s", resource, got, want)
		}
		must(w.UntagResource(w.ctx, &api.UntagResourceRequest{ResourceArn: new(resource), TagKeys: []string{"a", "none"}}))(t)
		if got, want := tags(), `[`+system+`{"key":"b","value":""}]`; got != want {
			t.Errorf("%s: got %s, want %s", resource, got, want)
		}
		many := make([]api.Tag, 50)
		for i := range many {
			many[i] = api.Tag{Key: new("k" + itoa(int32(i)))}
		}
		_, err := w.TagResource(w.ctx, &api.TagResourceRequest{ResourceArn: new(resource), Tags: many})
		if e := asError(t, err); e.Error() != "LimitExceededException: Number of tags exceeds limit 50" {
			t.Errorf("%s: 51 tags: %v", resource, e)
		}
	}
	if err := w.report(m, proto.TaskStatus{Arn: task, LastStatus: "STOPPED"}); err != nil {
		t.Fatal(err)
	}
	if got := w.call("UntagResource", `{"resourceArn":"`+task+`","tagKeys":["b"]}`); got != ip+"The specified task is stopped. Specify a running task and try again." {
		t.Errorf("a stopped task: %s", got)
	}
}

func TestAccountsAndRegionsDoNotSeeEachOther(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 1024, 1024)
	w.register(smallDefinition)
	task := w.run(`{"taskDefinition":"small"}`)[0]
	for _, c := range []aws.Caller{aws.RootCaller("999999999999", testRegion, "X"), aws.RootCaller(testAccount, "us-east-1", "X")} {
		w.ctx = aws.WithCaller(t.Context(), c)
		w.cluster("default")
		if got := w.list(`{}`); len(got) != 0 {
			t.Errorf("%s %s lists %v", c.Account, c.Region, got)
		}
		out := must(w.DescribeTasks(w.ctx, &api.DescribeTasksRequest{Tasks: []string{task}}))(t)
		if len(out.Tasks) != 0 {
			t.Errorf("%s %s describes %s", c.Account, c.Region, show(out))
		}
		if got := w.call("StopTask", `{"task":"`+task+`"}`); got != ip+msgTaskNotFound {
			t.Errorf("StopTask: %s", got)
		}
		if got := w.families(`{}`); len(got) != 0 {
			t.Errorf("families %v", got)
		}
	}
}
