package conformance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestECSServiceConnect(t *testing.T) {
	w := newTasks(t)
	ctx, space := t.Context(), name("shop")
	defaults := func(namespace string) *types.Cluster {
		return must(w.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{
			Cluster: &w.cluster, ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: &namespace},
		}))(t).Cluster
	}
	arn := *defaults(space).ServiceConnectDefaults.Namespace
	if !strings.HasPrefix(arn, "arn:aws:servicediscovery:"+region+":"+w.account+":namespace/ns-") {
		t.Errorf("default namespace %s", arn)
	}
	definition := must(w.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: new(name("c")), ContainerDefinitions: []types.ContainerDefinition{{
		Name: new("app"), Image: new("app:1"), Memory: new(int32(8)),
		PortMappings: []types.PortMapping{{Name: new("http"), AppProtocol: types.ApplicationProtocolGrpc, ContainerPort: new(int32(80))}},
	}}}))(t).TaskDefinition.TaskDefinitionArn
	config := &types.ServiceConnectConfiguration{Enabled: true, Services: []types.ServiceConnectService{
		{PortName: new("http"), ClientAliases: []types.ServiceConnectClientAlias{{Port: new(int32(80)), DnsName: new("api")}}},
	}}
	in := &ecs.CreateServiceInput{Cluster: &w.cluster, ServiceName: new(name("s")), TaskDefinition: definition, DesiredCount: new(int32(0)), ServiceConnectConfiguration: config}
	v := must(w.ecs.CreateService(ctx, in))(t).Service
	t.Cleanup(func() {
		_, _ = w.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: &w.cluster, Service: in.ServiceName, Force: new(true)})
	})
	d := v.Deployments[0]
	if *d.ServiceConnectConfiguration.Namespace != arn || len(d.ServiceConnectResources) != 1 || *d.ServiceConnectResources[0].DiscoveryName != "http" ||
		!strings.HasPrefix(*d.ServiceConnectResources[0].DiscoveryArn, "arn:aws:servicediscovery:"+region+":"+w.account+":service/srv-") {
		t.Errorf("deployment %+v", d)
	}
	revisions := must(w.ecs.DescribeServiceRevisions(ctx, &ecs.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*v.CurrentServiceRevisions[0].Arn}}))(t)
	if c := revisions.ServiceRevisions[0].ServiceConnectConfiguration; c == nil || *c.Services[0].PortName != "http" {
		t.Errorf("revision %+v", revisions.ServiceRevisions[0])
	}
	in.ServiceName = new(name("t"))
	_, err := w.ecs.CreateService(ctx, in)
	wantError(t, err, "InvalidParameterException", "The discovery name 'http' or the client alias 'api:80' is used by the service "+*v.ServiceArn+" in the namespace "+space+".")
	for _, namespace := range []string{space, arn} {
		if got := must(w.ecs.ListServicesByNamespace(ctx, &ecs.ListServicesByNamespaceInput{Namespace: &namespace}))(t).ServiceArns; len(got) != 1 || got[0] != *v.ServiceArn {
			t.Errorf("services of %s: %v", namespace, got)
		}
	}
	updated := must(w.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{
		Cluster: &w.cluster, Service: v.ServiceName, ServiceConnectConfiguration: &types.ServiceConnectConfiguration{Enabled: false},
	}))(t).Service
	if c := updated.Deployments[0].ServiceConnectConfiguration; c != nil || *updated.Deployments[0].Id == *d.Id {
		t.Errorf("after {enabled: false}: %+v", updated.Deployments[0])
	}
	if got := must(w.ecs.ListServicesByNamespace(ctx, &ecs.ListServicesByNamespaceInput{Namespace: &space}))(t).ServiceArns; len(got) != 0 {
		t.Errorf("services that left: %v", got)
	}
	_, err = w.ecs.ListServicesByNamespace(ctx, &ecs.ListServicesByNamespaceInput{Namespace: new("none")})
	wantError(t, err, "NamespaceNotFoundException", "The namespace none was not found.")
	if c := defaults(""); c.ServiceConnectDefaults != nil {
		t.Errorf("defaults after they were removed: %+v", c.ServiceConnectDefaults)
	}
}
