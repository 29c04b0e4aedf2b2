package conformance

import (
	"context"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	sdkecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// targets is a client of ELBv2 that works on target groups.
func (w *world) targets() *elbv2.Client {
	c := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.credentials, nil })
	return elbv2.New(elbv2.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
}

// vpc is the ID of the default VPC.
func (w *world) vpc() string {
	w.t.Helper()
	out := must(w.ec2In(region).DescribeVpcs(w.t.Context(), &ec2.DescribeVpcsInput{}))(w.t)
	return *out.Vpcs[0].VpcId
}

// targetGroup makes a target group for HTTP and returns its ARN.
func (w *world) targetGroup(c *elbv2.Client, name string, kind types.TargetTypeEnum) string {
	w.t.Helper()
	out := must(c.CreateTargetGroup(w.t.Context(), &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: types.ProtocolEnumHttp, Port: new(int32(80)), VpcId: new(w.vpc()), TargetType: kind,
		Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
	}))(w.t)
	return *out.TargetGroups[0].TargetGroupArn
}

// registered registers a machine with an EC2 instance ID in a cluster of its own.
func (w *world) registered(id string) {
	w.t.Helper()
	cluster := name("machines")
	must(w.ecs.CreateCluster(w.t.Context(), &sdkecs.CreateClusterInput{ClusterName: &cluster}))(w.t)
	must(w.ecs.RegisterContainerInstance(w.t.Context(), &sdkecs.RegisterContainerInstanceInput{
		Cluster: &cluster, InstanceIdentityDocument: new(`{"instanceId":"` + id + `","availabilityZone":"` + region + `a"}`),
	}))(w.t)
}

func TestTargetGroups(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.targets(), t.Context()
	web := w.targetGroup(c, "web", types.TargetTypeEnumInstance)
	t.Run("CreateTargetGroup", func(t *testing.T) {
		if again := w.targetGroup(c, "web", types.TargetTypeEnumInstance); again != web {
			t.Errorf("the same settings made another group: %s", again)
		}
		_, err := c.CreateTargetGroup(ctx, &elbv2.CreateTargetGroupInput{Name: new("web"), Protocol: types.ProtocolEnumHttp, Port: new(int32(81)), VpcId: new(w.vpc())})
		wantError(t, err, "DuplicateTargetGroupName", "A target group with the same name 'web' exists, but with different settings")
		out := must(c.CreateTargetGroup(ctx, &elbv2.CreateTargetGroupInput{Name: new("grpc"), Protocol: types.ProtocolEnumHttp, ProtocolVersion: new("GRPC"), Port: new(int32(50051)), VpcId: new(w.vpc()), TargetType: types.TargetTypeEnumIp}))(t)
		g := out.TargetGroups[0]
		if *g.Matcher.GrpcCode != "12" || g.Matcher.HttpCode != nil || *g.HealthCheckPath != "/AWS.ALB/healthcheck" || g.TargetType != types.TargetTypeEnumIp {
			t.Errorf("gRPC: %+v", g)
		}
	})
	t.Run("DescribeTargetGroups", func(t *testing.T) {
		g := must(c.DescribeTargetGroups(ctx, &elbv2.DescribeTargetGroupsInput{TargetGroupArns: []string{web}}))(t).TargetGroups[0]
		if *g.TargetGroupName != "web" || *g.Port != 80 || g.Protocol != types.ProtocolEnumHttp || *g.ProtocolVersion != "HTTP1" || g.TargetType != types.TargetTypeEnumInstance ||
			*g.HealthCheckPort != "traffic-port" || !*g.HealthCheckEnabled || *g.HealthCheckIntervalSeconds != 30 || *g.Matcher.HttpCode != "200" ||
			*g.VpcId != w.vpc() || g.IpAddressType != types.TargetGroupIpAddressTypeEnumIpv4 || len(g.LoadBalancerArns) != 0 {
			t.Errorf("got %+v", g)
		}
		var names []string
		for pages := elbv2.NewDescribeTargetGroupsPaginator(c, &elbv2.DescribeTargetGroupsInput{PageSize: new(int32(1))}); pages.HasMorePages(); {
			for _, g := range must(pages.NextPage(ctx))(t).TargetGroups {
				names = append(names, *g.TargetGroupName)
			}
		}
		if !slices.Equal(names, []string{"grpc", "web"}) {
			t.Errorf("pages have %v", names)
		}
		_, err := c.DescribeTargetGroups(ctx, &elbv2.DescribeTargetGroupsInput{Names: []string{"none"}})
		wantError(t, err, "TargetGroupNotFound", "One or more target groups not found")
	})
	t.Run("ModifyTargetGroup", func(t *testing.T) {
		g := must(c.ModifyTargetGroup(ctx, &elbv2.ModifyTargetGroupInput{TargetGroupArn: &web, HealthCheckPath: new("/up"), HealthCheckIntervalSeconds: new(int32(10))}))(t).TargetGroups[0]
		if *g.HealthCheckPath != "/up" || *g.HealthCheckIntervalSeconds != 10 || *g.HealthCheckTimeoutSeconds != 5 {
			t.Errorf("got %+v", g)
		}
	})
	t.Run("ModifyTargetGroupAttributes", func(t *testing.T) {
		set := []types.TargetGroupAttribute{{Key: new("deregistration_delay.timeout_seconds"), Value: new("5")}, {Key: new("stickiness.enabled"), Value: new("true")}}
		must(c.ModifyTargetGroupAttributes(ctx, &elbv2.ModifyTargetGroupAttributesInput{TargetGroupArn: &web, Attributes: set}))(t)
		got := map[string]string{}
		for _, a := range must(c.DescribeTargetGroupAttributes(ctx, &elbv2.DescribeTargetGroupAttributesInput{TargetGroupArn: &web}))(t).Attributes {
			got[*a.Key] = *a.Value
		}
		if got["deregistration_delay.timeout_seconds"] != "5" || got["stickiness.enabled"] != "true" || got["stickiness.type"] != "lb_cookie" || got["load_balancing.algorithm.type"] != "round_robin" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("DeleteTargetGroup", func(t *testing.T) {
		must(c.DeleteTargetGroup(ctx, &elbv2.DeleteTargetGroupInput{TargetGroupArn: &web}))(t)
		_, err := c.DescribeTargetGroups(ctx, &elbv2.DescribeTargetGroupsInput{TargetGroupArns: []string{web}})
		wantError(t, err, "TargetGroupNotFound", "One or more target groups not found")
	})
}

func TestTargets(t *testing.T) {
	w := newWorld(t)
	c, ctx := w.targets(), t.Context()
	id := "i-0123456789abcdef0"
	w.registered(id)
	group := name("web")
	web := w.targetGroup(c, group, types.TargetTypeEnumInstance)
	defer func() {
		must(c.DeleteTargetGroup(context.Background(), &elbv2.DeleteTargetGroupInput{TargetGroupArn: &web}))(t)
	}()
	health := func(targets ...types.TargetDescription) []types.TargetHealthDescription {
		t.Helper()
		return must(c.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &web, Targets: targets}))(t).TargetHealthDescriptions
	}
	t.Run("RegisterTargets", func(t *testing.T) {
		in := []types.TargetDescription{{Id: &id}, {Id: &id, Port: new(int32(8080))}, {Id: &id}}
		must(c.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{TargetGroupArn: &web, Targets: in}))(t)
		_, err := c.RegisterTargets(ctx, &elbv2.RegisterTargetsInput{TargetGroupArn: &web, Targets: []types.TargetDescription{{Id: new("i-00000000000000000")}}})
		wantError(t, err, "InvalidTarget", "The following targets are not in a running state and cannot be registered: 'i-00000000000000000'")
	})
	t.Run("DescribeTargetHealth", func(t *testing.T) {
		got := health()
		if len(got) != 2 || *got[0].Target.Port != 80 || *got[1].Target.Port != 8080 || *got[1].HealthCheckPort != "8080" {
			t.Fatalf("got %+v", got)
		}
		if h := got[0].TargetHealth; h.State != types.TargetHealthStateEnumUnused || h.Reason != types.TargetHealthReasonEnumNotInUse ||
			*h.Description != "Target group is not configured to receive traffic from the load balancer" {
			t.Errorf("health: %+v", h)
		}
		if h := health(types.TargetDescription{Id: &id, Port: new(int32(9))})[0].TargetHealth; h.Reason != types.TargetHealthReasonEnumNotRegistered {
			t.Errorf("health of no target: %+v", h)
		}
	})
	t.Run("DeregisterTargets", func(t *testing.T) {
		must(c.DeregisterTargets(ctx, &elbv2.DeregisterTargetsInput{TargetGroupArn: &web, Targets: []types.TargetDescription{{Id: &id}, {Id: new("i-00000000000000000")}}}))(t)
		if got := health(); len(got) != 1 || *got[0].Target.Port != 8080 {
			t.Errorf("left: %+v", got)
		}
		waiter := elbv2.NewTargetDeregisteredWaiter(c)
		if err := waiter.Wait(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &web, Targets: []types.TargetDescription{{Id: &id}}}, 1<<36); err != nil {
			t.Errorf("the waiter of the SDK: %v", err)
		}
	})
}
