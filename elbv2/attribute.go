package elbv2

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
)

// attribute is one attribute of a load balancer or of a listener.
type attribute struct {
	key string
	// of lists the types of load balancers, or the protocols of listeners, that have it.
	of           []string
	defaultValue string
	// check says in words what values are good, if this one is not; empty if it is.
	check   func(value string) string
	support Support
	note    string // why it is not acted on, or what is special
}

// Types of load balancers that have an attribute.
var (
	onlyApplication = []string{string(api.LoadBalancerTypeEnumApplication)}
	onlyNetwork     = []string{string(api.LoadBalancerTypeEnumNetwork)}
	bothTypes       = slices.Concat(onlyApplication, onlyNetwork)
)

// attributeSet is all attributes of a kind of resource, in the order in which they are shown.
type attributeSet []attribute

// of are the attributes that a type or a protocol has, with their defaults, or with what was set.
func (s attributeSet) of(kind string, set map[string]string) map[string]string {
	out := map[string]string{}
	for _, a := range s {
		if slices.Contains(a.of, kind) {
			out[a.key] = a.defaultValue
		}
	}
	for k, v := range set {
		if _, ok := out[k]; ok {
			out[k] = v
		}
	}
	return out
}

// keys of what a type or a protocol has, in order.
func (s attributeSet) keys(kind string) (out []string) {
	for _, a := range s {
		if slices.Contains(a.of, kind) {
			out = append(out, a.key)
		}
	}
	return out
}

// kept are those of set that a type or a protocol has.
func (s attributeSet) kept(kind string, set map[string]string) map[string]string {
	out := maps.Clone(set)
	maps.DeleteFunc(out, func(k, _ string) bool { return !slices.Contains(s.keys(kind), k) })
	return out
}

// pair is an attribute as the API has it.
type pair struct{ key, value *string }

// set puts pairs over what was set; nothing is changed on an error.
func (s attributeSet) set(have map[string]string, kind, owner string, pairs []pair) (map[string]string, error) {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		key, value := aws.Value(p.key), aws.Value(p.value)
		i := slices.IndexFunc(s, func(a attribute) bool { return a.key == key && slices.Contains(a.of, kind) })
		switch {
		case i < 0 && !slices.ContainsFunc(s, func(a attribute) bool { return a.key == key }):
			return nil, invalid("%s attribute key '%s' is not recognized", owner, key)
		case i < 0:
			return nil, configuration("%s attribute key '%s' is not supported by %s", owner, key, kindName(kind))
		case seen[key]:
			return nil, invalid("%s attribute key '%s' is specified more than once", owner, key)
		}
		seen[key] = true
		if want := s[i].check(value); want != "" {
			return nil, invalid("%s attribute '%s' cannot have the value '%s': %s", owner, key, short(value), want)
		}
		out[key] = value
	}
	return out, nil
}

func kindName(kind string) string {
	if slices.Contains(bothTypes, kind) {
		return kind + " load balancers"
	}
	return kind + " listeners"
}

// short keeps texts of errors short.
func short(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "") + "..."
	}
	return s
}

func isBoolean(v string) string { return isOneOf("true", "false")(v) }

func isOneOf(values ...string) func(string) string {
	return func(v string) string {
		if slices.Contains(values, v) {
			return ""
		}
		return "must be one of '" + strings.Join(values, ", ") + "'"
	}
}

// only refuses what is not built: a value of the API that Berth can't act on.
func isOnly(value, why string) func(string) string {
	return func(v string) string {
		if v == value {
			return ""
		}
		return "only '" + value + "' is supported by this Berth: " + why
	}
}

func isNumber(low, high int) func(string) string {
	return func(v string) string {
		if n, err := strconv.Atoi(v); err == nil && n >= low && n <= high && v == strconv.Itoa(n) {
			return ""
		}
		return "must be a whole number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)
	}
}

var (
	logBucket = regexp.MustCompile(`^[.\-_A-Za-z0-9]{0,255}$`)
	logGroup  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{0,512}$`)
	// streamPrefix leaves room for what follows it in the name of a log stream.
	streamPrefix = regexp.MustCompile(`^[!\-_.'()/A-Za-z0-9]{0,400}$`)
	logPrefix    = regexp.MustCompile(`^[!\-_.*'()/A-Za-z0-9]{0,512}$`)
	headerName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)
)

func isLike(pattern *regexp.Regexp, want string) func(string) string {
	return func(v string) string {
		if pattern.MatchString(v) {
			return ""
		}
		return want
	}
}

// orEmpty is check for values that may also be empty, which takes back what was set.
func orEmpty(check func(string) string) func(string) string {
	return func(v string) string {
		if v == "" {
			return ""
		}
		return check(v)
	}
}

const maxHeaderValue = 1024

// isHeaderValue takes what may stand in a header in one line.
func isHeaderValue(v string) string {
	if len(v) > maxHeaderValue {
		return "must have at most " + strconv.Itoa(maxHeaderValue) + " characters"
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return "must have printable ASCII characters only"
		}
	}
	return ""
}

func isOrigin(v string) string {
	if v == "*" {
		return ""
	}
	u, err := url.Parse(v)
	if isHeaderValue(v) != "" || err != nil || u.Scheme == "" || u.Host == "" || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return "must be '*' or an origin such as https://example.com"
	}
	return ""
}

// listOf takes * or a list with commas.
func isListOf(check func(string) string) func(string) string {
	return func(v string) string {
		if v == "*" {
			return ""
		}
		for part := range strings.SplitSeq(v, ",") {
			if want := check(strings.TrimSpace(part)); want != "" {
				return "must be '*' or a list with commas, each of which " + want
			}
		}
		return isHeaderValue(v)
	}
}

var transportSecurity = regexp.MustCompile(`(?i)^max-age=[0-9]{1,10}(; *includeSubDomains)?(; *preload)?;?$`)

func frameOptions(v string) string {
	if v == "DENY" || v == "SAMEORIGIN" || strings.HasPrefix(v, "ALLOW-FROM ") && isOrigin(strings.TrimPrefix(v, "ALLOW-FROM ")) == "" {
		return ""
	}
	return "must be DENY, SAMEORIGIN or ALLOW-FROM and an origin"
}
