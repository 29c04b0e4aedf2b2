package elbv2

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// Attributes of target groups. Source: ELB API, TargetGroupAttribute.
const (
	attrDelay       = "deregistration_delay.timeout_seconds"
	attrSticky      = "stickiness.enabled"
	attrStickyType  = "stickiness.type"
	attrAppCookie   = "stickiness.app_cookie.cookie_name"
	attrSlowStart   = "slow_start.duration_seconds"
	attrAlgorithm   = "load_balancing.algorithm.type"
	attrMitigation  = "load_balancing.algorithm.anomaly_mitigation"
	attrKeepClient  = "preserve_client_ip.enabled"
	attrUnhealthyIP = "target_health_state.unhealthy.connection_termination.enabled"
	attrInterval    = "target_health_state.unhealthy.draining_interval_seconds"
)

// groupAttribute is one attribute: for which groups it is, its default, and which values it may have.
type groupAttribute struct {
	key     string
	http    bool // for groups of application load balancers
	network bool // for groups of network load balancers
	initial string
	valid   func(string) bool
	note    string // why it is stored only; empty if it is acted on
}

// Why attributes of target groups are stored only.
const (
	noClientIP   = "targets see the address of the machine; proxy_protocol_v2.enabled tells them the client's"
	noCutting    = "open connections end with the target itself"
	noCrossZone  = "targets in all zones are used"
	noThreshold  = "only the default is acted on"
	noZonalNames = "names have the addresses of all zones"
)

const week = 7 * 24 * 60 * 60

// groupAttributes are all attributes, in the order in which they are shown.
func groupAttributes() []groupAttribute {
	percent, offOrCount := either("off", number(1, 100)), either("off", number(1, 1000))
	return []groupAttribute{
		{attrDelay, true, true, "300", number(0, 3600), ""},
		{attrSticky, true, true, "false", boolean, ""},
		{attrStickyType, true, false, "lb_cookie", oneOf("lb_cookie", "app_cookie"), ""},
		{attrStickyType, false, true, "source_ip", oneOf("source_ip"), ""},
		{"stickiness.lb_cookie.duration_seconds", true, false, "86400", number(1, week), ""},
		{attrAppCookie, true, false, "", cookieName, ""},
		{"stickiness.app_cookie.duration_seconds", true, false, "86400", number(1, week), ""},
		{attrSlowStart, true, false, "0", either("0", number(30, 900)), ""},
		{attrAlgorithm, true, false, "round_robin", oneOf("round_robin", "least_outstanding_requests", "weighted_random"), ""},
		{attrMitigation, true, false, "off", oneOf("on", "off"), ""},
		{"deregistration_delay.connection_termination.enabled", false, true, "false", boolean, noCutting},
		{attrKeepClient, false, true, "true", boolean, noClientIP},
		{"proxy_protocol_v2.enabled", false, true, "false", boolean, ""},
		{attrUnhealthyIP, false, true, "true", boolean, noCutting},
		{attrInterval, false, true, "0", number(0, 360000), noCutting},
		{"load_balancing.cross_zone.enabled", true, true, "use_load_balancer_configuration", oneOf("true", "false", "use_load_balancer_configuration"), noCrossZone},
		{"target_group_health.dns_failover.minimum_healthy_targets.count", true, true, "1", offOrCount, noZonalNames},
		{"target_group_health.dns_failover.minimum_healthy_targets.percentage", true, true, "off", percent, noZonalNames},
		{"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", true, true, "1", number(1, 1000), noThreshold},
		{"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", true, true, "off", percent, noThreshold},
	}
}

func boolean(v string) bool { return v == "true" || v == "false" }

func oneOf(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}

func either(value string, other func(string) bool) func(string) bool {
	return func(v string) bool { return v == value || other(v) }
}

func number(least, most int) func(string) bool {
	return func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= least && n <= most && strconv.Itoa(n) == v
	}
}

var cookieToken = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,512}$")

// cookieName is a name of an application's cookie, or empty for none. Names of the load balancer's own are refused.
func cookieName(v string) bool {
	reserved := slices.ContainsFunc([]string{"AWSALB", "AWSALBAPP", "AWSALBTG"}, func(p string) bool { return strings.HasPrefix(v, p) })
	return v == "" || cookieToken.MatchString(v) && !reserved
}

// ownAttributes are the attributes that the group has, in order.
func (g TargetGroup) ownAttributes() []groupAttribute {
	udp := g.Protocol == api.ProtocolEnumUDP || g.Protocol == api.ProtocolEnumTCPUDP
	out := slices.DeleteFunc(groupAttributes(), func(a groupAttribute) bool { return g.ofHTTP() && !a.http || !g.ofHTTP() && !a.network })
	for i := range out {
		switch a := &out[i]; {
		case a.key == attrKeepClient && !udp && g.TargetType == api.TargetTypeEnumIp, a.key == attrUnhealthyIP && udp:
			a.initial = "false"
		case a.key == "deregistration_delay.connection_termination.enabled" && udp:
			a.initial = "true"
		}
	}
	return out
}

// TargetGroupAttributeCoverage has a line for every attribute of target groups, and for which load balancers.
func TargetGroupAttributeCoverage() (out []Coverage) {
	for _, a := range groupAttributes() {
		support := ActedOn
		if a.note != "" {
			support = StoredOnly
		}
		for _, kind := range []struct {
			has  bool
			name string
		}{{a.http, "application"}, {a.network, "network"}} {
			if kind.has {
				out = append(out, Coverage{Name: a.key + " (" + kind.name + ")", Support: support, Note: a.note})
			}
		}
	}
	return out
}

// attributes are those of the group with defaults filled in.
func (g TargetGroup) attributes() map[string]string {
	out := map[string]string{}
	for _, a := range g.ownAttributes() {
		out[a.key] = a.initial
	}
	maps.Copy(out, g.Attributes)
	return out
}

func (g TargetGroup) attributeWire() []api.TargetGroupAttribute {
	all, out := g.attributes(), []api.TargetGroupAttribute{}
	for _, a := range g.ownAttributes() {
		out = append(out, api.TargetGroupAttribute{Key: new(a.key), Value: new(all[a.key])})
	}
	return out
}

// DescribeTargetGroupAttributes lists every attribute of a target group.
func (s *Service) DescribeTargetGroupAttributes(ctx context.Context, in *api.DescribeTargetGroupAttributesInput) (*api.DescribeTargetGroupAttributesOutput, error) {
	g, err := findTargetGroup(ctx, s.Store.Read(), in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	return &api.DescribeTargetGroupAttributesOutput{Attributes: g.attributeWire()}, nil
}

// ModifyTargetGroupAttributes sets attributes; the others stay.
func (s *Service) ModifyTargetGroupAttributes(ctx context.Context, in *api.ModifyTargetGroupAttributesInput) (*api.ModifyTargetGroupAttributesOutput, error) {
	var g TargetGroup
	err := s.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if g, err = findTargetGroup(ctx, tx, in.TargetGroupArn); err != nil {
			return err
		}
		if g.Attributes, err = g.changedAttributes(in.Attributes); err != nil {
			return err
		}
		TargetGroups.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyTargetGroupAttributesOutput{Attributes: g.attributeWire()}, nil
}

// changedAttributes are the attributes that are set, with changes.
func (g TargetGroup) changedAttributes(changes []api.TargetGroupAttribute) (map[string]string, error) {
	if len(changes) == 0 {
		return nil, invalid("At least one target group attribute must be specified.")
	}
	set, own, seen := map[string]string{}, g.ownAttributes(), map[string]bool{}
	maps.Copy(set, g.Attributes)
	for _, c := range changes {
		key, v := aws.Value(c.Key), aws.Value(c.Value)
		i := slices.IndexFunc(own, func(a groupAttribute) bool { return a.key == key })
		switch {
		case seen[key]:
			return nil, invalid("Target group attribute key '%s' is there twice.", key)
		case i < 0:
			return nil, invalid("Target group attribute key '%s' is not recognized or not supported for target groups with the protocol '%s'.", key, g.Protocol)
		case !own[i].valid(v):
			return nil, invalid("Target group attribute value '%s' is not valid for the key '%s'.", v, key)
		}
		seen[key], set[key] = true, v
	}
	g.Attributes = set
	return set, g.checkAttributes()
}

// checkAttributes says which attributes do not go together.
func (g TargetGroup) checkAttributes() error {
	all := g.attributes()
	udp := g.Protocol == api.ProtocolEnumUDP || g.Protocol == api.ProtocolEnumTCPUDP
	switch {
	case all[attrMitigation] == "on":
		return configuration("Anomaly mitigation is not supported by Berth.")
	case g.ofHTTP() && all[attrSlowStart] != "0" && all[attrAlgorithm] != "round_robin":
		return configuration("Slow start is only supported with the algorithm 'round_robin'.")
	case all[attrSticky] == "true" && all[attrStickyType] == "app_cookie" && all[attrAppCookie] == "":
		return configuration("Stickiness of type 'app_cookie' needs the name of the cookie.")
	case all[attrSticky] == "true" && g.Protocol == api.ProtocolEnumTLS:
		return configuration("Stickiness is not supported for target groups with the protocol 'TLS'.")
	case udp && all[attrKeepClient] == "false":
		return configuration("Client IP preservation cannot be disabled for target groups with the protocol '%s'.", g.Protocol)
	case udp && all[attrUnhealthyIP] == "true":
		return configuration("Connections to unhealthy targets cannot be terminated for target groups with the protocol '%s'.", g.Protocol)
	case !g.ofHTTP() && all[attrInterval] != "0" && all[attrUnhealthyIP] == "true":
		return configuration("A draining interval needs that connections to unhealthy targets are not terminated.")
	}
	return nil
}
