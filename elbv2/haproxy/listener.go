package haproxy

import (
	"net/netip"
	"strconv"
	"strings"
)

// listener writes the frontend of a listener and the backends that it forwards to. UDP is not HAProxy's; of TCP_UDP it has the TCP.
func (r *renderer) listener(lb LoadBalancer, l Listener) {
	binds := r.binds(lb, l)
	if len(binds) == 0 || l.Protocol == "UDP" {
		return
	}
	options := ""
	if l.Protocol == "HTTPS" || l.Protocol == "TLS" {
		options = r.tls(lb, l)
	} else if lb.Kind == Application && lb.Attributes["routing.http2.enabled"] == "false" {
		options = " proto h1"
	}
	r.section("frontend", FrontendName(lb.ID, l.Port))
	for _, b := range binds {
		r.line("bind %s%s", b, options)
	}
	if isHTTP(lb, l) {
		r.lateBind(lb, l)
		r.http(lb, l)
		r.lateBackend(lb, l)
	} else {
		r.tcp(lb, l)
	}
	for _, rule := range l.Rules {
		groups, _ := r.shares(rule.Action)
		for _, g := range groups {
			r.backend(lb, l, g.Group)
		}
	}
}

// http writes the frontend of an application load balancer or of Service Connect.
func (r *renderer) http(lb LoadBalancer, l Listener) {
	r.line("mode http")
	r.line("option idle-close-on-response") // a reload takes no idle client's next request away
	r.line("option http-ignore-probes")     // who says nothing has asked nothing: no answer, and none is counted
	r.timeouts(lb, l)
	if lb.Kind == Application {
		r.line("tcp-request session set-var(sess.begun) date")
	}
	logged := r.m.LogSocket != "" && LogsAccess(lb)
	r.lateRequests(logged)
	if logged {
		r.httpLog()
	}
	if asksHost(l) {
		r.line("http-request set-var(txn.host) req.hdr(host),host_only")
		r.line("http-request set-var(txn.host) dst unless { var(txn.host) -m len gt 0 }")
	}
	// What a server may have done already is not done again.
	r.line("http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE }")
	r.desync(lb)
	r.sole = len(l.Rules) == 1
	for i, rule := range l.Rules {
		condition := ""
		if !r.sole {
			condition = strings.TrimSuffix(" if !{ var(txn.rule) -m found } "+r.conditions(i, rule.Conditions), " ")
		}
		if !r.sole || logged {
			r.line("http-request set-var(txn.rule) str(%s)%s", name(rule.ID), condition)
		}
	}
	for _, rule := range l.Rules {
		r.action(lb, l, rule)
	}
	if lb.Kind == Application {
		r.requestHeaders(lb, l)
	}
	if logged {
		r.line("http-request set-var(txn.trace) req.fhdr(x-amzn-trace-id),field(1,;)")
		r.line("http-response set-var(txn.status) status")
	}
	r.answers(lb, l)
	r.uses(lb, l)
}

// uses sends a request to its backend. Of Service Connect it is the twin if all servers are out.
func (r *renderer) uses(lb LoadBalancer, l Listener) {
	r.lateUse(lb, l)
	if group, ok := r.onlyGroup(l); ok {
		b := BackendName(lb.ID, group)
		if lb.Kind == Connect {
			r.line("use_backend %s if { nbsrv(%s) eq 0 }", b+calm, b)
		}
		r.line("default_backend %s", b)
		return
	}
	if lb.Kind == Connect {
		for _, rule := range l.Rules {
			groups, _ := r.shares(rule.Action)
			for _, g := range groups {
				b := BackendName(lb.ID, g.Group)
				r.line("use_backend %s if { var(txn.to) -m str %s } { nbsrv(%s) eq 0 }", b+calm, b, b)
			}
		}
	}
	r.line("use_backend %%[var(txn.to)] if { var(txn.to) -m found }")
}

// onlyGroup is the group that gets everything, if there is one: no request has to choose then.
func (r *renderer) onlyGroup(l Listener) (string, bool) {
	if len(l.Rules) != 1 {
		return "", false
	}
	groups, _ := r.shares(l.Rules[0].Action)
	if len(groups) != 1 {
		return "", false
	}
	return groups[0].Group, true
}

// asksHost tells whether a rule of the listener needs the host that a client asks for.
func asksHost(l Listener) bool {
	for _, rule := range l.Rules {
		if rule.Action.Kind == RedirectTo {
			return true
		}
		for _, c := range rule.Conditions {
			if c.Field == "host-header" {
				return true
			}
		}
	}
	return false
}

// tcp writes the frontend of a network load balancer, or of TCP in Service Connect. Such a listener has but its default rule.
func (r *renderer) tcp(lb LoadBalancer, l Listener) {
	r.line("mode tcp")
	r.timeouts(lb, l)
	for _, rule := range l.Rules {
		if len(rule.Conditions) > 0 {
			continue
		}
		groups, total := r.shares(rule.Action)
		if len(groups) > 1 {
			r.line("tcp-request content set-var(sess.lot) rand(%d)", total)
		}
		sum := 0
		for _, g := range groups {
			b := BackendName(lb.ID, g.Group)
			sum += g.Weight
			share := ""
			if len(groups) > 1 {
				share = " { var(sess.lot) -m int lt " + strconv.Itoa(sum) + " }"
			}
			if lb.Kind == Connect {
				r.line("use_backend %s if { nbsrv(%s) eq 0 }%s", b+calm, b, share)
			}
			if share == "" {
				r.line("default_backend %s", b)
			} else {
				r.line("use_backend %s if%s", b, share)
			}
		}
		if total == 0 {
			r.line("tcp-request connection reject")
		}
		return
	}
}

// FrontendName is the name of the frontend of a load balancer's port.
func FrontendName(loadBalancer string, port int) string {
	return "f." + name(loadBalancer) + "." + strconv.Itoa(port)
}

// FrontendOwner is the ID of the load balancer of which FrontendName made a name.
func FrontendOwner(frontend string) (string, bool) {
	parts := strings.Split(frontend, ".")
	if len(parts) != 3 || parts[0] != "f" {
		return "", false
	}
	return unname(parts[1]), true
}

// BackendName is the name of the backend of a target group behind a load balancer.
func BackendName(loadBalancer, group string) string {
	return "b." + name(loadBalancer) + "." + name(group)
}

// BackendOwner are the IDs of the load balancer and the group of which BackendName made a name.
func BackendOwner(backend string) (loadBalancer, group string, ok bool) {
	parts := strings.Split(backend, ".")
	if len(parts) != 3 || parts[0] != "b" {
		return "", "", false
	}
	return unname(parts[1]), unname(parts[2]), true
}

// binds lists where a listener listens on this machine.
func (r *renderer) binds(lb LoadBalancer, l Listener) (out []string) {
	at := func(a netip.Addr) string { return netip.AddrPortFrom(a, uint16(l.Port)).String() }
	if lb.Kind != Connect {
		if own := r.m.Address(lb.Number); own.IsValid() {
			out = append(out, at(own))
		}
		for _, a := range r.m.Published[lb.ID] {
			out = append(out, at(a)+" transparent")
		}
	}
	if r.m.Namespace != "" {
		for _, a := range lb.Addresses {
			// The address may come later than this line: transparent allows that.
			out = append(out, at(a)+" transparent namespace "+word(namespace(r.m.Namespace)))
		}
	}
	return out
}

// namespace is the name that HAProxy looks up in /var/run/netns.
func namespace(s string) string {
	if s[0] == '/' {
		return "../.." + s
	}
	return s
}
