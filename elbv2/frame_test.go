package elbv2

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth/acm"
	api "berth/api/elbv2"
	"berth/elbv2/haproxy"
	"berth/store"
)

func TestFrame(t *testing.T) {
	w := newTargetWorld(t)
	web, api2, idle := w.group("web", webGroup), w.group("api", webGroup+`,"HealthCheckPort":"9000"`), w.group("idle", webGroup)
	w.register(web, "i-bbbbbbbb")
	gone := w.register(web, "i-aaaaaaaa")
	w.register(idle, "i-aaaaaaaa")
	arn := func(g TargetGroup) *string { return new(g.ARN().String()) }
	l := w.forwardTo(web)
	lb, _ := LoadBalancers.Get(w.Store.Read(), l.LoadBalancer)
	w.update(func(tx *store.Tx) {
		lb.Zones = []LoadBalancerZone{{Zone: "a", Address: netip.MustParseAddr("172.31.0.9")}, {Zone: "b"}}
		lb.Scheme = api.LoadBalancerSchemeEnumInternetFacing
		LoadBalancers.Put(tx, lb)
		second := lb
		second.ID, second.Number = "0000000000000000", 2
		LoadBalancers.Put(tx, second)
		Rules.Put(tx, Rule{Listener: l.Key(), ID: "bb", Priority: 20, Actions: []api.Action{{
			Type: api.ActionTypeEnumForward, ForwardConfig: &api.ForwardActionConfig{
				TargetGroups:                []api.TargetGroupTuple{{TargetGroupArn: arn(api2), Weight: new(int32(0))}, {TargetGroupArn: arn(web)}},
				TargetGroupStickinessConfig: &api.TargetGroupStickinessConfig{Enabled: new(true), DurationSeconds: new(int32(60))},
			},
		}}, Conditions: []api.RuleCondition{
			{Field: new("path-pattern"), Values: []string{"/a*"}},
			{Field: new("http-header"), HttpHeaderConfig: &api.HttpHeaderConditionConfig{HttpHeaderName: new("X"), Values: []string{"1"}}},
			{Field: new("query-string"), QueryStringConfig: &api.QueryStringConditionConfig{Values: []api.QueryStringKeyValuePair{{Value: new("v")}}}},
		}})
		Rules.Put(tx, Rule{Listener: l.Key(), ID: "cc", Priority: 3, Actions: []api.Action{{
			Type: api.ActionTypeEnumRedirect, RedirectConfig: &api.RedirectActionConfig{Query: new(""), StatusCode: api.RedirectActionStatusCodeEnumHTTP301},
		}}, Transforms: []api.RuleTransform{{
			Type:             api.TransformTypeEnumUrlRewrite,
			UrlRewriteConfig: &api.UrlRewriteConfig{Rewrites: []api.RewriteConfig{{Regex: new("^/a"), Replace: new("/b")}}},
		}}})
		Rules.Put(tx, Rule{Listener: l.Key(), ID: "aa", Priority: 1, Actions: []api.Action{{
			Type: api.ActionTypeEnumFixedResponse, FixedResponseConfig: &api.FixedResponseActionConfig{StatusCode: new("503"), MessageBody: new("no")},
		}}})
	})
	w.deregister(web, "i-aaaaaaaa")
	f := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	id := func(g TargetGroup) string { return groupKind + g.Path() }
	want := []haproxy.Rule{
		{ID: "aa", Action: haproxy.Action{Kind: haproxy.FixedResponse, Fixed: &haproxy.Fixed{Status: 503, Body: "no"}}},
		{
			ID: "cc", Rewrites: []haproxy.Rewrite{{Type: "url-rewrite", Regex: "^/a", Replace: "/b"}},
			Action: haproxy.Action{Kind: haproxy.RedirectTo, Redirect: &haproxy.Redirect{
				Protocol: "#{protocol}", Host: "#{host}", Port: "#{port}", Path: "/#{path}", Status: 301,
			}},
		},
		{ID: "bb", Conditions: []haproxy.Condition{
			{Field: "path-pattern", Values: []string{"/a*"}}, {Field: "http-header", Header: "X", Values: []string{"1"}},
			{Field: "query-string", Query: []haproxy.Pair{{Value: "v"}}},
		}, Action: haproxy.Action{Kind: haproxy.Forward, Groups: []haproxy.Weighted{{Group: id(api2)}, {Group: id(web), Weight: 1}}, Stickiness: 60}},
		{ID: "default", Action: haproxy.Action{Kind: haproxy.Forward, Groups: []haproxy.Weighted{{Group: id(web), Weight: 1}}}},
	}
	if d := cmp.Diff(f.LoadBalancers[0].Listeners[0].Rules, want); d != "" {
		t.Error(d)
	}
	if b := f.LoadBalancers[0]; b.Number != 1 || !b.InternetFacing || len(b.Addresses) != 1 || f.LoadBalancers[1].Number != 2 {
		t.Errorf("load balancers: %+v", f.LoadBalancers)
	}
	if len(f.Groups) != 2 || f.Groups[0].ID != id(api2) || f.Groups[1].ID != id(web) {
		t.Fatalf("groups: %+v", f.Groups)
	}
	since := w.target(web, "i-bbbbbbbb").Registered
	targets := []haproxy.Target{
		{ID: "i-aaaaaaaa:80", Host: "10.0.0.1", Port: 80, Instance: "machine-i-aaaaaaaa", Since: gone.Registered, Draining: true},
		{ID: "i-bbbbbbbb:80", Host: "10.0.0.2", Port: 80, Instance: "machine-i-bbbbbbbb", Since: since},
	}
	if d := cmp.Diff(f.Groups[1].Targets, targets); d != "" {
		t.Error(d)
	}
	check := haproxy.HealthCheck{Enabled: true, Protocol: "HTTP", Port: 9000, Path: "/", Codes: "200", Interval: 30, Timeout: 5, Healthy: 5, Unhealthy: 2}
	if d := cmp.Diff(f.Groups[0].Check, check); d != "" {
		t.Error(d)
	}
	if f.Groups[0].Attributes[attrAlgorithm] != "round_robin" {
		t.Errorf("attributes: %v", f.Groups[0].Attributes)
	}
	other := FrameFor(w.Store.Read(), testAccount, "eu-west-2", w.Machine)
	if len(other.LoadBalancers)+len(other.Groups) != 0 {
		t.Errorf("another region has %+v", other)
	}
}

// The frame is compared by its bytes: the same records give the same bytes.
func TestFrameIsStable(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.forwardTo(g, w.group("api", webGroup))
	w.register(g, "i-aaaaaaaa")
	text := func() string {
		data, err := json.Marshal(FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := text()
	for range 20 {
		if text() != first {
			t.Fatal("two frames of the same records")
		}
	}
}

func TestFrameHasTheCertificatesOfListeners(t *testing.T) {
	w := newTargetWorld(t)
	l := w.forwardTo(w.group("web", webGroup))
	one := acm.Certificate{Account: testAccount, Region: testRegion, ID: "1", Body: "body", Key: "key", Digest: "d1"}
	two, idle := one, one
	two.ID, idle.ID = "2", "3"
	w.update(func(tx *store.Tx) {
		for _, c := range []acm.Certificate{one, two, idle} {
			acm.Certificates.Put(tx, c)
		}
		l.Protocol, l.Certificate, l.Certificates = api.ProtocolEnumHTTPS, two.ARN().String(), []string{one.ARN().String()}
		Listeners.Put(tx, l)
	})
	f := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	if d := cmp.Diff(f.LoadBalancers[0].Listeners[0].Certificates, []string{"2", "1"}); d != "" {
		t.Error(d)
	}
	want := []haproxy.Certificate{{ID: "1", Digest: "d1", PEM: "body\nkey\n"}, {ID: "2", Digest: "d1", PEM: "body\nkey\n"}}
	if d := cmp.Diff(f.Certificates, want); d != "" {
		t.Error(d)
	}
}
