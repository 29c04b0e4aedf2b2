package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// definition registers the smallest definition, with further members if any, and returns its ARN.
func (w *world) definition(family string) string {
	w.t.Helper()
	out := must(w.ecs.RegisterTaskDefinition(w.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: &family, ContainerDefinitions: []types.ContainerDefinition{{Name: new("app"), Image: new("app:1"), Memory: new(int32(64))}},
	}))(w.t)
	return *out.TaskDefinition.TaskDefinitionArn
}

func TestECSTaskDefinitions(t *testing.T) {
	w := newWorld(t)
	ctx, family := t.Context(), name("web")
	t.Run("RegisterTaskDefinition", func(t *testing.T) { w.registers(t, family) })
	t.Run("RegisterTaskDefinition fills in sizes and ports", func(t *testing.T) {
		out := must(w.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
			Family: new(name("vpc")), NetworkMode: types.NetworkModeAwsvpc, Cpu: new(".25 vCPU"), Memory: new("0.5GB"),
			RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate}, ExecutionRoleArn: new("exec"),
			ContainerDefinitions: []types.ContainerDefinition{{
				Name: new("app"), Image: new("app"), PortMappings: []types.PortMapping{{ContainerPort: new(int32(80))}},
				HealthCheck: &types.HealthCheck{Command: []string{"CMD", "true"}},
			}},
		}))(t)
		d := out.TaskDefinition
		c := d.ContainerDefinitions[0]
		if *d.Cpu != "256" || *d.Memory != "512" || *d.ExecutionRoleArn != "arn:aws:iam::"+w.account+":role/exec" {
			t.Errorf("cpu %s, memory %s, role %s", *d.Cpu, *d.Memory, *d.ExecutionRoleArn)
		}
		if *c.PortMappings[0].HostPort != 80 || c.PortMappings[0].Protocol != types.TransportProtocolTcp {
			t.Errorf("port %+v", c.PortMappings[0])
		}
		if h := c.HealthCheck; *h.Interval != 30 || *h.Timeout != 5 || *h.Retries != 3 || h.StartPeriod != nil {
			t.Errorf("health check %+v", h)
		}
		if !slices.Contains(d.Compatibilities, types.CompatibilityEc2) || !slices.Contains(d.Compatibilities, types.CompatibilityFargate) {
			t.Errorf("compatibilities %v", d.Compatibilities)
		}
	})
	t.Run("DescribeTaskDefinition", func(t *testing.T) {
		w.definition(family)
		for ref, want := range map[string]int32{family: 2, family + ":1": 1, w.arn("task-definition/" + family + ":2"): 2} {
			out := must(w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &ref}))(t)
			if out.TaskDefinition.Revision != want || out.Tags == nil || len(out.Tags) != 0 {
				t.Errorf("%s: revision %d, tags %v", ref, out.TaskDefinition.Revision, out.Tags)
			}
		}
		out := must(w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
			TaskDefinition: new(family + ":1"), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
		}))(t)
		if diff := cmp.Diff(tagTexts(out.Tags), []string{"k=v"}); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("DeregisterTaskDefinition", func(t *testing.T) {
		for range 2 { // a second time returns it again
			out := must(w.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: new(family + ":2")}))(t)
			if out.TaskDefinition.Status != types.TaskDefinitionStatusInactive || !recent(out.TaskDefinition.DeregisteredAt) {
				t.Errorf("got %+v", out.TaskDefinition)
			}
		}
		latest := must(w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &family}))(t)
		if latest.TaskDefinition.Revision != 1 {
			t.Errorf("the latest active revision is %d", latest.TaskDefinition.Revision)
		}
	})
	t.Run("DeleteTaskDefinitions", func(t *testing.T) {
		out := must(w.ecs.DeleteTaskDefinitions(ctx, &ecs.DeleteTaskDefinitionsInput{
			TaskDefinitions: []string{family + ":2", family + ":1", family + ":9", family},
		}))(t)
		if len(out.TaskDefinitions) != 1 || out.TaskDefinitions[0].Status != types.TaskDefinitionStatusDeleteInProgress || !recent(out.TaskDefinitions[0].DeleteRequestedAt) {
			t.Errorf("got %+v", out.TaskDefinitions)
		}
		var reasons []string
		for _, f := range out.Failures {
			reasons = append(reasons, *f.Arn+" "+*f.Reason)
		}
		if diff := cmp.Diff(reasons, []string{
			w.arn("task-definition/"+family+":1") + " The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
			w.arn("task-definition/"+family+":9") + " The specified task definition does not exist. Specify a valid account, family, revision and try again.",
			w.arn("task-definition/"+family) + " The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
		}); diff != "" {
			t.Error(diff)
		}
		if third := w.definition(family); third != w.arn("task-definition/"+family+":3") {
			t.Errorf("numbers are not used again: %s", third)
		}
	})
}

// registers checks defaults and echoes of a definition in the common form.
func (w *world) registers(t *testing.T, family string) {
	out := must(w.ecs.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: &family, TaskRoleArn: new("arn:aws:iam::" + w.account + ":role/r"), Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
		Volumes: []types.Volume{{Name: new("data")}},
		ContainerDefinitions: []types.ContainerDefinition{
			{Name: new("app"), Image: new("app:1"), MemoryReservation: new(int32(64)), PortMappings: []types.PortMapping{{ContainerPort: new(int32(80))}}},
			{Name: new("side"), Image: new("side"), Memory: new(int32(32)), Essential: new(false), Environment: []types.KeyValuePair{{Name: new("B"), Value: new("1")}, {Name: new("A"), Value: new("")}}},
		},
	}))(t)
	d := out.TaskDefinition
	if *d.TaskDefinitionArn != w.arn("task-definition/"+family+":1") || *d.Family != family || d.Revision != 1 || d.Status != types.TaskDefinitionStatusActive {
		t.Errorf("got %s %d %s", *d.TaskDefinitionArn, d.Revision, d.Status)
	}
	if !recent(d.RegisteredAt) || *d.RegisteredBy != "arn:aws:iam::"+w.account+":root" {
		t.Errorf("registered %v by %s", d.RegisteredAt, *d.RegisteredBy)
	}
	if d.NetworkMode != "" || d.RequiresCompatibilities != nil || d.Cpu != nil || d.PlacementConstraints == nil || d.Volumes[0].Host == nil {
		t.Errorf("defaults: %+v", d)
	}
	if diff := cmp.Diff(tagTexts(out.Tags), []string{"k=v"}); diff != "" {
		t.Error(diff)
	}
	c := d.ContainerDefinitions[0]
	if c.Cpu != 0 || !*c.Essential || c.Environment == nil || c.MountPoints == nil || c.VolumesFrom == nil || c.SystemControls == nil {
		t.Errorf("container defaults: %+v", c)
	}
	if p := c.PortMappings[0]; *p.HostPort != 0 || p.Protocol != types.TransportProtocolTcp {
		t.Errorf("port %+v", p)
	}
	if e := d.ContainerDefinitions[1].Environment; *e[0].Name != "B" || *e[1].Value != "" || d.ContainerDefinitions[1].PortMappings == nil {
		t.Errorf("the order of the environment is kept: %+v", e)
	}
	var needs []string
	for _, a := range d.RequiresAttributes {
		needs = append(needs, *a.Name)
	}
	for _, a := range []string{"com.amazonaws.ecs.capability.task-iam-role", "com.amazonaws.ecs.capability.docker-remote-api.1.21"} {
		if !slices.Contains(needs, a) {
			t.Errorf("requiresAttributes %v lack %s", needs, a)
		}
	}
}

// What a client sent is what it gets back: nothing is dropped from a definition that has every field.
func TestECSTaskDefinitionKeepsEveryField(t *testing.T) {
	w := newWorld(t)
	const container = `{"name":"app","image":"app:1","cpu":10,"memory":128,"memoryReservation":64,"links":["side:s"],
		"portMappings":[{"containerPort":80,"hostPort":8080,"protocol":"tcp","name":"web","appProtocol":"http"},{"containerPortRange":"9000-9002","protocol":"udp"}],
		"essential":true,"restartPolicy":{"enabled":true,"ignoredExitCodes":[3],"restartAttemptPeriod":60},"entryPoint":["/bin/sh"],"command":["-c","true"],
		"environment":[{"name":"A","value":"1"}],"mountPoints":[{"sourceVolume":"v","containerPath":"/v","readOnly":true}],
		"volumesFrom":[{"sourceContainer":"side","readOnly":true}],
		"linuxParameters":{"capabilities":{"add":["NET_ADMIN"],"drop":["MKNOD"]},"devices":[{"hostPath":"/dev/fuse","containerPath":"/dev/fuse","permissions":["read"]}],
			"initProcessEnabled":true,"sharedMemorySize":64,"tmpfs":[{"containerPath":"/t","size":8,"mountOptions":["noexec"]}],"maxSwap":64,"swappiness":10},
		"dependsOn":[{"containerName":"side","condition":"HEALTHY"}],"startTimeout":10,"stopTimeout":20,"versionConsistency":"disabled","hostname":"h","user":"1:1",
		"workingDirectory":"/w","disableNetworking":false,"privileged":false,"readonlyRootFilesystem":true,"dnsServers":["127.0.0.1"],"dnsSearchDomains":["d"],
		"extraHosts":[{"hostname":"x","ipAddress":"10.0.0.1"}],"dockerSecurityOptions":["no-new-privileges"],"interactive":true,"pseudoTerminal":true,
		"dockerLabels":{"l":"1"},"ulimits":[{"name":"nofile","softLimit":10,"hardLimit":20}],
		"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"us-east-1","mode":"non-blocking","max-buffer-size":"1m"}},
		"systemControls":[{"namespace":"net.core.somaxconn","value":"10"}]}`
	const side = `{"name":"side","image":"side:1","cpu":0,"memory":32,"essential":false,"portMappings":[],"environment":[],"mountPoints":[],"volumesFrom":[],"systemControls":[],
		"resourceRequirements":[{"type":"GPU","value":"1"}],"healthCheck":{"command":["CMD-SHELL","true"],"interval":10,"timeout":2,"retries":1,"startPeriod":1}}`
	sent := fmt.Sprintf(`{"family":%q,"taskRoleArn":"arn:aws:iam::000000000000:role/t","executionRoleArn":"arn:aws:iam::000000000000:role/e","networkMode":"bridge",
		"containerDefinitions":[%s,%s],"volumes":[{"name":"v","host":{"sourcePath":"/srv"}},
		{"name":"d","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true,"driver":"local","labels":{"a":"b"}}}],
		"placementConstraints":[{"type":"memberOf","expression":"attribute:rack == 1"}],"requiresCompatibilities":["EC2"],"cpu":"512","memory":"1024",
		"pidMode":"task","ipcMode":"task","runtimePlatform":{"cpuArchitecture":"X86_64","operatingSystemFamily":"LINUX"},"enableFaultInjection":false}`,
		name("all"), container, side)
	status, _, answer := w.post("ecs", "RegisterTaskDefinition", sent)
	if status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	var want map[string]any
	var got struct{ TaskDefinition map[string]any }
	for text, into := range map[string]any{sent: &want, string(answer): &got} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	for field, value := range want {
		if diff := cmp.Diff(got.TaskDefinition[field], value); diff != "" {
			t.Errorf("%s:\n%s", field, diff)
		}
	}
}

func TestECSListsOfTaskDefinitions(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	var arns []string
	for _, family := range []string{"a", "a", "a-b", "b"} {
		arns = append(arns, w.definition(family))
	}
	for range 9 {
		arns = append(arns, w.definition("b"))
	}
	must(w.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: new("a-b:1")}))(t)
	inactive, active := arns[2], slices.Delete(slices.Clone(arns), 2, 3)
	list := func(in ecs.ListTaskDefinitionsInput) (got []string) {
		in.MaxResults = new(int32(3))
		for pages := ecs.NewListTaskDefinitionsPaginator(w.ecs, &in); pages.HasMorePages(); {
			got = append(got, must(pages.NextPage(ctx))(t).TaskDefinitionArns...)
		}
		return got
	}
	t.Run("ListTaskDefinitions", func(t *testing.T) {
		if diff := cmp.Diff(list(ecs.ListTaskDefinitionsInput{}), active); diff != "" {
			t.Error("by family, then number:", diff)
		}
		slices.Reverse(active)
		if diff := cmp.Diff(list(ecs.ListTaskDefinitionsInput{Sort: types.SortOrderDesc}), active); diff != "" {
			t.Error("descending:", diff)
		}
		if diff := cmp.Diff(list(ecs.ListTaskDefinitionsInput{FamilyPrefix: new("a")}), arns[:2]); diff != "" {
			t.Error("a whole family name:", diff)
		}
		if diff := cmp.Diff(list(ecs.ListTaskDefinitionsInput{Status: types.TaskDefinitionStatusInactive}), []string{inactive}); diff != "" {
			t.Error("inactive:", diff)
		}
		out := must(w.ecs.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{FamilyPrefix: new("none")}))(t)
		if out.TaskDefinitionArns == nil || len(out.TaskDefinitionArns) != 0 || out.NextToken != nil {
			t.Errorf("empty: %+v", out)
		}
	})
	t.Run("ListTaskDefinitionFamilies", func(t *testing.T) {
		families := func(prefix string, status types.TaskDefinitionFamilyStatus) (got []string) {
			in := &ecs.ListTaskDefinitionFamiliesInput{FamilyPrefix: &prefix, Status: status, MaxResults: new(int32(1))}
			for pages := ecs.NewListTaskDefinitionFamiliesPaginator(w.ecs, in); pages.HasMorePages(); {
				got = append(got, must(pages.NextPage(ctx))(t).Families...)
			}
			return got
		}
		for _, c := range []struct {
			prefix string
			status types.TaskDefinitionFamilyStatus
			want   []string
		}{
			{"", "", []string{"a", "a-b", "b"}},
			{"a", types.TaskDefinitionFamilyStatusAll, []string{"a", "a-b"}},
			{"", types.TaskDefinitionFamilyStatusActive, []string{"a", "b"}},
			{"", types.TaskDefinitionFamilyStatusInactive, []string{"a-b"}},
		} {
			if diff := cmp.Diff(families(c.prefix, c.status), c.want); diff != "" {
				t.Errorf("%q %s: %s", c.prefix, c.status, diff)
			}
		}
		out := must(w.ecs.ListTaskDefinitionFamilies(ctx, &ecs.ListTaskDefinitionFamiliesInput{FamilyPrefix: new("zz")}))(t)
		if out.Families == nil || len(out.Families) != 0 {
			t.Errorf("empty: %+v", out)
		}
	})
}
