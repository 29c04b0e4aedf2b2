package ecs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/ecs/rollout"
	"berth/elbv2"
	"berth/store"
)

// configured are load balancers as the user gave them: in a deployment that uses the alternate target groups, Balancers has the
// two of each entry exchanged.
func (d Deployment) configured() []api.LoadBalancer {
	if d.Alternate {
		return exchanged(d.Balancers)
	}
	return d.Balancers
}

// exchanged are load balancers with target group and alternate target group exchanged.
func exchanged(in []api.LoadBalancer) []api.LoadBalancer {
	out := slices.Clone(in)
	for i := range out {
		if a := out[i].AdvancedConfiguration; a != nil {
			other := *a
			other.AlternateTargetGroupArn, out[i].TargetGroupArn = out[i].TargetGroupArn, a.AlternateTargetGroupArn
			out[i].AdvancedConfiguration = &other
		}
	}
	return out
}

func productionRule(a *api.AdvancedConfiguration) string { return value(a.ProductionListenerRule) }
func testRule(a *api.AdvancedConfiguration) string       { return value(a.TestListenerRule) }

// tested says whether the deployment has test traffic.
func (d Deployment) tested() bool {
	return slices.ContainsFunc(d.Balancers, func(b api.LoadBalancer) bool {
		return b.AdvancedConfiguration != nil && testRule(b.AdvancedConfiguration) != ""
	})
}

// forward gives the deployment's target groups a share of the traffic of rules, in tenths of a percent, and the others the rest. A
// rule that is gone has no traffic.
func (d Deployment) forward(tx *store.Tx, rule func(*api.AdvancedConfiguration) string, share int) {
	rest, own := rollout.Weights(share)
	for _, b := range d.Balancers {
		a := b.AdvancedConfiguration
		if a == nil || rule(a) == "" {
			continue
		}
		shares := []elbv2.Share{{Group: value(a.AlternateTargetGroupArn), Weight: rest}, {Group: *b.TargetGroupArn, Weight: own}}
		if have, ok := elbv2.Shares(tx, rule(a)); ok && !slices.Equal(have, shares) {
			_ = elbv2.SetShares(tx, rule(a), shares) // the rule is there and forwards
		}
	}
}

// behind says which machines do not send traffic where the deployment has moved it; empty: all do, or nothing waits for it.
func (d Deployment) behind(r store.Reader) string {
	if !d.Life.Awaits() {
		return ""
	}
	rule := productionRule
	if d.Life.Stage == rollout.TestShift {
		rule = testRule
	}
	said := map[string]string{}
	for _, b := range d.Balancers {
		if a := b.AdvancedConfiguration; a != nil {
			for _, i := range elbv2.Behind(r, rule(a)) {
				said[i.Instance] = i.Says()
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Values(said)), "; ")
}

// serving are the target groups that get traffic of a listener or rule.
func serving(r store.Reader, rule string) (out []string, ok bool) {
	shares, ok := elbv2.Shares(r, rule)
	for _, s := range shares {
		if s.Weight > 0 {
			out = append(out, s.Group)
		}
	}
	return out, ok
}

// broken says what is wrong with the rules of a deployment that has not moved production traffic yet. The text goes on after
// "invalid networking configuration"; empty means nothing. Source: ECS developer guide, blue/green troubleshooting.
func (d Deployment) broken(r store.Reader) string {
	if d.Life.Back || d.Life.Moved || d.Life.Stage == rollout.ReconcileService {
		return ""
	}
	for _, b := range d.configured() {
		a := b.AdvancedConfiguration
		if a == nil {
			continue
		}
		groups, ok := serving(r, productionRule(a))
		tests, testOK := elbv2.Shares(r, testRule(a))
		rules, _ := elbv2.Shares(r, productionRule(a))
		tg, alt := *b.TargetGroupArn, value(a.AlternateTargetGroupArn)
		switch {
		case !ok || testRule(a) != "" && !testOK:
			return ". One or more rules not found"
		case len(groups) != 1:
			return fmt.Sprintf(". productionListenerRule %s should have exactly one target group serving traffic but found %d target groups which are serving traffic",
				productionRule(a), len(groups))
		case groups[0] != tg && groups[0] != alt:
			return fmt.Sprintf(". Production listener rule is forwarding traffic to unexpected target group %s. "+
				"Expected traffic to be forwarded to either targetGroupArn: %s or alternateTargetGroupArn: %s", groups[0], tg, alt)
		}
		for _, arn := range []string{tg, alt} {
			if !slices.ContainsFunc(slices.Concat(rules, tests), func(s elbv2.Share) bool { return s.Group == arn }) {
				return fmt.Sprintf(": Target group %s is not associated with either productionListenerRule or testListenerRule.", arn)
			}
		}
	}
	return ""
}
