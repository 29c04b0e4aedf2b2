package elbv2

import (
	"slices"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// Rule is the record of a rule that is not a listener's default.
type Rule struct {
	Listener string `json:"l"` // key of the listener. Written by: CreateRule
	ID       string `json:"i"` // 16 hex digits. Written by: CreateRule
	// Priority is from 1 to 50000, unique in its listener. Written by: CreateRule, SetRulePriorities.
	Priority int `json:"p"`
	// Written by: CreateRule, ModifyRule.
	Conditions []api.RuleCondition `json:"c"`
	Actions    []api.Action        `json:"a"` // also by SetForward
	Transforms []api.RuleTransform `json:"tr,omitzero"`
	// Written by: CreateRule, AddTags, RemoveTags.
	Tags map[string]string `json:"t,omitzero"`
}

// Rules is the table of rules, by the listener's key/ID.
var Rules = store.NewTable("elbv2/rule", Rule.Key,
	store.Index("group", func(v Rule) []string { return groupsOf(v.Actions) }),
)

// Key is the listener's key and the ID.
func (v Rule) Key() string { return v.Listener + "/" + v.ID }

// ARN names the rule.
func (v Rule) ARN() aws.ARN { return arnOf("listener-rule", v.Key()) }

// groupsOf lists the ARNs of target groups that actions forward to, each once.
func groupsOf(actions []api.Action) []string {
	var out []string
	add := func(arn *string) {
		if arn != nil && !slices.Contains(out, *arn) {
			out = append(out, *arn)
		}
	}
	for _, a := range actions {
		add(a.TargetGroupArn)
		if a.ForwardConfig != nil {
			for _, t := range a.ForwardConfig.TargetGroups {
				add(t.TargetGroupArn)
			}
		}
	}
	return out
}

func splitKey(key string) (account, region, path string) {
	account, rest, _ := strings.Cut(key, "/")
	region, path, _ = strings.Cut(rest, "/")
	return account, region, path
}

// keyOf is the key in an ARN of one of the kinds loadbalancer, listener, listener-rule and targetgroup; empty if it is none.
func keyOf(arn, kind string) string {
	a, err := aws.ParseARN(arn)
	if err != nil || a.Service() != "elasticloadbalancing" {
		return ""
	}
	path, ok := strings.CutPrefix(a.Resource(), kind+"/")
	if !ok {
		return ""
	}
	return a.Account() + "/" + a.Region() + "/" + path
}
