package ecs

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/store"
)

// receiver is a hook's end of the line: it remembers calls and answers as it is told.
type receiver struct {
	*httptest.Server
	calls  []hookPayload
	answer func(n int, in hookPayload) (code int, body string)
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{answer: func(int, hookPayload) (int, string) { return 200, `{"hookStatus":"SUCCEEDED"}` }}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var in hookPayload
		text, _ := io.ReadAll(req.Body)
		if err := json.Unmarshal(text, &in); err != nil || req.Method != http.MethodPost {
			t.Errorf("%s %s: %v", req.Method, text, err)
		}
		r.calls = append(r.calls, in)
		code, body := r.answer(len(r.calls), in)
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(r.Close)
	return r
}

// hooked is a service whose first deployment is over and that has hooks since.
func hooked(t *testing.T, hooks string) *shifting {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:2","deploymentConfiguration":{"lifecycleHooks":[` + hooks + `]}}`)
	return w
}

func TestHooksAreCalledInTheirStages(t *testing.T) {
	r := newReceiver(t)
	r.answer = func(n int, in hookPayload) (int, string) {
		if n == 1 {
			return 200, `{"hookStatus":"IN_PROGRESS","callBackDelay":5,"hookDetails":{"seen":1}}`
		}
		return 200, `{"hookStatus":"SUCCEEDED"}`
	}
	w := hooked(t, fmt.Sprintf(`{"hookTargetArn":%q,"roleArn":"arn:aws:iam::111122223333:role/r","hookDetails":{"env":"test"},
		"lifecycleStages":["POST_SCALE_UP","TEST_TRAFFIC_SHIFT","PRE_PRODUCTION_TRAFFIC_SHIFT","PRODUCTION_TRAFFIC_SHIFT"]}`, r.URL+"/hook"))
	d := w.until("SUCCESSFUL")
	var got []string
	blue, green := *d.SourceServiceRevisions[0].Arn, *d.TargetServiceRevision.Arn
	for _, c := range r.calls {
		e := c.ExecutionDetails
		got = append(got, fmt.Sprintf("%s test=%v/%v production=%v/%v %s", c.LifecycleStage, e.TestTrafficWeights[blue], e.TestTrafficWeights[green],
			e.ProductionTrafficWeights[blue], e.ProductionTrafficWeights[green], c.HookDetails))
		if c.ResourceArn != *d.ServiceDeploymentArn || e.TargetServiceRevisionArn != green || e.ServiceArn != *d.ServiceArn {
			t.Errorf("%+v", c)
		}
	}
	want := []string{
		`POST_SCALE_UP test=0/0 production=0/0 {"env":"test"}`,
		`POST_SCALE_UP test=0/0 production=0/0 {"env":"test","seen":1}`,
		`TEST_TRAFFIC_SHIFT test=0/100 production=0/0 {"env":"test","seen":1}`,
		`PRE_PRODUCTION_TRAFFIC_SHIFT test=0/0 production=100/0 {"env":"test","seen":1}`,
		`PRODUCTION_TRAFFIC_SHIFT test=0/0 production=0/100 {"env":"test","seen":1}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.calls[0].ExecutionID != r.calls[1].ExecutionID || r.calls[1].ExecutionID == r.calls[2].ExecutionID {
		t.Error("executionId is not the same for one hook in one stage, or the same for two")
	}
	if n := len(d.LifecycleHookDetails); n != 4 || d.LifecycleHookDetails[0].Status != "SUCCEEDED" || *d.LifecycleHookDetails[0].TargetArn != r.URL+"/hook" {
		t.Errorf("%d hooks: %+v", n, d.LifecycleHookDetails)
	}
}

func TestHookFailuresRollBack(t *testing.T) {
	long := strings.Repeat("x", maxHookBytes)
	for _, row := range []struct {
		name string
		code int
		body string
		why  string
	}{
		{"FAILED", 200, `{"hookStatus":"FAILED"}`, "Lifecycle hook target URL returned FAILED status."},
		{"no status", 200, `{}`, "ECS was unable to parse the response from URL due to HookStatus must not be null"},
		{"nothing", 200, ``, "ECS was unable to parse the response from URL due to HookStatus must not be null"},
		{"unknown status", 200, `{"hookStatus":"FINE"}`, "ECS was unable to parse the response from URL due to an unknown HookStatus"},
		{"no JSON", 200, `<html>`, "ECS was unable to parse the response from URL due to an answer that is not JSON of the expected form"},
		{"too much", 200, `{"hookStatus":"SUCCEEDED","hookDetails":{"a":"` + long + `"}}`, "ECS was unable to parse the response from URL due to more than 65536 bytes"},
		{"error", 500, `secret`, "ECS was unable to invoke hook target URL due to HTTP status 500"},
		{"redirect", 302, ``, "ECS was unable to invoke hook target URL due to HTTP status 302"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newReceiver(t)
			r.answer = func(int, hookPayload) (int, string) { return row.code, row.body }
			w := hooked(t, fmt.Sprintf(`{"hookTargetArn":%q,"lifecycleStages":["POST_TEST_TRAFFIC_SHIFT"]}`, r.URL+"/hook?token=secret"))
			d := w.until("ROLLBACK_SUCCESSFUL")
			want := "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed. " + strings.Replace(row.why, "URL", r.URL+"/hook", 1)
			if got := *d.StatusReason; got != want {
				t.Errorf("reason\n %s, want\n %s", got, want)
			}
			w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
			if len(r.calls) != 1 {
				t.Errorf("%d calls", len(r.calls))
			}
		})
	}
}

func TestFailedShiftHookRunsAgainWithTheTrafficBack(t *testing.T) {
	r := newReceiver(t)
	r.answer = func(int, hookPayload) (int, string) { return 200, `{"hookStatus":"FAILED"}` }
	w := hooked(t, fmt.Sprintf(`{"hookTargetArn":%q,"lifecycleStages":["PRODUCTION_TRAFFIC_SHIFT"]}`, r.URL))
	d := w.until("ROLLBACK_SUCCESSFUL")
	if len(r.calls) != 2 {
		t.Fatalf("%d calls", len(r.calls))
	}
	back := r.calls[1].ExecutionDetails
	if back.ProductionTrafficWeights[*d.SourceServiceRevisions[0].Arn] != 100 || back.TargetServiceRevisionArn != *d.TargetServiceRevision.Arn {
		t.Errorf("%+v", back)
	}
}

func TestHookThatCannotBeReachedIsTriedUntilItsTimeIsOver(t *testing.T) {
	r := newReceiver(t)
	w := hooked(t, fmt.Sprintf(`{"hookTargetArn":%q,"lifecycleStages":["PRE_SCALE_UP"],"timeoutConfiguration":{"timeoutInMinutes":10}}`, r.URL))
	r.answer = func(n int, _ hookPayload) (int, string) {
		if n < 4 {
			return 503, ""
		}
		return 200, `{"hookStatus":"SUCCEEDED"}`
	}
	w.until("SUCCESSFUL")
	if len(r.calls) != 4 {
		t.Errorf("%d calls", len(r.calls))
	}
	r.Close()
	w.clock = w.clock.Add(time.Second)
	begun := w.clock
	w.update(`{"service":"web","taskDefinition":"web:3"}`)
	d := w.until("ROLLBACK_SUCCESSFUL")
	if !strings.HasPrefix(*d.StatusReason, "Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target "+r.URL+" timed out.") {
		t.Errorf("reason %s", *d.StatusReason)
	}
	if took := w.clock.Sub(begun); took < 10*time.Minute || took > 12*time.Minute || d.LifecycleHookDetails[0].Status != "TIMED_OUT" {
		t.Errorf("after %s: %+v", took, d.LifecycleHookDetails)
	}
}

func TestPauseHooks(t *testing.T) {
	const pause = `{"targetType":"PAUSE","lifecycleStages":["POST_TEST_TRAFFIC_SHIFT"],"timeoutConfiguration":{"timeoutInMinutes":60,"action":"CONTINUE"}}`
	for _, action := range []string{"", "CONTINUE", "ROLLBACK", "none"} {
		t.Run(action, func(t *testing.T) {
			w := hooked(t, pause)
			w.until("POST_TEST_TRAFFIC_SHIFT")
			w.pass(time.Second)
			d := w.deployment()
			h := d.LifecycleHookDetails[0]
			if h.Status != "AWAITING_ACTION" || h.TimeoutAction != "CONTINUE" || h.ExpiresAt == nil || len(*h.HookId) != len("ecs-pause-")+43 {
				t.Fatalf("%+v", h)
			}
			call := func(id string) string {
				text, _ := json.Marshal(api.ContinueServiceDeploymentRequest{ServiceDeploymentArn: d.ServiceDeploymentArn, HookId: &id, Action: api.DeploymentLifecycleHookAction(action)})
				return w.call("ContinueServiceDeployment", string(text))
			}
			const unavailable = "InvalidParameterException: Provided hookId is either completed, unavailable, or not associated with the given Resource ARN"
			end := "SUCCESSFUL"
			if action != "none" {
				if got := call("ecs-pause-other"); got != unavailable {
					t.Errorf("other: %s", got)
				}
				if got := call(*h.HookId); got != "" {
					t.Errorf("continue: %s", got)
				}
				if got := call(*h.HookId); got != unavailable {
					t.Errorf("again: %s", got)
				}
			}
			if action == "ROLLBACK" {
				end = "ROLLBACK_SUCCESSFUL"
			}
			begun := w.clock
			d = w.until(end)
			waited := w.clock.Sub(begun) > 59*time.Minute
			if waited != (action == "none") {
				t.Errorf("took %s", w.clock.Sub(begun))
			}
			want := map[string]string{"ROLLBACK": "FAILED", "none": "TIMED_OUT"}[action]
			if want == "" {
				want = "SUCCEEDED"
			}
			if got := string(d.LifecycleHookDetails[0].Status); got != want {
				t.Errorf("hook %s, want %s", got, want)
			}
			if got := call(*h.HookId); action != "none" && got != "InvalidParameterException: Continuing a service deployment is not allowed for service deployment in terminal states." {
				t.Errorf("after the end: %s", got)
			}
		})
	}
}

func TestContinueServiceDeploymentRefuses(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	arn := *w.deployment().ServiceDeploymentArn
	for _, row := range []struct{ in, want string }{
		{`{"serviceDeploymentArn":"` + arn + `","hookId":"x"}`, "InvalidParameterException: Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}"},
		{`{"serviceDeploymentArn":"` + arn + `x","hookId":"ecs-pause-a"}`, "ServiceDeploymentNotFoundException: The service deployment does not exist."},
		{`{"serviceDeploymentArn":"` + arn + `","hookId":"ecs-pause-a"}`, "InvalidParameterException: Provided hookId is either completed, unavailable, or not associated with the given Resource ARN"},
		{`{"serviceDeploymentArn":"` + arn + `","hookId":"ecs-pause-a","action":"X"}`, "InvalidParameterException: Invalid action 'X'. Valid values: [CONTINUE,ROLLBACK]"},
	} {
		if got := w.call("ContinueServiceDeployment", row.in); got != row.want {
			t.Errorf("%s: got %q, want %q", row.in, got, row.want)
		}
	}
}

// migrates is a service with a hook that runs the definition migrate, whose tasks end with the exit code.
func migrates(t *testing.T, code int32) (*shifting, *Task) {
	return migratesWith(t, code, registry{"app:9": sha("9")})
}

func migratesWith(t *testing.T, code int32, r registry) (*shifting, *Task) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	w.Service.image = r.resolve
	w.until("SUCCESSFUL")
	w.register(`{"family":"migrate","containerDefinitions":[{"name":"migrate","image":"app:old","memory":10},{"name":"side","image":"other:7","memory":10,"essential":false}]}`)
	w.register(strings.ReplaceAll(balancedDefinition, "app:1", "app:9"))
	w.update(`{"service":"web","taskDefinition":"web:4","deploymentConfiguration":{"lifecycleHooks":[{"lifecycleStages":["PRE_SCALE_UP"],
		"hookTargetArn":"arn:aws:ecs:eu-west-1:111122223333:task-definition/migrate"}]}}`)
	w.until("PRE_SCALE_UP")
	for range 10 {
		w.schedule("web")
		for h := range Hooks.All(w.store.Read()) {
			_, _ = HookReconciler{w.Service}.Reconcile(w.ctx, h.Key())
		}
	}
	mine := w.tasks(func(t Task) bool { return t.Family == "migrate" })
	if len(mine) != 1 {
		t.Fatalf("%d tasks of the hook", len(mine))
	}
	if code >= 0 {
		err := w.store.Update(w.ctx, func(tx *store.Tx) error {
			return ApplyReport(tx, mine[0].InstanceKey(), proto.TaskStatus{Arn: string(mine[0].ARN()), LastStatus: "STOPPED", Containers: []proto.ContainerStatus{
				{Name: "migrate", LastStatus: "STOPPED", ExitCode: &code, ImageDigest: sha("9")}, {Name: "side", LastStatus: "STOPPED", ExitCode: new(int32(1))}}}, w.clock)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return w, &mine[0]
}

func TestHookRunsATaskDefinitionWithTheNewImage(t *testing.T) {
	w, task := migrates(t, 0)
	_, definitions := AssignmentFor(w.store.Read(), task.InstanceKey())
	for key := range definitions {
		if strings.Contains(key, "migrate") {
			t.Errorf("a stopped task is assigned: %s", key)
		}
	}
	if got := fmt.Sprint(task.Images); got != "map[migrate:app:9]" {
		t.Errorf("images %s", got)
	}
	if got := w.hookRuns(task); got != "app@"+sha("9")+" other:7" {
		t.Errorf("it runs %s", got)
	}
	shown := w.describe("default", task.ID)
	if got := *shown.Containers[0].Image + " " + *shown.Containers[1].Image; got != "app:9 other:7" {
		t.Errorf("images shown %s", got)
	}
	d := w.until("SUCCESSFUL")
	if h := d.LifecycleHookDetails[0]; h.Status != "SUCCEEDED" || *h.TargetArn != string(task.ARN()) {
		t.Errorf("%+v", h)
	}
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:4 COMPLETED 2/0 failed=0")
	if n := len(w.tasks(func(t Task) bool { return t.Family == "migrate" })); n != 1 {
		t.Errorf("%d tasks ran", n)
	}
}

// hookRuns are the images that the machine is told to run for the task of a hook.
func (w *shifting) hookRuns(t *Task) string {
	definition, _ := TaskDefinitions.Get(w.store.Read(), t.DefinitionKey())
	as := t.pinned(t.Merge(*definition.wire()))
	return *as.ContainerDefinitions[0].Image + " " + *as.ContainerDefinitions[1].Image
}

// The digest of an image that Berth's registry does not know is first known from the task of the hook.
func TestARevisionRunsTheDigestThatItsHookRan(t *testing.T) {
	w, task := migratesWith(t, 0, registry{})
	if got := w.hookRuns(task); got != "app:9 other:7" {
		t.Errorf("it runs %s", got)
	}
	w.until("SUCCESSFUL")
	for _, mine := range w.tasks(func(t Task) bool { return t.Active() && t.Revision == 4 }) {
		if c := mine.Containers[0]; c.Digest != Digest(sha("9")) || !c.Pinned {
			t.Errorf("task %s runs %q", mine.ID, c.Digest)
		}
	}
}

func TestHookTaskThatFailsRollsBack(t *testing.T) {
	w, task := migrates(t, 3)
	d := w.until("ROLLBACK_SUCCESSFUL")
	want := "Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Container migrate of task " + task.ID +
		" of lifecycle hook target arn:aws:ecs:eu-west-1:111122223333:task-definition/migrate exited with code 3."
	if *d.StatusReason != want {
		t.Errorf("reason %s", *d.StatusReason)
	}
}

func TestHookTaskStopsWhenTheDeploymentIsStopped(t *testing.T) {
	w, task := migrates(t, -1)
	must(w.StopServiceDeployment(w.ctx, &api.StopServiceDeploymentRequest{ServiceDeploymentArn: w.deployment().ServiceDeploymentArn}))(t)
	w.until("ROLLBACK_SUCCESSFUL")
	w.pass(time.Second)
	w.pass(time.Second)
	if got, _ := Tasks.Get(w.store.Read(), task.Key()); got.Desired != StateStopped {
		t.Error("the hook's task still runs")
	}
}

func TestRepositories(t *testing.T) {
	image := func(names ...string) *api.TaskDefinition {
		d := &api.TaskDefinition{}
		for i := 0; i < len(names); i += 2 {
			d.ContainerDefinitions = append(d.ContainerDefinitions, api.ContainerDefinition{Name: &names[i], Image: &names[i+1]})
		}
		return d
	}
	for _, row := range []struct {
		hook, revision *api.TaskDefinition
		want           string
	}{
		{image("m", "r:5000/app:1"), image("app", "r:5000/app:2"), "map[m:r:5000/app:2]"},
		{image("m", "app:1"), image("app", "app@sha256:ab"), "map[m:app@sha256:ab]"},
		{image("m", "app:2"), image("app", "app:2"), "map[]"},
		{image("m", "tool:1"), image("app", "app:2"), "map[]"},
		{image("b", "app:1"), image("a", "app:2", "b", "app:3"), "map[b:app:3]"},
		{image("c", "app:1"), image("a", "app:2", "b", "app:3"), "map[c:app:2]"},
	} {
		if got := fmt.Sprint(imagesFrom(row.hook, row.revision)); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
}

func TestHookTargetsShowNoSecrets(t *testing.T) {
	got := shownTarget(api.DeploymentLifecycleHook{HookTargetArn: new("https://user:secret@host/path?token=secret")})
	if got != "https://host/path" {
		t.Error(got)
	}
}

func TestWhySaysTheStageAndWhatItWaitsFor(t *testing.T) {
	w := hooked(t, `{"targetType":"PAUSE","lifecycleStages":["POST_TEST_TRAFFIC_SHIFT"]}`)
	w.until("POST_TEST_TRAFFIC_SHIFT")
	w.pass(time.Second)
	got := must(w.WhyService(w.ctx, "default", "web"))(t)
	if len(got.Reasons) != 2 || !strings.Contains(got.Reasons[0], "is in stage POST_TEST_TRAFFIC_SHIFT since ") ||
		!strings.Contains(got.Reasons[1], "with hookId "+*w.deployment().LifecycleHookDetails[0].HookId) {
		t.Errorf("%q", got.Reasons)
	}
}

func TestHooksDoNotReachMetadataServices(t *testing.T) {
	for _, target := range []string{"http://169.254.169.254/latest", "http://[fe80::1]/"} {
		a := newHookCaller(nil).call(t.Context(), target, hookPayload{})
		if !a.again || !strings.Contains(a.problem, "the address is not allowed") || strings.Contains(a.problem, "latest") {
			t.Errorf("%s: %+v", target, a)
		}
	}
}
