package ecs

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	api "berth/api/ecs"
	"berth/reconcile"
	"berth/servicediscovery"
	"berth/store"
)

// takeRegistries checks the service registries that a service is given, as far as nothing has to be looked up.
func (v *ServiceRecord) takeRegistries(given []api.ServiceRegistry) error {
	switch {
	case len(given) == 0:
		return nil
	case v.Launch == api.LaunchTypeExternal:
		return invalid("Service discovery is not supported with the EXTERNAL launch type.")
	case len(given) > 1:
		return invalid("serviceRegistries can have at most 1 item.")
	}
	g := given[0]
	switch {
	case value(g.RegistryArn) == "":
		return invalid("Registry ARN can not be blank.")
	case g.Port != nil:
		return invalid("serviceRegistries.port is only valid with the network mode awsvpc. Specify containerName and containerPort.")
	case value(g.ContainerName) == "" || g.ContainerPort == nil:
		return invalid("When the network mode of the task definition is bridge or host, serviceRegistries need containerName and containerPort.")
	}
	return nil
}

// checkRegistries checks service registries against Cloud Map and the definition.
func checkRegistries(r store.Reader, registries []api.ServiceRegistry, d TaskDefinition) error {
	for _, g := range registries {
		in, ok := servicediscovery.ServiceByARN(r, *g.RegistryArn)
		if !ok || in.Account != d.Account || in.Region != d.Region {
			return invalid("The service registry %s does not exist.", *g.RegistryArn)
		}
		if !in.HasRecord("SRV") {
			return invalid("The service registry %s has no SRV record, which the network mode %s needs.", *g.RegistryArn, networkMode(&d.Definition))
		}
		if err := checkBalancedPorts([]api.LoadBalancer{{ContainerName: g.ContainerName, ContainerPort: g.ContainerPort}}, d); err != nil {
			return err
		}
	}
	return nil
}

func sameRegistries(a, b []api.ServiceRegistry) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// RegistryReconciler keeps tasks of services registered in Cloud Map while their containers run. Keys are task keys. A
// task that is to stop is deregistered where that is decided (want), so that it leaves before its containers get a signal.
type RegistryReconciler struct {
	store *store.Store
	now   func() time.Time
}

// Name is ecs.registry.
func (RegistryReconciler) Name() string { return "ecs.registry" }

// Triggers: tasks of services.
func (RegistryReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.On(Tasks, func(t Task) []string { return one(strings.HasPrefix(t.Group, serviceGroup), t.Key()) })}
}

// Reconcile looks at one task. A task of which nothing is known stays registered (I-08).
func (v RegistryReconciler) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	t, ok := Tasks.Get(v.store.Read(), key)
	if !ok || len(registriesOf(v.store.Read(), t)) == 0 {
		return 0, nil
	}
	now := v.now()
	return 0, v.store.Update(ctx, func(tx *store.Tx) error {
		t, ok := Tasks.Get(tx, key)
		if !ok {
			return nil
		}
		if t.Desired == StateStopped || t.Last > StateRunning {
			t.leaveRegistries(tx)
			return nil
		}
		if t.Last != StateRunning {
			return nil
		}
		for _, g := range registriesOf(tx, t) {
			if err := t.enter(tx, g, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// registriesOf are the service registries of a task's deployment, with those of Service Connect.
func registriesOf(r store.Reader, t Task) []api.ServiceRegistry {
	name, ok := strings.CutPrefix(t.Group, serviceGroup)
	if !ok {
		return nil
	}
	d, _ := Deployments.Get(r, ServiceKey(t.Account, t.Region, t.Cluster, name)+"/"+t.deployment())
	return append(slices.Clip(d.Registries), d.connectRegistries()...)
}

// enter registers a task that runs, and says how healthy it is. Without the Cloud Map service, and until its machine has told the
// task's ports, it does nothing.
func (t Task) enter(tx *store.Tx, g api.ServiceRegistry, now time.Time) error {
	in, ok := servicediscovery.ServiceByARN(tx, *g.RegistryArn)
	definition, known := TaskDefinitions.Get(tx, t.DefinitionKey())
	machine, there := ContainerInstances.Get(tx, t.InstanceKey())
	if !ok || !known || !there {
		return nil
	}
	description, _ := InstanceDescriptions.Get(tx, t.InstanceKey())
	port := t.portOf(&definition.Definition, *g.ContainerName, *g.ContainerPort, "tcp")
	if port == 0 || description.Address == "" {
		return nil
	}
	healthy := true
	if _, checked := containersHealth(&t, &definition.Definition); checked {
		healthy = taskHealth(t, &definition.Definition) == api.HealthStatusHealthy
	}
	attributes := map[string]string{
		"AWS_INSTANCE_IPV4": description.Address, "AWS_INSTANCE_PORT": itoa(port), "REGION": t.Region, "ECS_CLUSTER_NAME": t.Cluster,
		"ECS_SERVICE_NAME": strings.TrimPrefix(t.Group, serviceGroup), "ECS_TASK_DEFINITION_FAMILY": t.Family,
	}
	for name, value := range map[string]string{"AVAILABILITY_ZONE": description.Attributes[attributeZone], "EC2_INSTANCE_ID": machine.EC2ID} {
		if value != "" {
			attributes[name] = value
		}
	}
	if in.CustomHealth {
		attributes["AWS_INIT_HEALTH_STATUS"] = map[bool]string{true: "HEALTHY", false: "UNHEALTHY"}[healthy]
		if old, ok := servicediscovery.Instances.Get(tx, in.Key()+"/"+t.ID); ok {
			attributes["AWS_INIT_HEALTH_STATUS"] = old.Attributes["AWS_INIT_HEALTH_STATUS"] // it tells how it began
		}
	}
	if err := servicediscovery.Register(tx, in.Key(), servicediscovery.Instance{ID: t.ID, Attributes: attributes}, now); err != nil {
		return err
	}
	servicediscovery.SetHealth(tx, in.Key(), t.ID, healthy)
	return nil
}

// leaveRegistries removes a task from Cloud Map.
func (t Task) leaveRegistries(tx *store.Tx) {
	for _, g := range registriesOf(tx, t) {
		if in, ok := servicediscovery.ServiceByARN(tx, *g.RegistryArn); ok {
			servicediscovery.Deregister(tx, in.Key(), t.ID)
		}
	}
}
