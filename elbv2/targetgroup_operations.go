package elbv2

import (
	"context"
	"errors"
	"path"
	"reflect"
	"slices"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/ec2"
	"berth/store"
)

// groupPage is the page size of DescribeTargetGroups unless given.
const groupPage = 400

// CreateTargetGroup makes a target group. One with the same name and the same settings is returned instead, if there is one.
func (s *Service) CreateTargetGroup(ctx context.Context, in *api.CreateTargetGroupInput) (*api.CreateTargetGroupOutput, error) {
	caller := aws.CallerFrom(ctx)
	g, err := newGroup(in)
	if err != nil {
		return nil, err
	}
	if g.VPC != ec2.DefaultVPCID(caller.Account, caller.Region) {
		return nil, invalid("The VPC ID '%s' is not found", g.VPC)
	}
	if g.Tags, err = newTags(in.Tags); err != nil {
		return nil, err
	}
	g.Account, g.Region, g.ID = caller.Account, caller.Region, aws.NewHexID()[:16]
	out := g
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		out = g
		for have := range TargetGroups.By(tx, byGroupName, g.Account+"/"+g.Region+"/"+g.Name) {
			if !have.sameSettings(g) {
				return aws.Errorf(codeGroupName, "A target group with the same name '%s' exists, but with different settings", g.Name)
			}
			out = have
			return nil
		}
		TargetGroups.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateTargetGroupOutput{TargetGroups: []api.TargetGroup{out.wire(s.Store.Read())}}, nil
}

func (g TargetGroup) sameSettings(with TargetGroup) bool {
	g.ID, g.Attributes, g.Tags, with.ID, with.Attributes, with.Tags = "", nil, nil, "", nil, nil
	return reflect.DeepEqual(g, with)
}

// DescribeTargetGroups lists target groups: all, those with the ARNs or the names, or those of a load balancer.
func (s *Service) DescribeTargetGroups(ctx context.Context, in *api.DescribeTargetGroupsInput) (*api.DescribeTargetGroupsOutput, error) {
	caller, r := aws.CallerFrom(ctx), s.Store.Read()
	balancer := aws.Value(in.LoadBalancerArn)
	if given := []bool{balancer != "", len(in.TargetGroupArns) > 0, len(in.Names) > 0}; countTrue(given) > 1 {
		return nil, invalid("Only one of load balancer ARN, target group ARNs and names can be specified.")
	}
	prefix := caller.Account + "/" + caller.Region + "/"
	if balancer != "" {
		key := keyOf(balancer, "loadbalancer")
		if _, ok := LoadBalancers.Get(r, key); !ok || !strings.HasPrefix(key, prefix) {
			return nil, aws.Errorf(codeLoadBalancerNotFound, "One or more load balancers not found")
		}
	}
	groups, err := s.namedGroups(ctx, r, in)
	if err != nil {
		return nil, err
	}
	if groups == nil {
		groups = slices.Collect(TargetGroups.Prefix(r, prefix))
	}
	scope, size := strings.Join(append([]string{"DescribeTargetGroups", prefix, balancer}, slices.Concat(in.TargetGroupArns, in.Names)...), "\n"), groupPage
	if in.PageSize != nil {
		size = int(*in.PageSize)
	}
	after := ""
	if in.Marker != nil {
		if after, err = s.Pages.Open(scope, *in.Marker); err != nil {
			return nil, invalid("The marker '%s' is not valid.", *in.Marker)
		}
	}
	out := &api.DescribeTargetGroupsOutput{TargetGroups: []api.TargetGroup{}}
	last := ""
	for _, g := range groups {
		if g.Key() <= after || balancer != "" && !slices.Contains(g.balancers(r), balancer) {
			continue
		}
		if len(out.TargetGroups) == size {
			out.NextMarker = new(s.Pages.Seal(scope, last))
			break
		}
		out.TargetGroups = append(out.TargetGroups, g.wire(r))
		last = g.Key()
	}
	return out, nil
}

func countTrue(list []bool) (n int) {
	for _, v := range list {
		if v {
			n++
		}
	}
	return n
}

func noGroups() error {
	return aws.Errorf(codeTargetGroupNotFound, "One or more target groups not found")
}

// namedGroups are the groups that the request names, in order of keys; nil if it names none.
func (s *Service) namedGroups(ctx context.Context, r store.Reader, in *api.DescribeTargetGroupsInput) ([]TargetGroup, error) {
	var groups []TargetGroup
	for _, arn := range in.TargetGroupArns {
		g, err := findTargetGroup(ctx, r, &arn)
		if known, is := errors.AsType[*aws.Error](err); is && known.Code == codeTargetGroupNotFound {
			return nil, noGroups()
		}
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	caller := aws.CallerFrom(ctx)
	for _, name := range in.Names {
		found := slices.Collect(TargetGroups.By(r, byGroupName, caller.Account+"/"+caller.Region+"/"+name))
		if len(found) == 0 {
			return nil, noGroups()
		}
		groups = append(groups, found...)
	}
	slices.SortFunc(groups, func(a, b TargetGroup) int { return strings.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(groups, func(a, b TargetGroup) bool { return a.Key() == b.Key() }), nil
}

// ModifyTargetGroup changes how targets are checked.
func (s *Service) ModifyTargetGroup(ctx context.Context, in *api.ModifyTargetGroupInput) (*api.ModifyTargetGroupOutput, error) {
	var out TargetGroup
	err := s.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if out, err = findTargetGroup(ctx, tx, in.TargetGroupArn); err != nil {
			return err
		}
		if out.Check, err = out.healthCheck(*in); err != nil {
			return err
		}
		TargetGroups.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyTargetGroupOutput{TargetGroups: []api.TargetGroup{out.wire(s.Store.Read())}}, nil
}

// DeleteTargetGroup removes a target group to which nothing forwards, with its targets. One that is not there is no error.
func (s *Service) DeleteTargetGroup(ctx context.Context, in *api.DeleteTargetGroupInput) (*api.DeleteTargetGroupOutput, error) {
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := findTargetGroup(ctx, tx, in.TargetGroupArn)
		if known, is := errors.AsType[*aws.Error](err); is && known.Code == codeTargetGroupNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if g.InUse(tx) {
			return aws.Errorf(codeInUse, "Target group '%s' is currently in use by a listener or a rule", g.ARN())
		}
		TargetGroups.Delete(tx, g.Key()) // the reconciler "elbv2.target" removes its targets, which may be many
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteTargetGroupOutput{}, nil
}

// balancers are the ARNs of the load balancers that forward to the group, in order.
func (g TargetGroup) balancers(r store.Reader) []string {
	out, arn := []string{}, g.ARN().String()
	add := func(key string) {
		if v, ok := LoadBalancers.Get(r, key); ok {
			out = append(out, v.ARN().String())
		}
	}
	for l := range Listeners.By(r, "group", arn) {
		add(l.LoadBalancer)
	}
	for v := range Rules.By(r, "group", arn) {
		add(path.Dir(v.Listener)) // a listener's key is its load balancer's with one more part
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wire is the group as the API shows it.
func (g TargetGroup) wire(r store.Reader) api.TargetGroup {
	out := g.Check
	out.TargetGroupArn, out.TargetGroupName = new(g.ARN().String()), new(g.Name)
	out.Protocol, out.Port, out.VpcId, out.TargetType, out.IpAddressType = g.Protocol, new(g.Port), new(g.VPC), g.TargetType, g.AddressType
	if g.Version != "" {
		out.ProtocolVersion = new(g.Version)
	}
	out.LoadBalancerArns = g.balancers(r)
	return out
}
