package elbv2

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

var (
	instanceID = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
	zoneName   = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

// reachable are the networks of targets of type ip. Source: ELB API, CreateTargetGroup, TargetType.
// Differs: this machine's own addresses, 127.0.0.0/8, may be targets too: Berth runs on one machine as well.
var reachable = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
}

// RegisterTargets adds targets to a group. Those that are in it already stay as they are.
func (s *Service) RegisterTargets(ctx context.Context, in *api.RegisterTargetsInput) (*api.RegisterTargetsOutput, error) {
	if len(in.Targets) == 0 {
		return nil, invalid("At least one target must be specified.")
	}
	now := s.Now()
	if _, err := s.newTargets(ctx, s.Store.Read(), in.TargetGroupArn, in.Targets); err != nil {
		return nil, err
	}
	for some := range slices.Chunk(in.Targets, targetChunk) {
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			targets, err := s.newTargets(ctx, tx, in.TargetGroupArn, some)
			for _, t := range targets {
				Register(tx, t, now)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return &api.RegisterTargetsOutput{}, nil
}

// targetChunk is how many targets are written in one transaction: an external etcd takes few operations.
const targetChunk = 50

// newTargets checks descriptions and makes targets of them.
func (s *Service) newTargets(ctx context.Context, r store.Reader, group *string, list []api.TargetDescription) ([]Target, error) {
	g, err := findTargetGroup(ctx, r, group)
	if err != nil {
		return nil, err
	}
	var stopped []string
	targets := make([]Target, 0, len(list))
	for _, d := range list {
		t, err := g.target(d)
		if err != nil {
			return nil, err
		}
		if g.TargetType == api.TargetTypeEnumInstance {
			if _, ok := s.Machine(r, g.Account, g.Region, t.ID); !ok {
				stopped = append(stopped, "'"+t.ID+"'")
			}
		}
		targets = append(targets, t)
	}
	if len(stopped) > 0 {
		return nil, aws.Errorf(codeTarget, "The following targets are not in a running state and cannot be registered: %s", strings.Join(stopped, ", "))
	}
	return targets, nil
}

// target checks a description and makes a target of it.
func (g TargetGroup) target(d api.TargetDescription) (Target, error) {
	t := Target{Group: g.Key(), ID: aws.Value(d.Id), Port: g.Port, Zone: aws.Value(d.AvailabilityZone)}
	if d.Port != nil {
		t.Port = *d.Port
	}
	if d.QuicServerId != nil {
		return t, invalid("A QUIC server ID cannot be specified for target groups with the protocol '%s'.", g.Protocol)
	}
	if g.TargetType == api.TargetTypeEnumInstance {
		switch {
		case !instanceID.MatchString(t.ID):
			return t, aws.Errorf(codeTarget, "'%s' is not a valid instance ID.", t.ID)
		case t.Zone != "":
			return t, invalid("You cannot specify an Availability Zone for target type 'instance'.")
		}
		return t, nil
	}
	a, err := netip.ParseAddr(t.ID)
	switch {
	case err != nil || !a.Is4() || a.String() != t.ID:
		return t, invalid("'%s' is not a valid IPv4 address.", t.ID)
	case !slices.ContainsFunc(reachable, func(p netip.Prefix) bool { return p.Contains(a) }):
		return t, invalid("The IP address '%s' must be a private address: of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or 127.0.0.0/8.", t.ID)
	case t.Zone != "" && !zoneName.MatchString(t.Zone):
		return t, invalid("The Availability Zone '%s' is not valid.", t.Zone)
	}
	return t, nil
}

// DeregisterTargets begins the end of targets. Those that are not in the group are no error. A target that was registered with a port of
// its own is only found with it.
func (s *Service) DeregisterTargets(ctx context.Context, in *api.DeregisterTargetsInput) (*api.DeregisterTargetsOutput, error) {
	if len(in.Targets) == 0 {
		return nil, invalid("At least one target must be specified.")
	}
	now := s.Now()
	for some := range slices.Chunk(in.Targets, targetChunk) {
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			g, err := findTargetGroup(ctx, tx, in.TargetGroupArn)
			if err != nil {
				return err
			}
			for _, d := range some {
				t := Target{Group: g.Key(), ID: aws.Value(d.Id), Port: *pick(g.Port, d.Port)}
				Deregister(tx, t.Key(), now)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return &api.DeregisterTargetsOutput{}, nil
}

// DescribeTargetHealth tells the health of a group's targets, or of those that the request names.
func (s *Service) DescribeTargetHealth(ctx context.Context, in *api.DescribeTargetHealthInput) (*api.DescribeTargetHealthOutput, error) {
	r := s.Store.Read()
	g, err := findTargetGroup(ctx, r, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	if slices.Contains(in.Include, api.DescribeTargetHealthInputIncludeEnumAnomalyDetection) {
		return nil, invalid("Berth detects no anomalies of targets.")
	}
	out := &api.DescribeTargetHealthOutput{TargetHealthDescriptions: []api.TargetHealthDescription{}}
	if len(in.Targets) == 0 {
		for t := range Targets.By(r, byTargetGroup, g.Key()) {
			out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, targetWire(r, g, t))
		}
		return out, nil
	}
	for _, d := range in.Targets {
		t := Target{Group: g.Key(), ID: aws.Value(d.Id), Port: *pick(g.Port, d.Port)}
		if have, ok := Targets.Get(r, t.Key()); ok {
			out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, targetWire(r, g, have))
			continue
		}
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, api.TargetHealthDescription{
			Target: t.wire(), HealthCheckPort: new(g.checkPort(t)), TargetHealth: &api.TargetHealth{
				State: api.TargetHealthStateEnumUnused, Reason: api.TargetHealthReasonEnumTargetNotRegistered,
				Description: new("Target is not registered to the target group"),
			},
		})
	}
	return out, nil
}

func (t Target) wire() *api.TargetDescription {
	out := &api.TargetDescription{Id: new(t.ID), Port: new(t.Port)}
	if t.Zone != "" {
		out.AvailabilityZone = new(t.Zone)
	}
	return out
}

// checkPort is the port at which the target is checked.
func (g TargetGroup) checkPort(t Target) string {
	if p := aws.Value(g.Check.HealthCheckPort); p != trafficPort && p != "" {
		return p
	}
	return strconv.Itoa(int(t.Port))
}

func targetWire(r store.Reader, g TargetGroup, t Target) api.TargetHealthDescription {
	state, reason, text := Health(r, g, t)
	health := &api.TargetHealth{State: api.TargetHealthStateEnum(state), Reason: api.TargetHealthReasonEnum(reason)}
	if text != "" {
		health.Description = new(text)
	}
	return api.TargetHealthDescription{
		Target: t.wire(), HealthCheckPort: new(g.checkPort(t)), TargetHealth: health,
		AdministrativeOverride: &api.AdministrativeOverride{
			State:       api.TargetAdministrativeOverrideStateEnumNoOverride,
			Reason:      api.TargetAdministrativeOverrideReasonEnumAdministrativeOverrideNoOverride,
			Description: new("No override is currently active on target"),
		},
	}
}
