package haproxy

import (
	"net/netip"
	"strconv"
)

// listener writes the frontend of a listener and the backends that it forwards to. UDP is not HAProxy's.
func (r *renderer) listener(lb LoadBalancer, l Listener) {
	binds := r.binds(lb, l)
	if len(binds) == 0 {
		return
	}
	if l.Protocol != "HTTP" && l.Protocol != "HTTPS" {
		return
	}
	r.section("frontend", FrontendName(lb.ID, l.Port))
	r.line("mode http")
	for _, b := range binds {
		r.line("bind %s", b)
	}
	idle := attribute(lb.Attributes, "idle_timeout.timeout_seconds", 1, 4000, 60)
	r.line("timeout client %ds", idle)
	var groups []string
	for _, rule := range l.Rules {
		for _, w := range rule.Action.Groups {
			groups = append(groups, w.Group)
			r.line("default_backend %s", BackendName(lb.ID, w.Group))
		}
	}
	for _, g := range groups {
		r.backend(lb, g)
	}
}

// FrontendName is the name of the frontend of a load balancer's port.
func FrontendName(loadBalancer string, port int) string {
	return "f." + name(loadBalancer) + "." + strconv.Itoa(port)
}

// BackendName is the name of the backend of a target group behind a load balancer.
func BackendName(loadBalancer, group string) string {
	return "b." + name(loadBalancer) + "." + name(group)
}

// binds lists where a listener listens on this machine.
func (r *renderer) binds(lb LoadBalancer, l Listener) (out []string) {
	at := func(a netip.Addr) string { return netip.AddrPortFrom(a, uint16(l.Port)).String() }
	if own := r.m.Address(lb.Number); own.IsValid() && lb.Kind != Connect {
		out = append(out, at(own))
	}
	if lb.Kind != Connect {
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

// backend writes the backend of a target group once.
func (r *renderer) backend(lb LoadBalancer, group string) {
	g, ok := r.groups[group]
	b := Backend{Name: BackendName(lb.ID, group), LoadBalancer: lb.ID, Group: group}
	if !ok || r.made[b.Name] {
		return
	}
	r.made[b.Name] = true
	b.Slots = Slots(len(g.Targets), r.slots[group])
	r.backends = append(r.backends, b)
	r.section("backend", b.Name)
	r.line("mode http")
	r.line("balance roundrobin")
	r.line("timeout server %ds", attribute(lb.Attributes, "idle_timeout.timeout_seconds", 1, 4000, 60))
	r.line("server-template s 1-%d 127.0.0.1:1 weight %d disabled", b.Slots, FullWeight)
}
