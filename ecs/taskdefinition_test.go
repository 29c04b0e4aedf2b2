package ecs

import (
	"slices"
	"strings"
	"testing"

	api "berth/api/ecs"
)

// registered registers a definition and shows it without what every definition has.
func (w *world) registered(text string) *api.TaskDefinition {
	w.t.Helper()
	return must(w.RegisterTaskDefinition(w.ctx, input[api.RegisterTaskDefinitionRequest](w.t, text)))(w.t).TaskDefinition
}

func TestRegisteredDefinitionIsInNormalForm(t *testing.T) {
	head := `{"taskDefinitionArn":"arn:aws:ecs:eu-west-1:111122223333:task-definition/f:1","containerDefinitions":[`
	tail := `"registeredAt":1935655200,"registeredBy":"arn:aws:iam::111122223333:root"}`
	lists := `"environment":[],"mountPoints":[],"volumesFrom":[]`
	remote := `{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.18"}`
	for _, row := range []struct{ name, in, containers, rest string }{
		{"the smallest one", `"containerDefinitions":[{"name":"a","image":"i","memory":64}]`,
			`{"name":"a","image":"i","cpu":0,"memory":64,"portMappings":[],"essential":true,` + lists + `,"systemControls":[]}`,
			`"family":"f","revision":1,"volumes":[],"status":"ACTIVE","requiresAttributes":[` + remote + `],"placementConstraints":[],"compatibilities":["EC2","EXTERNAL"],`},
		{"ports in bridge mode", `"containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":80},{"containerPort":53,"hostPort":5353,"protocol":"udp"},{"containerPortRange":"90-99"}]}]`,
			`{"name":"a","image":"i","cpu":0,"memory":64,"portMappings":[{"containerPort":80,"hostPort":0,"protocol":"tcp"},{"containerPort":53,"hostPort":5353,"protocol":"udp"},{"protocol":"tcp","containerPortRange":"90-99"}],"essential":true,` + lists + `,"systemControls":[]}`,
			`"family":"f","revision":1,"volumes":[],"status":"ACTIVE","requiresAttributes":[` + remote + `,{"name":"ecs.capability.network.container-port-range"}],"placementConstraints":[],"compatibilities":["EC2","EXTERNAL"],`},
		{"ports in awsvpc mode, sizes in words, roles by name",
			`"networkMode":"awsvpc","cpu":"1 vCPU","memory":"2GB","taskRoleArn":"app","executionRoleArn":"path/exec","containerDefinitions":[{"name":"a","image":"i","portMappings":[{"containerPort":80}]}]`,
			`{"name":"a","image":"i","cpu":0,"portMappings":[{"containerPort":80,"hostPort":80,"protocol":"tcp"}],"essential":true,` + lists + `,"systemControls":[]}`,
			`"family":"f","taskRoleArn":"arn:aws:iam::111122223333:role/app","executionRoleArn":"arn:aws:iam::111122223333:role/path/exec","networkMode":"awsvpc","revision":1,"volumes":[],"status":"ACTIVE",` +
				`"requiresAttributes":[` + remote + `,{"name":"com.amazonaws.ecs.capability.task-iam-role"},{"name":"ecs.capability.task-cpu-mem-limit"},{"name":"ecs.capability.task-eni"}],` +
				`"placementConstraints":[],"compatibilities":["EC2","FARGATE","MANAGED_INSTANCES"],"cpu":"1024","memory":"2048",`},
		{"health check and volumes", `"volumes":[{"name":"v"},{"name":"d","dockerVolumeConfiguration":{}}],"containerDefinitions":[{"name":"a","image":"i","memory":64,"healthCheck":{"command":["CMD","x"],"timeout":9}}]`,
			`{"name":"a","image":"i","cpu":0,"memory":64,"portMappings":[],"essential":true,` + lists + `,"healthCheck":{"command":["CMD","x"],"interval":30,"timeout":9,"retries":3},"systemControls":[]}`,
			`"family":"f","revision":1,"volumes":[{"name":"v","host":{}},{"name":"d","dockerVolumeConfiguration":{"scope":"task","driver":"local"}}],"status":"ACTIVE",` +
				`"requiresAttributes":[` + remote + `,{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.24"},{"name":"ecs.capability.container-health-check"},{"name":"ecs.capability.docker-plugin.local"}],"placementConstraints":[],"compatibilities":["EC2","EXTERNAL"],`},
	} {
		w := newWorld(t)
		got := show(w.registered(`{"family":"f",` + row.in + `}`))
		want := head + row.containers + `],` + row.rest + tail
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, want)
		}
		// What Describe shows can be registered again, less what only the service sets.
		again := input[api.TaskDefinition](t, got)
		again.TaskDefinitionArn, again.Revision, again.Status, again.RequiresAttributes = nil, nil, "", nil
		again.Compatibilities, again.RegisteredAt, again.RegisteredBy = nil, nil, nil
		second := w.registered(show(again))
		second.Revision, second.TaskDefinitionArn = new(int32(1)), new(strings.Replace(*second.TaskDefinitionArn, ":2", ":1", 1))
		if show(second) != want {
			t.Errorf("%s: registered again:\n got %s\nwant %s", row.name, show(second), want)
		}
	}
}

func TestRequiredAttributesFollowTheContent(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct{ in, want string }{
		{`"memoryReservation":9`, remoteAPI + "1.21"},
		{`"linuxParameters":{"tmpfs":[{"containerPath":"/t","size":1}]}`, remoteAPI + "1.22"},
		{`"linuxParameters":{"initProcessEnabled":true}`, remoteAPI + "1.25"},
		{`"privileged":true`, "com.amazonaws.ecs.capability.privileged-container"},
		{`"image":"111122223333.dkr.ecr.eu-west-1.amazonaws.com/x"`, "com.amazonaws.ecs.capability.ecr-auth"},
		{`"stopTimeout":5`, "ecs.capability.container-ordering"},
		{`"restartPolicy":{"enabled":true}`, "ecs.capability.container-restart-policy"},
		{`"logConfiguration":{"logDriver":"json-file"}`, "com.amazonaws.ecs.capability.logging-driver.json-file"},
		{`"dockerSecurityOptions":["apparmor:x"]`, "com.amazonaws.ecs.capability.apparmor"},
		{`"dockerSecurityOptions":["label:x"]`, "com.amazonaws.ecs.capability.selinux"},
	} {
		d := w.registered(`{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,` + row.in + `}]}`)
		if !slices.ContainsFunc(d.RequiresAttributes, func(a api.Attribute) bool { return *a.Name == row.want }) {
			t.Errorf("%s: %s is not in %s", row.in, row.want, show(d.RequiresAttributes))
		}
	}
}

func TestFargateSizes(t *testing.T) {
	for _, row := range []struct {
		cpu    int32
		memory []int32
		not    []int32
	}{
		{256, []int32{512, 1024, 2048}, []int32{256, 1536, 3072}},
		{512, []int32{1024, 4096}, []int32{512, 5120}},
		{1024, []int32{2048, 3072, 8192}, []int32{1024, 9216, 2049}},
		{2048, []int32{4096, 16384}, []int32{3072, 17408}},
		{4096, []int32{8192, 30720}, []int32{7168, 31744}},
		{8192, []int32{16384, 20480, 61440}, []int32{17408, 65536}},
		{16384, []int32{32768, 40960, 122880}, []int32{36864, 131072}},
		{128, nil, []int32{512}}, {3072, nil, []int32{8192}},
	} {
		for _, m := range row.memory {
			if !fargateSize(row.cpu, m) {
				t.Errorf("%d CPU with %d MiB is missing", row.cpu, m)
			}
		}
		for _, m := range row.not {
			if fargateSize(row.cpu, m) {
				t.Errorf("%d CPU with %d MiB should not be", row.cpu, m)
			}
		}
	}
}

func TestTaskSizesAreReadInWords(t *testing.T) {
	for in, want := range map[string]string{
		"256": "256", "1 vCPU": "1024", "1 vcpu": "1024", ".25 vcpu": "256", "0.5vCPU": "512", "2 VCPU": "2048",
	} {
		if got := value(normalCPU(&in)); got != want {
			t.Errorf("cpu %q: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"512": "512", "1GB": "1024", "1 GB": "1024", ".5 gb": "512", "30 gb": "30720"} {
		if got := value(normalMemory(&in)); got != want {
			t.Errorf("memory %q: got %s, want %s", in, got, want)
		}
	}
}

func (w *world) definitions(text string) (tails []string) {
	w.t.Helper()
	out := must(w.ListTaskDefinitions(w.ctx, input[api.ListTaskDefinitionsRequest](w.t, text)))(w.t)
	for _, arn := range out.TaskDefinitionArns {
		tails = append(tails, arn[strings.LastIndexByte(arn, '/')+1:])
	}
	return tails
}

func (w *world) families(text string) []string {
	w.t.Helper()
	return must(w.ListTaskDefinitionFamilies(w.ctx, input[api.ListTaskDefinitionFamiliesRequest](w.t, text)))(w.t).Families
}

func TestTaskDefinitionLists(t *testing.T) {
	w := newWorld(t)
	family := func(name string, n int) {
		for range n {
			w.register(strings.Replace(smallDefinition, "small", name, 1))
		}
	}
	family("app", 11)
	family("app-x", 1)
	family("app1", 1)
	family("bpp", 2)
	for _, ref := range []string{"app:3", "app1:1", "bpp:1", "bpp:2"} {
		must(w.DeregisterTaskDefinition(w.ctx, &api.DeregisterTaskDefinitionRequest{TaskDefinition: new(ref)}))(t)
	}
	must(w.DeleteTaskDefinitions(w.ctx, &api.DeleteTaskDefinitionsRequest{TaskDefinitions: []string{"bpp:1"}}))(t)
	app := []string{"app:1", "app:2", "app:4", "app:5", "app:6", "app:7", "app:8", "app:9", "app:10", "app:11"}
	reversed := slices.Clone(app)
	slices.Reverse(reversed)
	for _, row := range []struct {
		in   string
		want []string
	}{
		{`{}`, append(slices.Clone(app), "app-x:1")},
		{`{"familyPrefix":"app"}`, app},
		{`{"familyPrefix":"ap"}`, nil},
		{`{"familyPrefix":"app","sort":"DESC"}`, reversed},
		{`{"sort":"DESC"}`, append([]string{"app-x:1"}, reversed...)},
		{`{"status":"INACTIVE"}`, []string{"app:3", "app1:1", "bpp:2"}},
		{`{"status":"INACTIVE","sort":"DESC"}`, []string{"bpp:2", "app1:1", "app:3"}},
		{`{"status":"DELETE_IN_PROGRESS"}`, []string{"bpp:1"}},
	} {
		if got := w.definitions(row.in); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.in, got, row.want)
		}
	}
	for in, want := range map[string][]string{
		`{}`: {"app", "app-x", "app1", "bpp"}, `{"status":"ALL"}`: {"app", "app-x", "app1", "bpp"},
		`{"status":"ACTIVE"}`: {"app", "app-x"}, `{"status":"INACTIVE"}`: {"app1", "bpp"}, `{"familyPrefix":"app1"}`: {"app1"}, `{"familyPrefix":"z"}`: {},
	} {
		if got := w.families(in); !slices.Equal(got, want) {
			t.Errorf("families %s: got %v, want %v", in, got, want)
		}
	}
	for _, sort := range []api.SortOrder{"ASC", "DESC"} {
		in := &api.ListTaskDefinitionsRequest{FamilyPrefix: new("app"), Sort: sort, MaxResults: new(int32(3))}
		var got []string
		for {
			out := must(w.ListTaskDefinitions(w.ctx, in))(t)
			for _, arn := range out.TaskDefinitionArns {
				got = append(got, arn[strings.LastIndexByte(arn, '/')+1:])
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		want := app
		if sort == "DESC" {
			want = reversed
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s in pages of 3: got %v, want %v", sort, got, want)
		}
	}
}

func TestFamilyMeansItsLatestActiveRevision(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.register(smallDefinition)
	}
	describe := func(ref string) string {
		out, err := w.DescribeTaskDefinition(w.ctx, &api.DescribeTaskDefinitionRequest{TaskDefinition: new(ref)})
		if err != nil {
			return err.Error()
		}
		return itoa(*out.TaskDefinition.Revision) + " " + string(out.TaskDefinition.Status)
	}
	deregister := func(ref string) {
		must(w.DeregisterTaskDefinition(w.ctx, &api.DeregisterTaskDefinitionRequest{TaskDefinition: new(ref)}))(t)
	}
	arn := "arn:aws:ecs:eu-west-1:111122223333:task-definition/small"
	for _, ref := range []string{"small", arn, "small:3", arn + ":3"} {
		if got := describe(ref); got != "3 ACTIVE" {
			t.Errorf("%s: got %s", ref, got)
		}
	}
	deregister("small:3")
	deregister("small:3")
	if got := describe("small:3"); got != "3 INACTIVE" {
		t.Errorf("deregistered: got %s", got)
	}
	if got := describe("small"); got != "2 ACTIVE" {
		t.Errorf("latest: got %s", got)
	}
	deregister("small:1")
	deregister("small:2")
	if got := describe("small"); got != "ClientException: Unable to describe task definition." {
		t.Errorf("family without ACTIVE revision: got %s", got)
	}
	if got := w.register(smallDefinition); got != "small:4" {
		t.Errorf("next revision: %s", got)
	}
	if got := describe("small"); got != "4 ACTIVE" {
		t.Errorf("latest: got %s", got)
	}
}

func TestDeleteTaskDefinitionsAnswersForEach(t *testing.T) {
	w := newWorld(t)
	w.register(smallDefinition)
	w.register(smallDefinition)
	must(w.DeregisterTaskDefinition(w.ctx, &api.DeregisterTaskDefinitionRequest{TaskDefinition: new("small:1")}))(t)
	out := must(w.DeleteTaskDefinitions(w.ctx, &api.DeleteTaskDefinitionsRequest{TaskDefinitions: []string{"small:1", "small:2", "small:9", "small", "a b", "small:1"}}))(t)
	var got []string
	for _, d := range out.TaskDefinitions {
		got = append(got, itoa(*d.Revision)+" "+string(d.Status))
	}
	if !slices.Equal(got, []string{"1 DELETE_IN_PROGRESS", "1 DELETE_IN_PROGRESS"}) {
		t.Errorf("deleted %v", got)
	}
	arn := "arn:aws:ecs:eu-west-1:111122223333:task-definition/"
	want := []string{
		arn + "small:2 The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
		arn + "small:9 The specified task definition does not exist. Specify a valid account, family, revision and try again.",
		arn + "small The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
		arn + "a b The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
	}
	got = nil
	for _, f := range out.Failures {
		got = append(got, *f.Arn+" "+*f.Reason)
	}
	if !slices.Equal(got, want) {
		t.Errorf("failures %v", got)
	}
}

func TestMergeOverridesChangesACopy(t *testing.T) {
	d := *input[api.TaskDefinition](t, `{"cpu":"256","containerDefinitions":[
		{"name":"a","command":["old"],"cpu":1,"memory":8,"environment":[{"name":"A","value":"1"},{"name":"B","value":"2"}]},{"name":"b","command":["b"]}]}`)
	before := show(d)
	o := input[api.TaskOverride](t, `{"cpu":".5 vCPU","memory":"1 GB","taskRoleArn":"r","containerOverrides":[{},
		{"name":"a","command":["new"],"cpu":2,"memory":16,"memoryReservation":4,"environment":[{"name":"B","value":"x"},{"name":"C","value":"3"}]}]}`)
	want := `{"containerDefinitions":[{"name":"a","cpu":2,"memory":16,"memoryReservation":4,"command":["new"],` +
		`"environment":[{"name":"A","value":"1"},{"name":"B","value":"x"},{"name":"C","value":"3"}]},{"name":"b","command":["b"]}],"taskRoleArn":"r","cpu":"512","memory":"1024"}`
	if got := show(MergeOverrides(d, o)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if show(d) != before {
		t.Error("the definition was changed")
	}
	if show(MergeOverrides(d, nil)) != before {
		t.Error("no overrides change something")
	}
}
