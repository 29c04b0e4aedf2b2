package conformance

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/acm"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func TestELBv2Listeners(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb, group, other := *w.balancer("web", types.LoadBalancerTypeEnumApplication).LoadBalancerArn, w.group("g", types.ProtocolEnumHttp), w.group("h", types.ProtocolEnumHttp)
	listener := w.listen(lb, group, 80)
	must(w.elb.ModifyListener(ctx, &elbv2.ModifyListenerInput{ListenerArn: &listener, Port: new(int32(8080)), DefaultActions: []types.Action{{
		Type: types.ActionTypeEnumForward, ForwardConfig: &types.ForwardActionConfig{
			TargetGroups:                []types.TargetGroupTuple{{TargetGroupArn: &group, Weight: new(int32(9))}, {TargetGroupArn: &other, Weight: new(int32(0))}},
			TargetGroupStickinessConfig: &types.TargetGroupStickinessConfig{Enabled: new(true), DurationSeconds: new(int32(60))},
		},
	}}}))(t)
	got := must(w.elb.DescribeListeners(ctx, &elbv2.DescribeListenersInput{LoadBalancerArn: &lb}))(t).Listeners
	if len(got) != 1 || *got[0].Port != 8080 || got[0].DefaultActions[0].TargetGroupArn != nil || *got[0].DefaultActions[0].ForwardConfig.TargetGroups[1].Weight != 0 ||
		!*got[0].DefaultActions[0].ForwardConfig.TargetGroupStickinessConfig.Enabled {
		t.Errorf("got %+v", got)
	}
	set := must(w.elb.ModifyListenerAttributes(ctx, &elbv2.ModifyListenerAttributesInput{ListenerArn: &listener, Attributes: []types.ListenerAttribute{
		{Key: new("routing.http.response.x_frame_options.header_value"), Value: new("DENY")},
	}}))(t).Attributes
	if all := must(w.elb.DescribeListenerAttributes(ctx, &elbv2.DescribeListenerAttributesInput{ListenerArn: &listener}))(t).Attributes; len(all) != len(set) ||
		!slices.ContainsFunc(all, func(a types.ListenerAttribute) bool {
			return *a.Key == "routing.http.response.x_frame_options.header_value" && *a.Value == "DENY"
		}) {
		t.Errorf("got %+v", all)
	}
	must(w.elb.DeleteListener(ctx, &elbv2.DeleteListenerInput{ListenerArn: &listener}))(t)
	_, err := w.elb.DescribeListeners(ctx, &elbv2.DescribeListenersInput{ListenerArns: []string{listener}})
	wantError(t, err, "ListenerNotFound", "Listener '"+listener+"' not found")
}

func TestELBv2CertificatesInUse(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb := *w.balancer("web", types.LoadBalancerTypeEnumApplication).LoadBalancerArn
	first, second := w.certificate("a.example"), w.certificate("b.example")
	listener := *must(w.elb.CreateListener(ctx, &elbv2.CreateListenerInput{
		LoadBalancerArn: &lb, Protocol: types.ProtocolEnumHttps, Port: new(int32(443)), Certificates: []types.Certificate{{CertificateArn: &first}},
		DefaultActions: []types.Action{{Type: types.ActionTypeEnumFixedResponse, FixedResponseConfig: &types.FixedResponseActionConfig{StatusCode: new("204")}}},
	}))(t).Listeners[0].ListenerArn
	must(w.elb.AddListenerCertificates(ctx, &elbv2.AddListenerCertificatesInput{ListenerArn: &listener, Certificates: []types.Certificate{{CertificateArn: &second}}}))(t)
	all := must(w.elb.DescribeListenerCertificates(ctx, &elbv2.DescribeListenerCertificatesInput{ListenerArn: &listener}))(t).Certificates
	if len(all) != 2 || *all[0].CertificateArn != first || !*all[0].IsDefault {
		t.Errorf("got %+v", all)
	}
	_, err := w.acm.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &second})
	wantError(t, err, "ResourceInUseException", "Certificate "+second+" in account "+w.account+" is in use.")
	if users := must(w.acm.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &first}))(t).Certificate.InUseBy; !slices.Equal(users, []string{lb}) {
		t.Errorf("got %v", users)
	}
	must(w.elb.RemoveListenerCertificates(ctx, &elbv2.RemoveListenerCertificatesInput{ListenerArn: &listener, Certificates: []types.Certificate{{CertificateArn: &second}}}))(t)
	must(w.acm.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &second}))(t)
}

func TestELBv2Rules(t *testing.T) {
	w := newBalancing(t)
	ctx := t.Context()
	lb, group := *w.balancer("web", types.LoadBalancerTypeEnumApplication).LoadBalancerArn, w.group("g", types.ProtocolEnumHttp)
	listener := w.listen(lb, group, 80)
	rule := func(priority int32, path string) string {
		out := must(w.elb.CreateRule(ctx, &elbv2.CreateRuleInput{
			ListenerArn: &listener, Priority: &priority, Actions: forward(group),
			Conditions: []types.RuleCondition{{Field: new("path-pattern"), PathPatternConfig: &types.PathPatternConditionConfig{Values: []string{path}}}},
		}))(t)
		return *out.Rules[0].RuleArn
	}
	a, b := rule(10, "/a"), rule(20, "/b")
	must(w.elb.SetRulePriorities(ctx, &elbv2.SetRulePrioritiesInput{RulePriorities: []types.RulePriorityPair{{RuleArn: &a, Priority: new(int32(20))}, {RuleArn: &b, Priority: new(int32(10))}}}))(t)
	must(w.elb.ModifyRule(ctx, &elbv2.ModifyRuleInput{RuleArn: &a, Transforms: []types.RuleTransform{{
		Type: types.TransformTypeEnumUrlRewrite, UrlRewriteConfig: &types.UrlRewriteConfig{Rewrites: []types.RewriteConfig{{Regex: new("^/a"), Replace: new("/")}}},
	}}}))(t)
	got := must(w.elb.DescribeRules(ctx, &elbv2.DescribeRulesInput{ListenerArn: &listener}))(t).Rules
	if len(got) != 3 || *got[0].RuleArn != b || *got[1].RuleArn != a || *got[1].Transforms[0].UrlRewriteConfig.Rewrites[0].Replace != "/" || *got[2].Priority != "default" || !*got[2].IsDefault ||
		!slices.Equal(got[0].Conditions[0].Values, []string{"/b"}) {
		t.Errorf("got %+v", got)
	}
	_, err := w.elb.DeleteRule(ctx, &elbv2.DeleteRuleInput{RuleArn: got[2].RuleArn})
	wantError(t, err, "OperationNotPermitted", "Default rule '"+*got[2].RuleArn+"' cannot be deleted")
	must(w.elb.DeleteRule(ctx, &elbv2.DeleteRuleInput{RuleArn: &a}))(t)
	_, err = w.elb.DescribeRules(ctx, &elbv2.DescribeRulesInput{RuleArns: []string{a}})
	wantError(t, err, "RuleNotFound", "Listener rule '"+a+"' not found")
}
