package haproxy_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/elbv2/haproxy"
)

// keywords are the first words of lines that Render may write. Anything else is a text of a user that got out.
var keywords = strings.Fields(`global defaults frontend backend # nbthread httpclient.ssl.verify fd-hard-limit hard-stop-after tune.bufsize tune.maxrewrite tune.http.logurilen tune.ssl.default-dh-param
	stats log log-format option retries retry-on http-reuse timeout errorfile mode bind acl tcp-request http-request http-response http-after-response use_backend default_backend
	peers disabled table server balance hash-type cookie dynamic-cookie-key server-template`)

// structure is a configuration without what depends on texts: the first word of each line, and the second where it is a keyword too. What is in quotes
// or escaped is of no interest: it is one word.
func structure(t testing.TB, text []byte) (out []string) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if !slices.Contains(keywords, f[0]) {
			t.Fatalf("a line begins with %q", f[0])
		}
		indented := strings.HasPrefix(line, "  ")
		if section := slices.Contains([]string{"global", "defaults", "frontend", "backend", "peers"}, f[0]); section == indented && f[0] != "#" {
			t.Fatalf("%q is not where it belongs", line)
		}
		s := f[0]
		if len(f) > 1 && strings.HasPrefix(f[0], "http-") {
			s += " " + f[1][:min(len(f[1]), 9)]
		}
		out = append(out, s)
	}
	return out
}

// tainted is a frame with a text in every field that a user may fill.
func tainted(s string, header, cookie, regex string) haproxy.Frame {
	conditions := []haproxy.Condition{
		{Field: "host-header", Values: []string{s, "*" + s + "?"}}, {Field: "path-pattern", Values: []string{s, s + "*"}}, {Field: "http-header", Header: header, Values: []string{s, "?" + s}},
		{Field: "query-string", Query: []haproxy.Pair{{Key: s, Value: s}, {Value: s + "*"}}}, {Field: "http-request-method", Values: []string{header}}, {Field: "path-pattern", Regex: []string{regex}},
		{Field: "source-ip", Values: []string{"10.0.0.0/8"}},
	}
	rewritten := rule("rewritten", forwardTo("app"), conditions...)
	rewritten.Rewrites = []haproxy.Rewrite{{Type: "url-rewrite", Regex: regex, Replace: s + "$1"}, {Type: "host-header-rewrite", Regex: "x", Replace: s}}
	a := forwardTo("app", "lb")
	a.Stickiness = 60
	lb := alb("HTTP", 80,
		rewritten, rule("weighted", a),
		rule("redirect", haproxy.Action{Kind: haproxy.RedirectTo, Redirect: &haproxy.Redirect{Protocol: "#{protocol}", Host: s + "#{host}", Port: s, Path: "/" + s, Query: s + "#{query}", Status: 302}}),
		rule("fixed", haproxy.Action{Kind: haproxy.FixedResponse, Fixed: &haproxy.Fixed{Status: 200, ContentType: s + "/", Body: s + "."}}), forward("lb"))
	lb.Attributes = attributes{"idle_timeout.timeout_seconds": s, "routing.http.xff_header_processing.mode": s, "client_keep_alive.seconds": s, "routing.http.desync_mitigation_mode": s}
	lb.Listeners[0].Attributes = attributes{"routing.http.response.server.enabled": s, "routing.http.response.content_security_policy.header_value": s + ";", "routing.http.request.x_amzn_tls_version.header_name": header}
	return frame(lb,
		group("app", s, attributes{"stickiness.enabled": "true", "stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": cookie, "load_balancing.algorithm.type": s, "slow_start.duration_seconds": s}),
		group("lb", "HTTP", attributes{"stickiness.enabled": "true", "stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": s, "outlier.failures": s}))
}

// FuzzRender holds HAProxy against it: whatever users write, either Sound takes it out, or the configuration is accepted and has the structure that
// it has with harmless texts.
func FuzzRender(f *testing.F) {
	for _, s := range []string{"", "x", "a b", `"`, `'`, `\`, "#", "$HOME", "${HOME}", "%[src]", "%{+Q}o", "%", "%%", "\n", "\r\n", "\x00", "é", "\xff", "{ always_true }", "}", "-f", "--", "-i", " ", "\t",
		"x\n  http-request deny\nbackend b", `' if { always_true } #`, "a,b)", "(", "[", "*", "?", `\*`, "!", "if", "unless", "or", "||", "^", `\x0a`, `\n`, `\1\2`, "$1$9${3}$", "#{host}#{", "GET", "]]>", "~", "`id`", ";", "&", "=a"} {
		f.Add(s, s, s, s)
	}
	f.Add("x", "X-O'D!#$%&*+-.^_`|~", "c'`|~", `(a|b)+?[^\d\s]{2,3}\b$`)
	f.Fuzz(func(t *testing.T, s, header, cookie, regex string) {
		dir := t.TempDir()
		m := machine(dir)
		checkTainted(t, m, s, header, cookie, regex)
	})
}

func checkTainted(t testing.TB, m haproxy.Machine, s, header, cookie, re string) {
	t.Helper()
	if checkOnce(t, m, s, header, cookie, re) {
		return
	}
	// One at a time: what is refused must not keep the others from being looked at.
	checkOnce(t, m, s, "x", "x", "(x)")
	checkOnce(t, m, "x", header, "x", "(x)")
	checkOnce(t, m, "x", "x", cookie, "(x)")
	checkOnce(t, m, "x", "x", "x", re)
}

// checkOnce says false if Sound refuses something.
func checkOnce(t testing.TB, m haproxy.Machine, s, header, cookie, re string) bool {
	t.Helper()
	sound, problems := haproxy.Sound(tainted(s, header, cookie, re))
	if len(problems) > 0 {
		return false
	}
	c := haproxy.Render(sound, m, nil)
	accepted(t, m.Dir, c)
	plain, problems := haproxy.Sound(tainted("x", "x", "x", "(x)"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got, want := structure(t, c.Text), structure(t, haproxy.Render(plain, m, nil).Text)
	// Numbers and modes may be read from attributes.
	same := func(l []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(l), func(s string) bool { return s == "balance" }), "\n")
	}
	if same(got) != same(want) && !slices.Contains([]string{"preserve", "remove", "strictest", "false", "HTTPS", "TLS"}, s) {
		t.Errorf("%q changes the structure:\n%s\nwith a harmless text:\n%s", s, c.Text, same(want))
	}
	return true
}

// FuzzFrame puts arbitrary texts, numbers and addresses into every field, also those that no user writes.
func FuzzFrame(f *testing.F) {
	for seed := range uint64(12) {
		f.Add(seed, "a\n'\"\\#$%[x] {}\x00", "12")
	}
	f.Fuzz(func(t *testing.T, seed uint64, a, b string) {
		r := rand.New(rand.NewPCG(seed, 1))
		base := slices.Collect(func(yield func(haproxy.Frame) bool) {
			all := setups(t)
			names := []string{}
			for n := range all {
				names = append(names, n)
			}
			slices.Sort(names)
			for _, n := range names {
				if !yield(all[n]) {
					return
				}
			}
		})
		frame := base[r.IntN(len(base))]
		mutate(r, reflect.ValueOf(&frame).Elem(), []string{a, b, a + b, "x", "HTTP", "forward", "-1"})
		dir := t.TempDir()
		sound, _ := haproxy.Sound(frame)
		c := haproxy.Render(sound, machine(dir), nil)
		structure(t, c.Text)
		accepted(t, dir, c)
	})
}

// mutate changes one field in ten.
func mutate(r *rand.Rand, v reflect.Value, texts []string) {
	if v.Type() == reflect.TypeFor[netip.Addr]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		if r.IntN(10) == 0 {
			v.SetString(texts[r.IntN(len(texts))])
		}
	case reflect.Int:
		if r.IntN(20) == 0 {
			v.SetInt([]int64{-1, 0, 1, 80, 443, 65536, 1 << 40}[r.IntN(7)])
		}
	case reflect.Slice:
		for i := range v.Len() {
			mutate(r, v.Index(i), texts)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			mutate(r, v.Field(i), texts)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			mutate(r, v.Elem(), texts)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if r.IntN(5) == 0 {
				v.SetMapIndex(k, reflect.ValueOf(texts[r.IntN(len(texts))]))
			}
		}
	}
}

// FuzzRegex compares what a regular expression matches here and in Go.
func FuzzRegex(f *testing.F) {
	for _, s := range []string{"a", "^a(b|c)*$", `\d+`, "[^a-c]x", "(?i)k", "(?i)[k]", "(?i)[^k]", "(?s).", "é", `\pL`, "[[:alpha:]]", "a{2,3}?", `\bx\B`, "(?m)^a$", "a**", "(?=a)", `\1`, "(", "x{1001}", `\Q.*\E`, `[\x{100}-\x{200}]`, "(?U)a+", "[]", "(?:)", "|"} {
		f.Add(s, "aabbcx 12")
	}
	f.Fuzz(func(t *testing.T, s, subject string) {
		if haproxy.CheckRegex(s) != nil {
			return
		}
		if _, err := regexp.Compile(s); err != nil {
			t.Fatalf("%q is accepted: %v", s, err)
		}
		lb := alb("HTTP", 80, rule("1", fixed(200, "yes"), haproxy.Condition{Field: "path-pattern", Regex: []string{s}}), rule("default", fixed(200, "no")))
		dir := t.TempDir()
		sound, problems := haproxy.Sound(frame(lb))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		accepted(t, dir, haproxy.Render(sound, machine(dir), nil))
	})
}

// TestRegexesMatchAsInGo runs many expressions in one HAProxy.
func TestRegexesMatchAsInGo(t *testing.T) {
	expressions := []string{"a", "^/a(b|c)*$", `/\d+$`, "^/[^a-c]x", "(?i)k", "(?i)[k]z", "(?i)[^k]$", "^/a.c$", "[[:alpha:]]{3}", "^/a{2,3}?$", `\bx\b`, `\Ba\B`, "(?:)", `^/\Q.*\E`, "^/(x|yz)+?w", `\W\w\W$`, "(?i)straße", "[é]|q", `/a$|/b$`}
	var rules []haproxy.Rule
	var kept []string
	for i, s := range expressions {
		if err := haproxy.CheckRegex(s); err != nil {
			t.Logf("%s: %v", s, err)
			continue
		}
		kept = append(kept, s)
		rules = append(rules, rule(fmt.Sprint("re", i), fixed(200, "yes"), haproxy.Condition{Field: "http-header", Header: "X-Expression", Values: []string{fmt.Sprint(i)}}, haproxy.Condition{Field: "path-pattern", Regex: []string{s}}))
	}
	if len(kept) < len(expressions)-1 {
		t.Errorf("only %q are accepted", kept)
	}
	p := serve(t, frame(alb("HTTP", 80, append(rules, rule("default", fixed(200, "no")))...)))
	for i, s := range expressions {
		if !slices.Contains(kept, s) {
			continue
		}
		re := regexp.MustCompile(s)
		for _, path := range []string{"/", "/a", "/b", "/abcb", "/12", "/dx", "/ax", "/K", "/Kz", "/axc", "/aa", "/aaaa", "/.*", "/yzxw", "/a.b.c", "/x-a", "/q", "/bab"} {
			want := map[bool]string{true: "yes", false: "no"}[re.MatchString(path)]
			if got := p.get(path, fmt.Sprint("X-Expression: ", i)).body; got != want {
				t.Errorf("%s on %s: got %s, want %s", s, path, got, want)
			}
		}
	}
}

func TestPrivateKeysAreInTheirFilesOnly(t *testing.T) {
	f := secureFrame(t, alb("HTTPS", 443, forward("web")), "")
	c := haproxy.Render(f, machine("/d"), nil)
	if bytes.Contains(c.Text, []byte("PRIVATE KEY")) || strings.Contains(fmt.Sprintf("%v %+v %#v", f, f, f.Certificates), "PRIVATE KEY") {
		t.Error("a private key shows")
	}
	for name, content := range c.Files {
		if bytes.Contains(content, []byte("PRIVATE KEY")) && !strings.HasPrefix(name, "certificates/") {
			t.Errorf("%s has a private key", name)
		}
	}
}

// TestNothingOfUsersGetsOut puts hundreds of odd texts and expressions into one configuration.
func TestNothingOfUsersGetsOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(parts []string) string {
		var b strings.Builder
		for range 1 + r.IntN(8) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	texts := []string{"a", " ", "\"", "'", "\\", "#", "$", "${HOME}", "%", "%[src]", "%{+Q}", "{", "}", "(", ")", ",", "*", "?", "\\x0a", "if", "||", "!", "é", "\xff", "-f", "--", "/", ";", "&", "=", "`", "~", "[", "]", "<", "|", "^", "#{host}", "$1"}
	tokens := []string{"a", "X", "-", "!", "#", "$", "%", "&", "'", "*", "+", ".", "^", "_", "`", "|", "~", "9"}
	expressions := []string{"a", ".", "*", "+?", "(", ")", "[a-z]", "[^\\d]", "\\w", "\\b", "^", "$", "|", "{2,3}", "(?i)", "\\x{41}", "\"", "'", "#", " ", "%", "é", "\\Q", "\\E", "(?:", "$HOME"}
	all := alb("HTTP", 80)
	for i := range 300 {
		f := tainted(pick(texts), pick(tokens), pick(tokens), pick(expressions))
		if _, problems := haproxy.Sound(f); len(problems) > 0 {
			continue
		}
		for _, rule := range f.LoadBalancers[0].Listeners[0].Rules[:4] {
			rule.ID += fmt.Sprint(i)
			rule.Conditions = append(rule.Conditions, haproxy.Condition{Field: "path-pattern", Values: []string{"x"}})
			all.Listeners[0].Rules = append(all.Listeners[0].Rules, rule)
		}
	}
	if n := len(all.Listeners[0].Rules); n < 200 {
		t.Fatalf("only %d rules are sound", n)
	}
	all.Listeners[0].Rules = append(all.Listeners[0].Rules, forward("lb"))
	sound, problems := haproxy.Sound(frame(all, group("app", "HTTP", nil), group("lb", "HTTP", nil)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	dir := t.TempDir()
	c := haproxy.Render(sound, machine(dir), nil)
	structure(t, c.Text)
	if out, err := try(t, dir, c); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
