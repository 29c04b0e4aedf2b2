package ec2

import (
	"strings"
	"testing"

	api "berth/api/ec2"
)

func TestFilterPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"abc", "abc", true}, {"abc", "ABC", false}, {"ab", "abc", false},
		{"*", "", true}, {"*", "anything", true}, {"a*", "a", true}, {"a*c", "abbc", true}, {"a*c", "abbd", false}, {"*b*", "abc", true},
		{"*abab", "aabab", true}, {"**c", "abc", true}, {"?", "", false}, {"?", "x", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`a\?`, "a?", true}, {`a\?`, "ab", false}, {`a\\`, `a\`, true}, {`*\*`, "ab*", true},
		{`\`, `\`, true}, {"é?", "éü", true}, {"*.*.*", "a.b", false}, {"*" + strings.Repeat("a*", 20) + "b", strings.Repeat("a", 200), false},
	} {
		if got := matches(c.pattern, c.value); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.value, got)
		}
	}
}

func TestFiltersJoinValuesByOrAndNamesByAnd(t *testing.T) {
	f := filters[string]{"first": func(s string) []string { return []string{s[:1]} }, "all": func(s string) []string { return strings.Split(s, "") }}
	tags := func(s string) []api.Tag { return []api.Tag{{Key: new("T"), Value: new(s)}} }
	all := []string{"ab", "ac", "bc"}
	for want, list := range map[string][]api.Filter{
		"ab ac bc": nil,
		"ab ac":    {{Name: new("first"), Values: []string{"a", "x"}}},
		"ac":       {{Name: new("first"), Values: []string{"a"}}, {Name: new("all"), Values: []string{"c"}}},
		"":         {{Name: new("first")}},
		"bc":       {{Name: new("tag:T"), Values: []string{"b*"}}, {Name: new("tag-key"), Values: []string{"T"}}},
		"ab":       {{Name: new("tag-value"), Values: []string{"?b"}}},
	} {
		got, err := f.keep(all, list, tags)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("got %v %v, want %s", got, err, want)
		}
	}
	for want, list := range map[string][]api.Filter{
		"InvalidParameterValue: The filter 'none' is invalid":                             {{Name: new("none"), Values: []string{"x"}}},
		"InvalidParameterValue: The filter '' is invalid":                                 {{Values: []string{"x"}}},
		"FilterLimitExceeded: The maximum number of filters is 50, of filter values 200.": {{Name: new("all"), Values: make([]string, 201)}},
	} {
		if _, err := f.keep(nil, list, tags); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := f.keep(all, []api.Filter{{Name: new("tag:T")}}, nil); err == nil {
		t.Error("a filter by tag for what has no tags")
	}
}
