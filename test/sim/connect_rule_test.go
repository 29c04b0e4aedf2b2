package sim

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"berth/elbv2"
)

// A service behind Service Connect is deployed anew, and loses its configuration: each machine always has enough tasks to send requests to.
func TestADeploymentKeepsServiceConnectServed(t *testing.T) {
	scenario(t, func(w *world) {
		w.joinIngress("a", "10.0.0.1")
		w.joinIngress("b", "10.0.0.2")
		define := func() {
			_, err := w.ecs.RegisterTaskDefinition(w.Context(), &sdk.RegisterTaskDefinitionInput{
				Family: new("web"), Cpu: new("128"), Memory: new("128"),
				ContainerDefinitions: []types.ContainerDefinition{{
					Name: new("app"), Image: new("app:1"), PortMappings: []types.PortMapping{{Name: new("http"), AppProtocol: types.ApplicationProtocolHttp, ContainerPort: new(int32(80))}},
				}},
			})
			if err != nil {
				w.Fatal(err)
			}
		}
		define()
		define()
		_, err := w.ecs.UpdateCluster(w.Context(), &sdk.UpdateClusterInput{
			Cluster: new("default"), ServiceConnectDefaults: &types.ClusterServiceConnectDefaultsRequest{Namespace: new("shop")},
		})
		if err != nil {
			w.Fatal(err)
		}
		_, err = w.ecs.CreateService(w.Context(), &sdk.CreateServiceInput{
			ServiceName: new("web"), TaskDefinition: new("web:1"), DesiredCount: new(int32(3)),
			ServiceConnectConfiguration: &types.ServiceConnectConfiguration{Enabled: true, Services: []types.ServiceConnectService{
				{PortName: new("http"), ClientAliases: []types.ServiceConnectClientAlias{{Port: new(int32(80)), DnsName: new("web")}}},
			}},
		})
		if err != nil {
			w.Fatal(err)
		}
		w.watch(3*time.Minute, 0)
		w.wantService("ACTIVE 3/3/0 COMPLETED")
		ports := elbv2.PortsOf(w.store.Read(), *w.service().ServiceArn)
		if len(ports) != 1 || !elbv2.HasTargets(w.store.Read(), ports[0].GroupKey()) {
			w.Fatalf("ports %+v", ports)
		}
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web:2")})
		w.watch(5*time.Minute, 3)
		w.wantService("ACTIVE 3/3/0 COMPLETED")
		w.update(sdk.UpdateServiceInput{ServiceConnectConfiguration: &types.ServiceConnectConfiguration{Enabled: false}})
		w.watch(5*time.Minute, 0)
		w.wantService("ACTIVE 3/3/0 COMPLETED")
		if left := elbv2.PortsOf(w.store.Read(), *w.service().ServiceArn); len(left) != 0 {
			w.Errorf("ports that nobody has: %+v", left)
		}
	})
}
