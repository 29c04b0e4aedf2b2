package elbv2

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// wantCode checks an error's code, and that its message has the text.
func wantCode(t *testing.T, err error, code, text string) {
	t.Helper()
	e, ok := errors.AsType[*aws.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("got %v, want %s with %q", err, code, text)
	}
}

func TestHealthCheckDefaults(t *testing.T) {
	w := newTargetWorld(t)
	for i, row := range []struct{ members, want string }{
		{`"Protocol":"HTTP","Port":80`, "HTTP traffic-port / 30 5 5 2 http=200 version=HTTP1"},
		{`"Protocol":"HTTPS","Port":443,"ProtocolVersion":"HTTP2"`, "HTTP traffic-port / 30 5 5 2 http=200 version=HTTP2"},
		{`"Protocol":"HTTP","Port":80,"ProtocolVersion":"GRPC"`, "HTTP traffic-port /AWS.ALB/healthcheck 30 5 5 2 grpc=12 version=GRPC"},
		{`"Protocol":"TCP","Port":80`, "TCP traffic-port  30 10 5 2"},
		{`"Protocol":"UDP","Port":80,"HealthCheckPort":"8080"`, "TCP 8080  30 10 5 2"},
		{`"Protocol":"TCP_UDP","Port":80`, "TCP traffic-port  30 10 5 2"},
		{`"Protocol":"TLS","Port":443,"HealthCheckProtocol":"HTTPS"`, "HTTPS traffic-port / 30 10 5 2 http=200-399"},
		{`"Protocol":"TCP","Port":80,"HealthCheckProtocol":"HTTP","Matcher":{"HttpCode":"200,500-599"}`, "HTTP traffic-port / 30 6 5 2 http=200,500-599"},
		{`"Protocol":"TCP","Port":80,"HealthCheckIntervalSeconds":10`, "TCP traffic-port  10 10 5 2"},
		{
			`"Protocol":"HTTP","Port":80,"HealthCheckPath":"/up?x=1","HealthCheckIntervalSeconds":5,"HealthCheckTimeoutSeconds":2,"HealthyThresholdCount":2,"UnhealthyThresholdCount":10`,
			"HTTP traffic-port /up?x=1 5 2 2 10 http=200 version=HTTP1",
		},
	} {
		g := w.group(fmt.Sprintf("g%d", i), row.members).wire(w.Store.Read())
		got := fmt.Sprintf("%s %s %s %d %d %d %d", g.HealthCheckProtocol, *g.HealthCheckPort, aws.Value(g.HealthCheckPath), *g.HealthCheckIntervalSeconds,
			*g.HealthCheckTimeoutSeconds, *g.HealthyThresholdCount, *g.UnhealthyThresholdCount)
		if m := g.Matcher; m != nil && m.HttpCode != nil {
			got += " http=" + *m.HttpCode
		} else if m != nil {
			got += " grpc=" + *m.GrpcCode
		}
		if g.ProtocolVersion != nil {
			got += " version=" + *g.ProtocolVersion
		}
		if got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.members, got, row.want)
		}
	}
}

func TestBadTargetGroups(t *testing.T) {
	w := newTargetWorld(t)
	vpc := `"VpcId":"` + testVPC + `",`
	for _, row := range []struct{ name, in, code, text string }{
		{"no protocol", `{"Name":"a",` + vpc + `"Port":80}`, codeInvalid, "protocol"},
		{"no port", `{"Name":"a",` + vpc + `"Protocol":"HTTP"}`, codeInvalid, "port"},
		{"no VPC", `{"Name":"a","Port":80,"Protocol":"HTTP"}`, codeInvalid, "VPC"},
		{"unknown VPC", `{"Name":"a","VpcId":"vpc-0",` + webGroup + `}`, codeInvalid, "The VPC ID 'vpc-0' is not found"},
		{"empty name", `{"Name":"",` + vpc + webGroup + `}`, codeInvalid, "name"},
		{"long name", `{"Name":"` + strings.Repeat("a", 33) + `",` + vpc + webGroup + `}`, codeInvalid, "name"},
		{"name with a dot", `{"Name":"a.b",` + vpc + webGroup + `}`, codeInvalid, "name"},
		{"name with a slash", `{"Name":"a/b",` + vpc + webGroup + `}`, codeInvalid, "name"},
		{"name that begins with a hyphen", `{"Name":"-a",` + vpc + webGroup + `}`, codeInvalid, "name"},
		{"name that ends with a hyphen", `{"Name":"a-",` + vpc + webGroup + `}`, codeInvalid, "name"},
		{"lambda", `{"Name":"a","TargetType":"lambda"}`, codeConfiguration, "lambda"},
		{"alb", `{"Name":"a","TargetType":"alb",` + vpc + `"Protocol":"TCP","Port":80}`, codeConfiguration, "alb"},
		{"IPv6", `{"Name":"a","IpAddressType":"ipv6",` + vpc + webGroup + `}`, codeConfiguration, "ipv6"},
		{"GENEVE", `{"Name":"a",` + vpc + `"Protocol":"GENEVE","Port":6081}`, codeConfiguration, "GENEVE"},
		{"QUIC", `{"Name":"a",` + vpc + `"Protocol":"QUIC","Port":443}`, codeConfiguration, "QUIC"},
		{"control port", `{"Name":"a",` + vpc + webGroup + `,"TargetControlPort":3000}`, codeConfiguration, "control"},
		{"version of TCP", `{"Name":"a",` + vpc + `"Protocol":"TCP","Port":80,"ProtocolVersion":"HTTP1"}`, codeInvalid, "version"},
		{"unknown version", `{"Name":"a",` + vpc + webGroup + `,"ProtocolVersion":"HTTP3"}`, codeInvalid, "HTTP3"},
		{"checks switched off", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckEnabled":false}`, codeInvalid, "disabled"},
		{"TCP checks of HTTP", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckProtocol":"TCP"}`, codeInvalid, "TCP"},
		{"UDP checks", `{"Name":"a",` + vpc + `"Protocol":"UDP","Port":53,"HealthCheckProtocol":"UDP"}`, codeInvalid, "UDP"},
		{"check port 0", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckPort":"0"}`, codeInvalid, "port"},
		{"check port in words", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckPort":"http"}`, codeInvalid, "port"},
		{"path without a slash", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckPath":"up"}`, codeInvalid, "path"},
		{"path with a line break", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckPath":"/\n  bind :22"}`, codeInvalid, "path"},
		{"path of a TCP check", `{"Name":"a",` + vpc + `"Protocol":"TCP","Port":80,"HealthCheckPath":"/"}`, codeInvalid, "path"},
		{"matcher of a TCP check", `{"Name":"a",` + vpc + `"Protocol":"TCP","Port":80,"Matcher":{"HttpCode":"200"}}`, codeInvalid, "matcher"},
		{"code 500 of HTTP", `{"Name":"a",` + vpc + webGroup + `,"Matcher":{"HttpCode":"500"}}`, codeInvalid, "499"},
		{"range that falls", `{"Name":"a",` + vpc + webGroup + `,"Matcher":{"HttpCode":"299-200"}}`, codeInvalid, "499"},
		{"empty code", `{"Name":"a",` + vpc + webGroup + `,"Matcher":{"HttpCode":""}}`, codeInvalid, "499"},
		{"code with words", `{"Name":"a",` + vpc + webGroup + `,"Matcher":{"HttpCode":"200, 300"}}`, codeInvalid, "499"},
		{"gRPC code of HTTP", `{"Name":"a",` + vpc + webGroup + `,"Matcher":{"GrpcCode":"0"}}`, codeInvalid, "gRPC"},
		{"HTTP code of gRPC", `{"Name":"a",` + vpc + webGroup + `,"ProtocolVersion":"GRPC","Matcher":{"HttpCode":"200"}}`, codeInvalid, "gRPC"},
		{"gRPC code 100", `{"Name":"a",` + vpc + webGroup + `,"ProtocolVersion":"GRPC","Matcher":{"GrpcCode":"100"}}`, codeInvalid, "gRPC"},
		{"interval as long as the timeout", `{"Name":"a",` + vpc + webGroup + `,"HealthCheckIntervalSeconds":5}`, codeInvalid, "interval"},
		{"timeout longer than the interval", `{"Name":"a",` + vpc + `"Protocol":"TCP","Port":80,"HealthCheckTimeoutSeconds":31}`, codeInvalid, "interval"},
		{"threshold 1", `{"Name":"a",` + vpc + webGroup + `,"HealthyThresholdCount":1}`, codeInvalid, "threshold"},
		{"a tag twice", `{"Name":"a",` + vpc + webGroup + `,"Tags":[{"Key":"k"},{"Key":"k"}]}`, "DuplicateTagKeys", "k"},
		{"a tag of AWS", `{"Name":"a",` + vpc + webGroup + `,"Tags":[{"Key":"aws:x"}]}`, codeInvalid, "aws:"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := w.CreateTargetGroup(w.ctx, input[api.CreateTargetGroupInput](t, row.in))
			wantCode(t, err, row.code, row.text)
		})
	}
	if n := TargetGroups.Len(w.Store.Read()); n != 0 {
		t.Errorf("%d bad groups were made", n)
	}
}

func TestOneNameOneGroup(t *testing.T) {
	w := newTargetWorld(t)
	first := w.group("web", webGroup+`,"Tags":[{"Key":"k","Value":"v"}]`)
	if again := w.group("web", webGroup); again.ID != first.ID || again.Tags["k"] != "v" {
		t.Errorf("the same settings: %+v", again)
	}
	_, err := w.CreateTargetGroup(w.ctx, input[api.CreateTargetGroupInput](t, `{"Name":"web","VpcId":"`+testVPC+`","Protocol":"HTTP","Port":81}`))
	wantCode(t, err, codeGroupName, "web")
}

func TestDescribeTargetGroups(t *testing.T) {
	w := newTargetWorld(t)
	a, b, c := w.group("a", webGroup), w.group("b", webGroup), w.group("c", webGroup)
	l := w.forwardTo(b, c)
	lb, _ := LoadBalancers.Get(w.Store.Read(), l.LoadBalancer)
	names := func(in string) (out string) {
		t.Helper()
		got := must(w.DescribeTargetGroups(w.ctx, input[api.DescribeTargetGroupsInput](t, in)))(t)
		for _, g := range got.TargetGroups {
			out += *g.TargetGroupName
			if len(g.LoadBalancerArns) > 0 {
				out += "*"
			}
		}
		if got.NextMarker != nil {
			out += ">"
		}
		return out
	}
	for in, want := range map[string]string{
		`{}`:                      "ab*c*",
		`{"PageSize":2}`:          "ab*>",
		`{"Names":["c","a","a"]}`: "ac*",
		`{"TargetGroupArns":["` + string(a.ARN()) + `"]}`: "a",
		`{"LoadBalancerArn":"` + string(lb.ARN()) + `"}`:  "b*c*",
	} {
		if got := names(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	page := must(w.DescribeTargetGroups(w.ctx, input[api.DescribeTargetGroupsInput](t, `{"PageSize":2}`)))(t)
	if got := names(`{"PageSize":2,"Marker":"` + *page.NextMarker + `"}`); got != "c*" {
		t.Errorf("second page: %s", got)
	}
	for _, row := range []struct{ in, code, text string }{
		{`{"Names":["a","d"]}`, codeTargetGroupNotFound, "not found"},
		{`{"TargetGroupArns":["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/a/0"]}`, codeTargetGroupNotFound, "not found"},
		{`{"TargetGroupArns":["` + strings.Replace(string(a.ARN()), testAccount, "999999999999", 1) + `"]}`, codeTargetGroupNotFound, "not found"},
		{`{"TargetGroupArns":["a"]}`, codeInvalid, "valid"},
		{`{"LoadBalancerArn":"arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/x/0"}`, "LoadBalancerNotFound", "not found"},
		{`{"LoadBalancerArn":"` + string(lb.ARN()) + `","Names":["a"]}`, codeInvalid, "one of"},
		{`{"Marker":"x"}`, codeInvalid, "marker"},
	} {
		_, err := w.DescribeTargetGroups(w.ctx, input[api.DescribeTargetGroupsInput](t, row.in))
		wantCode(t, err, row.code, row.text)
	}
}

func TestModifyTargetGroup(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("tcp", `"Protocol":"TCP","Port":80`)
	modify := func(members string) (*api.ModifyTargetGroupOutput, error) {
		return w.ModifyTargetGroup(w.ctx, input[api.ModifyTargetGroupInput](t, `{"TargetGroupArn":"`+string(g.ARN())+`",`+members+`}`))
	}
	out := must(modify(`"HealthCheckProtocol":"HTTP","HealthCheckPath":"/up","HealthyThresholdCount":3`))(t).TargetGroups[0]
	if *out.HealthCheckPath != "/up" || *out.HealthyThresholdCount != 3 || *out.Matcher.HttpCode != "200-399" || *out.HealthCheckTimeoutSeconds != 10 {
		t.Errorf("got %+v", out)
	}
	if out := must(modify(`"HealthCheckProtocol":"TCP"`))(t).TargetGroups[0]; out.HealthCheckPath != nil || out.Matcher != nil || *out.HealthyThresholdCount != 3 {
		t.Errorf("got %+v", out)
	}
	_, err := modify(`"HealthCheckPath":"/"`)
	wantCode(t, err, codeInvalid, "path")
	_, err = w.ModifyTargetGroup(w.ctx, &api.ModifyTargetGroupInput{TargetGroupArn: new("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/x/0")})
	wantCode(t, err, codeTargetGroupNotFound, "")
}

func TestDeleteTargetGroup(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup)
	w.register(g, "i-aaaaaaaa")
	l := w.forwardTo(g)
	in := &api.DeleteTargetGroupInput{TargetGroupArn: new(string(g.ARN()))}
	_, err := w.DeleteTargetGroup(w.ctx, in)
	wantCode(t, err, codeInUse, "in use")
	w.update(func(tx *store.Tx) { Listeners.Delete(tx, l.Key()) })
	for range 2 { // the second time it is gone already
		must(w.DeleteTargetGroup(w.ctx, in))(t)
	}
	w.reconcile()
	if r := w.Store.Read(); TargetGroups.Len(r)+Targets.Len(r) != 0 {
		t.Error("something is left")
	}
	_, err = w.DeleteTargetGroup(w.ctx, &api.DeleteTargetGroupInput{TargetGroupArn: new("web")})
	wantCode(t, err, codeInvalid, "valid")
}

func TestBadTargets(t *testing.T) {
	w := newTargetWorld(t)
	byInstance, byAddress := w.group("instances", webGroup), w.group("addresses", webGroup+`,"TargetType":"ip"`)
	for _, row := range []struct {
		name          string
		g             TargetGroup
		targets, code string
		text          string
	}{
		{"none", byInstance, `[]`, codeInvalid, "target"},
		{"unknown instance", byInstance, `[{"Id":"i-aaaaaaaa"},{"Id":"i-dddddddd"},{"Id":"i-eeeeeeee"}]`, codeTarget, "cannot be registered: 'i-dddddddd', 'i-eeeeeeee'"},
		{"no instance ID", byInstance, `[{"Id":"web"}]`, codeTarget, "web"},
		{"an address", byInstance, `[{"Id":"10.0.0.1"}]`, codeTarget, "10.0.0.1"},
		{"a zone", byInstance, `[{"Id":"i-aaaaaaaa","AvailabilityZone":"all"}]`, codeInvalid, "Zone"},
		{"QUIC", byInstance, `[{"Id":"i-aaaaaaaa","QuicServerId":"0x0123456789abcdef"}]`, codeInvalid, "QUIC"},
		{"an instance", byAddress, `[{"Id":"i-aaaaaaaa"}]`, codeInvalid, "IPv4"},
		{"a public address", byAddress, `[{"Id":"8.8.8.8"}]`, codeInvalid, "private"},
		{"the metadata address", byAddress, `[{"Id":"169.254.169.254"}]`, codeInvalid, "private"},
		{"IPv6", byAddress, `[{"Id":"fd00::1"}]`, codeInvalid, "IPv4"},
		{"IPv4 in IPv6", byAddress, `[{"Id":"::ffff:10.0.0.1"}]`, codeInvalid, "IPv4"},
		{"a name", byAddress, `[{"Id":"localhost"}]`, codeInvalid, "IPv4"},
		{"an address with more", byAddress, `[{"Id":"10.0.0.1 check"}]`, codeInvalid, "IPv4"},
		{"a bad zone", byAddress, `[{"Id":"10.0.0.1","AvailabilityZone":"A B"}]`, codeInvalid, "Zone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := input[api.RegisterTargetsInput](t, `{"TargetGroupArn":"`+string(row.g.ARN())+`","Targets":`+row.targets+`}`)
			_, err := w.RegisterTargets(w.ctx, in)
			wantCode(t, err, row.code, row.text)
		})
	}
	if n := Targets.Len(w.Store.Read()); n != 0 {
		t.Errorf("%d bad targets were registered", n)
	}
	_, err := w.DescribeTargetHealth(w.ctx, &api.DescribeTargetHealthInput{
		TargetGroupArn: new(string(byInstance.ARN())), Include: []api.DescribeTargetHealthInputIncludeEnum{"AnomalyDetection"},
	})
	wantCode(t, err, codeInvalid, "anomalies")
}

func TestTargetsAndTheirPorts(t *testing.T) {
	w := newTargetWorld(t)
	g := w.group("web", webGroup+`,"TargetType":"ip","HealthCheckPort":"9000"`)
	w.forwardTo(g)
	arn := `"TargetGroupArn":"` + string(g.ARN()) + `"`
	twice := `{` + arn + `,"Targets":[{"Id":"10.0.0.1"},{"Id":"10.0.0.1","Port":8080},{"Id":"127.0.0.1","AvailabilityZone":"all"},{"Id":"10.0.0.1"}]}`
	for range 2 {
		must(w.RegisterTargets(w.ctx, input[api.RegisterTargetsInput](t, twice)))(t)
	}
	list := func() (out string) {
		for _, d := range must(w.DescribeTargetHealth(w.ctx, input[api.DescribeTargetHealthInput](t, `{`+arn+`}`)))(t).TargetHealthDescriptions {
			out += fmt.Sprintf("%s:%d%s@%s=%s ", *d.Target.Id, *d.Target.Port, aws.Value(d.Target.AvailabilityZone), *d.HealthCheckPort, d.TargetHealth.State)
		}
		return out
	}
	if got := list(); got != "10.0.0.1:80@9000=initial 10.0.0.1:8080@9000=initial 127.0.0.1:80all@9000=initial " {
		t.Errorf("registered: %s", got)
	}
	must(w.DeregisterTargets(w.ctx, input[api.DeregisterTargetsInput](t, `{`+arn+`,"Targets":[{"Id":"10.0.0.1"},{"Id":"10.0.0.9"}]}`)))(t)
	if got := list(); got != "10.0.0.1:80@9000=draining 10.0.0.1:8080@9000=initial 127.0.0.1:80all@9000=initial " {
		t.Errorf("one leaves: %s", got)
	}
}

func TestTargetGroupAttributes(t *testing.T) {
	w := newTargetWorld(t)
	groups := map[string]TargetGroup{
		"http": w.group("http", webGroup), "tcp": w.group("tcp", `"Protocol":"TCP","Port":80`), "tls": w.group("tls", `"Protocol":"TLS","Port":443`),
		"udp": w.group("udp", `"Protocol":"UDP","Port":53`), "tcpip": w.group("tcpip", `"Protocol":"TCP","Port":80,"TargetType":"ip"`),
	}
	for _, row := range []struct{ group, key, want string }{
		{"http", attrDelay, "300"}, {"http", attrStickyType, "lb_cookie"}, {"http", attrAlgorithm, "round_robin"}, {"http", attrKeepClient, "<nil>"},
		{"tcp", attrStickyType, "source_ip"}, {"tcp", attrKeepClient, "true"}, {"tcpip", attrKeepClient, "false"}, {"tcp", attrAlgorithm, "<nil>"},
		{"udp", attrUnhealthyIP, "false"}, {"tcp", attrUnhealthyIP, "true"}, {"udp", "deregistration_delay.connection_termination.enabled", "true"},
	} {
		got := "<nil>"
		out := must(w.DescribeTargetGroupAttributes(w.ctx, &api.DescribeTargetGroupAttributesInput{TargetGroupArn: new(string(groups[row.group].ARN()))}))(t)
		for _, a := range out.Attributes {
			if *a.Key == row.key {
				got = *a.Value
			}
		}
		if got != row.want {
			t.Errorf("%s of %s is %s, want %s", row.key, row.group, got, row.want)
		}
	}
	modify := func(group string, pairs ...string) error {
		in := &api.ModifyTargetGroupAttributesInput{TargetGroupArn: new(string(groups[group].ARN()))}
		for i := 0; i < len(pairs); i += 2 {
			in.Attributes = append(in.Attributes, api.TargetGroupAttribute{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := w.ModifyTargetGroupAttributes(w.ctx, in)
		return err
	}
	for _, row := range []struct {
		group, code string
		pairs       []string
	}{
		{"http", codeInvalid, nil},
		{"http", codeInvalid, []string{"made.up", "1"}},
		{"http", codeInvalid, []string{attrKeepClient, "true"}},
		{"tcp", codeInvalid, []string{attrAlgorithm, "round_robin"}},
		{"tcp", codeInvalid, []string{attrStickyType, "lb_cookie"}},
		{"http", codeInvalid, []string{attrDelay, "3601"}},
		{"http", codeInvalid, []string{attrDelay, "-1"}},
		{"http", codeInvalid, []string{attrDelay, "007"}},
		{"http", codeInvalid, []string{attrDelay, "5", attrDelay, "6"}},
		{"http", codeInvalid, []string{attrSlowStart, "29"}},
		{"http", codeInvalid, []string{attrSticky, "TRUE"}},
		{"http", codeInvalid, []string{attrAppCookie, "AWSALBX"}},
		{"http", codeInvalid, []string{attrAppCookie, "a b"}},
		{"http", codeInvalid, []string{attrAppCookie, "a\nbind :22"}},
		{"http", codeConfiguration, []string{attrSticky, "true", attrStickyType, "app_cookie"}},
		{"http", codeConfiguration, []string{attrMitigation, "on", attrAlgorithm, "weighted_random"}},
		{"http", codeConfiguration, []string{attrSlowStart, "30", attrAlgorithm, "least_outstanding_requests"}},
		{"tls", codeConfiguration, []string{attrSticky, "true"}},
		{"udp", codeConfiguration, []string{attrKeepClient, "false"}},
		{"tcp", codeConfiguration, []string{attrInterval, "10"}},
	} {
		if err := modify(row.group, row.pairs...); err == nil {
			t.Errorf("%s %q was taken", row.group, row.pairs)
		} else {
			wantCode(t, err, row.code, "")
		}
	}
	if err := modify("http", attrDelay, "0", attrSticky, "true", attrStickyType, "app_cookie", attrAppCookie, "session", attrSlowStart, "30"); err != nil {
		t.Error(err)
	}
	if err := modify("tcp", attrInterval, "10", attrUnhealthyIP, "false"); err != nil {
		t.Error(err)
	}
	g, _ := TargetGroups.Get(w.Store.Read(), groups["http"].Key())
	if g.DeregistrationDelay() != 0 || g.attributes()[attrAppCookie] != "session" || g.attributes()[attrAlgorithm] != "round_robin" {
		t.Errorf("set: %v", g.attributes())
	}
}
