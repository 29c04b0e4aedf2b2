package conformance

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The tests of this file ask what Terraform's provider for AWS asks, in its order and with the fields that it sets, defaults
// of its own included, and look at what it reads back: a plan after an apply is empty only if that is what was written.
// test/e2e runs Terraform itself where it is installed.

// The provider begins with who it is, and data sources look for the default network.
func TestTerraformDataSources(t *testing.T) {
	w := newBalancing(t)
	ctx, network := t.Context(), w.ec2In(region)
	if me := must(w.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(t); *me.Account != w.account {
		t.Errorf("got account %s", *me.Account)
	}
	vpcs := must(network.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filters("isDefault", "true")}))(t).Vpcs
	if len(vpcs) != 1 || *vpcs[0].VpcId != w.vpc || *vpcs[0].CidrBlock == "" || *vpcs[0].DhcpOptionsId == "" || *vpcs[0].OwnerId != w.account || len(vpcs[0].CidrBlockAssociationSet) != 1 {
		t.Errorf("got %+v", vpcs)
	}
	for _, a := range []ec2types.VpcAttributeName{ec2types.VpcAttributeNameEnableDnsSupport, ec2types.VpcAttributeNameEnableDnsHostnames, ec2types.VpcAttributeNameEnableNetworkAddressUsageMetrics} {
		must(network.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &w.vpc, Attribute: a}))(t)
	}
	if tables := must(network.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filters("association.main", "true", "vpc-id", w.vpc)}))(t).RouteTables; len(tables) != 1 {
		t.Errorf("got %+v", tables)
	}
	var subnets []string
	for pages := ec2.NewDescribeSubnetsPaginator(network, &ec2.DescribeSubnetsInput{Filters: filters("vpc-id", w.vpc, "default-for-az", "true")}); pages.HasMorePages(); {
		for _, s := range must(pages.NextPage(ctx))(t).Subnets {
			subnets = append(subnets, *s.SubnetId)
		}
	}
	if !slices.Equal(subnets, w.subnets) {
		t.Errorf("got subnets %v, want %v", subnets, w.subnets)
	}
	groups := must(network.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filters("vpc-id", w.vpc, "group-name", "default")}))(t).SecurityGroups
	if len(groups) != 1 || *groups[0].VpcId != w.vpc {
		t.Errorf("got %+v", groups)
	}
}

// filters are pairs of a name and a value.
func filters(pairs ...string) (out []ec2types.Filter) {
	for p := range slices.Chunk(pairs, 2) {
		out = append(out, ec2types.Filter{Name: &p[0], Values: p[1:]})
	}
	return out
}

func TestTerraformLoadBalancers(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	for _, row := range []struct {
		kind       types.LoadBalancerTypeEnum
		attributes map[string]string // what the provider sets when a configuration names none
	}{
		{types.LoadBalancerTypeEnumApplication, map[string]string{
			"access_logs.s3.enabled": "false", "connection_logs.s3.enabled": "false", "health_check_logs.s3.enabled": "false", "client_keep_alive.seconds": "3600",
			"routing.http.desync_mitigation_mode": "defensive", "routing.http.drop_invalid_header_fields.enabled": "false", "deletion_protection.enabled": "false",
			"routing.http2.enabled": "true", "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false", "waf.fail_open.enabled": "false",
			"routing.http.xff_client_port.enabled": "false", "zonal_shift.config.enabled": "false", "idle_timeout.timeout_seconds": "60",
			"routing.http.preserve_host_header.enabled": "false", "routing.http.xff_header_processing.mode": "append",
		}},
		{types.LoadBalancerTypeEnumNetwork, map[string]string{
			"access_logs.s3.enabled": "false", "dns_record.client_routing_policy": "any_availability_zone", "load_balancing.cross_zone.enabled": "false",
			"deletion_protection.enabled": "false", "zonal_shift.config.enabled": "false", "secondary_ips.auto_assigned.per_subnet": "0",
		}},
	} {
		t.Run(string(row.kind), func(t *testing.T) {
			name := name("tf")
			_, err := w.elb.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{Names: []string{name}})
			if _, ok := errors.AsType[*types.LoadBalancerNotFoundException](err); !ok {
				t.Errorf("got %v", err)
			}
			arn := must(w.elb.CreateLoadBalancer(ctx, &elbv2.CreateLoadBalancerInput{
				Name: &name, Type: row.kind, Scheme: types.LoadBalancerSchemeEnumInternal, Subnets: w.subnets[:2], Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
			}))(t).LoadBalancers[0].LoadBalancerArn
			var pairs []types.LoadBalancerAttribute
			for _, key := range slices.Sorted(maps.Keys(row.attributes)) {
				pairs = append(pairs, types.LoadBalancerAttribute{Key: &key, Value: new(row.attributes[key])})
			}
			must(w.elb.ModifyLoadBalancerAttributes(ctx, &elbv2.ModifyLoadBalancerAttributesInput{LoadBalancerArn: arn, Attributes: pairs}))(t)

			lb := must(w.elb.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{*arn}}))(t).LoadBalancers[0]
			var subnets []string
			for _, z := range lb.AvailabilityZones {
				subnets = append(subnets, *z.SubnetId)
			}
			slices.Sort(subnets)
			if lb.State.Code != types.LoadBalancerStateEnumActive || lb.Scheme != types.LoadBalancerSchemeEnumInternal || lb.IpAddressType != types.IpAddressTypeIpv4 ||
				!slices.Equal(subnets, slices.Sorted(slices.Values(w.subnets[:2]))) || *lb.DNSName == "" || *lb.CanonicalHostedZoneId == "" {
				t.Errorf("got %+v", lb)
			}
			read := map[string]string{}
			for _, a := range must(w.elb.DescribeLoadBalancerAttributes(ctx, &elbv2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: arn}))(t).Attributes {
				read[*a.Key] = *a.Value
			}
			for key, want := range row.attributes {
				if read[key] != want {
					t.Errorf("%s is %q, want %q", key, read[key], want)
				}
			}
			if c := must(w.elb.DescribeCapacityReservation(ctx, &elbv2.DescribeCapacityReservationInput{LoadBalancerArn: arn}))(t); c.MinimumLoadBalancerCapacity != nil {
				t.Errorf("got %+v", c)
			}
			w.tagged(*arn, "v")

			// It asks again without what a partition does not know, by the words of the refusal.
			_, err = w.elb.ModifyLoadBalancerAttributes(ctx, &elbv2.ModifyLoadBalancerAttributesInput{
				LoadBalancerArn: arn, Attributes: []types.LoadBalancerAttribute{{Key: new("not.yet"), Value: new("x")}},
			})
			if err == nil || !strings.Contains(err.Error(), "attribute key 'not.yet' is not recognized") {
				t.Errorf("got %v", err)
			}

			must(w.elb.DeleteLoadBalancer(ctx, &elbv2.DeleteLoadBalancerInput{LoadBalancerArn: arn}))(t)
			_, path, _ := strings.Cut(*arn, ":loadbalancer/")
			for _, owner := range []string{"amazon-elb", "amazon-aws"} { // it waits until both lists are empty
				in := &ec2.DescribeNetworkInterfacesInput{Filters: filters("attachment.instance-owner-id", owner, "description", "ELB "+path)}
				if left := must(w.ec2In(region).DescribeNetworkInterfaces(ctx, in))(t).NetworkInterfaces; len(left) != 0 {
					t.Errorf("got %+v", left)
				}
			}
		})
	}
}

// tagged looks for the tag k that the provider wrote.
func (w *balancing) tagged(arn, want string) {
	w.t.Helper()
	d := must(w.elb.DescribeTags(w.t.Context(), &elbv2.DescribeTagsInput{ResourceArns: []string{arn}}))(w.t).TagDescriptions
	if len(d) != 1 || len(d[0].Tags) != 1 || *d[0].Tags[0].Value != want {
		w.t.Errorf("got %+v", d)
	}
}

// terraformGroup makes a target group as the provider does: it sends an empty protocol version, and a delay always.
func (w *balancing) terraformGroup(group string) *string {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.elb.DescribeTargetGroups(ctx, &elbv2.DescribeTargetGroupsInput{Names: []string{group}})
	if _, ok := errors.AsType[*types.TargetGroupNotFoundException](err); !ok {
		w.t.Errorf("got %v", err)
	}
	arn := must(w.elb.CreateTargetGroup(ctx, &elbv2.CreateTargetGroupInput{
		Name: &group, Port: new(int32(80)), Protocol: types.ProtocolEnumHttp, ProtocolVersion: new(""), TargetType: types.TargetTypeEnumInstance, VpcId: &w.vpc,
		HealthCheckEnabled: new(true), HealthCheckIntervalSeconds: new(int32(30)), HealthyThresholdCount: new(int32(3)), UnhealthyThresholdCount: new(int32(3)),
		HealthCheckPath: new("/health"), HealthCheckPort: new("traffic-port"), HealthCheckProtocol: types.ProtocolEnumHttp, Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
	}))(w.t).TargetGroups[0].TargetGroupArn
	must(w.elb.ModifyTargetGroupAttributes(ctx, &elbv2.ModifyTargetGroupAttributesInput{
		TargetGroupArn: arn, Attributes: []types.TargetGroupAttribute{
			{Key: new("deregistration_delay.timeout_seconds"), Value: new("300")},
			{Key: new("stickiness.enabled"), Value: new("false")}, {Key: new("stickiness.type"), Value: new("lb_cookie")}, {Key: new("stickiness.lb_cookie.duration_seconds"), Value: new("86400")},
		},
	}))(w.t)
	return arn
}

func TestTerraformTargetGroup(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	arn := w.terraformGroup("tf")
	g := must(w.elb.DescribeTargetGroups(ctx, &elbv2.DescribeTargetGroupsInput{TargetGroupArns: []string{*arn}}))(t).TargetGroups[0]
	want := types.TargetGroup{
		TargetGroupArn: arn, TargetGroupName: new("tf"), Port: new(int32(80)), Protocol: types.ProtocolEnumHttp, ProtocolVersion: new("HTTP1"), TargetType: types.TargetTypeEnumInstance,
		VpcId: &w.vpc, IpAddressType: types.TargetGroupIpAddressTypeEnumIpv4, LoadBalancerArns: []string{}, Matcher: &types.Matcher{HttpCode: new("200")},
		HealthCheckEnabled: new(true), HealthCheckIntervalSeconds: new(int32(30)), HealthCheckTimeoutSeconds: new(int32(5)), HealthyThresholdCount: new(int32(3)),
		UnhealthyThresholdCount: new(int32(3)), HealthCheckPath: new("/health"), HealthCheckPort: new("traffic-port"), HealthCheckProtocol: types.ProtocolEnumHttp,
	}
	if diff := cmp.Diff(g, want, cmpopts.IgnoreUnexported(types.TargetGroup{}, types.Matcher{})); diff != "" {
		t.Errorf("got less, want more:\n%s", diff)
	}
	read := map[string]string{}
	for _, a := range must(w.elb.DescribeTargetGroupAttributes(ctx, &elbv2.DescribeTargetGroupAttributesInput{TargetGroupArn: arn}))(t).Attributes {
		read[*a.Key] = *a.Value
	}
	for key, want := range map[string]string{
		"deregistration_delay.timeout_seconds": "300", "stickiness.enabled": "false", "stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": "86400",
		"load_balancing.algorithm.type": "round_robin", "load_balancing.algorithm.anomaly_mitigation": "off", "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
		"slow_start.duration_seconds": "0", "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
		"target_group_health.dns_failover.minimum_healthy_targets.percentage": "off", "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
	} {
		if read[key] != want {
			t.Errorf("%s is %q, want %q", key, read[key], want)
		}
	}
	w.tagged(*arn, "v")
	// A change of the delay and of the check, each by its own call.
	must(w.elb.ModifyTargetGroup(ctx, &elbv2.ModifyTargetGroupInput{
		TargetGroupArn: arn, HealthCheckEnabled: new(true), HealthCheckIntervalSeconds: new(int32(10)), HealthyThresholdCount: new(int32(2)), UnhealthyThresholdCount: new(int32(2)),
		HealthCheckTimeoutSeconds: new(int32(5)), Matcher: &types.Matcher{HttpCode: new("200")}, HealthCheckPath: new("/health"), HealthCheckPort: new("traffic-port"),
		HealthCheckProtocol: types.ProtocolEnumHttp,
	}))(t)
	must(w.elb.ModifyTargetGroupAttributes(ctx, &elbv2.ModifyTargetGroupAttributesInput{
		TargetGroupArn: arn, Attributes: []types.TargetGroupAttribute{{Key: new("deregistration_delay.timeout_seconds"), Value: new("5")}, {Key: new("slow_start.duration_seconds"), Value: new("0")}},
	}))(t)
	must(w.elb.DeleteTargetGroup(ctx, &elbv2.DeleteTargetGroupInput{TargetGroupArn: arn}))(t)
}

func TestTerraformListenerAndRule(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb, group := w.balancer("tf", types.LoadBalancerTypeEnumApplication).LoadBalancerArn, w.terraformGroup("tf")
	forward := []types.Action{{Type: types.ActionTypeEnumForward, Order: new(int32(1)), TargetGroupArn: group}}
	made := must(w.elb.CreateListener(ctx, &elbv2.CreateListenerInput{
		LoadBalancerArn: lb, Port: new(int32(80)), Protocol: types.ProtocolEnumHttp, DefaultActions: forward, Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
	}))(t).Listeners[0]
	l := must(w.elb.DescribeListeners(ctx, &elbv2.DescribeListenersInput{ListenerArns: []string{*made.ListenerArn}}))(t).Listeners[0]
	if *l.LoadBalancerArn != *lb || *l.Port != 80 || l.Protocol != types.ProtocolEnumHttp || len(l.Certificates) != 0 || len(l.AlpnPolicy) != 0 || l.SslPolicy != nil || l.MutualAuthentication != nil {
		t.Errorf("got %+v", l)
	}
	w.forwards(l.DefaultActions, *group)
	for _, a := range must(w.elb.DescribeListenerAttributes(ctx, &elbv2.DescribeListenerAttributesInput{ListenerArn: l.ListenerArn}))(t).Attributes {
		if *a.Key == "routing.http.response.server.enabled" && *a.Value != "true" {
			t.Errorf("got %s=%s", *a.Key, *a.Value)
		}
	}
	w.tagged(*l.ListenerArn, "v")

	// Without a priority in the configuration it looks for the highest one first.
	if rules := must(w.elb.DescribeRules(ctx, &elbv2.DescribeRulesInput{ListenerArn: l.ListenerArn}))(t).Rules; len(rules) != 1 || *rules[0].Priority != "default" {
		t.Errorf("got %+v", rules)
	}
	rule := must(w.elb.CreateRule(ctx, &elbv2.CreateRuleInput{
		ListenerArn: l.ListenerArn, Priority: new(int32(1)), Actions: forward, Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
		Conditions: []types.RuleCondition{
			{Field: new("path-pattern"), PathPatternConfig: &types.PathPatternConditionConfig{Values: []string{"/api/*"}}},
			{Field: new("host-header"), HostHeaderConfig: &types.HostHeaderConditionConfig{Values: []string{"api.example.com"}}},
		},
	}))(t).Rules[0].RuleArn
	r := must(w.elb.DescribeRules(ctx, &elbv2.DescribeRulesInput{RuleArns: []string{*rule}}))(t).Rules[0]
	w.forwards(r.Actions, *group)
	if *r.Priority != "1" || len(r.Conditions) != 2 || r.Conditions[0].PathPatternConfig.Values[0] != "/api/*" || r.Conditions[1].HostHeaderConfig.Values[0] != "api.example.com" {
		t.Errorf("got %+v", r)
	}
	w.tagged(*rule, "v")
	must(w.elb.SetRulePriorities(ctx, &elbv2.SetRulePrioritiesInput{RulePriorities: []types.RulePriorityPair{{RuleArn: rule, Priority: new(int32(7))}}}))(t)
	must(w.elb.ModifyRule(ctx, &elbv2.ModifyRuleInput{RuleArn: rule, Conditions: []types.RuleCondition{{Field: new("path-pattern"), PathPatternConfig: &types.PathPatternConditionConfig{Values: []string{"/v2/*"}}}}}))(t)

	// Groups that are in use are asked for again until they are not.
	_, err := w.elb.DeleteTargetGroup(ctx, &elbv2.DeleteTargetGroupInput{TargetGroupArn: group})
	if used, ok := errors.AsType[*types.ResourceInUseException](err); !ok || !strings.Contains(*used.Message, "is currently in use by a listener or a rule") {
		t.Errorf("got %v", err)
	}
	must(w.elb.DeleteRule(ctx, &elbv2.DeleteRuleInput{RuleArn: rule}))(t)
	_, err = w.elb.DescribeRules(ctx, &elbv2.DescribeRulesInput{RuleArns: []string{*rule}})
	if _, ok := errors.AsType[*types.RuleNotFoundException](err); !ok {
		t.Errorf("got %v", err)
	}
	must(w.elb.DeleteListener(ctx, &elbv2.DeleteListenerInput{ListenerArn: l.ListenerArn}))(t)
	_, err = w.elb.DescribeListeners(ctx, &elbv2.DescribeListenersInput{ListenerArns: []string{*l.ListenerArn}})
	if _, ok := errors.AsType[*types.ListenerNotFoundException](err); !ok {
		t.Errorf("got %v", err)
	}
	must(w.elb.DeleteTargetGroup(ctx, &elbv2.DeleteTargetGroupInput{TargetGroupArn: group}))(t)
}

// forwards looks at an action that the provider wrote with one group: it reads the group and, for a forward block, its configuration.
func (w *balancing) forwards(actions []types.Action, group string) {
	w.t.Helper()
	if len(actions) != 1 || actions[0].Type != types.ActionTypeEnumForward || *actions[0].TargetGroupArn != group || *actions[0].Order != 1 || len(actions[0].ForwardConfig.TargetGroups) != 1 ||
		*actions[0].ForwardConfig.TargetGroups[0].Weight != 1 || *actions[0].ForwardConfig.TargetGroupStickinessConfig.Enabled {
		w.t.Errorf("got %+v", actions)
	}
}

func TestTerraformClusterAndTaskDefinition(t *testing.T) {
	w := newWorld(t)
	ctx, cluster, family := t.Context(), name("tf"), name("tf")
	arn := must(w.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &cluster, Tags: []ecstypes.Tag{{Key: new("k"), Value: new("v")}}}))(t).Cluster.ClusterArn
	all := &ecs.DescribeClustersInput{Clusters: []string{*arn}, Include: []ecstypes.ClusterField{ecstypes.ClusterFieldTags, ecstypes.ClusterFieldConfigurations, ecstypes.ClusterFieldSettings}}
	c := must(w.ecs.DescribeClusters(ctx, all))(t).Clusters[0]
	if *c.Status != "ACTIVE" || c.Configuration != nil || c.ServiceConnectDefaults != nil || len(c.Settings) != 1 || *c.Settings[0].Value != "disabled" || len(c.Tags) != 1 {
		t.Errorf("got %+v", c)
	}
	given := []ecstypes.ContainerDefinition{
		{Name: new("app"), Image: new("app:1"), Memory: new(int32(64)), PortMappings: []ecstypes.PortMapping{{ContainerPort: new(int32(80))}}, Environment: []ecstypes.KeyValuePair{{Name: new("A"), Value: new("1")}},
			HealthCheck: &ecstypes.HealthCheck{Command: []string{"CMD", "true"}}},
	}
	definition := must(w.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: &family, ContainerDefinitions: given, Tags: []ecstypes.Tag{{Key: new("k"), Value: new("v")}}}))(t).TaskDefinition.TaskDefinitionArn
	read := must(w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: definition, Include: []ecstypes.TaskDefinitionField{ecstypes.TaskDefinitionFieldTags}}))(t)
	if len(read.Tags) != 1 {
		t.Errorf("got tags %v", read.Tags)
	}
	// It takes these defaults, and an empty list for none, for what was not written; anything else would be a change.
	want := given[0]
	want.Essential, want.PortMappings = new(true), []ecstypes.PortMapping{{ContainerPort: new(int32(80)), HostPort: new(int32(0)), Protocol: ecstypes.TransportProtocolTcp}}
	want.HealthCheck = &ecstypes.HealthCheck{Command: []string{"CMD", "true"}, Interval: new(int32(30)), Timeout: new(int32(5)), Retries: new(int32(3))}
	if diff := cmp.Diff(read.TaskDefinition.ContainerDefinitions, []ecstypes.ContainerDefinition{want}, cmpopts.EquateEmpty(),
		cmpopts.IgnoreUnexported(want, want.PortMappings[0], want.Environment[0], *want.HealthCheck)); diff != "" {
		t.Errorf("got less, want more:\n%s", diff)
	}
	d := read.TaskDefinition
	if d.Cpu != nil || d.Memory != nil || d.IpcMode != "" || d.PidMode != "" || d.TaskRoleArn != nil || d.ExecutionRoleArn != nil || d.RuntimePlatform != nil || d.ProxyConfiguration != nil ||
		d.EphemeralStorage != nil || len(d.PlacementConstraints) != 0 || len(d.Volumes) != 0 || len(d.RequiresCompatibilities) != 0 || aws.ToBool(d.EnableFaultInjection) {
		t.Errorf("got %+v", d)
	}
	must(w.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: definition}))(t)
	must(w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: arn}))(t)
	if gone := must(w.ecs.DescribeClusters(ctx, all))(t).Clusters; len(gone) > 0 && *gone[0].Status != "INACTIVE" {
		t.Errorf("got %+v", gone)
	}
}
