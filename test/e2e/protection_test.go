package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// tasksAt are the tasks of a service by the address at which each serves.
func (b *Berth) tasksAt(name string) map[string]string {
	b.t.Helper()
	at := map[string]string{}
	for _, arn := range b.serviceTasks(name) {
		at["127.0.0.1:"+hostPort(b.task(arn), "main")] = arn
	}
	return at
}

// protect has the container that serves at an address ask for its task's protection, and returns status and answer.
func protect(t *testing.T, address, method, body, of string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/protection?of="+url.QueryEscape(of), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// agentURI is what the container at an address has in ECS_AGENT_URI.
func agentURI(t *testing.T, address string) string {
	t.Helper()
	env, err := get("http://" + address + "/env")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(env) {
		if uri, ok := strings.CutPrefix(strings.TrimSpace(line), "ECS_AGENT_URI="); ok {
			return uri
		}
	}
	return ""
}

func (b *Berth) scaleTo(name string, n int32) {
	b.t.Helper()
	if _, err := b.ecs().UpdateService(b.t.Context(), &ecs.UpdateServiceInput{Service: &name, DesiredCount: &n}); err != nil {
		b.t.Fatal(err)
	}
}

// onlyLeft waits until exactly these tasks of a service are left.
func (b *Berth) onlyLeft(name string, want ...string) {
	b.t.Helper()
	slices.Sort(want)
	eventually(b.t, fmt.Sprintf("%s has %d tasks left", name, len(want)), func() (bool, string) {
		got := b.serviceTasks(name)
		slices.Sort(got)
		return slices.Equal(got, want), fmt.Sprint(got, want)
	})
}

// A container protects its task by the agent's endpoint: scale-in and deployments take the others, whatever is restarted meanwhile.
func TestContainersProtectTheirTasks(t *testing.T) {
	t.Parallel()
	b := start(t)
	define := func(env string) string {
		return b.register(fmt.Sprintf(`{"family":"svc-protect","containerDefinitions":[{"name":"main","image":%q,"memory":12,"command":["/bin/probe","serve",":8080"],
			"portMappings":[{"containerPort":8080}],"healthCheck":{"command":["CMD","/bin/probe","exit","0"],"interval":5},
			"environment":[{"name":"ECS_AGENT_URI","value":"http://127.0.0.1:1"},{"name":"R","value":%q}]}]}`, b.probe(), env))
	}
	first := define("1")
	b.createService(&ecs.CreateServiceInput{ServiceName: new("svc-protect"), TaskDefinition: &first, DesiredCount: new(int32(3))})
	b.completed("svc-protect", first)
	at := b.tasksAt("svc-protect")
	var addresses []string
	for address := range at {
		eventually(t, "the container serves", func() (bool, string) { _, err := get("http://" + address); return err == nil, fmt.Sprint(err) })
		addresses = append(addresses, address)
	}
	own, other := addresses[0], addresses[1]
	kept := at[own]

	if code, text := protect(t, own, "PUT", `{"ProtectionEnabled":true,"ExpiresInMinutes":60}`, ""); code != http.StatusOK || !strings.Contains(text, `"ProtectionEnabled":true,"TaskArn":"`+kept+`"`) {
		t.Fatalf("%d %s", code, text)
	}
	out, err := b.ecs().GetTaskProtection(t.Context(), &ecs.GetTaskProtectionInput{Cluster: new("default"), Tasks: []string{kept}})
	if err != nil || len(out.ProtectedTasks) != 1 || !out.ProtectedTasks[0].ProtectionEnabled {
		t.Errorf("the API shows %s, %v", dump(out), err)
	} else if left := time.Until(*out.ProtectedTasks[0].ExpirationDate).Minutes(); left < 50 || left > 60 {
		t.Errorf("protected for %.0f minutes, want 60", left)
	}
	if code, text := protect(t, other, "PUT", `{"ProtectionEnabled":false}`, agentURI(t, own)); code != http.StatusNotFound {
		t.Errorf("a task with another's address: %d %s", code, text)
	}
	if code, text := protect(t, other, "PUT", `{"ProtectionEnabled":true,"ExpiresInMinutes":2881}`, ""); code != http.StatusBadRequest || !strings.Contains(text, "InvalidParameterException") || !strings.Contains(text, "requestID") {
		t.Errorf("2881 minutes: %d %s", code, text)
	}

	b.kill9("agent")
	eventually(t, "the restarted agent answers", func() (bool, string) {
		code, text := protect(t, own, "GET", "", "")
		return code == http.StatusOK && strings.Contains(text, `"ProtectionEnabled":true`), fmt.Sprint(code, text)
	})
	b.scaleTo("svc-protect", 1)
	b.onlyLeft("svc-protect", kept)

	second := define("2")
	if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("svc-protect"), TaskDefinition: &second}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new revision runs beside the protected task", func() (bool, string) {
		v := b.service("svc-protect")
		return v.RunningCount == 2 && slices.Contains(b.serviceTasks("svc-protect"), kept), dump(v)
	})
	if code, text := protect(t, own, "PUT", `{"ProtectionEnabled":false}`, ""); code != http.StatusOK || !strings.Contains(text, `"ExpirationDate":null`) {
		t.Errorf("%d %s", code, text)
	}
	b.completed("svc-protect", second)
	if slices.Contains(b.serviceTasks("svc-protect"), kept) {
		t.Error("the task that is no longer protected is left")
	}
}

// Network mode host has an endpoint of its own; without a network there is none; and a task of no service cannot be protected.
func TestProtectionEndpointByNetworkMode(t *testing.T) {
	b := shared(t)
	port := free(t, "tcp")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	host := b.register(fmt.Sprintf(`{"family":"host-protect","networkMode":"host","containerDefinitions":[{"name":"main","image":%q,"memory":12,"command":["/bin/probe","serve",%q],
		"healthCheck":{"command":["CMD","/bin/probe","exit","0"],"interval":5},"portMappings":[{"containerPort":%d}]}]}`, b.probe(), address, port))
	b.createService(&ecs.CreateServiceInput{
		ServiceName: new("host-protect"), TaskDefinition: &host, DesiredCount: new(int32(1)),
		DeploymentConfiguration: &types.DeploymentConfiguration{MinimumHealthyPercent: new(int32(0)), MaximumPercent: new(int32(100))},
	})
	b.completed("host-protect", host)
	eventually(t, "the container serves", func() (bool, string) { _, err := get("http://" + address); return err == nil, fmt.Sprint(err) })
	if code, text := protect(t, address, "PUT", `{"ProtectionEnabled":true}`, ""); code != http.StatusOK || !strings.Contains(text, b.serviceTasks("host-protect")[0]) {
		t.Errorf("mode host: %d %s", code, text)
	}
	if uri := agentURI(t, address); !strings.HasPrefix(uri, "http://127.") {
		t.Errorf("mode host has %s", uri)
	}
	alone := b.until(b.run(b.register(fmt.Sprintf(`{"family":"alone","containerDefinitions":[
		{"name":"main","image":%q,"memory":12,"command":["/bin/probe","serve",":8080"],"portMappings":[{"containerPort":8080}]}]}`, b.probe()))), "RUNNING")
	at := "127.0.0.1:" + hostPort(alone, "main")
	eventually(t, "the container serves", func() (bool, string) { _, err := get("http://" + at); return err == nil, fmt.Sprint(err) })
	if code, text := protect(t, at, "PUT", `{"ProtectionEnabled":true}`, ""); code != http.StatusOK || text != `{"failure":{"Arn":"`+*alone.TaskArn+`","Detail":null,"Reason":"TASK_NOT_VALID"}}` {
		t.Errorf("a task of no service: %d %s", code, text)
	}
	if code, text := protect(t, address, "PUT", `{"ProtectionEnabled":false}`, strings.Replace(agentURI(t, at), "169.254.170.2", strings.TrimPrefix(strings.Split(agentURI(t, address), "/api/")[0], "http://"), 1)); code != http.StatusNotFound {
		t.Errorf("a container of mode host with the address of one of mode bridge: %d %s", code, text)
	}
}
