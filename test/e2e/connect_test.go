package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// asked is what a client task has counted.
func (b *Berth) asked(service string) (total, failed int, last string) {
	b.t.Helper()
	eventually(b.t, service+" answers", func() (bool, string) {
		tasks := b.serviceTasks(service)
		if len(tasks) != 1 {
			return false, fmt.Sprint(tasks)
		}
		task := b.task(tasks[0])
		if *task.LastStatus != "RUNNING" || len(containerOf(task, "main").NetworkBindings) == 0 {
			return false, dump(task)
		}
		got, err := get("http://127.0.0.1:" + hostPort(task, "main"))
		if err != nil {
			return false, err.Error()
		}
		n, _ := fmt.Sscan(got, &total, &failed)
		last = got
		return n == 2, got
	})
	return total, failed, last
}

// TestServiceConnectDropsNothing has a task of one service ask another service by its name, without a pause, while that one is deployed
// anew, scaled, and loses a task.
func TestServiceConnectDropsNothing(t *testing.T) {
	b := start(t)
	ctx := t.Context()
	if _, err := b.ecs().UpdateCluster(ctx, &ecs.UpdateClusterInput{
		Cluster: new("default"), ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: new("shop")},
	}); err != nil {
		t.Fatal(err)
	}
	definition := func(family, release string, command ...string) string {
		return b.register(fmt.Sprintf(`{"family":%q,"containerDefinitions":[{"name":"main","image":%q,"memory":16,"command":["/bin/probe","%s"],
			"environment":[{"name":"RELEASE","value":%q}],"portMappings":[{"name":"web","appProtocol":"http","containerPort":8080}],
			"healthCheck":{"command":["CMD","/bin/probe","exit","0"],"interval":5,"timeout":5}}]}`, family, b.probe(), strings.Join(command, `","`), release))
	}
	first := definition("backend", "1", "serve", ":8080")
	b.createService(&ecs.CreateServiceInput{
		ServiceName: new("backend"), TaskDefinition: &first, DesiredCount: new(int32(2)),
		ServiceConnectConfiguration: &types.ServiceConnectConfiguration{Enabled: true, Services: []types.ServiceConnectService{
			{PortName: new("web"), DiscoveryName: new("backend"), ClientAliases: []types.ServiceConnectClientAlias{{Port: new(int32(80)), DnsName: new("backend")}}},
		}},
	})
	v := b.completed("backend", first)
	if r := v.Deployments[0].ServiceConnectResources; len(r) != 1 || *r[0].DiscoveryName != "backend" {
		t.Errorf("resources %s", dump(r))
	}
	client := definition("client", "1", "ask", ":8080", "http://backend")
	b.createService(&ecs.CreateServiceInput{
		ServiceName: new("client"), TaskDefinition: &client, DesiredCount: new(int32(1)),
		ServiceConnectConfiguration: &types.ServiceConnectConfiguration{Enabled: true},
	})
	b.completed("client", client)
	before, failed, last := b.asked("client")
	step := func(what string, do func()) {
		t.Helper()
		do()
		total, bad, text := b.asked("client")
		t.Logf("%s: %d requests, %d failed", what, total-before, bad-failed)
		if bad != failed || total == before {
			t.Errorf("%s: %d failed of %d: %s", what, bad-failed, total-before, text)
		}
		before, failed, last = total, bad, text
	}
	if failed > 0 || before == 0 {
		t.Fatalf("before anything was done: %s", last)
	}
	second := definition("backend", "2", "serve", ":8080")
	step("deployment", func() {
		if _, err := b.ecs().UpdateService(ctx, &ecs.UpdateServiceInput{Service: new("backend"), TaskDefinition: &second}); err != nil {
			t.Fatal(err)
		}
		b.completed("backend", second)
	})
	step("StopTask", func() {
		b.stop(b.serviceTasks("backend")[0], "test")
		b.stable("backend")
	})
	step("fewer", func() {
		if _, err := b.ecs().UpdateService(ctx, &ecs.UpdateServiceInput{Service: new("backend"), DesiredCount: new(int32(1))}); err != nil {
			t.Fatal(err)
		}
		b.stable("backend")
	})
	arns, err := b.ecs().ListServicesByNamespace(ctx, &ecs.ListServicesByNamespaceInput{Namespace: new("shop")})
	if err != nil || len(arns.ServiceArns) != 2 {
		t.Errorf("services in the namespace: %v %s", err, dump(arns))
	}
}
