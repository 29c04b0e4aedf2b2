package haproxy_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/elbv2/haproxy"
)

var update = flag.Bool("update", false, "write the golden files anew")

func condition(field string, values ...string) haproxy.Condition {
	return haproxy.Condition{Field: field, Values: values}
}

// setups are one load balancer for each thing that one can be.
func setups(t testing.TB) map[string]haproxy.Frame {
	sticky := attributes{"stickiness.enabled": "true", "stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": "60"}
	app := attributes{"stickiness.enabled": "true", "stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": "SESSION", "stickiness.app_cookie.duration_seconds": "600"}
	secure := alb("HTTPS", 443, forward("web"))
	secure.Listeners[0].Certificates = []string{"11111111-default", "22222222-other"}
	secure.Listeners[0].SSLPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
	secure.Attributes["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] = "true"
	secure.Listeners[0].Attributes["routing.http.response.strict_transport_security.header_value"] = "max-age=31536000; includeSubDomains"
	old := nlb("TLS", 8443, forward("tls"))
	old.Listeners[0].Certificates, old.Listeners[0].SSLPolicy, old.Listeners[0].ALPN = []string{"11111111-default"}, "ELBSecurityPolicy-2016-08", "HTTP2Preferred"
	weighted := forward("blue", "green")
	weighted.Action.Groups[0].Weight, weighted.Action.Stickiness = 9, 3600
	headers := alb("HTTP", 8080, forward("web"))
	headers.Attributes = attributes{"routing.http.drop_invalid_header_fields.enabled": "true", "routing.http.xff_client_port.enabled": "true",
		"routing.http.desync_mitigation_mode": "strictest", "routing.http2.enabled": "false", "idle_timeout.timeout_seconds": "30", "client_keep_alive.seconds": "120"}
	headers.Listeners[0].Attributes = attributes{"routing.http.response.server.enabled": "false", "routing.http.response.x_frame_options.header_value": `100% "DENY"`}
	connect := haproxy.LoadBalancer{ID: "connect/prod/api:80", Number: 7, Kind: haproxy.Connect, Addresses: []netip.Addr{netip.MustParseAddr("172.31.0.77")},
		Listeners: []haproxy.Listener{{ID: "0", Port: 80, Protocol: "HTTP", Rules: []haproxy.Rule{forward("api")}}}}
	connectTCP := connect
	connectTCP.Listeners = []haproxy.Listener{{ID: "0", Port: 6379, Protocol: "TCP", Rules: []haproxy.Rule{forward("redis")}}}
	grpc := group("grpc", "HTTP", nil)
	grpc.Version = "GRPC"
	frames := map[string]haproxy.Frame{
		"http":       frame(alb("HTTP", 80, forward("web")), group("web", "HTTP", nil)),
		"access-log": frame(logs(alb("HTTP", 80, forward("web"))), group("web", "HTTP", nil)),
		"https":      frame(secure, group("web", "HTTPS", nil)),
		"weighted":   frame(alb("HTTP", 80, weighted), group("blue", "HTTP", nil), group("green", "HTTP", nil)),
		"sticky":     frame(alb("HTTP", 80, forward("web")), group("web", "HTTP", sticky)),
		"app-cookie": frame(alb("HTTP", 80, forward("web")), group("web", "HTTP", app)),
		"headers":    frame(headers, group("web", "HTTP", attributes{"load_balancing.algorithm.type": "least_outstanding_requests", "slow_start.duration_seconds": "30"})),
		"grpc":       frame(alb("HTTP", 80, forward("grpc")), grpc),
		"nothing":    frame(alb("HTTP", 80, forward())),
		"rules": frame(alb("HTTP", 80,
			rule("aaaaaaaaaaaaaaaa", forwardTo("api"), condition("host-header", "*.example.com"), condition("path-pattern", "/api/*", "/v?/x")),
			rule("bbbbbbbbbbbbbbbb", forwardTo("web"), haproxy.Condition{Field: "http-header", Header: "X-Kind", Values: []string{"a b", "*'\"#$\\*"}}),
			rule("cccccccccccccccc", forwardTo("web"), condition("http-request-method", "PURGE"), condition("source-ip", "10.0.0.0/8", "2001:db8::/32")),
			rule("dddddddddddddddd", forwardTo("web"), haproxy.Condition{Field: "query-string", Query: []haproxy.Pair{{Key: "version", Value: "v*"}, {Value: "beta"}}}),
			rule("eeeeeeeeeeeeeeee", forwardTo("web"), haproxy.Condition{Field: "path-pattern", Regex: []string{`^/(en|de)/[0-9]+$`}}),
			forward("web")), group("api", "HTTP", nil), group("web", "HTTP", nil)),
		"redirect": frame(alb("HTTP", 80, rule("default", haproxy.Action{Kind: haproxy.RedirectTo, Redirect: &haproxy.Redirect{
			Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/new/#{path}", Query: "#{query}&from=100%", Status: 301}}))),
		"fixed": frame(alb("HTTP", 80, rule("default", fixed(503, "Back at 5 o'clock: 100% \"sure\"\n")))),
		"rewrite": frame(alb("HTTP", 80, haproxy.Rule{ID: "default", Action: forwardTo("web"), Rewrites: []haproxy.Rewrite{
			{Type: "url-rewrite", Regex: "^/old/(.*)$", Replace: `/new%\/$1`}, {Type: "host-header-rewrite", Regex: `^([a-z]+)\.old`, Replace: "$1.new"}}}), group("web", "HTTP", nil)),
		"tcp":         frame(nlb("TCP", 6379, forward("redis")), group("redis", "TCP", attributes{"proxy_protocol_v2.enabled": "true", "stickiness.enabled": "true", "stickiness.type": "source_ip"})),
		"tls":         frame(old, group("tls", "TLS", nil)),
		"udp":         frame(nlb("UDP", 53, forward("dns")), group("dns", "UDP", nil)),
		"connect":     frame(connect, group("api", "HTTP", attributes{"outlier.failures": "3"})),
		"connect-tcp": frame(connectTCP, group("redis", "TCP", nil)),
	}
	for name, f := range frames {
		f.Certificates = []haproxy.Certificate{certificate(t, "11111111-default", "a.example.com"), certificate(t, "22222222-other", "b.example.com", "*.c.example.com")}
		frames[name] = f
	}
	return frames
}

func TestGolden(t *testing.T) {
	for name, f := range setups(t) {
		t.Run(name, func(t *testing.T) {
			if _, problems := haproxy.Sound(f); len(problems) > 0 {
				t.Fatal(problems)
			}
			m := haproxy.Machine{Loopback: netip.MustParsePrefix("127.128.0.0/22"), Dir: "/var/lib/berth/ingress", LogSocket: "/run/berth/log.sock", StatsSocket: "/run/berth/stats.sock", LateDir: "/run/berth",
				Namespace: "berth-tasks", Published: map[string][]netip.Addr{"app/web/50dc6c495c0c9188": {netip.MustParseAddr("192.0.2.10")}}}
			c := haproxy.Render(f, m, nil)
			var got bytes.Buffer
			got.Write(c.Text)
			var files []string
			for file := range c.Files {
				files = append(files, file)
			}
			slices.Sort(files)
			for _, file := range files {
				if !strings.HasSuffix(file, ".http") && !strings.HasSuffix(file, ".html") && !strings.HasSuffix(file, ".pem") {
					got.WriteString("\n==> " + file + "\n" + string(c.Files[file]))
				}
			}
			golden := filepath.Join("testdata", name+".cfg")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s is not as it was; run go test -update and look at the difference\n%s", golden, got.Bytes())
			}
			dir := t.TempDir()
			m = machine(dir)
			m.Published = map[string][]netip.Addr{"app/web/50dc6c495c0c9188": {netip.MustParseAddr("192.0.2.10")}}
			accepted(t, dir, haproxy.Render(f, m, nil))
		})
	}
}
