package elbv2

import (
	"fmt"
	"slices"

	api "berth/api/elbv2"
	"berth/store"
)

// Forward is where a listener's default action or a rule sends traffic, by the ARN of either. ok is false if there is no such
// listener or rule, or it does not forward.
func Forward(r store.Reader, arn string) (groups []api.TargetGroupTuple, ok bool) {
	actions, ok := actionsOf(r, arn)
	if !ok {
		return nil, false
	}
	i := slices.IndexFunc(actions, func(a api.Action) bool { return a.Type == api.ActionTypeEnumForward })
	if i < 0 {
		return nil, false
	}
	if c := actions[i].ForwardConfig; c != nil && len(c.TargetGroups) > 0 {
		return c.TargetGroups, true
	}
	return []api.TargetGroupTuple{{TargetGroupArn: actions[i].TargetGroupArn, Weight: new(int32(1))}}, true
}

func actionsOf(r store.Reader, arn string) ([]api.Action, bool) {
	if l, ok := listenerOf(r, arn); ok {
		return l.DefaultActions, true
	}
	rule, ok := Rules.Get(r, keyOf(arn, "listener-rule"))
	return rule.Actions, ok
}

// listenerOf finds the listener of an ARN, which may be that of its default rule.
func listenerOf(r store.Reader, arn string) (Listener, bool) {
	if l, ok := Listeners.Get(r, keyOf(arn, aListener.kind)); ok {
		return l, true
	}
	return defaultRuleListener(r, arn)
}

// SetForward makes a listener's default action or a rule send traffic to groups. Other actions of it stay.
func SetForward(tx *store.Tx, arn string, groups []api.TargetGroupTuple) error {
	actions, ok := actionsOf(tx, arn)
	if !ok {
		return fmt.Errorf("no listener or rule %s", arn)
	}
	actions = slices.Clone(actions)
	i := slices.IndexFunc(actions, func(a api.Action) bool { return a.Type == api.ActionTypeEnumForward })
	if i < 0 {
		return fmt.Errorf("%s does not forward", arn)
	}
	config := api.ForwardActionConfig{}
	if have := actions[i].ForwardConfig; have != nil {
		config = *have
	}
	config.TargetGroups = groups
	actions[i].ForwardConfig, actions[i].TargetGroupArn = &config, nil
	if len(groups) == 1 {
		actions[i].TargetGroupArn = groups[0].TargetGroupArn
	}
	if l, ok := listenerOf(tx, arn); ok {
		l.DefaultActions = actions
		Listeners.Put(tx, l)
		return nil
	}
	rule, _ := Rules.Get(tx, keyOf(arn, "listener-rule"))
	rule.Actions = actions
	Rules.Put(tx, rule)
	return nil
}

// ForwardedBy lists the ARNs of target groups that a listener forwards to, by its default action and by its rules.
func ForwardedBy(r store.Reader, l Listener) []string {
	actions := slices.Clone(l.DefaultActions)
	for rule := range Rules.Prefix(r, l.Key()+"/") {
		actions = append(actions, rule.Actions...)
	}
	return groupsOf(actions)
}
