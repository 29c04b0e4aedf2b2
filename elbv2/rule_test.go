package elbv2

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	api "berth/api/elbv2"
	"berth/store"
)

// ruleWorld is an application load balancer with a listener at port 80.
type ruleWorld struct {
	*apiWorld
	balancer, listener, group string
}

func newRuleWorld(t *testing.T) *ruleWorld {
	t.Helper()
	w := &ruleWorld{apiWorld: newAPIWorld(t)}
	w.balancer, w.group = w.apiWorld.balancer("web", "application"), w.targetGroup("g", "HTTP", "")
	w.listener = w.apiWorld.listener(w.balancer, w.group, `"Protocol":"HTTP","Port":80`)
	return w
}

// create is the input of CreateRule.
func (w *ruleWorld) create(priority int, conditions, more string) string {
	return fmt.Sprintf(`{"ListenerArn":"%s","Priority":%d,"Conditions":[%s],"Actions":[{"Type":"forward","TargetGroupArn":"%s"}]%s}`, w.listener, priority, conditions, w.group, more)
}

func (w *ruleWorld) rule(priority int, conditions string) api.Rule {
	w.Helper()
	return do[api.CreateRuleOutput](w.apiWorld, "CreateRule", w.create(priority, conditions, "")).Rules[0]
}

func TestHostAndPathAreShownInBothForms(t *testing.T) {
	w := newRuleWorld(t)
	short := w.rule(1, `{"Field":"path-pattern","Values":["/a/*"]}`)
	long := w.rule(2, `{"Field":"host-header","HostHeaderConfig":{"Values":["a.example","*.b.example"]}},{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"X-A","Values":["1"]}}`)
	if c := short.Conditions[0]; !slices.Equal(c.PathPatternConfig.Values, c.Values) || len(c.Values) != 1 || *short.Priority != "1" || *short.IsDefault {
		t.Errorf("got %+v", short)
	}
	if c := long.Conditions; !slices.Equal(c[0].HostHeaderConfig.Values, c[0].Values) || len(c[0].Values) != 2 || c[1].Values != nil || *c[1].HttpHeaderConfig.HttpHeaderName != "X-A" {
		t.Errorf("got %+v", long)
	}
	// What was shown may be sent back.
	do[api.ModifyRuleOutput](w.apiWorld, "ModifyRule", `{"RuleArn":"`+*short.RuleArn+`","Conditions":[{"Field":"path-pattern","Values":["/a/*"],"PathPatternConfig":{"Values":["/a/*"]}}]}`)
}

func TestRulesAreListedByPriorityAndTheDefaultLast(t *testing.T) {
	w := newRuleWorld(t)
	for _, p := range []int{100, 9, 50000} {
		w.rule(p, `{"Field":"path-pattern","Values":["/a"]}`)
	}
	var got []string
	for marker := ""; ; {
		out := do[api.DescribeRulesOutput](w.apiWorld, "DescribeRules", `{"ListenerArn":"`+w.listener+`","PageSize":1`+marker+`}`)
		for _, v := range out.Rules {
			got = append(got, *v.Priority)
		}
		if out.NextMarker == nil {
			break
		}
		marker = `,"Marker":"` + *out.NextMarker + `"`
	}
	if !slices.Equal(got, []string{"9", "100", "50000", "default"}) {
		t.Errorf("got %v", got)
	}
}

func TestDefaultRule(t *testing.T) {
	w := newRuleWorld(t)
	v := do[api.DescribeRulesOutput](w.apiWorld, "DescribeRules", `{"ListenerArn":"`+w.listener+`"}`).Rules[0]
	arn := *v.RuleArn
	if !*v.IsDefault || !strings.HasPrefix(arn, strings.Replace(w.listener, ":listener/", ":listener-rule/", 1)+"/") || *v.Actions[0].TargetGroupArn != w.group || len(v.Conditions) != 0 {
		t.Errorf("got %+v", v)
	}
	if again := do[api.DescribeRulesOutput](w.apiWorld, "DescribeRules", `{"RuleArns":["`+arn+`"]}`).Rules; len(again) != 1 || *again[0].RuleArn != arn {
		t.Errorf("got %+v", again)
	}
	w.refuses([]badInput{
		{"DeleteRule", `{"RuleArn":"` + arn + `"}`, "OperationNotPermitted: Default rule '" + arn + "' cannot be deleted"},
		{"ModifyRule", `{"RuleArn":"` + arn + `","Conditions":[{"Field":"path-pattern","Values":["/a"]}]}`, "OperationNotPermitted: "},
		{"SetRulePriorities", `{"RulePriorities":[{"RuleArn":"` + arn + `","Priority":1}]}`, "OperationNotPermitted: "},
	})
	other := w.targetGroup("other", "HTTP", "")
	if err := w.Store.Update(w.ctx, func(tx *store.Tx) error {
		return SetForward(tx, arn, []api.TargetGroupTuple{{TargetGroupArn: new(other), Weight: new(int32(1))}})
	}); err != nil {
		t.Fatal(err)
	}
	if groups, ok := Forward(w.Store.Read(), w.listener); !ok || *groups[0].TargetGroupArn != other {
		t.Errorf("got %+v", groups)
	}
}

func TestPrioritiesAreSwappedInOneCall(t *testing.T) {
	w := newRuleWorld(t)
	a, b := *w.rule(1, `{"Field":"path-pattern","Values":["/a"]}`).RuleArn, *w.rule(2, `{"Field":"path-pattern","Values":["/b"]}`).RuleArn
	set := func(pairs string) string { return `{"RulePriorities":[` + pairs + `]}` }
	w.refuses([]badInput{
		{"SetRulePriorities", set(`{"RuleArn":"` + a + `","Priority":2}`), "PriorityInUse: Priority '2' is currently in use"},
		{"SetRulePriorities", set(`{"RuleArn":"` + a + `","Priority":7},{"RuleArn":"` + b + `","Priority":7}`), "PriorityInUse: Priority '7' is currently in use"},
		{"SetRulePriorities", set(`{"RuleArn":"` + a + `","Priority":7},{"RuleArn":"` + a + `","Priority":8}`), "ValidationError: "},
		{"SetRulePriorities", set(`{"RuleArn":"` + a + `"}`), "ValidationError: "},
		{"SetRulePriorities", set(``), "ValidationError: "},
		{"SetRulePriorities", set(`{"RuleArn":"` + a + `0","Priority":7}`), "RuleNotFound: "},
		{"SetRulePriorities", set(`{"RuleArn":"` + a + `","Priority":50001}`), "model: "},
	})
	out := do[api.SetRulePrioritiesOutput](w.apiWorld, "SetRulePriorities", set(`{"RuleArn":"`+a+`","Priority":2},{"RuleArn":"`+b+`","Priority":1}`))
	if len(out.Rules) != 2 || *out.Rules[0].Priority != "2" {
		t.Errorf("got %+v", out)
	}
}

func TestModifyRuleKeepsWhatIsNotGiven(t *testing.T) {
	w := newRuleWorld(t)
	transform := `{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[{"Regex":"^/a/(.*)$","Replace":"/$1"}]}}`
	v := do[api.CreateRuleOutput](w.apiWorld, "CreateRule", w.create(1, `{"Field":"path-pattern","Values":["/a/*"]}`, `,"Transforms":[`+transform+`]`)).Rules[0]
	modify := func(more string) api.Rule {
		return do[api.ModifyRuleOutput](w.apiWorld, "ModifyRule", `{"RuleArn":"`+*v.RuleArn+`",`+more+`}`).Rules[0]
	}
	if got := modify(`"Conditions":[{"Field":"path-pattern","Values":["/b"]}]`); got.Conditions[0].Values[0] != "/b" || len(got.Transforms) != 1 || *got.Actions[0].TargetGroupArn != w.group {
		t.Errorf("got %+v", got)
	}
	if got := modify(`"Actions":[{"Type":"fixed-response","FixedResponseConfig":{"StatusCode":"503"}}]`); got.Conditions[0].Values[0] != "/b" || got.Actions[0].FixedResponseConfig == nil {
		t.Errorf("got %+v", got)
	}
	if got := modify(`"ResetTransforms":true`); len(got.Transforms) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestBadRules(t *testing.T) {
	w := newRuleWorld(t)
	net := w.apiWorld.balancer("net", "network")
	tcp := w.apiWorld.listener(net, w.targetGroup("t", "TCP", ""), `"Protocol":"TCP","Port":80`)
	have := *w.rule(5, `{"Field":"path-pattern","Values":["/a"]}`).RuleArn
	path := `{"Field":"path-pattern","Values":["/a"]}`
	rows := []badInput{
		{"CreateRule", w.create(5, path, ""), "PriorityInUse: Priority '5' is currently in use"},
		{"CreateRule", w.create(0, path, ""), "model: "},
		{"CreateRule", w.create(50001, path, ""), "model: "},
		{"CreateRule", strings.Replace(w.create(6, path, ""), w.listener, tcp, 1), "UnsupportedProtocol: "},
		{"CreateRule", strings.Replace(w.create(6, path, ""), w.listener, w.listener+"0", 1), "ListenerNotFound: "},
		{"CreateRule", strings.Replace(w.create(6, path, ""), w.group, w.group+"0", 1), "TargetGroupNotFound: "},
		{"CreateRule", w.create(6, path, `,"Tags":[{"Key":"a"},{"Key":"a"}]`), "DuplicateTagKeys: "},
		{"DescribeRules", `{}`, "ValidationError: You must specify either listener rule ARNs or a listener ARN"},
		{"DescribeRules", `{"RuleArns":["` + have + `0"]}`, "RuleNotFound: "},
		{"DescribeRules", `{"RuleArns":["x"]}`, "ValidationError: 'x' is not a valid listener rule ARN"},
		{"DeleteRule", `{"RuleArn":"` + have + `0"}`, "RuleNotFound: "},
		{"ModifyRule", `{"RuleArn":"` + have + `","Conditions":[]}`, "ValidationError: A condition must be specified"},
		{"ModifyRule", `{"RuleArn":"` + have + `","Actions":[]}`, "ValidationError: An action must be specified"},
		{"ModifyRule", `{"RuleArn":"` + have + `","ResetTransforms":true,"Transforms":[{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[{"Regex":"a","Replace":"b"}]}}]}`, "ValidationError: "},
	}
	for _, c := range []struct{ conditions, want string }{
		{``, "A condition must be specified"},
		{`{}`, "Condition field '' must be one of"},
		{`{"Field":"cookie","Values":["a"]}`, "Condition field 'cookie' must be one of '[path-pattern, host-header,"},
		{path + `,` + path, "A rule can only have '1' condition of field 'path-pattern'"},
		{`{"Field":"path-pattern"}`, "A condition value must be specified"},
		{`{"Field":"path-pattern","Values":[""]}`, "A condition value must be specified"},
		{`{"Field":"path-pattern","Values":["1","2","3","4","5","6"]}`, "A rule can only have '5' condition values"},
		{`{"Field":"path-pattern","Values":["/*?*?*?*"]}`, "A rule can only have '6' condition wildcards"},
		{`{"Field":"path-pattern","Values":["/` + strings.Repeat("a", 128) + `"]}`, "Condition value"},
		{`{"Field":"path-pattern","Values":["/a\nb"]}`, "Condition value"},
		{`{"Field":"path-pattern","Values":["/a b"]}`, "Condition value '/a b' is not valid"},
		{`{"Field":"path-pattern","Values":["/a"],"PathPatternConfig":{"Values":["/b"]}}`, "The values of a condition of field 'path-pattern' can be specified in one place only"},
		{`{"Field":"path-pattern","HostHeaderConfig":{"Values":["b"]}}`, "A configuration for 'host-header' cannot be specified"},
		{`{"Field":"path-pattern","PathPatternConfig":{"Values":["/b"],"RegexValues":["b"]}}`, "A condition can have either values or regular expressions"},
		{`{"Field":"path-pattern","PathPatternConfig":{"RegexValues":["("]}}`, "The condition of field 'path-pattern' is not valid: "},
		{`{"Field":"path-pattern","RegexValues":["(?=a)"]}`, "The condition of field 'path-pattern' is not valid: "},
		{`{"Field":"host-header","Values":["a/b"]}`, "Condition value 'a/b' is not valid for field 'host-header'"},
		{`{"Field":"http-header","Values":["a"]}`, "Values can only be specified"},
		{`{"Field":"http-header"}`, "A condition of field 'http-header' must have its configuration"},
		{`{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"a b","Values":["a"]}}`, "The HTTP header name 'a b' is not valid"},
		{`{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"Host","Values":["a"]}}`, "The HTTP header name cannot be 'host'"},
		{`{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"` + strings.Repeat("x", 41) + `","Values":["a"]}}`, "The HTTP header name"},
		{`{"Field":"http-request-method","HttpRequestMethodConfig":{"Values":["get"]}}`, "Condition value 'get' is not valid"},
		{`{"Field":"http-request-method","HttpRequestMethodConfig":{"Values":["GET"]},"RegexValues":["a"]}`, "Regular expressions can only"},
		{`{"Field":"query-string","QueryStringConfig":{"Values":[{"Key":"a"}]}}`, "A condition value must be specified"},
		{`{"Field":"query-string","QueryStringConfig":{"Values":[]}}`, "A condition value must be specified"},
		{`{"Field":"source-ip","SourceIpConfig":{"Values":["10.0.0.1"]}}`, "The condition of field 'source-ip' is not valid: "},
	} {
		rows = append(rows, badInput{"CreateRule", w.create(6, c.conditions, ""), "ValidationError: " + c.want})
	}
	for _, c := range []struct{ transforms, want string }{
		{`{"Type":"x"}`, "model: "},
		{`{"Type":"url-rewrite"}`, "ValidationError: A transform of type 'url-rewrite' must have the configuration"},
		{`{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[]}}`, "ValidationError: A transform of type 'url-rewrite' must have exactly one rewrite"},
		{`{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[{"Regex":"(","Replace":"b"}]}}`, "ValidationError: The transform of type 'url-rewrite' is not valid: "},
		{`{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[{"Regex":"a","Replace":"b\n"}]}}`, "ValidationError: The transform of type 'url-rewrite' is not valid: "},
		{`{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[{"Regex":"a","Replace":"b"}]}},{"Type":"url-rewrite","UrlRewriteConfig":{"Rewrites":[{"Regex":"a","Replace":"b"}]}}`, "ValidationError: A rule can only have '1' transform of type 'url-rewrite'"},
	} {
		rows = append(rows, badInput{"CreateRule", w.create(6, path, `,"Transforms":[`+c.transforms+`]`), c.want})
	}
	w.refuses(rows)
}

func TestEveryConditionIsTaken(t *testing.T) {
	w := newRuleWorld(t)
	for i, c := range []string{
		`{"Field":"host-header","Values":["*.example.com"]}`, `{"Field":"host-header","HostHeaderConfig":{"RegexValues":["^a[0-9]+\\.example\\.com$"]}}`,
		`{"Field":"path-pattern","PathPatternConfig":{"Values":["/img/*","/a-b_c.d$~\"'@:+&"]}}`, `{"Field":"path-pattern","RegexValues":["^/v[12]/"]}`,
		`{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"User-Agent","Values":["*curl*"]}},{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"X-A","RegexValues":["^1"]}}`,
		`{"Field":"http-request-method","HttpRequestMethodConfig":{"Values":["GET","X-CUSTOM"]}}`,
		`{"Field":"query-string","QueryStringConfig":{"Values":[{"Key":"v","Value":"1"},{"Value":"*a\\?*"}]}}`,
		`{"Field":"source-ip","SourceIpConfig":{"Values":["10.0.0.0/8","2001:db8::/32"]}}`,
	} {
		w.rule(i+1, c)
	}
	frame := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	if rules := frame.LoadBalancers[0].Listeners[0].Rules; len(rules) != 9 || len(rules[4].Conditions) != 2 || rules[1].Conditions[0].Regex == nil {
		t.Errorf("got %+v", rules)
	}
}
