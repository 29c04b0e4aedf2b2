package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// serviceDefinition registers a definition whose only container has a health check, and returns its ARN.
func (b *Berth) serviceDefinition(family, command string) string {
	b.t.Helper()
	return b.register(fmt.Sprintf(`{"family":%q,"containerDefinitions":[{"name":"main","image":%q,"memory":8,"command":["/bin/probe",%s],
		"healthCheck":{"command":["CMD","/bin/probe","exit","0"],"interval":5,"timeout":5}}]}`, family, b.probe(), command))
}

// createService creates a service that ends with the test.
func (b *Berth) createService(in *ecs.CreateServiceInput) {
	b.t.Helper()
	if _, err := b.ecs().CreateService(b.t.Context(), in); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_, _ = b.ecs().DeleteService(context.Background(), &ecs.DeleteServiceInput{Service: in.ServiceName, Force: new(true)})
	})
}

func (b *Berth) service(name string) types.Service {
	b.t.Helper()
	out, err := b.ecs().DescribeServices(b.t.Context(), &ecs.DescribeServicesInput{Services: []string{name}})
	if err != nil || len(out.Services) != 1 {
		b.t.Fatalf("DescribeServices %s: %v %s", name, err, dump(out))
	}
	return out.Services[0]
}

// stable waits as SDKs do.
func (b *Berth) stable(name string) {
	b.t.Helper()
	waiter := ecs.NewServicesStableWaiter(b.ecs(), func(o *ecs.ServicesStableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 500*time.Millisecond
	})
	if err := waiter.Wait(b.t.Context(), &ecs.DescribeServicesInput{Services: []string{name}}, 2*patience); err != nil {
		b.t.Fatalf("%v\n%s", err, dump(b.service(name)))
	}
}

func (b *Berth) serviceTasks(name string) []string {
	b.t.Helper()
	out, err := b.ecs().ListTasks(b.t.Context(), &ecs.ListTasksInput{ServiceName: &name})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.TaskArns
}

// completed waits until the primary deployment of a service is of the definition and completed.
func (b *Berth) completed(name, definition string) types.Service {
	b.t.Helper()
	var v types.Service
	eventually(b.t, name+" has deployed "+definition, func() (bool, string) {
		v = b.service(name)
		d := v.Deployments[0]
		return len(v.Deployments) == 1 && *d.TaskDefinition == definition && d.RolloutState == types.DeploymentRolloutStateCompleted, dump(v)
	})
	return v
}

func TestServiceHealsRollsAndScales(t *testing.T) {
	b := shared(t)
	first := b.serviceDefinition("svc-web", `"sleep","svc-web-mark"`)
	b.createService(&ecs.CreateServiceInput{ServiceName: new("svc-web"), TaskDefinition: &first, DesiredCount: new(int32(3))})
	b.stable("svc-web")
	b.completed("svc-web", first)
	before := b.serviceTasks("svc-web")

	pids := probePIDs("svc-web-mark")
	if len(pids) != 3 {
		t.Fatalf("%d processes, want 3", len(pids))
	}
	for pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		break
	}
	eventually(t, "a killed container's task is replaced", func() (bool, string) {
		now := b.serviceTasks("svc-web") // before the count, or that may be of the time before the kill
		v := b.service("svc-web")
		kept := slices.DeleteFunc(slices.Clone(now), func(arn string) bool { return !slices.Contains(before, arn) })
		return v.RunningCount == 3 && len(now) == 3 && len(kept) == 2, dump(v)
	})

	second := b.serviceDefinition("svc-web", `"sleep","svc-web-mark","2"`)
	if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("svc-web"), TaskDefinition: &second}); err != nil {
		t.Fatal(err)
	}
	least := int32(3)
	eventually(t, "the update is done", func() (bool, string) {
		v := b.service("svc-web")
		least = min(least, v.RunningCount)
		return len(v.Deployments) == 1 && v.Deployments[0].RolloutState == types.DeploymentRolloutStateCompleted, dump(v)
	})
	if least < 3 {
		t.Errorf("only %d tasks ran during the update, want at least 3", least)
	}
	for _, arn := range b.serviceTasks("svc-web") {
		if got := b.task(arn); *got.TaskDefinitionArn != second || *got.Group != "service:svc-web" || !strings.HasPrefix(*got.StartedBy, "ecs-svc/") {
			t.Errorf("task %s", dump(got))
		}
	}

	for _, n := range []int32{0, 2} {
		if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("svc-web"), DesiredCount: &n}); err != nil {
			t.Fatal(err)
		}
		b.stable("svc-web")
		eventually(t, fmt.Sprint("there are processes: ", n), func() (bool, string) {
			found := probePIDs("svc-web-mark")
			return len(found) == int(n), fmt.Sprint(found)
		})
	}
	b.aws("ecs", "wait", "services-stable", "--services", "svc-web")
}

func TestCrashingRevisionIsRolledBack(t *testing.T) {
	b := shared(t)
	good := b.serviceDefinition("svc-crash", `"sleep","svc-crash-mark"`)
	b.createService(&ecs.CreateServiceInput{
		ServiceName: new("svc-crash"), TaskDefinition: &good, DesiredCount: new(int32(2)),
		DeploymentConfiguration: &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}},
	})
	b.completed("svc-crash", good)
	old := probePIDs("svc-crash-mark")
	bad := b.serviceDefinition("svc-crash", `"exit","7"`)
	if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("svc-crash"), TaskDefinition: &bad}); err != nil {
		t.Fatal(err)
	}
	var text string
	eventually(t, "the deployment is rolled back", func() (bool, string) {
		text = ""
		for _, e := range b.service("svc-crash").Events {
			text += *e.Message + "\n"
		}
		return strings.Contains(text, "rolling back to deployment"), text
	})
	b.completed("svc-crash", good)
	if !strings.Contains(text, "deployment failed: tasks failed to start.") {
		t.Errorf("events %s", text)
	}
	if now := probePIDs("svc-crash-mark"); fmt.Sprint(now) != fmt.Sprint(old) {
		t.Errorf("old processes %v, now %v", old, now)
	}
}

func TestKillingTheServerInMidDeploymentResumesIt(t *testing.T) {
	b := start(t)
	first := b.serviceDefinition("svc-kill", `"sleep","svc-kill-mark"`)
	b.createService(&ecs.CreateServiceInput{ServiceName: new("svc-kill"), TaskDefinition: &first, DesiredCount: new(int32(3))})
	b.completed("svc-kill", first)
	second := b.serviceDefinition("svc-kill", `"sleep","svc-kill-mark","2"`)
	if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("svc-kill"), TaskDefinition: &second}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.kill9("server")
		eventually(t, "the server is back", func() (bool, string) {
			out, err := b.ecs().DescribeServices(context.Background(), &ecs.DescribeServicesInput{Services: []string{"svc-kill"}})
			return err == nil && len(out.Services) == 1, fmt.Sprint(err)
		})
	}
	v := b.completed("svc-kill", second)
	if len(b.serviceTasks("svc-kill")) != 3 || v.RunningCount != 3 || aws.ToString(v.Status) != "ACTIVE" {
		t.Errorf("after the kills: %s", dump(v))
	}
	if n := len(probePIDs("svc-kill-mark")); n != 3 {
		t.Errorf("%d processes, want 3", n)
	}
}

func TestDeployShowsWhyARevisionFails(t *testing.T) {
	b := shared(t)
	good := b.serviceDefinition("svc-cli", `"sleep","svc-cli-mark"`)
	b.createService(&ecs.CreateServiceInput{
		ServiceName: new("svc-cli"), TaskDefinition: &good, DesiredCount: new(int32(1)),
		DeploymentConfiguration: &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}},
	})
	b.berth("wait", "svc-cli", "--until", "deployed")
	file := filepath.Join(t.TempDir(), "bad.json")
	text := fmt.Sprintf(`{"family":"svc-cli","containerDefinitions":[{"name":"main","image":%q,"memory":8,"command":["/bin/probe","exit","7"],
		"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"svc-cli","awslogs-region":"us-east-1","awslogs-stream-prefix":"x","awslogs-create-group":"true"}}}]}`, b.probe())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := b.try("deploy", "svc-cli", "--task-definition", file)
	if code, ok := errors.AsType[*exec.ExitError](err); !ok || code.ExitCode() != 1 {
		t.Errorf("a failed deployment ends with %v, want exit code 1", err)
	}
	for _, part := range []string{"exit code 7", "main | ending with 7", "rolling back to deployment", "ended as ROLLBACK"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	b.completed("svc-cli", good)
	b.berth("scale", "svc-cli", "2")
	b.berth("deploy", "svc-cli", "--image", b.probeWith("svc-cli", "two"))
	if v := b.service("svc-cli"); *v.TaskDefinition == good || v.RunningCount != 2 {
		t.Errorf("after deploy: %s", dump(v))
	}
	b.berth("rollback", "svc-cli")
	if v := b.service("svc-cli"); *v.TaskDefinition != good {
		t.Errorf("after rollback: %s", dump(v))
	}
	_, err = b.try("wait", "none")
	if code, ok := errors.AsType[*exec.ExitError](err); !ok || code.ExitCode() != 6 {
		t.Errorf("waiting for no service: %v", err)
	}
	_, err = b.try("deploy", "svc-cli", "--image", "127.0.0.1:1/none:1", "--timeout", "1s")
	if code, ok := errors.AsType[*exec.ExitError](err); !ok || code.ExitCode() != 3 {
		t.Errorf("a deployment that takes longer than the timeout: %v", err)
	}
}

func TestDownEndsServicesAndUpStartsThemAgain(t *testing.T) {
	b := start(t)
	definition := b.serviceDefinition("svc-down", `"sleep","svc-down-mark"`)
	b.createService(&ecs.CreateServiceInput{ServiceName: new("svc-down"), TaskDefinition: &definition, DesiredCount: new(int32(2))})
	b.completed("svc-down", definition)
	b.berth("down")
	if left := probePIDs("svc-down-mark"); len(left) != 0 {
		t.Errorf("processes after down: %v", left)
	}
	b.up()
	eventually(t, "the service is back", func() (bool, string) {
		v := b.service("svc-down")
		return v.RunningCount == 2 && len(probePIDs("svc-down-mark")) == 2, dump(v)
	})
}
