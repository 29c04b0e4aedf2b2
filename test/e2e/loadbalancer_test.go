package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func (b *Berth) elb() *elb.Client { return elb.NewFromConfig(b.cfg) }

// balancer is a load balancer with one HTTP listener on port 80.
type balancer struct {
	*Berth
	name, arn, listener, group string
}

// newBalancer makes an application load balancer that forwards to a group of instance targets. All of it ends with the test.
func (b *Berth) newBalancer(name string) *balancer {
	b.t.Helper()
	subnets := strings.Fields(b.aws("ec2", "describe-subnets", "--query", "Subnets[].SubnetId", "--output", "text"))
	made, err := b.elb().CreateLoadBalancer(b.t.Context(), &elb.CreateLoadBalancerInput{Name: &name, Subnets: subnets, Scheme: elbtypes.LoadBalancerSchemeEnumInternal})
	if err != nil {
		b.t.Fatal(err)
	}
	l := &balancer{Berth: b, name: name, arn: *made.LoadBalancers[0].LoadBalancerArn}
	b.t.Cleanup(func() {
		_, _ = b.elb().DeleteLoadBalancer(context.Background(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: &l.arn})
	})
	l.group = l.newGroup(name)
	listener, err := b.elb().CreateListener(b.t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: &l.arn, Port: new(int32(80)), Protocol: elbtypes.ProtocolEnumHttp,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &l.group}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	l.listener = *listener.Listeners[0].ListenerArn
	return l
}

// newGroup makes a target group whose targets are checked as fast as AWS allows.
func (l *balancer) newGroup(name string) string {
	l.t.Helper()
	out, err := l.elb().CreateTargetGroup(l.t.Context(), &elb.CreateTargetGroupInput{
		Name: &name, Protocol: elbtypes.ProtocolEnumHttp, Port: new(int32(8080)), VpcId: new(l.aws("ec2", "describe-vpcs", "--query", "Vpcs[0].VpcId", "--output", "text")),
		TargetType: elbtypes.TargetTypeEnumInstance, HealthCheckIntervalSeconds: new(int32(5)), HealthCheckTimeoutSeconds: new(int32(2)), HealthyThresholdCount: new(int32(2)),
		UnhealthyThresholdCount: new(int32(2)),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	arn := *out.TargetGroups[0].TargetGroupArn
	_, err = l.elb().ModifyTargetGroupAttributes(l.t.Context(), &elb.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &arn, Attributes: []elbtypes.TargetGroupAttribute{{Key: new("deregistration_delay.timeout_seconds"), Value: new("30")}},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_, _ = l.elb().DeleteTargetGroup(context.Background(), &elb.DeleteTargetGroupInput{TargetGroupArn: &arn})
	})
	return arn
}

// url is where the load balancer answers from here.
func (l *balancer) url() string {
	l.t.Helper()
	return strings.TrimSpace(l.berth("url", l.name))
}

// definition registers a definition of a server that says which release it is.
func (l *balancer) definition(family, release string) string {
	l.t.Helper()
	return l.register(fmt.Sprintf(`{"family":%q,"containerDefinitions":[{"name":"main","image":%q,"memory":16,"command":["/bin/probe","serve",":8080"],
		"environment":[{"name":"RELEASE","value":%q}],"portMappings":[{"containerPort":8080}]}]}`, family, l.probe(), release))
}

// serve makes a service behind the load balancer and waits until it is deployed.
func (l *balancer) serve(in ecs.CreateServiceInput) {
	l.t.Helper()
	if in.LoadBalancers == nil {
		in.LoadBalancers = []types.LoadBalancer{{TargetGroupArn: &l.group, ContainerName: new("main"), ContainerPort: new(int32(8080))}}
	}
	l.createService(&in)
	l.completed(*in.ServiceName, *in.TaskDefinition)
}

func (l *balancer) update(in ecs.UpdateServiceInput) {
	l.t.Helper()
	if _, err := l.ecs().UpdateService(l.t.Context(), &in); err != nil {
		l.t.Fatal(err)
	}
}

func TestServiceAnswersBehindItsLoadBalancer(t *testing.T) {
	b := shared(t)
	l := b.newBalancer("lb-web")
	l.serve(ecs.CreateServiceInput{ServiceName: new("lb-web"), TaskDefinition: new(l.definition("lb-web", "1")), DesiredCount: new(int32(2))})
	if got, err := get(l.url()); err != nil || !strings.HasPrefix(got, "pid ") {
		t.Errorf("answer %q, %v", got, err)
	}
	b.aws("ecs", "wait", "services-stable", "--services", "lb-web")
	health, err := l.elb().DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &l.group})
	if err != nil || len(health.TargetHealthDescriptions) != 2 {
		t.Fatalf("%v %s", err, dump(health))
	}
	for _, h := range health.TargetHealthDescriptions {
		if h.TargetHealth.State != elbtypes.TargetHealthStateEnumHealthy {
			t.Errorf("target %s", dump(h))
		}
	}
	addresses := strings.Fields(b.berth("url", "lb-web", "--all"))
	if len(addresses) == 0 || addresses[0] != l.url() {
		t.Errorf("addresses of the service %v, of its load balancer %s", addresses, l.url())
	}
	// A service without load balancers has the addresses of its tasks and no load balancer's.
	l.createService(&ecs.CreateServiceInput{ServiceName: new("lb-none"), TaskDefinition: new(l.definition("lb-none", "1")), DesiredCount: new(int32(1))})
	b.berth("wait", "lb-none")
	if got := b.berth("url", "lb-none"); !strings.Contains(got, "//127.0.0.1:") {
		t.Errorf("address of a service without load balancers %s", got)
	}
}

// TestNothingIsDropped does to a service everything that its owner does to it, under a load of more than 500 requests a second.
func TestNothingIsDropped(t *testing.T) {
	b := start(t)
	l := b.newBalancer("nodrop")
	const name = "nodrop"
	l.serve(ecs.CreateServiceInput{ServiceName: new(name), TaskDefinition: new(l.definition(name, "0")), DesiredCount: new(int32(3))})
	requests := startLoad(t, l.url(), nil)
	step := func(what string, do func()) {
		t.Helper()
		total, failed := requests.soFar()
		began := time.Now()
		do()
		now, bad := requests.soFar()
		t.Logf("%s: %d requests in %s, %d failed", what, now-total, time.Since(began).Round(time.Millisecond), bad-failed)
		if bad > failed {
			requests.mu.Lock()
			defer requests.mu.Unlock()
			t.Errorf("%s: requests failed: %v", what, requests.failures)
		}
	}
	for i := range 10 {
		step(fmt.Sprint("rolling deployment ", i+1), func() {
			next := l.definition(name, fmt.Sprint(i+1))
			l.update(ecs.UpdateServiceInput{Service: new(name), TaskDefinition: &next})
			l.completed(name, next)
		})
	}
	step("StopTask loop", func() {
		for range 6 {
			arn := b.serviceTasks(name)[0]
			b.stop(arn, "a test")
			b.until(arn, "STOPPED")
			l.healthy(3)
		}
	})
	step("scale-out and scale-in", func() {
		for _, n := range []int32{6, 2, 3} {
			l.update(ecs.UpdateServiceInput{Service: new(name), DesiredCount: &n})
			b.stable(name)
		}
	})
	step("a storm of target changes", func() { l.storm(200, 10*time.Second) })
	total, failed, why := requests.end()
	rate := float64(total) / time.Since(requests.began).Seconds()
	t.Logf("%d requests, %.0f a second, %d failed", total, rate, failed)
	if failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, why)
	}
	l.killed(name)
}

// TestNothingIsDroppedWhileTrafficShifts deploys a service by canary and then blue/green, under the same load.
func TestNothingIsDroppedWhileTrafficShifts(t *testing.T) {
	b := start(t)
	l := b.newBalancer("shift")
	const name = "shift"
	green, tuple := l.newGroup("shift-green"), func(group string, weight int32) elbtypes.TargetGroupTuple {
		return elbtypes.TargetGroupTuple{TargetGroupArn: &group, Weight: &weight}
	}
	rule, err := l.elb().CreateRule(t.Context(), &elb.CreateRuleInput{
		ListenerArn: &l.listener, Priority: new(int32(1)), Conditions: []elbtypes.RuleCondition{{Field: new("path-pattern"), Values: []string{"/*"}}},
		Actions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, ForwardConfig: &elbtypes.ForwardActionConfig{
			TargetGroups: []elbtypes.TargetGroupTuple{tuple(l.group, 100), tuple(green, 0)},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	balancers := []types.LoadBalancer{{
		TargetGroupArn: &l.group, ContainerName: new("main"), ContainerPort: new(int32(8080)),
		AdvancedConfiguration: &types.AdvancedConfiguration{
			AlternateTargetGroupArn: &green, ProductionListenerRule: rule.Rules[0].RuleArn, RoleArn: new("arn:aws:iam::000000000000:role/ecs"),
		},
	}}
	l.serve(ecs.CreateServiceInput{
		ServiceName: new(name), TaskDefinition: new(l.definition(name, "0")), DesiredCount: new(int32(3)), LoadBalancers: balancers,
		DeploymentConfiguration: &types.DeploymentConfiguration{Strategy: types.DeploymentStrategyCanary, CanaryConfiguration: &types.CanaryConfiguration{
			CanaryPercent: new(20.0), CanaryBakeTimeInMinutes: new(int32(0)),
		}},
	})
	requests := startLoad(t, l.url(), nil)
	for i, strategy := range []types.DeploymentConfiguration{
		{Strategy: types.DeploymentStrategyCanary, CanaryConfiguration: &types.CanaryConfiguration{CanaryPercent: new(20.0), CanaryBakeTimeInMinutes: new(int32(0))}},
		{Strategy: types.DeploymentStrategyBlueGreen, BakeTimeInMinutes: new(int32(0))},
		{Strategy: types.DeploymentStrategyLinear, LinearConfiguration: &types.LinearConfiguration{StepPercent: new(50.0), StepBakeTimeInMinutes: new(int32(0))}},
	} {
		before, _ := requests.soFar()
		next := l.definition(name, fmt.Sprint(i+1))
		l.update(ecs.UpdateServiceInput{Service: new(name), TaskDefinition: &next, DeploymentConfiguration: &strategy})
		l.completed(name, next)
		now, failed := requests.soFar()
		t.Logf("%s: %d requests, %d failed", strategy.Strategy, now-before, failed)
	}
	total, failed, why := requests.end()
	t.Logf("%d requests, %d failed", total, failed)
	if failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, why)
	}
}

// healthy waits until so many targets of the group are healthy.
func (l *balancer) healthy(n int) {
	l.t.Helper()
	eventually(l.t, fmt.Sprint(n, " targets are healthy"), func() (bool, string) {
		out, err := l.elb().DescribeTargetHealth(l.t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &l.group})
		if err != nil {
			return false, err.Error()
		}
		found := 0
		for _, h := range out.TargetHealthDescriptions {
			if h.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
				found++
			}
		}
		return found == n, dump(out)
	})
}

// storm changes targets of another group of the load balancer, evenly over the time.
func (l *balancer) storm(changes int, over time.Duration) {
	l.t.Helper()
	group := l.newGroup("storm")
	rule, err := l.elb().CreateRule(l.t.Context(), &elb.CreateRuleInput{
		ListenerArn: &l.listener, Priority: new(int32(1)), Conditions: []elbtypes.RuleCondition{{Field: new("path-pattern"), Values: []string{"/storm"}}},
		Actions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	instances := strings.Fields(l.aws("ecs", "describe-container-instances", "--container-instances",
		l.aws("ecs", "list-container-instances", "--query", "containerInstanceArns[0]", "--output", "text"), "--query", "containerInstances[].ec2InstanceId", "--output", "text"))
	tick := time.NewTicker(over / time.Duration(changes))
	defer tick.Stop()
	for i := range changes {
		<-tick.C
		target := []elbtypes.TargetDescription{{Id: &instances[0], Port: new(int32(20000 + i/2))}}
		if i%2 == 0 {
			_, err = l.elb().RegisterTargets(l.t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: target})
		} else {
			_, err = l.elb().DeregisterTargets(l.t.Context(), &elb.DeregisterTargetsInput{TargetGroupArn: &group, Targets: target})
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
	if _, err := l.elb().DeleteRule(l.t.Context(), &elb.DeleteRuleInput{RuleArn: rule.Rules[0].RuleArn}); err != nil {
		l.t.Fatal(err)
	}
}

// killed kills HAProxy, master and worker, in thirty thousand requests: under one in a hundred may fail.
func (l *balancer) killed(name string) {
	l.t.Helper()
	requests := startLoad(l.t, l.url(), nil)
	until := func(n int) {
		l.t.Helper()
		eventually(l.t, "requests flow", func() (bool, string) {
			total, failed := requests.soFar()
			return total > n, fmt.Sprint(total, failed)
		})
	}
	until(10_000)
	for _, pid := range haproxies(l.Dir) {
		kill(pid)
	}
	until(30_000)
	total, failed, why := requests.end()
	l.t.Logf("HAProxy killed: %d of %d requests failed", failed, total)
	if failed*100 >= total {
		l.t.Errorf("HAProxy was killed: %d of %d requests failed: %s", failed, total, why)
	}
	if v := l.service(name); aws.ToString(v.Status) != "ACTIVE" || v.RunningCount != v.DesiredCount {
		l.t.Errorf("the service after the kills: %s", dump(v))
	}
}
