package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// machine registers a container instance that exists in the records only: 1024 CPU units, 1000 MiB, SSH's port taken.
func (w *world) machine(cluster string, tags ...types.Tag) types.ContainerInstance {
	w.t.Helper()
	in := &ecs.RegisterContainerInstanceInput{
		Cluster: &cluster, Tags: tags, VersionInfo: &types.VersionInfo{AgentVersion: new("1.2.3"), AgentHash: new("abc"), DockerVersion: new("none")},
		InstanceIdentityDocument: new(fmt.Sprintf(`{"instanceId":%q,"availabilityZone":"us-east-1a","instanceType":"t3.micro","imageId":"ami-1"}`, name("i"))),
		TotalResources: []types.Resource{
			{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: 1024}, {Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: 1000},
			{Name: new("PORTS"), Type: new("STRINGSET"), StringSetValue: []string{"22"}},
			{Name: new("PORTS_UDP"), Type: new("STRINGSET"), StringSetValue: []string{}},
		},
		Attributes: []types.Attribute{{Name: new("com.amazonaws.ecs.capability.docker-remote-api.1.18")}, {Name: new("rack"), Value: new("r1")}},
	}
	return *must(w.ecs.RegisterContainerInstance(w.t.Context(), in))(w.t).ContainerInstance
}

// resources lists name=value.
func resources(list []types.Resource) map[string]string {
	out := map[string]string{}
	for _, r := range list {
		if out[*r.Name] = fmt.Sprint(r.IntegerValue); *r.Type == "STRINGSET" {
			out[*r.Name] = fmt.Sprint(r.StringSetValue)
		}
	}
	return out
}

func attributeTexts(list []types.Attribute) (out []string) {
	for _, a := range list {
		text := *a.Name
		if a.Value != nil {
			text += "=" + *a.Value
		}
		out = append(out, text)
	}
	return out
}

func TestECSContainerInstances(t *testing.T) {
	w := newWorld(t)
	ctx, cluster := t.Context(), w.cluster("m")
	one := w.machine(cluster, types.Tag{Key: new("k"), Value: new("v")})
	arn := *one.ContainerInstanceArn
	t.Run("RegisterContainerInstance", func(t *testing.T) {
		if *one.Status != "ACTIVE" || !one.AgentConnected || one.Version != 1 || !recent(one.RegisteredAt) || *one.VersionInfo.AgentVersion != "1.2.3" {
			t.Errorf("got %+v", one)
		}
		want := map[string]string{"CPU": "1024", "MEMORY": "1000", "PORTS": "[22]", "PORTS_UDP": "[]"}
		if diff := cmp.Diff(resources(one.RegisteredResources), want); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(resources(one.RemainingResources), want); diff != "" {
			t.Error(diff)
		}
		if one.Attachments == nil || !slices.Equal(tagTexts(one.Tags), []string{"k=v"}) {
			t.Errorf("attachments %v, tags %v", one.Attachments, one.Tags)
		}
		for _, a := range []string{"rack=r1", "com.amazonaws.ecs.capability.docker-remote-api.1.18", "ecs.availability-zone=us-east-1a", "ecs.instance-type=t3.micro", "ecs.ami-id=ami-1", "ecs.os-type=linux", "ecs.os-family=LINUX"} {
			if !slices.Contains(attributeTexts(one.Attributes), a) {
				t.Errorf("attributes %v lack %s", attributeTexts(one.Attributes), a)
			}
		}
	})
	t.Run("RegisterContainerInstance again keeps the instance", func(t *testing.T) {
		in := &ecs.RegisterContainerInstanceInput{Cluster: &cluster, ContainerInstanceArn: &arn, TotalResources: []types.Resource{
			{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: 1024}, {Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: 1000},
		}}
		if out := must(w.ecs.RegisterContainerInstance(ctx, in))(t); *out.ContainerInstance.ContainerInstanceArn != arn {
			t.Errorf("got %s, want %s", *out.ContainerInstance.ContainerInstanceArn, arn)
		}
		in.TotalResources[0].IntegerValue = 4096
		_, err := w.ecs.RegisterContainerInstance(ctx, in)
		wantError(t, err, "ClientException", "Container instance type changes are not supported.")
	})
	t.Run("DescribeContainerInstances", func(t *testing.T) {
		missing := "00000000000000000000000000000000"
		out := must(w.ecs.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{Cluster: &cluster, ContainerInstances: []string{arn, missing}}))(t)
		if len(out.ContainerInstances) != 1 || out.ContainerInstances[0].Tags == nil || len(out.ContainerInstances[0].Tags) != 0 || out.ContainerInstances[0].HealthStatus != nil {
			t.Errorf("without include: %+v", out.ContainerInstances)
		}
		if len(out.Failures) != 1 || *out.Failures[0].Arn != w.arn("container-instance/"+cluster+"/"+missing) || *out.Failures[0].Reason != "MISSING" {
			t.Errorf("failures %+v", out.Failures)
		}
		out = must(w.ecs.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{
			Cluster: &cluster, ContainerInstances: []string{arn}, Include: types.ContainerInstanceField("").Values(),
		}))(t)
		if c := out.ContainerInstances[0]; out.Failures == nil || len(c.Tags) != 1 || c.HealthStatus == nil || c.HealthStatus.OverallStatus != types.InstanceHealthCheckStateOk {
			t.Errorf("with include: %+v", c)
		}
	})
	t.Run("UpdateContainerInstancesState", func(t *testing.T) {
		for _, status := range []types.ContainerInstanceStatus{types.ContainerInstanceStatusDraining, types.ContainerInstanceStatusActive} {
			out := must(w.ecs.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{Cluster: &cluster, ContainerInstances: []string{arn}, Status: status}))(t)
			if len(out.ContainerInstances) != 1 || *out.ContainerInstances[0].Status != string(status) || out.Failures == nil {
				t.Errorf("got %+v", out)
			}
		}
	})
	t.Run("UpdateContainerAgent", func(t *testing.T) {
		_, err := w.ecs.UpdateContainerAgent(ctx, &ecs.UpdateContainerAgentInput{Cluster: &cluster, ContainerInstance: &arn})
		wantError(t, err, "NoUpdateAvailableException", "There is no update available for your container agent.")
	})
	t.Run("DeregisterContainerInstance", func(t *testing.T) {
		out := must(w.ecs.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn}))(t)
		if *out.ContainerInstance.Status != "INACTIVE" || out.ContainerInstance.AgentConnected {
			t.Errorf("got %+v", out.ContainerInstance)
		}
		list := must(w.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &cluster}))(t)
		if list.ContainerInstanceArns == nil || len(list.ContainerInstanceArns) != 0 {
			t.Errorf("listed: %v", list.ContainerInstanceArns)
		}
		shown := must(w.ecs.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{Cluster: &cluster, ContainerInstances: []string{arn}}))(t)
		if len(shown.ContainerInstances) != 1 || *shown.ContainerInstances[0].Status != "INACTIVE" {
			t.Errorf("described: %+v", shown)
		}
	})
}

func TestECSListContainerInstances(t *testing.T) {
	w := newWorld(t)
	ctx, cluster := t.Context(), w.cluster("m")
	var arns []string
	for range 5 {
		arns = append(arns, *w.machine(cluster).ContainerInstanceArn)
	}
	must(w.ecs.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{
		Cluster: &cluster, ContainerInstances: arns[4:], Status: types.ContainerInstanceStatusDraining,
	}))(t)
	must(w.ecs.PutAttributes(ctx, &ecs.PutAttributesInput{Cluster: &cluster, Attributes: []types.Attribute{{Name: new("stack"), Value: new("prod"), TargetId: &arns[0]}}}))(t)
	for _, c := range []struct {
		filter string
		status types.ContainerInstanceStatus
		want   []string
	}{
		{"", "", arns},
		{"", types.ContainerInstanceStatusActive, arns[:4]},
		{"", types.ContainerInstanceStatusDraining, arns[4:]},
		{"", types.ContainerInstanceStatusRegistering, nil},
		{"attribute:stack == prod", "", arns[:1]},
		{"not(attribute:stack exists)", "", arns[1:]},
		{"attribute:rack in [r1, r2] and runningTasksCount == 0", types.ContainerInstanceStatusActive, arns[:4]},
		{"attribute:ecs.instance-type =~ t3.*", "", arns},
		{"agentVersion >= 1.10.0", "", nil},
		{"agentConnected == true", "", arns},
		{"registeredAt < 2020-01-01", "", nil},
		{"task:group == family:none", "", nil},
	} {
		var got []string
		in := &ecs.ListContainerInstancesInput{Cluster: &cluster, Status: c.status, MaxResults: new(int32(2))}
		if c.filter != "" {
			in.Filter = &c.filter
		}
		for pages := ecs.NewListContainerInstancesPaginator(w.ecs, in); pages.HasMorePages(); {
			got = append(got, must(pages.NextPage(ctx))(t).ContainerInstanceArns...)
		}
		t.Run(c.filter+string(c.status), func(t *testing.T) { sameSet(t, got, c.want) })
	}
}

func TestECSAttributes(t *testing.T) {
	w := newWorld(t)
	ctx, cluster := t.Context(), w.cluster("m")
	one, two := *w.machine(cluster).ContainerInstanceArn, *w.machine(cluster).ContainerInstanceArn
	id := two[len(two)-32:]
	t.Run("PutAttributes", func(t *testing.T) {
		out := must(w.ecs.PutAttributes(ctx, &ecs.PutAttributesInput{Cluster: &cluster, Attributes: []types.Attribute{
			{Name: new("stack"), Value: new("prod"), TargetId: &one}, {Name: new("stack"), Value: new("test"), TargetId: &id, TargetType: types.TargetTypeContainerInstance},
			{Name: new("flag"), TargetId: &two},
		}}))(t)
		if diff := cmp.Diff(attributeTexts(out.Attributes), []string{"stack=prod", "stack=test", "flag"}); diff != "" || *out.Attributes[1].TargetId != two {
			t.Errorf("%s %s", diff, *out.Attributes[1].TargetId)
		}
	})
	list := func(name, value *string) (got []string) {
		in := &ecs.ListAttributesInput{Cluster: &cluster, TargetType: types.TargetTypeContainerInstance, AttributeName: name, AttributeValue: value, MaxResults: new(int32(3))}
		for pages := ecs.NewListAttributesPaginator(w.ecs, in); pages.HasMorePages(); {
			for _, a := range must(pages.NextPage(ctx))(t).Attributes {
				got = append(got, attributeTexts([]types.Attribute{a})[0]+" "+(*a.TargetId)[len(*a.TargetId)-32:])
			}
		}
		return got
	}
	t.Run("ListAttributes", func(t *testing.T) {
		first := one[len(one)-32:]
		sameSet(t, list(new("stack"), nil), []string{"stack=prod " + first, "stack=test " + id})
		if diff := cmp.Diff(list(new("stack"), new("test")), []string{"stack=test " + id}); diff != "" {
			t.Error(diff)
		}
		all := list(nil, nil)
		if n := len(slices.Compact(slices.Sorted(slices.Values(all)))); n != len(all) || n != 7+1+7+2 {
			t.Errorf("%d different of %d: %q", n, len(all), all)
		}
		out := must(w.ecs.ListAttributes(ctx, &ecs.ListAttributesInput{Cluster: &cluster, TargetType: types.TargetTypeContainerInstance, AttributeName: new("none")}))(t)
		if out.Attributes == nil || len(out.Attributes) != 0 {
			t.Errorf("empty: %+v", out)
		}
	})
	t.Run("DeleteAttributes", func(t *testing.T) {
		out := must(w.ecs.DeleteAttributes(ctx, &ecs.DeleteAttributesInput{Cluster: &cluster, Attributes: []types.Attribute{
			{Name: new("stack"), TargetId: &one}, {Name: new("never"), TargetId: &one},
		}}))(t)
		if diff := cmp.Diff(attributeTexts(out.Attributes), []string{"stack=prod"}); diff != "" {
			t.Error(diff)
		}
		if got := list(new("stack"), new("prod")); got != nil {
			t.Errorf("still there: %v", got)
		}
	})
	t.Run("at most ten of a machine's own", func(t *testing.T) {
		for i := range 11 {
			_, err := w.ecs.PutAttributes(ctx, &ecs.PutAttributesInput{Cluster: &cluster, Attributes: []types.Attribute{{Name: new(fmt.Sprintf("a%d", i)), TargetId: &one}}})
			if i == 10 {
				wantError(t, err, "AttributeLimitExceededException", "You can apply up to 10 custom attributes for each resource.")
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}
