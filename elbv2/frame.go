package elbv2

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"berth/acm"
	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
	"berth/store"
)

// FrameFor is everything that a machine with ingress balances for an account and region. It is the same on every machine; the same
// records give the same frame.
func FrameFor(r store.Reader, account, region string, machine MachineFunc) haproxy.Frame {
	f := &framing{r: r, prefix: account + "/" + region + "/", machine: machine, groups: map[string]bool{}, certificates: map[string]acm.Certificate{}}
	var out haproxy.Frame
	for v := range LoadBalancers.Prefix(r, f.prefix) {
		out.LoadBalancers = append(out.LoadBalancers, f.loadBalancer(v))
	}
	for p := range ConnectPorts.Prefix(r, f.prefix) {
		out.LoadBalancers = append(out.LoadBalancers, p.balancer())
		f.groups[p.GroupKey()] = true
	}
	slices.SortFunc(out.LoadBalancers, func(a, b haproxy.LoadBalancer) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.ID, b.ID))
	})
	for t := range Targets.By(r, byTargetDraining, placeOf(f.prefix)) {
		f.groups[t.Group] = true
	}
	for _, key := range slices.Sorted(maps.Keys(f.groups)) {
		if g, ok := GroupByKey(r, key); ok {
			out.Groups = append(out.Groups, f.group(g))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.certificates)) {
		c := f.certificates[id]
		out.Certificates = append(out.Certificates, haproxy.Certificate{ID: id, Digest: c.Digest, PEM: haproxy.PEM(c.PEM().Reveal())})
	}
	return out
}

// FrameTables are those of which a frame is made, apart from what MachineFunc reads. Keys of their records begin with account/region/.
func FrameTables() []store.AnyTable {
	return []store.AnyTable{LoadBalancers, Listeners, Rules, TargetGroups, Targets, ConnectPorts, acm.Certificates}
}

// framing is one making of a frame.
type framing struct {
	r       store.Reader
	prefix  string // account/region/
	machine MachineFunc
	// What the frame needs: keys of target groups, certificates by ID.
	groups       map[string]bool
	certificates map[string]acm.Certificate
}

func (f *framing) loadBalancer(v LoadBalancer) haproxy.LoadBalancer {
	out := haproxy.LoadBalancer{
		ID: v.Path(), Number: v.Number, Kind: v.Kind, InternetFacing: v.Scheme == api.LoadBalancerSchemeEnumInternetFacing,
		Attributes: attributesOf(v),
	}
	for _, z := range v.Zones {
		if z.Address.IsValid() {
			out.Addresses = append(out.Addresses, z.Address)
		}
	}
	for l := range Listeners.Prefix(f.r, v.Key()+"/") {
		out.Listeners = append(out.Listeners, f.listener(l))
	}
	slices.SortFunc(out.Listeners, func(a, b haproxy.Listener) int { return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (f *framing) listener(l Listener) haproxy.Listener {
	out := haproxy.Listener{
		ID: l.ID, Port: int(l.Port), Protocol: string(l.Protocol), SSLPolicy: l.SSLPolicy, Attributes: listenerAttributesOf(l),
		Rules: []haproxy.Rule{},
	}
	if len(l.ALPN) > 0 {
		out.ALPN = l.ALPN[0]
	}
	for _, arn := range l.certificates() {
		if c, ok := acm.ByARN(f.r, arn); ok {
			f.certificates[c.ID] = c
			out.Certificates = append(out.Certificates, c.ID)
		}
	}
	rules := slices.Collect(Rules.Prefix(f.r, l.Key()+"/"))
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, v := range rules {
		rule := haproxy.Rule{ID: v.ID, Action: f.action(v.Actions), Rewrites: rewrites(v.Transforms)}
		for _, c := range v.Conditions {
			rule.Conditions = append(rule.Conditions, condition(c))
		}
		out.Rules = append(out.Rules, rule)
	}
	out.Rules = append(out.Rules, haproxy.Rule{ID: "default", Action: f.action(l.DefaultActions)})
	return out
}

// action is the one that ends a request: the last in order.
func (f *framing) action(actions []api.Action) haproxy.Action {
	sorted := slices.Clone(actions)
	slices.SortStableFunc(sorted, func(a, b api.Action) int { return cmp.Compare(aws.Value(a.Order), aws.Value(b.Order)) })
	for _, a := range slices.Backward(sorted) {
		switch {
		case a.Type == api.ActionTypeEnumForward:
			return f.forward(a)
		case a.Type == api.ActionTypeEnumRedirect && a.RedirectConfig != nil:
			return haproxy.Action{Kind: haproxy.RedirectTo, Redirect: redirect(*a.RedirectConfig)}
		case a.Type == api.ActionTypeEnumFixedResponse && a.FixedResponseConfig != nil:
			c := a.FixedResponseConfig
			status, _ := strconv.Atoi(aws.Value(c.StatusCode))
			fixed := &haproxy.Fixed{Status: status, ContentType: aws.Value(c.ContentType), Body: aws.Value(c.MessageBody)}
			return haproxy.Action{Kind: haproxy.FixedResponse, Fixed: fixed}
		}
	}
	return haproxy.Action{Kind: haproxy.Forward}
}

func (f *framing) forward(a api.Action) haproxy.Action {
	out := haproxy.Action{Kind: haproxy.Forward}
	tuples := []api.TargetGroupTuple{{TargetGroupArn: a.TargetGroupArn}}
	if c := a.ForwardConfig; c != nil && len(c.TargetGroups) > 0 {
		tuples = c.TargetGroups
		if s := c.TargetGroupStickinessConfig; s != nil && aws.Value(s.Enabled) {
			out.Stickiness = int(aws.Value(s.DurationSeconds))
		}
	}
	for _, t := range tuples {
		key := keyOf(aws.Value(t.TargetGroupArn), "targetgroup")
		g, ok := TargetGroups.Get(f.r, key)
		if !ok || !strings.HasPrefix(key, f.prefix) {
			continue
		}
		f.groups[key] = true
		weight := 1
		if t.Weight != nil {
			weight = int(*t.Weight)
		}
		out.Groups = append(out.Groups, haproxy.Weighted{Group: groupKind + g.Path(), Weight: weight})
	}
	return out
}

func (f *framing) group(g TargetGroup) haproxy.Group {
	out := haproxy.Group{
		ID: groupKind + g.Path(), Protocol: string(g.Protocol), Version: g.Version, Attributes: g.attributes(), Check: healthCheck(g.Check),
	}
	for t := range Targets.By(f.r, byTargetGroup, g.Key()) {
		if at, ok := place(f.r, g, t, f.machine); ok {
			out.Targets = append(out.Targets, at)
		}
	}
	slices.SortFunc(out.Targets, func(a, b haproxy.Target) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// place says where a target is. ok is false for a target on a machine that is not there: no frame has it.
func place(r store.Reader, g TargetGroup, t Target, machine MachineFunc) (out haproxy.Target, ok bool) {
	out = haproxy.Target{ID: t.Name(), Port: int(t.Port), Since: t.Registered, Draining: t.Draining != 0}
	if g.TargetType == api.TargetTypeEnumIp {
		out.Host = t.ID
		return out, true
	}
	account, region, _ := splitKey(t.Group)
	m, ok := machine(r, account, region, t.ID)
	out.Host, out.Instance = m.Host, m.ARN
	return out, ok && m.Host != ""
}

// carried says whether a frame may have the target.
func (s *Service) carried(r store.Reader, t Target) bool {
	g, ok := GroupByKey(r, t.Group)
	if !ok {
		return false
	}
	_, ok = place(r, g, t, s.Machine)
	return ok
}

func healthCheck(c api.TargetGroup) haproxy.HealthCheck {
	out := haproxy.HealthCheck{
		Enabled: aws.Value(c.HealthCheckEnabled), Protocol: string(c.HealthCheckProtocol), Path: aws.Value(c.HealthCheckPath),
		Interval: int(aws.Value(c.HealthCheckIntervalSeconds)), Timeout: int(aws.Value(c.HealthCheckTimeoutSeconds)),
		Healthy: int(aws.Value(c.HealthyThresholdCount)), Unhealthy: int(aws.Value(c.UnhealthyThresholdCount)),
	}
	out.Port, _ = strconv.Atoi(aws.Value(c.HealthCheckPort)) // else traffic-port
	if m := c.Matcher; m != nil {
		out.Codes = cmp.Or(aws.Value(m.HttpCode), aws.Value(m.GrpcCode))
	}
	return out
}
