package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// balancer is an application load balancer with one HTTP listener on port 80 that forwards to one group.
type balancer struct {
	*berth
	elb        *elb.Client
	arn, group string
	url        string
}

// Health checks of the groups: the shortest interval that AWS has.
const (
	checkInterval  = 5
	checkTimeout   = 2
	checkThreshold = 2
)

func (b *berth) config() aws.Config {
	return aws.Config{
		Region: b.region, BaseEndpoint: &b.endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return b.credentials, nil }),
	}
}

func (b *berth) newBalancer(ctx context.Context, name string) (*balancer, error) {
	l := &balancer{berth: b, elb: elb.NewFromConfig(b.config())}
	network := ec2.NewFromConfig(b.config())
	subnets, err := network.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range subnets.Subnets {
		ids = append(ids, *s.SubnetId)
	}
	made, err := l.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: &name, Subnets: ids, Scheme: types.LoadBalancerSchemeEnumInternal})
	if err != nil {
		return nil, err
	}
	l.arn = *made.LoadBalancers[0].LoadBalancerArn
	group, err := l.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
		Name: &name, Protocol: types.ProtocolEnumHttp, Port: new(int32(8080)), VpcId: subnets.Subnets[0].VpcId, TargetType: types.TargetTypeEnumInstance,
		HealthCheckIntervalSeconds: new(int32(checkInterval)), HealthCheckTimeoutSeconds: new(int32(checkTimeout)),
		HealthyThresholdCount: new(int32(checkThreshold)), UnhealthyThresholdCount: new(int32(checkThreshold)),
	})
	if err != nil {
		return nil, err
	}
	l.group = *group.TargetGroups[0].TargetGroupArn
	_, err = l.elb.CreateListener(ctx, &elb.CreateListenerInput{
		LoadBalancerArn: &l.arn, Port: new(int32(80)), Protocol: types.ProtocolEnumHttp,
		DefaultActions: []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: &l.group}},
	})
	if err != nil {
		return nil, err
	}
	err = l.berth.eventually(ctx, "the load balancer has an address here", func() (err error) {
		l.url, err = b.command(ctx, "url", name)
		return err
	})
	return l, err
}

// register makes ports of this machine targets.
func (l *balancer) register(ctx context.Context, ports ...int) error {
	instance, err := l.instance(ctx)
	if err != nil {
		return err
	}
	var targets []types.TargetDescription
	for _, p := range ports {
		targets = append(targets, types.TargetDescription{Id: &instance, Port: new(int32(p))})
	}
	_, err = l.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &l.group, Targets: targets})
	return err
}

// remove deletes the load balancer and its group.
func (l *balancer) remove(ctx context.Context) error {
	_, err := l.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &l.arn})
	_, err2 := l.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &l.group})
	return errors.Join(err, err2)
}

// instance is the EC2 instance ID under which this machine is a target.
func (b *berth) instance(ctx context.Context) (string, error) {
	var list struct{ ContainerInstanceArns []string }
	if err := b.call(ctx, "ListContainerInstances", object{}, &list); err != nil {
		return "", err
	}
	var out struct {
		ContainerInstances []struct{ Ec2InstanceID string }
	}
	if err := b.call(ctx, "DescribeContainerInstances", object{"containerInstances": list.ContainerInstanceArns}, &out); err != nil {
		return "", err
	}
	if len(out.ContainerInstances) != 1 {
		return "", fmt.Errorf("%d container instances, not one", len(out.ContainerInstances))
	}
	return out.ContainerInstances[0].Ec2InstanceID, nil
}

// eventually tries until it works, for two minutes at most.
func (b *berth) eventually(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}

// answers waits until an address answers 200.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", url, err)
		}
	}
}
