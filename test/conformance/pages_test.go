package conformance

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// A page token is good for the request that it came from, and for nothing else.
func TestPageTokensAreBoundToTheirRequest(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	cluster, other := w.cluster("a"), w.cluster("b")
	for range 3 {
		w.machine(cluster)
		w.machine(other)
	}
	page := must(w.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &cluster, MaxResults: new(int32(1))}))(t)
	token := *page.NextToken
	refused := "Invalid token " + token
	_, err := w.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &other, NextToken: &token})
	wantError(t, err, "InvalidParameterException", refused)
	_, err = w.ecs.ListClusters(ctx, &ecs.ListClustersInput{NextToken: &token})
	wantError(t, err, "InvalidParameterException", refused)
	_, err = w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, NextToken: &token})
	wantError(t, err, "InvalidParameterException", refused)
	stranger := ownAccount(t)
	must(stranger.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &cluster}))(t)
	_, err = stranger.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &cluster, NextToken: &token})
	wantError(t, err, "InvalidParameterException", refused)
	bent := []byte(token)
	bent[len(bent)/2] ^= 1
	_, err = w.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &cluster, NextToken: new(string(bent))})
	wantError(t, err, "InvalidParameterException", "Invalid token "+string(bent))
	must(w.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &cluster, NextToken: &token, MaxResults: new(int32(2))}))(t)
}

// What was there when a list began and is there when it ends is in it once, whatever else comes and goes.
func TestPagesAreStableUnderWrites(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	t.Run("clusters", func(t *testing.T) {
		var stay []string
		for range 5 {
			stay = append(stay, w.arn("cluster/"+w.cluster("stay")))
		}
		var got []string
		pages := ecs.NewListClustersPaginator(w.ecs, &ecs.ListClustersInput{MaxResults: new(int32(2))})
		for n := 0; pages.HasMorePages() && n < 50; n++ {
			got = append(got, must(pages.NextPage(ctx))(t).ClusterArns...)
			w.cluster("a") // sorts before all that is still to come
			gone := w.cluster("stay")
			must(w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &gone}))(t)
		}
		got = slices.DeleteFunc(got, func(arn string) bool { return !slices.Contains(stay, arn) })
		sameSet(t, got, stay)
	})
	t.Run("settings that go", func(t *testing.T) {
		names := []types.SettingName{types.SettingNameAwsvpcTrunking, types.SettingNameContainerInsights, types.SettingNameFargateFipsMode}
		for _, s := range names {
			must(w.ecs.PutAccountSetting(ctx, &ecs.PutAccountSettingInput{Name: s, Value: new("enabled")}))(t)
		}
		var got []string
		pages := ecs.NewListAccountSettingsPaginator(w.ecs, &ecs.ListAccountSettingsInput{MaxResults: 1})
		for n := 0; pages.HasMorePages() && n < 10; n++ {
			for _, s := range must(pages.NextPage(ctx))(t).Settings {
				got = append(got, string(s.Name))
				must(w.ecs.DeleteAccountSetting(ctx, &ecs.DeleteAccountSettingInput{Name: s.Name}))(t)
			}
		}
		if want := []string{"awsvpcTrunking", "containerInsights", "fargateFIPSMode"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
