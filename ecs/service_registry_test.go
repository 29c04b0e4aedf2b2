package ecs

import (
	"fmt"
	"strings"
	"testing"

	discoveryapi "berth/api/servicediscovery"

	api "berth/api/ecs"
	"berth/servicediscovery"
	"berth/store"
)

// registry makes a Cloud Map service with records of a type, and custom health.
func (w *world) registry(kind discoveryapi.RecordType) servicediscovery.ServiceRecord {
	w.t.Helper()
	n := servicediscovery.Namespace{Account: testAccount, Region: testRegion, ID: "ns-1", Name: "corp.local", Type: "DNS_PRIVATE", HTTPName: "corp.local"}
	v := servicediscovery.ServiceRecord{
		Account: testAccount, Region: testRegion, ID: "srv-" + strings.ToLower(string(kind)), Namespace: n.ID, Name: "web", Type: "DNS_HTTP",
		CustomHealth: true, Records: []discoveryapi.DnsRecord{{Type: kind, TTL: new(int64(5))}},
	}
	w.write(func(tx *store.Tx) {
		servicediscovery.Namespaces.Put(tx, n)
		servicediscovery.Services.Put(tx, v)
	})
	return v
}

// enlist runs the reconciler of registries on every task, and returns what is registered.
func (w *world) enlist(v servicediscovery.ServiceRecord) []servicediscovery.Instance {
	w.t.Helper()
	for _, t := range w.tasks(func(Task) bool { return true }) {
		if _, err := (RegistryReconciler{store: w.store, now: w.now}).Reconcile(w.ctx, t.Key()); err != nil {
			w.t.Fatal(err)
		}
	}
	var out []servicediscovery.Instance
	for i := range servicediscovery.Instances.Prefix(w.store.Read(), v.Key()+"/") {
		out = append(out, i)
	}
	return out
}

func TestRunningTasksAreRegisteredInCloudMap(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.register(balancedDefinition)
	v := w.registry("SRV")
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, fmt.Sprintf(
		`{"serviceName":"web","taskDefinition":"web:1","desiredCount":2,"serviceRegistries":[{"registryArn":"%s","containerName":"app","containerPort":80}]}`, v.ARN()))))(t)
	w.schedule("web")
	if got := w.enlist(v); len(got) != 0 {
		t.Errorf("registered before they run: %+v", got)
	}
	w.write(func(tx *store.Tx) {
		for d := range InstanceDescriptions.All(tx) {
			d.Address = "192.0.2.7"
			InstanceDescriptions.Put(tx, d)
		}
	})
	w.assigned()
	got := w.enlist(v)
	if len(got) != 2 {
		t.Fatalf("%d are registered, want 2", len(got))
	}
	for i, task := range w.tasks(Task.Active) {
		a := got[i].Attributes
		if got[i].ID != task.ID || a["AWS_INSTANCE_IPV4"] != "192.0.2.7" || a["AWS_INSTANCE_PORT"] != fmt.Sprint(task.Containers[0].Ports[0].HostPort) ||
			a["ECS_SERVICE_NAME"] != "web" || a["ECS_CLUSTER_NAME"] != "default" || a["ECS_TASK_DEFINITION_FAMILY"] != "web" || a["REGION"] != testRegion ||
			a["AWS_INIT_HEALTH_STATUS"] != "HEALTHY" || got[i].Health != "HEALTHY" {
			t.Errorf("task %s: %+v", task.ID, got[i])
		}
	}
	out := must(w.DescribeServices(w.ctx, &api.DescribeServicesRequest{Services: []string{"web"}}))(t).Services[0]
	if len(out.ServiceRegistries) != 1 || *out.ServiceRegistries[0].RegistryArn != v.ARN().String() {
		t.Errorf("registries %+v", out.ServiceRegistries)
	}
	must(w.StopTask(w.ctx, &api.StopTaskRequest{Task: &got[0].ID}))(t)
	if _, there := servicediscovery.Instances.Get(w.store.Read(), got[0].Key()); there {
		t.Error("a task that is to stop is registered")
	}
	if left := w.enlist(v); len(left) != 1 || left[0].ID != got[1].ID {
		t.Errorf("left: %+v", left)
	}
}

func TestServiceRegistriesAreChecked(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	w.register(balancedDefinition)
	srv, a := w.registry("SRV").ARN().String(), w.registry("A").ARN().String()
	for _, row := range []struct{ registries, want string }{
		{`{}`, "Registry ARN can not be blank."},
		{`{"registryArn":"` + srv + `"}`, "When the network mode of the task definition is bridge or host, serviceRegistries need containerName and containerPort."},
		{`{"registryArn":"` + srv + `","port":80}`, "serviceRegistries.port is only valid with the network mode awsvpc. Specify containerName and containerPort."},
		{`{"registryArn":"` + srv + `x","containerName":"app","containerPort":80}`, "The service registry " + srv + "x does not exist."},
		{`{"registryArn":"` + a + `","containerName":"app","containerPort":80}`, "The service registry " + a + " has no SRV record, which the network mode bridge needs."},
		{`{"registryArn":"` + srv + `","containerName":"none","containerPort":80}`, "The container none does not exist in the task definition."},
		{`{"registryArn":"` + srv + `","containerName":"app","containerPort":81}`, "The container app did not have a container port 81 defined."},
		{`{"registryArn":"` + srv + `"},{"registryArn":"` + srv + `"}`, "serviceRegistries can have at most 1 item."},
	} {
		_, err := w.CreateService(w.ctx, input[api.CreateServiceRequest](t, `{"serviceName":"web","taskDefinition":"web:1","desiredCount":1,"serviceRegistries":[`+row.registries+`]}`))
		if err == nil || err.Error() != "InvalidParameterException: "+row.want {
			t.Errorf("%s\n got %v\nwant %s", row.registries, err, row.want)
		}
	}
}
