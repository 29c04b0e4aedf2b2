package ecs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/elbv2"
	"berth/servicediscovery"
	"berth/store"
)

const connectDefinition = `{"family":"api","containerDefinitions":[{"name":"app","image":"app:1","memory":10,"cpu":1,"portMappings":[
	{"name":"http","appProtocol":"http","containerPort":80},{"name":"raw","containerPort":90},{"name":"dns","protocol":"udp","containerPort":53}]}]}`

// newConnectWorld has a machine, a machine that carries traffic, and a cluster with the default namespace shop.
func newConnectWorld(t *testing.T) *world {
	w := newWorld(t)
	must(w.CreateCluster(w.ctx, input[api.CreateClusterRequest](t, `{"serviceConnectDefaults":{"namespace":"shop"}}`)))(t)
	w.machine("default", "m1", 1000, 1000)
	w.register(connectDefinition)
	w.register(connectDefinition)
	w.write(func(tx *store.Tx) {
		elbv2.Ingresses.Put(tx, elbv2.Ingress{Account: testAccount, Region: testRegion, Instance: testIngress, Connected: true})
		for d := range InstanceDescriptions.All(tx) {
			d.Address = "192.0.2.7"
			InstanceDescriptions.Put(tx, d)
		}
	})
	return w
}

func served(service, alias string, port int, more string) string {
	return fmt.Sprintf(`{"serviceName":%q,"taskDefinition":"api:1","desiredCount":1,"serviceConnectConfiguration":{"enabled":true,"services":[
		{"portName":"http","discoveryName":%q,"clientAliases":[{"port":%d,"dnsName":%q}]%s}]}}`, service, service, port, alias, more)
}

func (w *world) port(alias string) (elbv2.ConnectPort, bool) {
	for p := range elbv2.ConnectPorts.All(w.store.Read()) {
		if p.Alias() == alias {
			return p, true
		}
	}
	return elbv2.ConnectPort{}, false
}

// hosts are the names that the tasks of a service are told.
func (w *world) hosts(service string) []proto.Host {
	w.t.Helper()
	t := w.tasks(func(t Task) bool { return t.Active() && t.Group == serviceGroup+service })[0]
	tasks, _ := AssignmentFor(w.store.Read(), t.InstanceKey())
	return tasks[slices.IndexFunc(tasks, func(p proto.Task) bool { return p.Arn == string(t.ARN()) })].Hosts
}

func healthy(Task) string { return proto.TargetHealthy }

func TestTasksServeTheirPortsOfServiceConnect(t *testing.T) {
	w := newConnectWorld(t)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, served("api", "api", 8080, `,"timeout":{"idleTimeoutSeconds":7,"perRequestTimeoutSeconds":0}`))))(t)
	p, ok := w.port("api:8080")
	if !ok || !proto.ConnectNet.Contains(p.Address) || p.Protocol != "HTTP" || p.Version != "HTTP1" || p.Idle != 7 || p.Request != 0 {
		t.Fatalf("port %+v", p)
	}
	w.schedule("api")
	w.assigned()
	w.schedule("api")
	task := w.tasks(Task.Active)[0]
	targets := elbv2.TargetsOf(w.store.Read(), string(task.ARN()))
	if len(targets) != 1 || targets[0].Group != p.GroupKey() {
		t.Fatalf("targets %+v", targets)
	}
	in, _ := servicediscovery.Services.Get(w.store.Read(), p.Discovery)
	if got := w.enlist(in); len(got) != 1 || got[0].Attributes["AWS_INSTANCE_IPV4"] != "192.0.2.7" || in.Name != "api" {
		t.Errorf("Cloud Map has %+v of %+v", got, in)
	}
	w.play(60, "api", healthy)
	v := must(w.DescribeServices(w.ctx, &api.DescribeServicesRequest{Services: []string{"api"}}))(t).Services[0]
	d := v.Deployments[0]
	if d.RolloutState != api.DeploymentRolloutStateCompleted || !strings.HasSuffix(*d.ServiceConnectConfiguration.Namespace, in.Namespace) ||
		len(d.ServiceConnectResources) != 1 || *d.ServiceConnectResources[0].DiscoveryArn != in.ARN().String() {
		t.Errorf("deployment %+v", d)
	}
	// A task that is to stop leaves first.
	must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: &task.ID}))(t)
	if task, _ = Tasks.Get(w.store.Read(), task.Key()); !task.Leaving || task.Last != StateDeactivating {
		t.Errorf("task %+v", task)
	}
	w.ingress(healthy)
	if task, _ = Tasks.Get(w.store.Read(), task.Key()); task.Leaving {
		t.Error("it goes on leaving when it is drained")
	}
	// Without the configuration the name is given back, when no task is left.
	must(w.UpdateService(w.ctx, input[api.UpdateServiceRequest](t, `{"service":"api","serviceConnectConfiguration":{"enabled":false}}`)))(t)
	if _, ok := w.port("api:8080"); !ok {
		t.Error("the port is gone while a deployment has it")
	}
	w.play(120, "api", healthy)
	if _, ok := w.port("api:8080"); ok {
		t.Error("the port is there yet")
	}
	if _, ok := servicediscovery.Services.Get(w.store.Read(), p.Discovery); ok {
		t.Error("the Cloud Map service is there yet")
	}
}

// ECS: a task only knows the names that there were when its deployment began.
func TestTasksKnowTheNamesOfTheirDeploymentsTime(t *testing.T) {
	w := newConnectWorld(t)
	client := `{"serviceName":"client","taskDefinition":"api:1","desiredCount":1,"serviceConnectConfiguration":{"enabled":true}}`
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, served("api", "api", 80, ""))))(t)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, client)))(t)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, served("late", "late", 80, ""))))(t)
	w.schedule("client")
	first, _ := w.port("api:80")
	late, _ := w.port("late:80")
	if got := w.hosts("client"); !slices.Equal(got, []proto.Host{{Name: "api", Address: first.Address}}) {
		t.Errorf("hosts %v", got)
	}
	must(w.UpdateService(w.ctx, input[api.UpdateServiceRequest](t, `{"service":"client","forceNewDeployment":true}`)))(t)
	w.play(120, "client", healthy)
	if got := w.hosts("client"); !slices.Equal(got, []proto.Host{{Name: "api", Address: first.Address}, {Name: "late", Address: late.Address}}) {
		t.Errorf("hosts after another deployment %v", got)
	}
	if first.Address == late.Address || first.Address == (netip.Addr{}) {
		t.Errorf("addresses %s %s", first.Address, late.Address)
	}
	out := must(w.ListServicesByNamespace(w.ctx, &api.ListServicesByNamespaceRequest{Namespace: new("shop"), MaxResults: new(int32(2))}))(t)
	rest := must(w.ListServicesByNamespace(w.ctx, &api.ListServicesByNamespaceRequest{Namespace: new("shop"), NextToken: out.NextToken}))(t)
	if len(out.ServiceArns) != 2 || len(rest.ServiceArns) != 1 || rest.NextToken != nil {
		t.Errorf("services %v and %v", out.ServiceArns, rest.ServiceArns)
	}
}

func TestOnlyAnotherConfigurationOfServiceConnectIsDeployed(t *testing.T) {
	w := newConnectWorld(t)
	in := input[api.CreateServiceRequest](t, served("api", "api", 80, ""))
	must(w.CreateService(w.ctx, in))(t)
	number := func() string {
		v, _ := Services.Get(w.store.Read(), ServiceKey(testAccount, testRegion, "default", "api"))
		return v.Primary
	}
	first := number()
	same := &api.UpdateServiceRequest{Service: new("api"), DesiredCount: new(int32(2)), ServiceConnectConfiguration: in.ServiceConnectConfiguration}
	must(w.UpdateService(w.ctx, same))(t)
	if number() != first {
		t.Error("the same configuration was deployed")
	}
	other := input[api.CreateServiceRequest](t, served("api", "other", 80, ""))
	must(w.UpdateService(w.ctx, &api.UpdateServiceRequest{Service: new("api"), ServiceConnectConfiguration: other.ServiceConnectConfiguration}))(t)
	if _, ok := w.port("other:80"); !ok || number() == first {
		t.Error("another alias was not deployed")
	}
}

func TestServiceConnectIsChecked(t *testing.T) {
	w := newConnectWorld(t)
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, served("taken", "db", 80, ""))))(t)
	w.register(`{"family":"host","networkMode":"host","containerDefinitions":[{"name":"app","image":"app:1","memory":10}]}`)
	const taken = "arn:aws:ecs:" + testRegion + ":" + testAccount + ":service/default/taken in the namespace shop."
	one := func(s string) string { return `{"enabled":true,"services":[` + s + `]}` }
	alias := func(more string) string { return one(`{"portName":"http","clientAliases":[{"port":80` + more + `}]}`) }
	const yet = " is not supported by this Berth yet."
	const ip, cl = "InvalidParameterException: ", "ClientException: "
	for _, row := range []struct{ config, more, want string }{
		{`{}`, "", ip + "serviceConnectConfiguration.enabled can not be null."},
		{`{"enabled":true,"namespace":"none"}`, "", "NamespaceNotFoundException: The namespace none was not found."},
		{`{"enabled":true,"logConfiguration":{"logDriver":"awslogs"}}`, "", cl + "serviceConnectConfiguration.logConfiguration (there is no proxy in the task that would write a log)" + yet},
		{`{"enabled":true,"accessLogConfiguration":{"format":"JSON"}}`, "", cl + "serviceConnectConfiguration.accessLogConfiguration (access logs of Service Connect)" + yet},
		{one(`{"portName":"http"}`), "", ip + "The Service Connect service with the portName 'http' must have 1 client alias."},
		{one(`{"portName":"none","clientAliases":[{"port":80}]}`), "", ip + "The portName 'none' of serviceConnectConfiguration must match the name of a port mapping in the task definition."},
		{one(`{"portName":"dns","clientAliases":[{"port":80}]}`), "", ip + "The port mapping 'dns' has the protocol udp. Service Connect needs tcp."},
		{one(`{"portName":"http","discoveryName":"-","clientAliases":[{"port":80}]}`), "", ip + "The discoveryName '-' must have 1 to 64 lower-case letters, digits, hyphens and underscores and not begin with a hyphen."},
		{one(`{"portName":"http","clientAliases":[{"port":0}]}`), "", ip + "The port of a client alias must be between 1 and 65535."},
		{alias(`,"dnsName":"a b\n127.0.0.1 c"`), "", ip + "The dnsName 'a b\n127.0.0.1 c' must have 1 to 127 lower-case letters, digits, underscores, hyphens and periods and not begin with a hyphen."},
		{alias(`,"testTrafficRules":{"header":{"name":"x"}}`), "", cl + "serviceConnectConfiguration.services.clientAliases.testTrafficRules (traffic shifts with Service Connect)" + yet},
		{alias(`,"dnsName":"db"`), "", ip + "The discovery name 'http' or the client alias 'db:80' is used by the service " + taken},
		{one(`{"portName":"http","discoveryName":"taken","clientAliases":[{"port":81}]}`), "", ip + "The discovery name 'taken' or the client alias 'taken.shop:81' is used by the service " + taken},
		{one(`{"portName":"http","clientAliases":[{"port":81}]},{"portName":"http","clientAliases":[{"port":82}]}`), "", ip + "The discovery name 'http' or the client alias 'http.shop:82' is given more than once."},
		{one(`{"portName":"http","ingressPortOverride":1,"clientAliases":[{"port":80}]}`), "", cl + "serviceConnectConfiguration.services.ingressPortOverride (traffic comes to the task's own port: there is no proxy in the task)" + yet},
		{one(`{"portName":"http","tls":{"issuerCertificateAuthority":{}},"clientAliases":[{"port":80}]}`), "", cl + "serviceConnectConfiguration.services.tls (TLS of Service Connect)" + yet},
		{one(`{"portName":"raw","timeout":{"perRequestTimeoutSeconds":1},"clientAliases":[{"port":80}]}`), "", ip + "perRequestTimeoutSeconds is not supported for 'raw': its appProtocol is TCP."},
		{`{"enabled":true}`, `,"taskDefinition":"host"`, ip + "Service Connect is not supported with the host network mode specified in the task definition. Use bridge."},
		{`{"enabled":true}`, `,"taskDefinition":"","deploymentController":{"type":"EXTERNAL"}`, ip + "Service Connect is not supported with the deployment controller EXTERNAL."},
		{`{"enabled":true}`, `,"launchType":"EXTERNAL"`, ip + "Service Connect is not supported with the EXTERNAL launch type."},
		{alias(``), `,"deploymentConfiguration":{"strategy":"BLUE_GREEN","bakeTimeInMinutes":1}`, cl + "The deployment strategy BLUE_GREEN for services of Service Connect (serviceConnectConfiguration.services)" + yet},
	} {
		if !strings.Contains(row.more, "taskDefinition") {
			row.more += `,"taskDefinition":"api:1"`
		}
		_, err := w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","desiredCount":1,"serviceConnectConfiguration":`+row.config+row.more+`}`))
		if err == nil || err.Error() != row.want {
			t.Errorf("%s\n got %v\nwant %s", row.config, err, row.want)
		}
	}
	w.cluster("bare")
	_, err := w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"cluster":"bare","serviceName":"web","taskDefinition":"api:1","desiredCount":1,"serviceConnectConfiguration":{"enabled":true}}`))
	if err == nil || !strings.HasPrefix(err.Error(), ip+"A namespace is required for Service Connect") {
		t.Errorf("without a namespace: %v", err)
	}
	for p := range elbv2.ConnectPorts.All(w.store.Read()) {
		if p.Alias() != "db:80" {
			t.Errorf("a refused service has %s", p.Alias())
		}
	}
}
