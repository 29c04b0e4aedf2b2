package elbv2

import (
	"strings"
	"testing"

	"berth/elbv2/haproxy"
)

func TestRegularExpressionsThatBacktrackAreRefused(t *testing.T) {
	for _, s := range []string{
		`(a+)+$`, `(a*)*b`, `^(a|aa)+$`, `(a?){25}a{25}`, `([a-z]+)*$`, `(/a*a*)*$`, `(ab|[a-z]b)*$`, `(.*)*x`, `(.+,)+$`, `((a+)b?)+$`,
		`^(\w+\s?)*$`, `(a{0,20}){0,20}b`, `(?i)(a+A?)+$`, `.*.*.*.*.*x`, `(/[^/]*x[a-z]+)+`,
	} {
		if backtracks(s) == "" {
			t.Errorf("%s is taken", s)
		}
	}
	for _, s := range []string{
		`^/api/v[0-9]+/users/[^/]+/.*$`, `^([a-z0-9-]+\.)+example\.com$`, `(/[a-z]+)*`, `(foo|bar|baz)*`, `(a|b)+`, `^[a-f0-9]{8}(-[a-f0-9]{4}){3}$`,
		`.*`, `^/(en|de|fr)(/.*)?$`, `(cat|car)+`, `\.(jpg|jpeg|png)$`, `.*a.*b.*`, `(?i)^www\.`, `^(?:\d{1,3}\.){3}\d{1,3}$`, `^/([^/]+)/([^/]+)/([^/]+)/([^/]+)$`,
	} {
		if why := backtracks(s); why != "" {
			t.Errorf("%s is refused: %s", s, why)
		}
	}
	err := checkCondition(haproxy.Condition{Field: fieldPath, Regex: []string{`^/(a+)+$`}})
	if err == nil || !strings.Contains(err.Error(), "a repetition in it repeats what varies itself") {
		t.Errorf("a condition: %v", err)
	}
}
