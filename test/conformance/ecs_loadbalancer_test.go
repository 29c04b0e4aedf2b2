package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func TestECSServiceLoadBalancersAreChecked(t *testing.T) {
	w := newTasks(t)
	const (
		code    = "InvalidParameterException"
		unknown = "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role being passed has the proper permissions."
	)
	unused := w.targetGroup(w.targets(), name("tg"), elbtypes.TargetTypeEnumInstance)
	gone := "arn:aws:elasticloadbalancing:us-east-1:" + w.account + ":targetgroup/none/0123456789abcdef"
	entry := func(group *string, container string, port int32) types.LoadBalancer {
		return types.LoadBalancer{TargetGroupArn: group, ContainerName: new(container), ContainerPort: new(port)}
	}
	for _, row := range []struct {
		name, code, want string
		given            []types.LoadBalancer
		role             *string
	}{
		{"unknown group", code, unknown, []types.LoadBalancer{entry(&gone, "app", 80)}, nil},
		{"no ARN", code, unknown, []types.LoadBalancer{entry(new("tg"), "app", 80)}, nil},
		{"no load balancer", code, "The target group with targetGroupArn " + unused + " does not have an associated load balancer.", []types.LoadBalancer{entry(&unused, "app", 80)}, nil},
		{"no container", code, "Container Name can not be blank.", []types.LoadBalancer{{TargetGroupArn: &unused, ContainerPort: new(int32(80))}}, nil},
		{"twice", code, "Duplicate targetGroupArn found: " + unused, []types.LoadBalancer{entry(&unused, "app", 80), entry(&unused, "app", 81)}, nil},
		{"classic", "ClientException", "loadBalancers.loadBalancerName (Classic Load Balancers; use targetGroupArn) is not supported by this Berth yet.",
			[]types.LoadBalancer{{LoadBalancerName: new("lb"), ContainerName: new("app"), ContainerPort: new(int32(80))}}, nil},
		{"role alone", code, "IAM roles are only valid for services configured to use load balancers.", nil, new("r")},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := w.ecs.CreateService(t.Context(), &ecs.CreateServiceInput{
				Cluster: &w.cluster, ServiceName: new(name("s")), TaskDefinition: &w.family, DesiredCount: new(int32(0)), LoadBalancers: row.given, Role: row.role,
			})
			wantError(t, err, row.code, row.want)
		})
	}
}
