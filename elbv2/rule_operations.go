package elbv2

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
	"berth/store"
)

// maxRules is how many rules, besides the default ones, a load balancer can have. Differs: AWS begins with 100, which can be raised.
const maxRules = 1000

// defaultPriority is the priority of default rules.
const defaultPriority = "default"

// listener is the key of the rule's load balancer.
func (v Rule) loadBalancer() string { return v.Listener[:strings.LastIndexByte(v.Listener, '/')] }

// wire is what the API shows of a rule.
func (v Rule) wire() api.Rule {
	return api.Rule{
		RuleArn: new(v.ARN().String()), Priority: new(strconv.Itoa(v.Priority)), Conditions: v.Conditions, Actions: v.Actions,
		IsDefault: new(false), Transforms: v.Transforms,
	}
}

// defaultRuleID follows from the ID of the listener, as default rules have no record.
func defaultRuleID(listener string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte("default rule of " + listener)) // never fails
	return fmt.Sprintf("%016x", h.Sum64())
}

// defaultRuleARN names the default rule of a listener.
func (v Listener) defaultRuleARN() aws.ARN {
	return arnOf(aRule.kind, v.Key()+"/"+defaultRuleID(v.ID))
}

// defaultRuleListener finds the listener whose default rule an ARN names.
func defaultRuleListener(r store.Reader, arn string) (Listener, bool) {
	key := keyOf(arn, aRule.kind)
	at := strings.LastIndexByte(key, '/')
	if at < 0 {
		return Listener{}, false
	}
	l, ok := Listeners.Get(r, key[:at])
	return l, ok && key[at+1:] == defaultRuleID(l.ID)
}

// defaultRule is what the API shows of a listener's default rule.
func (v Listener) defaultRule() api.Rule {
	return api.Rule{
		RuleArn: new(v.defaultRuleARN().String()), Priority: new(defaultPriority), Conditions: []api.RuleCondition{}, Actions: v.DefaultActions,
		IsDefault: new(true),
	}
}

// rulesOf are a listener's rules in order of their priorities.
func rulesOf(r store.Reader, l Listener) []Rule {
	rules := slices.Collect(Rules.Prefix(r, l.Key()+"/"))
	slices.SortFunc(rules, func(a, b Rule) int { return a.Priority - b.Priority })
	return rules
}

// CreateRule makes a rule of an application load balancer's listener.
func (s *Service) CreateRule(ctx context.Context, in *api.CreateRuleInput) (*api.CreateRuleOutput, error) {
	conditions, err := checkConditions(in.Conditions)
	if err != nil {
		return nil, err
	}
	if err := checkTransforms(in.Transforms); err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	rule := Rule{ID: aws.NewHexID()[:16], Priority: int(*in.Priority), Conditions: conditions, Transforms: in.Transforms, Tags: tags}
	var out Rule
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		l, lb, err := findListenerWithBalancer(ctx, tx, in.ListenerArn)
		if err != nil {
			return err
		}
		if lb.Kind != haproxy.Application {
			return aws.Errorf("UnsupportedProtocol", "Rules are not supported by listeners of protocol '%s'", l.Protocol)
		}
		v := rule
		v.Listener = l.Key()
		for _, have := range rulesOf(tx, l) {
			if have.Priority == v.Priority {
				return aws.Errorf("PriorityInUse", "Priority '%d' is currently in use", v.Priority)
			}
		}
		if v.Actions, err = (actionCheck{ctx, tx, lb, l.Protocol}).actions(in.Actions); err != nil {
			return err
		}
		Rules.Put(tx, v)
		n := 0
		for range Rules.Prefix(tx, lb.Key()+"/") {
			n++
		}
		if n > maxRules {
			return aws.Errorf("TooManyRules", "A load balancer can have at most '%d' rules", maxRules)
		}
		out = v
		return tooManyGroups(tx, lb)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateRuleOutput{Rules: []api.Rule{out.wire()}}, nil
}

// DescribeRules shows the rules of a listener, the default rule last, or those of the ARNs.
func (s *Service) DescribeRules(ctx context.Context, in *api.DescribeRulesInput) (*api.DescribeRulesOutput, error) {
	r := s.Store.Read()
	if (in.ListenerArn == nil) == (len(in.RuleArns) == 0) {
		return nil, invalid("You must specify either listener rule ARNs or a listener ARN")
	}
	var all []api.Rule
	for _, arn := range in.RuleArns {
		if l, ok := defaultRuleListener(r, arn); ok && owns(ctx, arn) {
			all = append(all, l.defaultRule())
			continue
		}
		v, err := findRule(ctx, r, &arn)
		if err != nil {
			return nil, err
		}
		all = append(all, v.wire())
	}
	if in.ListenerArn != nil {
		l, err := findListener(ctx, r, in.ListenerArn)
		if err != nil {
			return nil, err
		}
		for _, v := range rulesOf(r, l) {
			all = append(all, v.wire())
		}
		all = append(all, l.defaultRule())
	}
	slices.SortStableFunc(all, func(a, b api.Rule) int { return strings.Compare(placeOfRule(a), placeOfRule(b)) })
	all = slices.CompactFunc(all, func(a, b api.Rule) bool { return *a.RuleArn == *b.RuleArn })
	scope := scopeOf("DescribeRules", aws.CallerFrom(ctx)) + fmt.Sprint(aws.Value(in.ListenerArn), in.RuleArns)
	page, next, err := paged(s, scope, in.Marker, in.PageSize, all, placeOfRule)
	if err != nil {
		return nil, err
	}
	return &api.DescribeRulesOutput{Rules: page, NextMarker: next}, nil
}

// placeOfRule is what rules are listed by: their priority, default last.
func placeOfRule(v api.Rule) string {
	if *v.IsDefault {
		return "x" + *v.RuleArn
	}
	return fmt.Sprintf("%05s%s", *v.Priority, *v.RuleArn)
}

// ModifyRule replaces conditions, actions or transforms of a rule; what is not given stays.
func (s *Service) ModifyRule(ctx context.Context, in *api.ModifyRuleInput) (*api.ModifyRuleOutput, error) {
	if aws.Value(in.ResetTransforms) && len(in.Transforms) > 0 {
		return nil, invalid("You can specify either transforms or their reset, but not both")
	}
	if err := checkTransforms(in.Transforms); err != nil {
		return nil, err
	}
	var out Rule
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := changeableRule(ctx, tx, in.RuleArn, "modified")
		if err != nil {
			return err
		}
		if in.Conditions != nil {
			if v.Conditions, err = checkConditions(in.Conditions); err != nil {
				return err
			}
		}
		l, _ := Listeners.Get(tx, v.Listener)
		lb, _ := LoadBalancers.Get(tx, l.LoadBalancer)
		if in.Actions != nil {
			if v.Actions, err = (actionCheck{ctx, tx, lb, l.Protocol}).actions(in.Actions); err != nil {
				return err
			}
		}
		if len(in.Transforms) > 0 {
			v.Transforms = in.Transforms
		}
		if aws.Value(in.ResetTransforms) {
			v.Transforms = nil
		}
		Rules.Put(tx, v)
		out = v
		return tooManyGroups(tx, lb)
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyRuleOutput{Rules: []api.Rule{out.wire()}}, nil
}

// changeableRule finds a rule that is not a default one.
func changeableRule(ctx context.Context, r store.Reader, arn *string, change string) (Rule, error) {
	if _, ok := defaultRuleListener(r, aws.Value(arn)); ok && owns(ctx, *arn) {
		return Rule{}, aws.Errorf(codeNotPermitted, "Default rule '%s' cannot be %s", *arn, change)
	}
	return findRule(ctx, r, arn)
}

// DeleteRule removes a rule.
func (s *Service) DeleteRule(ctx context.Context, in *api.DeleteRuleInput) (*api.DeleteRuleOutput, error) {
	return &api.DeleteRuleOutput{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := changeableRule(ctx, tx, in.RuleArn, "deleted")
		if err != nil {
			return err
		}
		Rules.Delete(tx, v.Key())
		return nil
	})
}

// SetRulePriorities gives rules other priorities, all at once, so rules may swap theirs.
func (s *Service) SetRulePriorities(ctx context.Context, in *api.SetRulePrioritiesInput) (*api.SetRulePrioritiesOutput, error) {
	if len(in.RulePriorities) == 0 {
		return nil, invalid("A rule priority must be specified")
	}
	var out *api.SetRulePrioritiesOutput
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		out = &api.SetRulePrioritiesOutput{Rules: []api.Rule{}}
		listeners, seen := map[string]bool{}, map[string]bool{}
		for _, p := range in.RulePriorities {
			if p.Priority == nil || p.RuleArn == nil {
				return invalid("A rule ARN and a priority must be specified")
			}
			v, err := changeableRule(ctx, tx, p.RuleArn, "given a priority")
			if err != nil {
				return err
			}
			if seen[v.Key()] {
				return invalid("Rule '%s' is specified more than once", *p.RuleArn)
			}
			seen[v.Key()], listeners[v.Listener] = true, true
			v.Priority = int(*p.Priority)
			Rules.Put(tx, v)
			out.Rules = append(out.Rules, v.wire())
		}
		for key := range listeners {
			used := map[int]bool{}
			for v := range Rules.Prefix(tx, key+"/") {
				if used[v.Priority] {
					return aws.Errorf("PriorityInUse", "Priority '%d' is currently in use", v.Priority)
				}
				used[v.Priority] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
