package haproxy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"berth/elbv2/haproxy"
)

func TestRulesAreChosenInOrder(t *testing.T) {
	query := func(pairs ...haproxy.Pair) haproxy.Condition {
		return haproxy.Condition{Field: "query-string", Query: pairs}
	}
	head := func(name string, values ...string) haproxy.Condition {
		return haproxy.Condition{Field: "http-header", Header: name, Values: values}
	}
	p := serve(t, frame(alb("HTTP", 80,
		rule("host", fixed(200, "host"), condition("host-header", "*.shop.example.com", "one.example.com")),
		rule("path", fixed(200, "path"), condition("path-pattern", "/img/*.png", "/exact", "/v?")),
		rule("odd", fixed(200, "odd"), condition("path-pattern", `/a"b'$%,(){}[]!|`, "/with%20space")),
		rule("both", fixed(200, "both"), condition("path-pattern", "/both/*"), head("X-One", "1"), head("x-two", "2", "zwei")),
		rule("header", fixed(200, "header"), head("X-Kind", "*gold*", "a, b", `lit\*eral`)),
		rule("odd-header", fixed(200, "odd-header"), head("X-O'D$`|~%", "y")),
		rule("method", fixed(200, "method"), condition("http-request-method", "PURGE", "MY-METHOD_X")),
		rule("query", fixed(200, "query"), query(haproxy.Pair{Key: "version", Value: "v1*"}, haproxy.Pair{Value: "beta"}, haproxy.Pair{Key: "q", Value: `w\?y`}, haproxy.Pair{Key: "sp", Value: "a b"})),
		rule("host-re", fixed(200, "host-re"), haproxy.Condition{Field: "host-header", Regex: []string{`^(?:a|b)[0-9]+\.example\.org$`}}),
		rule("path-re", fixed(200, "path-re"), haproxy.Condition{Field: "path-pattern", Regex: []string{`^/re/[^/]+/\d{2,3}$`}}),
		rule("elsewhere", fixed(200, "elsewhere"), condition("path-pattern", "/from"), condition("source-ip", "10.0.0.0/8", "2001:db8::/32")),
		rule("here", fixed(200, "here"), condition("path-pattern", "/from"), condition("source-ip", "127.0.0.0/8")),
		rule("never", fixed(200, "never"), haproxy.Condition{Field: "path-pattern"}),
		rule("default", fixed(200, "default")))))
	for _, c := range []struct{ request, want string }{
		{request("GET", "/", "Host: a.b.shop.example.com"), "host"},
		{request("GET", "/", "Host: A.SHOP.Example.com:8080"), "host"}, // no case, no port
		{request("GET", "/", "Host: ONE.example.com"), "host"},
		{request("GET", "/", "Host: shop.example.com"), "default"},
		{request("GET", "/", "Host: oneXexample.com"), "default"}, // a dot is a dot
		{request("GET", "/img/a/b.png?x=1"), "path"},
		{request("GET", "/IMG/a.png"), "default"}, // case counts
		{request("GET", "/img/a.png/more"), "default"},
		{request("GET", "/exact"), "path"},
		{request("GET", "/exact/"), "default"},
		{request("GET", "/v1"), "path"},
		{request("GET", "/v"), "default"},
		{request("GET", "/v12"), "default"},
		{request("GET", "/a\"b'$%,(){}[]!|"), "odd"},
		{request("GET", "/with%20space"), "odd"},
		{request("GET", "/both/x", "X-One: 1", "X-Two: ZWEI"), "both"},
		{request("GET", "/both/x", "X-One: 1"), "default"},
		{request("GET", "/both/x", "X-Two: 2"), "default"},
		{request("GET", "/", "X-Kind: silver", "x-kind: with Gold in it"), "header"}, // any of the lines
		{request("GET", "/", "X-Kind: a, b"), "header"},
		{request("GET", "/", "X-Kind: a"), "default"},
		{request("GET", "/", "X-Kind: lit*eral"), "header"},
		{request("GET", "/", "X-Kind: litXeral"), "default"},
		{request("GET", "/", "X-O'D$`|~%: Y"), "odd-header"},
		{request("PURGE", "/"), "method"},
		{request("MY-METHOD_X", "/"), "method"},
		{request("purge", "/"), "default"},
		{request("GET", "/?a=1&VERSION=V12"), "query"},
		{request("GET", "/?version=v1"), "query"},
		{request("GET", "/?xversion=v1"), "default"},
		{request("GET", "/?version=v2"), "default"},
		{request("GET", "/?version=v2&x=v1"), "default"},
		{request("GET", "/?any=beta&z"), "query"},
		{request("GET", "/?beta"), "query"},
		{request("GET", "/?any=betaX"), "default"},
		{request("GET", "/?%76ersion=%56%31z"), "query"},
		{request("GET", "/?q=w?y"), "query"},
		{request("GET", "/?q=wxy"), "default"},
		{request("GET", "/?sp=a+b"), "query"},
		{request("GET", "/?sp=a%20b"), "query"},
		{request("GET", "/", "Host: A12.example.org"), "host-re"},
		{request("GET", "/", "Host: a12.example.org.x"), "default"},
		{request("GET", "/re/x/12"), "path-re"},
		{request("GET", "/re/x/1"), "default"},
		{request("GET", "/RE/x/12"), "default"},
		{request("GET", "/from", "X-Forwarded-For: 10.1.1.1"), "here"},
	} {
		if got := p.do(c.request); got.body != c.want {
			t.Errorf("%q: got %d %q, want %q", c.request, got.status, got.body, c.want)
		}
	}
}

func TestRedirectsFillPlaceholders(t *testing.T) {
	to := func(path string, r haproxy.Redirect) haproxy.Rule {
		return rule(name(path), haproxy.Action{Kind: haproxy.RedirectTo, Redirect: &r}, condition("path-pattern", "/"+path+"*"))
	}
	p := serve(t, frame(alb("HTTP", 80,
		to("tls", haproxy.Redirect{Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/#{path}", Query: "#{query}", Status: 301}),
		to("all", haproxy.Redirect{Protocol: "#{protocol}", Host: "x.#{host}", Port: "#{port}", Path: "/new/#{path}/#{host}/#{port}", Query: "a=#{query}&p=#{protocol}#{path}", Status: 302}),
		to("odd", haproxy.Redirect{Protocol: "HTTP", Host: "h", Port: "80", Path: `/100%%[src] %{+Q}"'\$#{x}`, Query: "#{query}#{query}", Status: 302}),
		rule("default", fixed(404, "no")))))
	_, port, _ := strings.Cut(p.address, ":")
	for _, c := range []struct {
		path     string
		status   int
		location string
	}{
		{"/tls/a%20b?x=1&y=2", 301, "https://www.example.com:443/tls/a%20b?x=1&y=2"},
		{"/tls", 301, "https://www.example.com:443/tls"},
		{"/all/1?q=2", 302, "http://x.www.example.com:" + port + "/new/all/1/www.example.com/" + port + "?a=q=2&p=httpall/1"},
		{"/odd", 302, `http://h:80/100%%[src] %{+Q}"'\$#{x}`},
		{"/odd?q", 302, `http://h:80/100%%[src] %{+Q}"'\$#{x}?qq`},
	} {
		got := p.get(c.path)
		if got.status != c.status || got.header.Get("Location") != c.location {
			t.Errorf("%s: got %d %s, want %d %s", c.path, got.status, got.header.Get("Location"), c.status, c.location)
		}
		if got.header.Get("Server") != "awselb/2.0" || !strings.Contains(got.body, "<h1>"+fmt.Sprint(c.status)) {
			t.Errorf("%s: got %v %s", c.path, got.header, got.body)
		}
	}
}

func name(s string) string { return "rule-" + s }

func TestFixedResponsesHaveTheirBodyByteForByte(t *testing.T) {
	body := "%[src] \"quoted\" 'too' \\ # $HOME ${x}\r\n\x00\x01 ü {\"a\": 1}\nbackend evil\n"
	rules := []haproxy.Rule{}
	for _, status := range []int{200, 204, 205, 299, 404, 418, 499, 503, 599} {
		rules = append(rules, rule(fmt.Sprint(status), fixed(status, body), condition("path-pattern", fmt.Sprint("/", status))))
	}
	empty := fixed(200, "")
	p := serve(t, frame(alb("HTTP", 80, append(rules, rule("empty", empty, condition("path-pattern", "/empty")), rule("default", fixed(404, "")))...)))
	for _, r := range rules {
		status, want := r.Action.Fixed.Status, body
		if status == 204 || status == 205 {
			want = ""
		}
		got := p.get(fmt.Sprint("/", status))
		if got.status != status || got.body != want || want != "" && got.header.Get("Content-Type") != "text/plain" {
			t.Errorf("%d: got %d %v %q", status, got.status, got.header, got.body)
		}
	}
	if got := p.do(request("HEAD", "/200")); got.status != 200 || got.body != "" || got.header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("HEAD: %+v", got)
	}
	if got := p.get("/empty"); got.status != 200 || got.body != "" {
		t.Errorf("empty: %+v", got)
	}
}

func TestRewritesChangeWhatMatches(t *testing.T) {
	with := func(id string, w ...haproxy.Rewrite) haproxy.Rule {
		r := rule(id, forwardTo("web"), condition("path-pattern", "/"+id+"*"))
		r.Rewrites = w
		return r
	}
	p := serve(t, frame(alb("HTTP", 80,
		with("strip", haproxy.Rewrite{Type: "url-rewrite", Regex: "^/strip/(.*)$", Replace: "/$1"}),
		with("middle", haproxy.Rewrite{Type: "url-rewrite", Regex: "b+", Replace: "X"}),
		with("swap", haproxy.Rewrite{Type: "url-rewrite", Regex: `/(\w+)/(\w+)`, Replace: `/${2}/$1/100%25/$$1\1`}),
		with("bare", haproxy.Rewrite{Type: "url-rewrite", Regex: "^/bare/", Replace: ""}),
		with("host", haproxy.Rewrite{Type: "host-header-rewrite", Regex: `^([a-z]+)\.example\.com$`, Replace: "$1.internal"}, haproxy.Rewrite{Type: "url-rewrite", Regex: "^/host", Replace: "/h"}),
		forward("web")), group("web", "HTTP", nil)))
	p.set("web", newTarget(t, "a", nil).at)
	_, port, _ := strings.Cut(p.address, ":")
	for _, c := range []struct{ path, want string }{
		{"/strip/a/b?c=d", "GET /a/b?c=d HTTP/1.1\nHost: www.example.com:" + port},
		{"/middle/abbba/b", "GET /middle/aXa/b HTTP/1.1\nHost: www.example.com:" + port}, // the first match
		{"/swap/x", `GET /x/swap/100%25/$1\1 HTTP/1.1` + "\nHost: www.example.com:" + port},
		{"/bare/x?y", "GET /x?y HTTP/1.1\nHost: www.example.com:" + port},
		{"/host/1", "GET /h/1 HTTP/1.1\nHost: www.internal:" + port},
	} {
		if got := p.get(c.path); !strings.HasPrefix(got.body, c.want+"\n") {
			t.Errorf("%s: got %d %s, want %s", c.path, got.status, got.body, c.want)
		}
	}
}

func TestTargetsGetTheHeadersOfALoadBalancer(t *testing.T) {
	trace := regexp.MustCompile(`X-Amzn-Trace-Id: Root=1-[0-9a-f]{8}-[0-9a-f]{24}\n`)
	continued := regexp.MustCompile(`X-Amzn-Trace-Id: Self=1-[0-9a-f]{8}-[0-9a-f]{24};Root=1-67891233-abcdef012345678912345678\n`)
	for _, c := range []struct {
		name       string
		attributes attributes
		lines      []string
		has        []string
		not        []string
		re         *regexp.Regexp
	}{
		{"default", nil, nil, []string{"X-Forwarded-For: 127.0.0.1\n", "X-Forwarded-Proto: http\n", "X-Forwarded-Port: PORT\n", "Host: www.example.com:PORT\n"}, nil, trace},
		{"appends", nil, []string{"X-Forwarded-For: 1.2.3.4, 5.6.7.8", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1", "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678"},
			[]string{"X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\n", "X-Forwarded-Proto: http\n", "X-Forwarded-Port: PORT\n"}, nil, continued},
		{"preserves", attributes{"routing.http.xff_header_processing.mode": "preserve"}, []string{"X-Forwarded-For: 1.2.3.4"}, []string{"X-Forwarded-For: 1.2.3.4\n"}, nil, nil},
		{"removes", attributes{"routing.http.xff_header_processing.mode": "remove"}, []string{"X-Forwarded-For: 1.2.3.4"}, nil, []string{"X-Forwarded-For"}, nil},
		{"client port", attributes{"routing.http.xff_client_port.enabled": "true"}, []string{"X-Forwarded-For: 9.9.9.9"}, nil, nil, regexp.MustCompile(`X-Forwarded-For: 9\.9\.9\.9, 127\.0\.0\.1:\d+\n`)},
		{"host stays", attributes{"routing.http.preserve_host_header.enabled": "true"}, nil, []string{"Host: www.example.com\n"}, nil, nil},
		{"odd names go", attributes{"routing.http.drop_invalid_header_fields.enabled": "true"}, []string{"X_odd: 1", "X-Good: 1"}, []string{"X-Good: 1\n"}, []string{"odd"}, nil},
		{"odd names stay", nil, []string{"X_odd: 1"}, []string{"X_odd: 1\n"}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			lb := alb("HTTP", 80, forward("web"))
			lb.Attributes = c.attributes
			p := serve(t, frame(lb, group("web", "HTTP", nil)))
			p.set("web", newTarget(t, "a", nil).at)
			_, port, _ := strings.Cut(p.address, ":")
			got := p.get("/", c.lines...).body
			for _, want := range c.has {
				if want = strings.ReplaceAll(want, "PORT", port); !strings.Contains(strings.ReplaceAll(got, "\r", ""), "\n"+want) {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(got, not) {
					t.Errorf("got %s, with %s", got, not)
				}
			}
			if c.re != nil && !c.re.MatchString(strings.ReplaceAll(got, "\r", "")) {
				t.Errorf("got %s, want %s", got, c.re)
			}
		})
	}
}

func TestAnswersGetTheHeadersOfTheListener(t *testing.T) {
	lb := alb("HTTP", 80, rule("fixed", fixed(200, "x"), condition("path-pattern", "/fixed")), forward("web"))
	lb.Listeners[0].Attributes = attributes{"routing.http.response.server.enabled": "false", "routing.http.response.content_security_policy.header_value": `default-src 'self' 100% "q" %[src] \ #`}
	p := serve(t, frame(lb, group("web", "HTTP", nil)))
	p.set("web", newTarget(t, "a", nil).at)
	for _, path := range []string{"/", "/fixed"} {
		if got := p.get(path).header; got.Get("Content-Security-Policy") != `default-src 'self' 100% "q" %[src] \ #` || got.Get("Server") != "" {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestStrictestRefusesWhatIsAmbiguous(t *testing.T) {
	for mode, want := range map[string]int{"defensive": 200, "strictest": 400} {
		lb := alb("HTTP", 80, forward("web"))
		lb.Attributes = attributes{"routing.http.desync_mitigation_mode": mode}
		p := serve(t, frame(lb, group("web", "HTTP", nil)))
		p.set("web", newTarget(t, "a", nil).at)
		if got := p.do(request("GET", "/", "Content-Length: 1") + "x").status; got != want {
			t.Errorf("%s: GET with a body: got %d, want %d", mode, got, want)
		}
		if got := p.do(request("POST", "/", "Content-Length: 1") + "x").status; got != 200 {
			t.Errorf("%s: POST: got %d", mode, got)
		}
		if got := p.do(request("POST", "/", "Content-Length: 1", "Content-Length: 2") + "xy").status; got != 400 {
			t.Errorf("%s: two lengths: got %d", mode, got)
		}
	}
}
