package haproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Problem is why a listener cannot be carried.
type Problem struct {
	LoadBalancer string // ID
	Port         int    // of the listener; 0: the whole load balancer
	Reason       string // for people
}

func (p Problem) String() string {
	if p.Port == 0 {
		return p.LoadBalancer + ": " + p.Reason
	}
	return fmt.Sprintf("%s port %d: %s", p.LoadBalancer, p.Port, p.Reason)
}

// Sound is the part of a frame that Render turns into a configuration that HAProxy takes, and what is wrong with the rest. So one listener that
// cannot be carried does not keep the others from being carried. Operations check most of it before they write; a record of an older version may
// still have it.
func Sound(f Frame) (Frame, []Problem) {
	var problems []Problem
	c := checker{groups: map[string]Group{}, certificates: map[string]Certificate{}}
	for _, g := range f.Groups {
		c.groups[g.ID] = g
	}
	for _, v := range f.Certificates {
		c.certificates[v.ID] = v
	}
	out := f
	out.LoadBalancers = nil
	ids, numbers := map[string]bool{}, map[int]bool{}
	for _, lb := range f.LoadBalancers {
		if err := c.loadBalancer(lb); err != nil || ids[lb.ID] || lb.Kind != Connect && numbers[lb.Number] {
			if err == nil {
				err = fmt.Errorf("another load balancer has the same ID or number")
			}
			problems = append(problems, Problem{LoadBalancer: lb.ID, Reason: err.Error()})
			continue
		}
		ids[lb.ID] = true
		numbers[lb.Number] = numbers[lb.Number] || lb.Kind != Connect
		listeners := lb.Listeners
		lb.Listeners = nil
		for _, l := range listeners {
			taken := slices.ContainsFunc(lb.Listeners, func(o Listener) bool { return o.Port == l.Port && (o.Protocol == "UDP") == (l.Protocol == "UDP") })
			err := c.listener(lb, l)
			if err == nil && taken {
				err = fmt.Errorf("another listener has the port")
			}
			if err == nil && lb.Kind == Connect && len(lb.Listeners) > 0 {
				err = fmt.Errorf("a port of Service Connect has one listener")
			}
			if err != nil {
				problems = append(problems, Problem{LoadBalancer: lb.ID, Port: l.Port, Reason: err.Error()})
				continue
			}
			lb.Listeners = append(lb.Listeners, l)
		}
		out.LoadBalancers = append(out.LoadBalancers, lb)
	}
	return out, problems
}

type checker struct {
	groups       map[string]Group
	certificates map[string]Certificate
}

// longest is how long a text of the frame may be, in bytes.
const longest = 4096

func (c checker) loadBalancer(lb LoadBalancer) error {
	switch {
	case lb.Kind != Application && lb.Kind != Network && lb.Kind != Connect:
		return fmt.Errorf("%q is no kind of load balancer", lb.Kind)
	case lb.Kind != Connect && (lb.Number < 1 || lb.Number > MaxNumber): // the machine itself does not reach Service Connect
		return fmt.Errorf("its number %d is not from 1 to %d", lb.Number, MaxNumber)
	case len(lb.ID) > 256:
		return fmt.Errorf("its ID is too long")
	}
	for _, a := range lb.Addresses {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("%q is no address to listen at", a)
		}
	}
	return nil
}

var protocols = map[string][]string{
	Application: {"HTTP", "HTTPS"},
	Network:     {"TCP", "TLS", "UDP", "TCP_UDP"},
	Connect:     {"HTTP", "TCP"},
}

func (c checker) listener(lb LoadBalancer, l Listener) error {
	if !slices.Contains(protocols[lb.Kind], l.Protocol) {
		return fmt.Errorf("a load balancer of kind %s has no protocol %q", lb.Kind, l.Protocol)
	}
	if l.Port < 1 || l.Port > 65535 {
		return fmt.Errorf("%d is no port", l.Port)
	}
	if l.Protocol == "HTTPS" || l.Protocol == "TLS" {
		if len(l.Certificates) == 0 {
			return fmt.Errorf("there is no certificate")
		}
		for _, id := range l.Certificates {
			v, ok := c.certificates[id]
			if !ok || len(id) > 128 {
				return fmt.Errorf("the certificate %q is not there", id)
			}
			if _, err := normalPEM(v.PEM); err != nil {
				return fmt.Errorf("certificate %q: %w", id, err)
			}
		}
	}
	for k, v := range l.Attributes {
		switch {
		case strings.HasSuffix(k, ".header_value") && !isText(v):
			return fmt.Errorf("the attribute %s has control characters or is too long", k)
		case strings.HasSuffix(k, ".header_name") && v != "" && !isToken(v):
			return fmt.Errorf("the attribute %s is no name of a header", k)
		}
	}
	if len(l.Rules) == 0 || len(l.Rules[len(l.Rules)-1].Conditions) > 0 {
		return fmt.Errorf("there is no default rule")
	}
	seen := map[string]bool{}
	for _, r := range l.Rules {
		if seen[r.ID] {
			return fmt.Errorf("two rules have the ID %q", r.ID)
		}
		seen[r.ID] = true
		if err := c.rule(r); err != nil {
			return fmt.Errorf("rule %q: %w", r.ID, err)
		}
	}
	return nil
}

func (c checker) rule(r Rule) error {
	if len(r.ID) > 64 || r.ID == "" {
		return fmt.Errorf("its ID is empty or too long")
	}
	if len(r.Conditions) > 40 || len(r.Rewrites) > 20 {
		return fmt.Errorf("it has too many conditions or rewrites")
	}
	for _, v := range r.Conditions {
		if err := CheckCondition(v); err != nil {
			return err
		}
	}
	for _, v := range r.Rewrites {
		if err := CheckRewrite(v); err != nil {
			return err
		}
	}
	return c.action(r.Action)
}

// CheckCondition says what is wrong with a condition.
func CheckCondition(v Condition) error {
	var texts []string
	switch v.Field {
	case "host-header", "path-pattern", "source-ip", "http-request-method", "query-string":
	case "http-header":
		if !isToken(v.Header) {
			return fmt.Errorf("%q is no name of a header", v.Header)
		}
	default:
		return fmt.Errorf("%q is no condition", v.Field)
	}
	texts = append(texts, v.Values...)
	for _, p := range v.Query {
		texts = append(texts, p.Key, p.Value)
	}
	for _, s := range texts {
		if !isText(s) || len(s) > 512 {
			return fmt.Errorf("the value %.40q has control characters or is too long", s)
		}
	}
	for _, s := range v.Values {
		if _, err := netip.ParsePrefix(s); v.Field == "source-ip" && err != nil {
			return fmt.Errorf("%q is no CIDR", s)
		}
		if v.Field == "http-request-method" && !isToken(s) {
			return fmt.Errorf("%q is no method", s)
		}
	}
	for _, s := range v.Regex {
		if err := CheckRegex(s); err != nil {
			return err
		}
	}
	return nil
}

// CheckRegex says whether a regular expression can be used, and if not, why.
func CheckRegex(s string) error {
	if len(s) > 1024 {
		return fmt.Errorf("the regular expression is too long")
	}
	if _, _, err := regex(s); err != nil {
		return fmt.Errorf("the regular expression %.80q cannot be used: %w", s, err)
	}
	return nil
}

// maxCaptures of a rewrite: HAProxy counts to 9, and the text around the match takes two.
const maxCaptures = 7

// CheckRewrite says what is wrong with a rewrite.
func CheckRewrite(v Rewrite) error {
	if v.Type != "host-header-rewrite" && v.Type != "url-rewrite" {
		return fmt.Errorf("%q is no rewrite", v.Type)
	}
	if err := CheckRegex(v.Regex); err != nil {
		return err
	}
	if _, n, _ := regex(v.Regex); n > maxCaptures {
		return fmt.Errorf("a regular expression of a rewrite captures at most %d groups", maxCaptures)
	}
	if !isText(v.Replace) || len(v.Replace) > 1024 {
		return fmt.Errorf("the replacement has control characters or is too long")
	}
	return nil
}

func (c checker) action(a Action) error {
	switch a.Kind {
	case Forward:
		return c.forward(a)
	case RedirectTo:
		if a.Redirect == nil {
			return fmt.Errorf("the redirect has no target")
		}
		to := *a.Redirect
		for _, s := range []string{to.Protocol, to.Host, to.Port, to.Path, to.Query} {
			if !isText(s) || len(s) > 1024 {
				return fmt.Errorf("a part of the redirect has control characters or is too long")
			}
		}
		if !slices.Contains([]string{"", "HTTP", "HTTPS", "#{protocol}"}, to.Protocol) {
			return fmt.Errorf("%q is no protocol of a redirect", to.Protocol)
		}
		return nil
	case FixedResponse:
		if f := a.Fixed; f == nil || f.Status < 200 || f.Status > 599 || !isText(f.ContentType) || len(f.ContentType) > 128 || len(f.Body) > longest {
			return fmt.Errorf("the fixed response has no proper status, type or body")
		}
		return nil
	}
	return fmt.Errorf("%q is no action", a.Kind)
}

func (c checker) forward(a Action) error {
	if len(a.Groups) > 20 {
		return fmt.Errorf("it forwards to too many target groups")
	}
	for _, w := range a.Groups {
		if w.Weight < 0 || w.Weight > 999 || len(w.Group) > 256 {
			return fmt.Errorf("the weight of %q is not from 0 to 999", w.Group)
		}
		g := c.groups[w.Group]
		if g.Attributes["stickiness.type"] == "app_cookie" && g.Attributes["stickiness.enabled"] == "true" {
			if n := g.Attributes["stickiness.app_cookie.cookie_name"]; !isToken(n) || len(n) > 256 {
				return fmt.Errorf("%q is no name of a cookie", n)
			}
		}
		if len(g.Targets) > 4096 {
			return fmt.Errorf("the target group %q has too many targets", w.Group)
		}
	}
	return nil
}

// isText says that a text may be part of a line of HTTP.
func isText(s string) bool {
	return len(s) <= longest && !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c == 0x7f })
}

// isToken says that a text may name a header, a cookie or a method. Source: RFC 9110, 5.6.2.
func isToken(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	})
}
