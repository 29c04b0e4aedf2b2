package elbv2

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
	"berth/store"
)

func TestListenerShowsItsForwardInBothWays(t *testing.T) {
	w := newAPIWorld(t)
	web, group := w.balancer("web", "application"), w.targetGroup("g", "HTTP", "")
	arn := w.listener(web, group, `"Protocol":"HTTP","Port":80`)
	v := do[api.DescribeListenersOutput](w, "DescribeListeners", `{"ListenerArns":["`+arn+`"]}`).Listeners[0]
	a := v.DefaultActions[0]
	if *v.LoadBalancerArn != web || *v.Port != 80 || v.Certificates != nil || v.SslPolicy != nil || v.MutualAuthentication != nil || *a.TargetGroupArn != group ||
		*a.ForwardConfig.TargetGroups[0].TargetGroupArn != group || *a.ForwardConfig.TargetGroups[0].Weight != 1 || *a.ForwardConfig.TargetGroupStickinessConfig.Enabled {
		t.Errorf("got %+v", v)
	}
	if again := w.listener(web, group, `"Protocol":"HTTP","Port":80`); again != arn {
		t.Errorf("the same settings made another listener: %s", again)
	}
	if !strings.HasPrefix(arn, strings.Replace(web, ":loadbalancer/", ":listener/", 1)+"/") {
		t.Errorf("got %s", arn)
	}
	do[api.DeleteListenerOutput](w, "DeleteListener", `{"ListenerArn":"`+arn+`"}`)
	w.refuses([]badInput{{"DeleteListener", `{"ListenerArn":"` + arn + `"}`, "ListenerNotFound: Listener '" + arn + "' not found"}})
}

func TestCertificatesOfListeners(t *testing.T) {
	w := newAPIWorld(t)
	web, group := w.balancer("web", "application"), w.targetGroup("g", "HTTP", "")
	first, second := w.certificate("a.example"), w.certificate("b.example")
	arn := w.listener(web, group, `"Protocol":"HTTPS","Port":443,"Certificates":[{"CertificateArn":"`+first+`"}]`)
	v := do[api.DescribeListenersOutput](w, "DescribeListeners", `{"LoadBalancerArn":"`+web+`"}`).Listeners[0]
	if *v.SslPolicy != "ELBSecurityPolicy-2016-08" || *v.Certificates[0].CertificateArn != first || v.Certificates[0].IsDefault != nil || *v.MutualAuthentication.Mode != "off" {
		t.Errorf("got %+v", v)
	}
	for range 2 {
		do[api.AddListenerCertificatesOutput](w, "AddListenerCertificates", `{"ListenerArn":"`+arn+`","Certificates":[{"CertificateArn":"`+second+`"}]}`)
	}
	all := do[api.DescribeListenerCertificatesOutput](w, "DescribeListenerCertificates", `{"ListenerArn":"`+arn+`"}`).Certificates
	if len(all) != 2 || *all[0].CertificateArn != first || !*all[0].IsDefault || *all[1].CertificateArn != second || *all[1].IsDefault {
		t.Errorf("got %+v", all)
	}
	if users := CertificateUsers(w.Store.Read(), second); !slices.Equal(users, []string{web}) {
		t.Errorf("got %v", users)
	}
	frame := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	if len(frame.Certificates) != 2 || len(frame.LoadBalancers[0].Listeners[0].Certificates) != 2 || !strings.HasSuffix(first, frame.LoadBalancers[0].Listeners[0].Certificates[0]) ||
		!strings.Contains(string(frame.Certificates[0].PEM), "PRIVATE KEY") || frame.Certificates[0].Digest == "" {
		t.Errorf("got %+v", frame.Certificates)
	}
	w.refuses([]badInput{
		{"RemoveListenerCertificates", `{"ListenerArn":"` + arn + `","Certificates":[{"CertificateArn":"` + first + `"}]}`, "OperationNotPermitted: "},
		{"AddListenerCertificates", `{"ListenerArn":"` + arn + `","Certificates":[{"CertificateArn":"` + first + `x"}]}`, "CertificateNotFound: Certificate '" + first + "x' not found"},
		{"AddListenerCertificates", `{"ListenerArn":"` + arn + `","Certificates":[]}`, "ValidationError: "},
		{"AddListenerCertificates", `{"ListenerArn":"` + arn + `","Certificates":[{"CertificateArn":"` + first + `","IsDefault":true}]}`, "ValidationError: "},
	})
	do[api.RemoveListenerCertificatesOutput](w, "RemoveListenerCertificates", `{"ListenerArn":"`+arn+`","Certificates":[{"CertificateArn":"`+second+`"}]}`)
	do[api.ModifyListenerOutput](w, "ModifyListener", `{"ListenerArn":"`+arn+`","Protocol":"HTTP"}`)
	record, _ := Listeners.Get(w.Store.Read(), keyOf(arn, "listener"))
	if record.Certificate != "" || record.SSLPolicy != "" || record.Protocol != api.ProtocolEnumHTTP {
		t.Errorf("got %+v", record)
	}
	w.refuses([]badInput{
		{"ModifyListener", `{"ListenerArn":"` + arn + `","Protocol":"HTTPS"}`, "ValidationError: A certificate must be specified for HTTPS listeners"},
		{"AddListenerCertificates", `{"ListenerArn":"` + arn + `","Certificates":[{"CertificateArn":"` + first + `"}]}`, "InvalidConfigurationRequest: "},
	})
}

func TestProtocolsOfTargetGroupsMustFit(t *testing.T) {
	w := newAPIWorld(t)
	web, net := w.balancer("web", "application"), w.balancer("net", "network")
	certificate := w.certificate("a.example")
	groups := map[string]string{}
	for _, p := range []string{"HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP"} {
		groups[p] = w.targetGroup("g"+strings.ReplaceAll(p, "_", "-"), p, "")
	}
	fits := []string{"HTTP HTTP", "HTTP HTTPS", "HTTPS HTTP", "HTTPS HTTPS", "TCP TCP", "TCP TCP_UDP", "TLS TCP", "TLS TLS", "UDP UDP", "UDP TCP_UDP", "TCP_UDP TCP_UDP"}
	for _, listener := range []string{"HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP"} {
		for group, arn := range groups {
			balancer, more := net, ""
			if strings.HasPrefix(listener, "HTTP") {
				balancer = web
			}
			if strings.HasSuffix(listener, "S") {
				more = `,"Certificates":[{"CertificateArn":"` + certificate + `"}]`
			}
			out, got := w.answer("CreateListener", `{"LoadBalancerArn":"`+balancer+`","Protocol":"`+listener+`","Port":1000`+more+`,"DefaultActions":[{"Type":"forward","TargetGroupArn":"`+arn+`"}]}`)
			fit := slices.Contains(fits, listener+" "+group)
			if fit != (got == "") || !fit && !strings.HasPrefix(got, "IncompatibleProtocols: The listener and its associated target group '"+arn+"' have incompatible protocols: '"+listener+"' and '"+group+"'") {
				t.Errorf("%s and %s: %s", listener, group, got)
			}
			if got == "" {
				do[api.DeleteListenerOutput](w, "DeleteListener", `{"ListenerArn":"`+*out.(*api.CreateListenerOutput).Listeners[0].ListenerArn+`"}`)
			}
		}
	}
}

func TestBadListeners(t *testing.T) {
	w := newAPIWorld(t)
	web, net := w.balancer("web", "application"), w.balancer("net", "network")
	group, grpc, elsewhere := w.targetGroup("g", "HTTP", ""), w.targetGroup("grpc", "HTTP", `,"ProtocolVersion":"GRPC"`), w.targetGroup("e", "TCP", "")
	elsewhereVPC := TargetGroup{Account: testAccount, Region: testRegion, Name: "s", ID: "0123456789abcdef", Protocol: api.ProtocolEnumHTTP, VPC: "vpc-1"}
	if err := w.Store.Update(w.ctx, func(tx *store.Tx) error { TargetGroups.Put(tx, elsewhereVPC); return nil }); err != nil {
		t.Fatal(err)
	}
	stranger := elsewhereVPC.ARN().String()
	certificate := w.certificate("a.example")
	have := w.listener(web, group, `"Protocol":"HTTP","Port":80`)
	w.listener(net, elsewhere, `"Protocol":"TCP","Port":80`)
	other := w.balancer("other", "application")
	create := func(lb, more, action string) string {
		return `{"LoadBalancerArn":"` + lb + `",` + more + `,"DefaultActions":[` + action + `]}`
	}
	forward := func(arn string) string { return `{"Type":"forward","TargetGroupArn":"` + arn + `"}` }
	http, https := `"Protocol":"HTTP","Port":81`, `"Protocol":"HTTPS","Port":81,"Certificates":[{"CertificateArn":"`+certificate+`"}]`
	fixed := `{"Type":"fixed-response","FixedResponseConfig":{"StatusCode":"200"}}`
	weighted := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"TargetGroupArn":"%s%d"}`, group, i))
		}
		return `{"Type":"forward","ForwardConfig":{"TargetGroups":[` + strings.Join(list, ",") + `]}}`
	}
	sticky := func(c string) string {
		return `{"Type":"forward","ForwardConfig":{"TargetGroups":[{"TargetGroupArn":"` + group + `"}],"TargetGroupStickinessConfig":` + c + `}}`
	}
	gone := strings.Replace(group, "/g/", "/gone/", 1)
	rows := []badInput{
		{"CreateListener", create(web, `"Protocol":"TCP","Port":81`, fixed), "ValidationError: Listener protocol 'TCP' must be one of 'HTTPS, HTTP'"},
		{"CreateListener", create(net, http, fixed), "ValidationError: Listener protocol 'HTTP' must be one of 'TLS, TCP, TCP_UDP, UDP'"},
		{"CreateListener", create(net, `"Protocol":"QUIC","Port":81`, fixed), "UnsupportedProtocol: "},
		{"CreateListener", create(web, `"Port":81`, fixed), "ValidationError: A listener protocol must be specified"},
		{"CreateListener", create(web, `"Protocol":"HTTP"`, fixed), "ValidationError: A listener port must be specified"},
		{"CreateListener", create(web, `"Protocol":"HTTP","Port":0`, fixed), "model: "},
		{"CreateListener", create(strings.Replace(web, "/web/", "/gone/", 1), http, fixed), "LoadBalancerNotFound: "},
		{"CreateListener", create(web, `"Protocol":"HTTP","Port":80`, fixed), "DuplicateListener: A listener already exists on this port for this load balancer '" + web + "'"},
		{"CreateListener", create(web, `"Protocol":"HTTPS","Port":81`, fixed), "ValidationError: A certificate must be specified for HTTPS listeners"},
		{"CreateListener", create(web, strings.Replace(https, `"}]`, `"},{"CertificateArn":"x"}]`, 1), fixed), "TooManyCertificates: "},
		{"CreateListener", create(web, strings.Replace(https, `"}]`, `","IsDefault":true}]`, 1), fixed), "ValidationError: "},
		{"CreateListener", create(web, strings.Replace(https, `"}]`, `x"}]`, 1), fixed), "CertificateNotFound: "},
		{"CreateListener", create(web, https+`,"SslPolicy":"none"`, fixed), "SSLPolicyNotFound: SSL policy 'none' not found"},
		{"CreateListener", create(web, https+`,"AlpnPolicy":["HTTP2Only"]`, fixed), "ValidationError: "},
		{"CreateListener", create(net, `"Protocol":"TLS","Port":81,"AlpnPolicy":["none"],"Certificates":[{"CertificateArn":"`+certificate+`"}]`, forward(elsewhere)), "ALPNPolicyNotFound: "},
		{"CreateListener", create(web, https+`,"MutualAuthentication":{"Mode":"verify"}`, fixed), "InvalidConfigurationRequest: "},
		{"CreateListener", create(web, http+`,"MutualAuthentication":{"Mode":"off"}`, fixed), "ValidationError: "},
		{"CreateListener", create(web, http+`,"SslPolicy":"ELBSecurityPolicy-2016-08"`, fixed), "ValidationError: "},
		{"CreateListener", create(web, http+`,"Certificates":[{"CertificateArn":"`+certificate+`"}]`, fixed), "ValidationError: "},
		{"CreateListener", create(web, http, ""), "ValidationError: An action must be specified"},
		{"CreateListener", create(web, http, fixed+","+fixed), "TooManyActions: "},
		{"CreateListener", create(web, http, `{"Type":"authenticate-oidc"}`), "InvalidLoadBalancerAction: Actions of type 'authenticate-oidc' are not supported by this Berth"},
		{"CreateListener", create(web, http, `{"Type":"jwt-validation"},`+fixed), "InvalidLoadBalancerAction: "},
		{"CreateListener", create(web, http, `{"Type":"redirect"}`), "InvalidLoadBalancerAction: RedirectConfig must be specified"},
		{"CreateListener", create(web, http, `{"Type":"redirect","TargetGroupArn":"`+group+`","RedirectConfig":{"StatusCode":"HTTP_301","Port":"1"}}`), "InvalidLoadBalancerAction: TargetGroupArn cannot"},
		{"CreateListener", create(net, `"Protocol":"TCP","Port":81`, fixed), "InvalidLoadBalancerAction: "},
		{"CreateListener", create(web, http, forward("x")), "ValidationError: 'x' is not a valid target group ARN"},
		{"CreateListener", create(web, http, forward(gone)), "TargetGroupNotFound: Target group '" + gone + "' not found"},
		{"CreateListener", create(web, http, `{"Type":"forward"}`), "ValidationError: A target group ARN must be specified"},
		{"CreateListener", create(web, http, forward(grpc)), "InvalidConfigurationRequest: Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'"},
		{"CreateListener", create(web, http, forward(stranger)), "InvalidConfigurationRequest: The target group '" + stranger + "' is in a different VPC"},
		{"CreateListener", create(other, http, forward(group)), "TargetGroupAssociationLimit: The following target groups cannot be associated with more than one load balancer: " + group},
		{"CreateListener", create(web, http, weighted(6)), "ValidationError: An action can forward to at most '5' target groups"},
		{"CreateListener", create(web, http, `{"Type":"forward","TargetGroupArn":"`+grpc+`","ForwardConfig":{"TargetGroups":[{"TargetGroupArn":"`+group+`"}]}}`), "ValidationError: "},
		{"CreateListener", create(web, http, `{"Type":"forward","ForwardConfig":{"TargetGroups":[{"TargetGroupArn":"`+group+`","Weight":1000}]}}`), "ValidationError: Target group weight '1000'"},
		{"CreateListener", create(web, http, `{"Type":"forward","ForwardConfig":{"TargetGroups":[{"TargetGroupArn":"`+group+`"},{"TargetGroupArn":"`+group+`"}]}}`), "ValidationError: Target group"},
		{"CreateListener", create(web, http, sticky(`{"Enabled":true}`)), "ValidationError: A duration must be specified"},
		{"CreateListener", create(web, http, sticky(`{"Enabled":true,"DurationSeconds":604801}`)), "ValidationError: "},
		{"CreateListener", create(web, http, sticky(`{"Enabled":true,"DurationSeconds":0}`)), "ValidationError: "},
		{"DescribeListeners", `{}`, "ValidationError: You must specify either listener ARNs or a load balancer ARN"},
		{"DescribeListeners", `{"ListenerArns":["` + have + `"],"LoadBalancerArn":"` + web + `"}`, "ValidationError: "},
		{"DescribeListeners", `{"ListenerArns":["` + have + `0"]}`, "ListenerNotFound: "},
		{"ModifyListener", `{"ListenerArn":"` + have + `","Protocol":"TCP"}`, "ValidationError: Listener protocol 'TCP'"},
		{"ModifyListener", `{"ListenerArn":"` + have + `","DefaultActions":[` + forward(gone) + `]}`, "TargetGroupNotFound: "},
	}
	rows = append(rows, badActions(create, web, http, https)...)
	w.refuses(rows)
}

// badActions are redirects and fixed responses that are refused.
func badActions(create func(lb, more, action string) string, web, http, https string) (rows []badInput) {
	for config, want := range map[string]string{
		`"Port":"0"`:           "The redirect port '0'",
		`"Port":"x"`:           "The redirect port 'x'",
		`"Port":"#{host}"`:     "The redirect port cannot have the keyword '#{host}'",
		`"Path":"a"`:           "The redirect path 'a' must begin with '/'",
		`"Path":"/a b"`:        "The redirect path '/a b' must have",
		`"Path":"/#{nothing}"`: "The redirect path cannot have the keyword '#{nothing}'",
		`"Path":"/#{host"`:     "The redirect path cannot have the keyword '#{host'",
		`"Host":"a/b"`:         "The redirect host 'a/b' is not valid",
		`"Query":"a\nb"`:       "The redirect query",
		`"Query":"#{query}"`:   "The redirect configuration is not valid because it creates a loop.",
		`"Protocol":"HTTP"`:    "The redirect configuration is not valid because it creates a loop.",
		`"Protocol":"#{protocol}","Port":"#{port}"`: "The redirect configuration is not valid because it creates a loop.",
	} {
		rows = append(rows, badInput{"CreateListener", create(web, http, `{"Type":"redirect","RedirectConfig":{"StatusCode":"HTTP_302",`+config+`}}`), "InvalidLoadBalancerAction: " + want})
	}
	fixed := func(more string) string {
		return create(web, http, `{"Type":"fixed-response","FixedResponseConfig":{`+more+`}}`)
	}
	return append(rows,
		badInput{"CreateListener", create(web, https, `{"Type":"redirect","RedirectConfig":{"StatusCode":"HTTP_302","Protocol":"HTTP","Port":"80"}}`), "InvalidLoadBalancerAction: "},
		badInput{"CreateListener", create(web, http, `{"Type":"redirect","RedirectConfig":{"StatusCode":"HTTP_303","Port":"1"}}`), "model: "},
		badInput{"CreateListener", fixed(`"StatusCode":"302"`), "model: "},
		badInput{"CreateListener", fixed(`"StatusCode":"200","ContentType":"image/png"`), "InvalidLoadBalancerAction: The content type 'image/png'"},
		badInput{"CreateListener", fixed(`"StatusCode":"200","MessageBody":"a\u0000b"`), "InvalidLoadBalancerAction: The message body"},
		badInput{"CreateListener", fixed(`"StatusCode":"200","MessageBody":"` + strings.Repeat("x", 1025) + `"`), "model: "},
	)
}

func TestRedirectShowsWhatItLeaves(t *testing.T) {
	w := newAPIWorld(t)
	web := w.balancer("web", "application")
	out := do[api.CreateListenerOutput](w, "CreateListener", `{"LoadBalancerArn":"`+web+`","Protocol":"HTTP","Port":80,"DefaultActions":[{"Type":"redirect","RedirectConfig":{"StatusCode":"HTTP_301","Protocol":"HTTPS","Port":"443"}}]}`)
	c := out.Listeners[0].DefaultActions[0].RedirectConfig
	if *c.Protocol != "HTTPS" || *c.Port != "443" || *c.Host != "#{host}" || *c.Path != "/#{path}" || *c.Query != "#{query}" {
		t.Errorf("got %+v", c)
	}
}

func TestAttributesHaveTheirDefaults(t *testing.T) {
	w := newAPIWorld(t)
	web, net := w.balancer("web", "application"), w.balancer("net", "network")
	for arn, want := range map[string][]string{
		web: {"idle_timeout.timeout_seconds=60", "routing.http2.enabled=true", "load_balancing.cross_zone.enabled=true", "client_keep_alive.seconds=3600", "routing.http.desync_mitigation_mode=defensive"},
		net: {"load_balancing.cross_zone.enabled=false", "dns_record.client_routing_policy=any_availability_zone", "deletion_protection.enabled=false"},
	} {
		var got []string
		for _, a := range do[api.DescribeLoadBalancerAttributesOutput](w, "DescribeLoadBalancerAttributes", `{"LoadBalancerArn":"`+arn+`"}`).Attributes {
			got = append(got, *a.Key+"="+*a.Value)
		}
		for _, one := range want {
			if !slices.Contains(got, one) {
				t.Errorf("%s is not in %v", one, got)
			}
		}
	}
	listener := w.listener(web, w.targetGroup("g", "HTTP", ""), `"Protocol":"HTTP","Port":80`)
	do[api.ModifyListenerAttributesOutput](w, "ModifyListenerAttributes", `{"ListenerArn":"`+listener+`","Attributes":[{"Key":"routing.http.response.server.enabled","Value":"false"},{"Key":"routing.http.response.access_control_allow_methods.header_value","Value":"GET, POST"}]}`)
	do[api.ModifyLoadBalancerAttributesOutput](w, "ModifyLoadBalancerAttributes", `{"LoadBalancerArn":"`+web+`","Attributes":[{"Key":"idle_timeout.timeout_seconds","Value":"4000"}]}`)
	frame := FrameFor(w.Store.Read(), testAccount, testRegion, w.Machine)
	lb := frame.LoadBalancers[slices.IndexFunc(frame.LoadBalancers, func(v haproxy.LoadBalancer) bool { return v.Kind == haproxy.Application })]
	if lb.Attributes["idle_timeout.timeout_seconds"] != "4000" || lb.Attributes["client_keep_alive.seconds"] != "3600" || lb.Listeners[0].Attributes["routing.http.response.server.enabled"] != "false" {
		t.Errorf("got %+v", lb)
	}
}

func TestBadAttributes(t *testing.T) {
	w := newAPIWorld(t)
	web, net := w.balancer("web", "application"), w.balancer("net", "network")
	listener := w.listener(web, w.targetGroup("g", "HTTP", ""), `"Protocol":"HTTP","Port":80`)
	tcp := w.listener(net, w.targetGroup("t", "TCP", ""), `"Protocol":"TCP","Port":80`)
	var rows []badInput
	for _, row := range []struct{ operation, arn, key, value, want string }{
		{"LoadBalancer", web, "nothing.like.it", "1", "ValidationError: Load balancer attribute key 'nothing.like.it' is not recognized"},
		{"LoadBalancer", web, "idle_timeout.timeout_seconds", "0", "ValidationError: Load balancer attribute 'idle_timeout.timeout_seconds' cannot have the value '0': must be a whole number from 1 to 4000"},
		{"LoadBalancer", web, "idle_timeout.timeout_seconds", "060", "ValidationError: "},
		{"LoadBalancer", web, "idle_timeout.timeout_seconds", "4001", "ValidationError: "},
		{"LoadBalancer", web, "client_keep_alive.seconds", "59", "ValidationError: "},
		{"LoadBalancer", web, "deletion_protection.enabled", "True", "ValidationError: "},
		{"LoadBalancer", web, "routing.http.desync_mitigation_mode", "off", "ValidationError: "},
		{"LoadBalancer", web, "routing.http.xff_header_processing.mode", "x", "ValidationError: "},
		{"LoadBalancer", web, "load_balancing.cross_zone.enabled", "false", "ValidationError: "},
		{"LoadBalancer", web, "connection_logs.s3.enabled", "true", "ValidationError: "},
		{"LoadBalancer", web, "health_check_logs.s3.enabled", "true", "ValidationError: "},
		{"LoadBalancer", web, "access_logs.s3.enabled", "true", "InvalidConfigurationRequest: Load balancer attribute 'access_logs.s3.enabled' needs 'access_logs.s3.bucket', the name of a log group"},
		{"LoadBalancer", net, "access_logs.s3.enabled", "true", "ValidationError: Load balancer attribute 'access_logs.s3.enabled' cannot have the value 'true': only 'false' is supported by this Berth: access logs of network load balancers are not built yet"},
		{"LoadBalancer", web, "access_logs.s3.prefix", "a*", "ValidationError: "},
		{"LoadBalancer", web, "access_logs.s3.bucket", "a b", "ValidationError: "},
		{"LoadBalancer", web, "dns_record.client_routing_policy", "any_availability_zone", "InvalidConfigurationRequest: "},
		{"LoadBalancer", net, "idle_timeout.timeout_seconds", "60", "InvalidConfigurationRequest: Load balancer attribute key 'idle_timeout.timeout_seconds' is not supported by network load balancers"},
		{"LoadBalancer", net, "secondary_ips.auto_assigned.per_subnet", "1", "ValidationError: "},
		{"Listener", listener, "tcp.idle_timeout.seconds", "350", "InvalidConfigurationRequest: Listener attribute key 'tcp.idle_timeout.seconds' is not supported by HTTP listeners"},
		{"Listener", tcp, "tcp.idle_timeout.seconds", "59", "ValidationError: "},
		{"Listener", tcp, "routing.http.response.server.enabled", "true", "InvalidConfigurationRequest: "},
		{"Listener", listener, "routing.http.request.x_amzn_tls_version.header_name", "X-V", "InvalidConfigurationRequest: "},
		{"Listener", listener, "routing.http.response.strict_transport_security.header_value", "x", "ValidationError: "},
		{"Listener", listener, "routing.http.response.access_control_allow_origin.header_value", "example.com", "ValidationError: "},
		{"Listener", listener, "routing.http.response.access_control_allow_methods.header_value", "GET,FETCH", "ValidationError: "},
		{"Listener", listener, "routing.http.response.access_control_allow_headers.header_value", "a b", "ValidationError: "},
		{"Listener", listener, "routing.http.response.access_control_allow_credentials.header_value", "false", "ValidationError: "},
		{"Listener", listener, "routing.http.response.access_control_max_age.header_value", "86401", "ValidationError: "},
		{"Listener", listener, "routing.http.response.content_security_policy.header_value", `a\r\nb: c`, "ValidationError: "},
		{"Listener", listener, "routing.http.response.x_content_type_options.header_value", "sniff", "ValidationError: "},
		{"Listener", listener, "routing.http.response.x_frame_options.header_value", "ALLOW-FROM x", "ValidationError: "},
	} {
		pair := `{"Key":"` + row.key + `","Value":"` + row.value + `"}`
		in := `{"` + row.operation + `Arn":"` + row.arn + `","Attributes":[` + pair + `]}`
		rows = append(rows, badInput{"Modify" + row.operation + "Attributes", in, row.want})
	}
	twice := `{"Key":"idle_timeout.timeout_seconds","Value":"1"}`
	w.refuses(append(rows, badInput{"ModifyLoadBalancerAttributes", `{"LoadBalancerArn":"` + web + `","Attributes":[` + twice + `,` + twice + `]}`, "ValidationError: "}))
}

func TestAccessLogsGoToALogGroup(t *testing.T) {
	w := newAPIWorld(t)
	web := w.balancer("web", "application")
	v, _ := LoadBalancers.Get(w.Store.Read(), keyOf(web, "loadbalancer"))
	where := func() string {
		group, stream, ok := AccessLog(w.Store.Read(), v.Account, v.Region, v.Path())
		return fmt.Sprint(group, " ", stream, " ", ok)
	}
	if got := where(); got != "  false" {
		t.Errorf("at first: %q", got)
	}
	set := func(pairs string) {
		do[api.ModifyLoadBalancerAttributesOutput](w, "ModifyLoadBalancerAttributes", `{"LoadBalancerArn":"`+web+`","Attributes":[`+pairs+`]}`)
	}
	set(`{"Key":"access_logs.s3.enabled","Value":"true"},{"Key":"access_logs.s3.bucket","Value":"/berth/access"}`)
	if got := where(); got != "/berth/access "+v.Path()+" true" {
		t.Errorf("enabled: %q", got)
	}
	set(`{"Key":"access_logs.s3.prefix","Value":"shop/"}`)
	if got := where(); got != "/berth/access shop/"+v.Path()+" true" {
		t.Errorf("with a prefix: %q", got)
	}
	w.refuses([]badInput{{"ModifyLoadBalancerAttributes", `{"LoadBalancerArn":"` + web + `","Attributes":[{"Key":"access_logs.s3.bucket","Value":""}]}`, "InvalidConfigurationRequest: "}})
	set(`{"Key":"access_logs.s3.enabled","Value":"false"}`)
	if got := where(); got != "  false" {
		t.Errorf("disabled: %q", got)
	}
}

func TestDeletingABalancerDeletesWhatItHas(t *testing.T) {
	w := newAPIWorld(t)
	web, group := w.balancer("web", "application"), w.targetGroup("g", "HTTP", "")
	listener := w.listener(web, group, `"Protocol":"HTTP","Port":80`)
	do[api.CreateRuleOutput](w, "CreateRule", `{"ListenerArn":"`+listener+`","Priority":1,"Conditions":[{"Field":"path-pattern","Values":["/a"]}],"Actions":[{"Type":"forward","TargetGroupArn":"`+group+`"}]}`)
	do[api.DeleteLoadBalancerOutput](w, "DeleteLoadBalancer", `{"LoadBalancerArn":"`+web+`"}`)
	if r := w.Store.Read(); Listeners.Len(r)+Rules.Len(r) != 0 {
		t.Error("listeners or rules are left")
	}
	if g, _ := GroupByARN(w.Store.Read(), group); g.InUse(w.Store.Read()) {
		t.Error("the target group is still in use")
	}
	other := w.balancer("other", "application")
	if v := aws.Value(do[api.CreateListenerOutput](w, "CreateListener", `{"LoadBalancerArn":"`+other+`","Protocol":"HTTP","Port":80,"DefaultActions":[{"Type":"forward","TargetGroupArn":"`+group+`"}]}`)); len(v.Listeners) != 1 {
		t.Errorf("got %+v", v)
	}
}
