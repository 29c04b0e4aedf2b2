package pattern

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	const access = `127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`
	const trail = `{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","n":42.5,"arr":["a","b"],"objs":[{"k":1},{"k":2}],` +
		`"nil":null,"t":true,"f":false,"a.b":"dotted","s":"500","deep":{"x":{"y":"z"}}}`
	for _, c := range []struct {
		pattern, message string
		want             bool
	}{
		{"", "anything", true},
		{"  ", "", true},
		{"ERROR", "[ERROR 400] BAD", true},
		{"ERROR", "error", false},
		{"ERROR ARGUMENTS", "ARGUMENTS then ERROR", true},
		{"ERROR ARGUMENTS", "ERROR", false},
		{`"INTERNAL SERVER ERROR"`, "500 INTERNAL SERVER ERROR", true},
		{`"INTERNAL SERVER ERROR"`, "INTERNAL ERROR SERVER", false},
		{`"say \"hi\""`, `they say "hi" there`, true},
		{`"a\\b"`, `a\b`, true},
		{"?ERROR ?WARN", "WARN x", true},
		{"?ERROR ?WARN", "INFO x", false},
		{"ERROR -EXITING", "ERROR 1", true},
		{"ERROR -EXITING", "ERROR EXITING", false},
		{`-"not this"`, "this", true},
		{"ERROR ?WARN", "ERROR", true},
		{"%4[0-9]{2}%", "status 404", true},
		{"%4[0-9]{2}%", "status 500", false},
		{"%^ERROR% -retry", "ERROR x", true},
		{"größe", "die größe ist", true},

		{`{ $.eventType = "UpdateTrail" }`, trail, true},
		{`{ $.eventType = UpdateTrail }`, trail, true},
		{`{$.eventType="Update*"}`, trail, true},
		{`{ $.eventType != "UpdateTrail" }`, trail, false},
		{`{ $.missing != "x" }`, trail, false},
		{`{ $.sourceIPAddress != 123.123.* }`, trail, true},
		{`{ $.sourceIPAddress = 111.111.* }`, trail, true},
		{`{ $.n = 42.5 }`, trail, true},
		{`{ $.n = 4.25e1 }`, trail, true},
		{`{ $.n > 42 && $.n < 43 }`, trail, true},
		{`{ $.n >= 43 || $.t IS TRUE }`, trail, true},
		{`{ $.n <= 42 }`, trail, false},
		{`{ $.s >= 500 }`, trail, true},
		{`{ $.arr[0] = "a" }`, trail, true},
		{`{ $.arr[2] = "a" }`, trail, false},
		{`{ $.arr[*] = "b" }`, trail, true},
		{`{ $.objs[*].k = 2 }`, trail, true},
		{`{ $.objs[1].k = 2 }`, trail, true},
		{`{ $.nil IS NULL }`, trail, true},
		{`{ $.t IS NULL }`, trail, false},
		{`{ $.f IS FALSE }`, trail, true},
		{`{ $.deep IS NULL }`, trail, false},
		{`{ $.missing NOT EXISTS }`, trail, true},
		{`{ $.nil NOT EXISTS }`, trail, false},
		{`{ $.nil EXISTS }`, trail, true},
		{`{ $['a.b'] = "dotted" }`, trail, true},
		{`{ $.deep.x.y = z }`, trail, true},
		{`{ ($.n = 1 || $.t IS TRUE) && ($.eventType = "U*") }`, trail, true},
		{`{ $.n = 1 || $.t IS TRUE && $.f IS TRUE }`, trail, false},
		{`{ $.eventType = %Update[A-Z]% }`, trail, true},
		{`{ $.eventType != %^Delete% }`, trail, true},
		{`{ $.eventType = "UpdateTrail" }`, "not json", false},
		{`{ $.x = 1 }`, `{"x":1} trailing`, false},

		{`[ip, server, user, timestamp, request, status_code, bytes]`, access, true},
		{`[ip, server, user]`, access, false},
		{`[ip, server, user, timestamp, request=*.html*, status_code = 4*, bytes]`, access, true},
		{`[ip, ..., bytes > 1000]`, access, true},
		{`[ip, ..., bytes > 2000]`, access, false},
		{`[..., status_code = 404 || status_code = 500, bytes]`, access, true},
		{`[ip != 10.*, user=*, ...]`, access, true},
		{`[..., status_code >= 400 && status_code < 500, bytes]`, access, true},
		{`[w1=ERROR, w2]`, "ERROR x", true},
		{`[w1=ERROR, w2]`, "ERROR x y", false},
		{`[w1!=ERROR && w1!=%WARN%, w2]`, "INFO x", true},
		{`[=ERROR, ...]`, "ERROR x y", true},
		{`[ip, ..., req = "GET /index.html HTTP/1.0", s, b]`, access, true},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got := p.Match(c.message); got != c.want {
			t.Errorf("%s on %q: got %v, want %v", c.pattern, c.message, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"user-agent", "a:b", `"open`, "%open", "%%", "%a(b)%", "%[%", "%!%", `"a"b`,
		"{", "{}", "{ $ }", "{ $.x }", "{ $.x = }", "{ $.x = 1", "{ x = 1 }", "{ $.x = 1 } y", "{ $.x > abc }", "{ $.x IS 5 }",
		"{ $.x NOT NULL }", "{ $.x[a] = 1 }", "{ $.x[-1] = 1 }", "{ ($.x = 1 }", "{ $.x = 1 && }", "{ $..x = 1 }",
		"{ $.a = %x% && $.b = %y% && $.c = %z% }", "{ " + strings.Repeat("(", 100) + "$.x = 1" + strings.Repeat(")", 100) + " }",
		"[", "[]", "[a", "[a,]", "[..., ...]", "[a = 1 || b = 2]", "[a > x]", "[a || a = 1]", "[a] x", "a\xff",
	} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestExtractNamesWhatMatched(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             map[string]string
	}{
		{`{ $.a.b = 1 && $.c = "x*" }`, `{"a":{"b":1},"c":"xyz"}`, map[string]string{"$.a.b": "1", "$.c": "xyz"}},
		{`[ip, ..., status]`, `1.2.3.4 x y 200`, map[string]string{"$ip": "1.2.3.4", "$status": "200"}},
		{`[=a, x]`, `a b`, map[string]string{"$1": "a", "$x": "b"}},
		{`ERROR`, `ERROR`, map[string]string{}},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, p.Extract(c.message)); diff != "" {
			t.Errorf("%s: %s", c.pattern, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a b", `?a -"b c"`, "%x%", `{ $.a = "b" && ($.c[*] > 1 || $['x'] IS NULL) }`, `[a=1||a=2, ..., b!="x"]`} {
		f.Add(s, `{"a":"b","c":[1,2]}`)
		f.Add(s, `1 [x y] "z"`)
	}
	f.Fuzz(func(t *testing.T, text, message string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		p.Match(message)
		p.Extract(message)
	})
}

func BenchmarkMatchJSON(b *testing.B) {
	p, err := Parse(`{ $.status >= 500 && $.path = "/api/*" }`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.Match(`{"time":"2024-01-01T00:00:00Z","status":200,"path":"/api/v1/things","user":{"id":17}}`)
	}
}
