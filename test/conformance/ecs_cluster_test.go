package conformance

import (
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// cluster makes a cluster with a name of its own.
func (w *world) cluster(stem string) string {
	w.t.Helper()
	c := name(stem)
	must(w.ecs.CreateCluster(w.t.Context(), &ecs.CreateClusterInput{ClusterName: &c}))(w.t)
	return c
}

func (w *world) arn(resource string) string {
	return "arn:aws:ecs:" + region + ":" + w.account + ":" + resource
}

// checkCluster compares what every answer with a cluster has. Source: ecs-behaviour 1.3, 4.2.
func (w *world) checkCluster(c *types.Cluster, name, status string) {
	w.t.Helper()
	if *c.ClusterName != name || *c.ClusterArn != w.arn("cluster/"+name) || *c.Status != status {
		w.t.Errorf("cluster %s %s %s, want %s %s", *c.ClusterName, *c.ClusterArn, *c.Status, name, status)
	}
	if c.Statistics == nil || c.Tags == nil || c.Settings == nil || c.CapacityProviders == nil || c.DefaultCapacityProviderStrategy == nil {
		w.t.Errorf("an empty list is left out: %+v", c)
	}
	if c.RunningTasksCount+c.PendingTasksCount+c.ActiveServicesCount != 0 {
		w.t.Errorf("counts: %+v", c)
	}
}

func TestECSClusters(t *testing.T) {
	w := newWorld(t)
	ctx, web := t.Context(), name("web")
	t.Run("CreateCluster", func(t *testing.T) {
		out := must(w.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{
			ClusterName: &web, Tags: []types.Tag{{Key: new("team"), Value: new("a")}},
			Configuration: &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{KmsKeyId: new("k")}},
		}))(t)
		w.checkCluster(out.Cluster, web, "ACTIVE")
		if diff := cmp.Diff(clusterSettings(out.Cluster), []string{"containerInsights=disabled"}); diff != "" {
			t.Error(diff)
		}
		if got := out.Cluster.Configuration.ExecuteCommandConfiguration.Logging; got != types.ExecuteCommandLoggingDefault {
			t.Errorf("logging %q", got)
		}
		if diff := cmp.Diff(tagTexts(out.Cluster.Tags), []string{"team=a"}); diff != "" {
			t.Error(diff)
		}
		again := must(w.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &web, Tags: []types.Tag{{Key: new("other")}}}))(t)
		if diff := cmp.Diff(tagTexts(again.Cluster.Tags), []string{"team=a"}); diff != "" {
			t.Error("an existing cluster is returned unchanged:", diff)
		}
	})
	t.Run("DescribeClusters", func(t *testing.T) {
		out := must(w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{web, w.arn("cluster/" + web), "none"}}))(t)
		if len(out.Clusters) != 2 || len(out.Clusters[0].Tags) != 0 || len(out.Clusters[0].Settings) != 0 || out.Clusters[0].Configuration != nil {
			t.Fatalf("without include: %+v", out.Clusters)
		}
		w.checkCluster(&out.Clusters[0], web, "ACTIVE")
		if len(out.Failures) != 1 || *out.Failures[0].Arn != w.arn("cluster/none") || *out.Failures[0].Reason != "MISSING" {
			t.Errorf("failures %+v", out.Failures)
		}
		out = must(w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{web}, Include: types.ClusterField("").Values()}))(t)
		c := out.Clusters[0]
		if out.Failures == nil || len(c.Tags) != 1 || len(c.Settings) != 1 || c.Configuration == nil {
			t.Errorf("with include: %+v", out)
		}
		statistics := map[string]string{}
		for _, s := range c.Statistics {
			statistics[*s.Name] = *s.Value
		}
		for _, key := range []string{"runningEC2TasksCount", "pendingFargateTasksCount", "runningExternalTasksCount", "drainingFargateServiceCount"} {
			if statistics[key] != "0" {
				t.Errorf("statistics[%s] = %q", key, statistics[key])
			}
		}
	})
	t.Run("UpdateCluster", func(t *testing.T) {
		out := must(w.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: &web, Settings: []types.ClusterSetting{
			{Name: types.ClusterSettingNameContainerInsights, Value: new("enabled")},
		}}))(t)
		w.checkCluster(out.Cluster, web, "ACTIVE")
		if !slices.Equal(clusterSettings(out.Cluster), []string{"containerInsights=enabled"}) || out.Cluster.Configuration == nil {
			t.Errorf("what is not named stays: %+v", out.Cluster)
		}
	})
	t.Run("UpdateClusterSettings", func(t *testing.T) {
		out := must(w.ecs.UpdateClusterSettings(ctx, &ecs.UpdateClusterSettingsInput{Cluster: new(w.arn("cluster/" + web)), Settings: []types.ClusterSetting{
			{Name: types.ClusterSettingNameContainerInsights, Value: new("enhanced")},
		}}))(t)
		if !slices.Equal(clusterSettings(out.Cluster), []string{"containerInsights=enhanced"}) {
			t.Errorf("settings %v", clusterSettings(out.Cluster))
		}
	})
	t.Run("PutClusterCapacityProviders", func(t *testing.T) {
		out := must(w.ecs.PutClusterCapacityProviders(ctx, &ecs.PutClusterCapacityProvidersInput{
			Cluster: &web, CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{},
		}))(t)
		w.checkCluster(out.Cluster, web, "ACTIVE")
	})
	t.Run("DeleteCluster", func(t *testing.T) {
		for range 2 { // a second time returns it again
			out := must(w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &web}))(t)
			w.checkCluster(out.Cluster, web, "INACTIVE")
		}
		out := must(w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{web}}))(t)
		if len(out.Clusters) != 1 || *out.Clusters[0].Status != "INACTIVE" {
			t.Errorf("a deleted cluster stays describable: %+v", out)
		}
		_, err := w.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: &web})
		wantError(t, err, "ClusterNotFoundException", "The referenced cluster was inactive.")
		if _, ok := errors.AsType[*types.ClusterNotFoundException](err); !ok {
			t.Errorf("not typed: %v", err)
		}
		fresh := must(w.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &web}))(t)
		w.checkCluster(fresh.Cluster, web, "ACTIVE")
		if len(fresh.Cluster.Tags) != 0 {
			t.Errorf("the new cluster has the old one's tags: %v", tagTexts(fresh.Cluster.Tags))
		}
	})
}

func TestECSClustersOfAnAccount(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	t.Run("ListClusters is empty, not absent", func(t *testing.T) {
		out := must(w.ecs.ListClusters(ctx, &ecs.ListClustersInput{}))(t)
		if out.ClusterArns == nil || len(out.ClusterArns) != 0 || out.NextToken != nil {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("DescribeClusters without names means default", func(t *testing.T) {
		out := must(w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{}))(t)
		if out.Clusters == nil || len(out.Failures) != 1 || *out.Failures[0].Arn != w.arn("cluster/default") {
			t.Errorf("got %+v", out)
		}
		made := must(w.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{}))(t)
		w.checkCluster(made.Cluster, "default", "ACTIVE")
		if out = must(w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{}))(t); len(out.Clusters) != 1 {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("ListClusters pages to the end, deleted ones left out", func(t *testing.T) {
		want := []string{w.arn("cluster/default")}
		for range 6 {
			want = append(want, w.arn("cluster/"+w.cluster("c")))
		}
		gone := w.cluster("gone")
		must(w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &gone}))(t)
		var got []string
		pages := ecs.NewListClustersPaginator(w.ecs, &ecs.ListClustersInput{MaxResults: new(int32(2))})
		for n := 0; pages.HasMorePages(); n++ {
			page := must(pages.NextPage(ctx))(t)
			if len(page.ClusterArns) > 2 || n > 5 {
				t.Fatalf("page %d has %d", n, len(page.ClusterArns))
			}
			got = append(got, page.ClusterArns...)
		}
		sameSet(t, got, want)
	})
	t.Run("accounts do not see each other", func(t *testing.T) {
		other := newWorld(t)
		if out := must(other.ecs.ListClusters(ctx, &ecs.ListClustersInput{}))(t); len(out.ClusterArns) != 0 {
			t.Errorf("got %v", out.ClusterArns)
		}
		_, err := other.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: new(w.arn("cluster/default"))})
		wantError(t, err, "ClusterNotFoundException", "Cluster not found.")
	})
}

func clusterSettings(c *types.Cluster) (out []string) {
	for _, s := range c.Settings {
		out = append(out, string(s.Name)+"="+*s.Value)
	}
	return out
}

func tagTexts(tags []types.Tag) []string {
	out := []string{}
	for _, tag := range tags {
		value := ""
		if tag.Value != nil {
			value = *tag.Value
		}
		out = append(out, *tag.Key+"="+value)
	}
	slices.Sort(out)
	return out
}

// sameSet compares lists whose order is not promised; doubles count.
func sameSet(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error("got, not wanted (-), wanted, not got (+):\n" + diff)
	}
}
