package conformance

import (
	"context"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// balancing is a world with what load balancers stand on: the default VPC and its subnets.
type balancing struct {
	*world
	elb     *elbv2.Client
	vpc     string
	subnets []string // at least two, in different zones
}

func newBalancing(t *testing.T) *balancing {
	t.Helper()
	w := &balancing{world: ownAccount(t)}
	c := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.credentials, nil })
	w.elb = elbv2.New(elbv2.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	network := ec2.New(ec2.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	for _, s := range must(network.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{}))(t).Subnets {
		w.vpc, w.subnets = *s.VpcId, append(w.subnets, *s.SubnetId)
	}
	if len(w.subnets) < 2 {
		t.Fatalf("got %d subnets", len(w.subnets))
	}
	return w
}

// interfaces are the descriptions of the account's network interfaces.
func (w *balancing) interfaces() (out []string) {
	w.t.Helper()
	c := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.credentials, nil })
	network := ec2.New(ec2.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	for _, i := range must(network.DescribeNetworkInterfaces(w.t.Context(), &ec2.DescribeNetworkInterfacesInput{}))(w.t).NetworkInterfaces {
		out = append(out, *i.Description)
	}
	slices.Sort(out)
	return out
}

// balancer makes a load balancer in two zones.
func (w *balancing) balancer(name string, kind types.LoadBalancerTypeEnum) types.LoadBalancer {
	w.t.Helper()
	out := must(w.elb.CreateLoadBalancer(w.t.Context(), &elbv2.CreateLoadBalancerInput{
		Name: &name, Type: kind, Subnets: w.subnets[:2], Tags: []types.Tag{{Key: new("made-by"), Value: new("test")}},
	}))(w.t)
	return out.LoadBalancers[0]
}

// group makes a target group in the default VPC.
func (w *balancing) group(name string, protocol types.ProtocolEnum) string {
	w.t.Helper()
	out := must(w.elb.CreateTargetGroup(w.t.Context(), &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: protocol, Port: new(int32(80)), VpcId: &w.vpc, TargetType: types.TargetTypeEnumInstance,
	}))(w.t)
	return *out.TargetGroups[0].TargetGroupArn
}

// forward is one action that forwards to one group.
func forward(group string) []types.Action {
	return []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: &group}}
}

// listen makes a listener for HTTP that forwards to a group.
func (w *balancing) listen(balancer, group string, port int32) string {
	w.t.Helper()
	out := must(w.elb.CreateListener(w.t.Context(), &elbv2.CreateListenerInput{
		LoadBalancerArn: &balancer, Protocol: types.ProtocolEnumHttp, Port: &port, DefaultActions: forward(group),
	}))(w.t)
	return *out.Listeners[0].ListenerArn
}
