package conformance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	api "berth/api/ecs"
	product "berth/ecs"
)

func TestECSTags(t *testing.T) {
	w := newTasks(t)
	ctx := t.Context()
	task := *w.run(nil).Tasks[0].TaskArn
	for kind, arn := range map[string]string{
		"cluster": w.arn("cluster/" + w.cluster), "task": task, "container instance": w.machine, "task definition": w.arn("task-definition/" + w.family + ":1"),
	} {
		t.Run("TagResource, UntagResource, ListTagsForResource of a "+kind, func(t *testing.T) {
			before := tagTexts(must(w.ecs.ListTagsForResource(ctx, &ecs.ListTagsForResourceInput{ResourceArn: &arn}))(t).Tags)
			must(w.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: new("z1"), Value: new("1")}, {Key: new("z2")}}}))(t)
			must(w.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: new("z1"), Value: new("2")}}}))(t)
			must(w.ecs.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"z2", "never"}}))(t)
			out := must(w.ecs.ListTagsForResource(ctx, &ecs.ListTagsForResourceInput{ResourceArn: &arn}))(t)
			if diff := cmp.Diff(tagTexts(out.Tags), append(before, "z1=2")); diff != "" {
				t.Error(diff)
			}
		})
	}
	out := must(w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &w.cluster, Tasks: []string{task}, Include: []types.TaskField{types.TaskFieldTags}}))(t)
	if diff := cmp.Diff(tagTexts(out.Tasks[0].Tags), []string{"z1=2"}); diff != "" {
		t.Error(diff)
	}
}

func TestECSAccountSettings(t *testing.T) {
	w := ownAccount(t)
	ctx, root := t.Context(), "arn:aws:iam::"+w.account+":root"
	list := func(in ecs.ListAccountSettingsInput) map[string]string {
		t.Helper()
		got := map[string]string{}
		in.MaxResults = 3
		for pages := ecs.NewListAccountSettingsPaginator(w.ecs, &in); pages.HasMorePages(); {
			for _, s := range must(pages.NextPage(ctx))(t).Settings {
				got[string(s.Name)] = *s.Value
			}
		}
		return got
	}
	t.Run("PutAccountSetting", func(t *testing.T) {
		out := must(w.ecs.PutAccountSetting(ctx, &ecs.PutAccountSettingInput{Name: types.SettingNameContainerInsights, Value: new("enabled")}))(t)
		if s := out.Setting; s.Name != types.SettingNameContainerInsights || *s.Value != "enabled" || *s.PrincipalArn != root || s.Type != types.SettingTypeUser {
			t.Errorf("got %+v", s)
		}
		made := must(w.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: new(name("c"))}))(t)
		if diff := cmp.Diff(clusterSettings(made.Cluster), []string{"containerInsights=enabled"}); diff != "" {
			t.Error("the setting is the default of new clusters:", diff)
		}
	})
	t.Run("PutAccountSettingDefault", func(t *testing.T) {
		out := must(w.ecs.PutAccountSettingDefault(ctx, &ecs.PutAccountSettingDefaultInput{Name: types.SettingNameAwsvpcTrunking, Value: new("enabled")}))(t)
		if *out.Setting.PrincipalArn != root || *out.Setting.Value != "enabled" {
			t.Errorf("got %+v", out.Setting)
		}
	})
	t.Run("ListAccountSettings", func(t *testing.T) {
		if diff := cmp.Diff(list(ecs.ListAccountSettingsInput{}), map[string]string{"containerInsights": "enabled", "awsvpcTrunking": "enabled"}); diff != "" {
			t.Error(diff)
		}
		all := list(ecs.ListAccountSettingsInput{EffectiveSettings: true})
		if len(all) != 12 || all["taskLongArnFormat"] != "enabled" || all["fargateTaskRetirementWaitPeriod"] != "7" || all["awsvpcTrunking"] != "enabled" {
			t.Errorf("effective: %v", all)
		}
		one := list(ecs.ListAccountSettingsInput{EffectiveSettings: true, Name: types.SettingNameContainerInsights, Value: new("enabled")})
		if len(one) != 1 {
			t.Errorf("filtered: %v", one)
		}
	})
	t.Run("DeleteAccountSetting", func(t *testing.T) {
		out := must(w.ecs.DeleteAccountSetting(ctx, &ecs.DeleteAccountSettingInput{Name: types.SettingNameContainerInsights}))(t)
		if out.Setting.Name != types.SettingNameContainerInsights || *out.Setting.PrincipalArn != root {
			t.Errorf("got %+v", out.Setting)
		}
		if diff := cmp.Diff(list(ecs.ListAccountSettingsInput{}), map[string]string{"awsvpcTrunking": "enabled"}); diff != "" {
			t.Error(diff)
		}
	})
}

// Every operation of the model either does something or says in its first words that it does not.
func TestECSRefusesWhatIsNotBuilt(t *testing.T) {
	w := newWorld(t)
	support := map[string]product.Support{}
	for _, c := range product.OperationCoverage() {
		support[c.Name] = c.Support
	}
	for _, op := range api.API.Operations {
		got := w.refusal("ecs", op.Name, "{}")
		if refused := "UnsupportedFeatureException: The operation " + op.Name + " of ECS is not supported by this Berth."; support[op.Name] == product.Refused {
			if got != refused {
				t.Errorf("%s: got %s, want %s", op.Name, got, refused)
			}
		} else if strings.HasPrefix(got, "UnsupportedFeatureException") || strings.HasPrefix(got, "UnknownOperation") || strings.HasPrefix(got, "ServerException") {
			t.Errorf("%s is %s and answers %s", op.Name, support[op.Name], got)
		}
	}
	if got := w.refusal("ecs", "FlyToTheMoon", "{}"); got != "UnknownOperationException: Unknown operation FlyToTheMoon." {
		t.Errorf("unknown operation: %s", got)
	}
}
