package elbv2

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	api "berth/api/elbv2"
	"berth/elbv2/haproxy"
	"berth/store"
)

// WhyLoadBalancer says whether a load balancer does what it should.
type WhyLoadBalancer struct {
	Summary string // one sentence
	// Reasons are sentences about what keeps it from that, the weightiest first; none if nothing does.
	Reasons []string
	// Groups are the ARNs of the target groups that its listeners send traffic to.
	Groups []string
}

// Why looks at a load balancer's listeners, at the machines that carry its traffic, and at its targets.
func Why(r store.Reader, lb LoadBalancer) *WhyLoadBalancer {
	w := &WhyLoadBalancer{}
	machines := ConnectedIngresses(r, lb.Account, lb.Region)
	listeners := ListenersByUse(r, lb)
	if len(listeners) == 0 {
		w.say("it has no listener, so it answers nowhere")
	}
	if len(machines) == 0 {
		w.say("no connected machine carries the traffic of load balancers: HAProxy is missing there, or their agents do not run")
	}
	for _, i := range machines {
		if problem := i.hinders(lb); problem != "" {
			w.say("machine %s: %s", i.ID(), problem)
		}
	}
	for _, l := range listeners {
		for _, i := range machines {
			if !l.ServedBy(r, i) {
				w.say("machine %s does not serve %s yet", i.ID(), l.Name())
			}
		}
		w.groups(r, l)
	}
	w.Summary = fmt.Sprintf("load balancer %s answers at %d listeners on %d machines", lb.Name, len(listeners), len(machines))
	if len(w.Reasons) > 0 {
		w.Summary = fmt.Sprintf("load balancer %s: %s", lb.Name, w.Reasons[0])
	}
	return w
}

// hinders is what the machine says that hinders it, without what concerns other load balancers alone.
func (i Ingress) hinders(lb LoadBalancer) string {
	own := slices.DeleteFunc(strings.Split(i.Problem, "; "), func(part string) bool {
		return (strings.HasPrefix(part, "app/") || strings.HasPrefix(part, "net/")) && !strings.HasPrefix(part, lb.Path())
	})
	return strings.Join(own, "; ")
}

func (w *WhyLoadBalancer) say(format string, args ...any) {
	w.Reasons = append(w.Reasons, fmt.Sprintf(format, args...))
}

// groups says which of the groups that a listener sends traffic to can take nothing.
func (w *WhyLoadBalancer) groups(r store.Reader, l Listener) {
	shares, _ := Shares(r, l.ARN().String())
	for rule := range Rules.Prefix(r, l.Key()+"/") {
		more, _ := Shares(r, rule.ARN().String())
		shares = append(shares, more...)
	}
	for _, s := range shares {
		arn := s.Group
		if s.Weight == 0 || slices.Contains(w.Groups, arn) {
			continue
		}
		w.Groups = append(w.Groups, arn)
		g, ok := GroupByARN(r, arn)
		if !ok {
			continue
		}
		all, healthy := 0, 0
		for t := range Targets.By(r, byTargetGroup, g.Key()) {
			all++
			if state, _, _ := Health(r, g, t); state == string(api.TargetHealthStateEnumHealthy) || state == string(api.TargetHealthStateEnumUnavailable) {
				healthy++
			}
		}
		if healthy == 0 {
			w.say("target group %s, to which %s sends traffic, has no healthy target of %d", g.Name, l.Name(), all)
		}
	}
}

// Name is the protocol and port of a listener, as HTTP:80.
func (v Listener) Name() string { return fmt.Sprintf("%s:%d", v.Protocol, v.Port) }

// ServedBy says whether a machine's traffic goes by the listener as it is written, and the machine does not leave it out.
func (v Listener) ServedBy(r store.Reader, i Ingress) bool {
	_, _, path := splitKey(v.LoadBalancer)
	leftOut := haproxy.Problem{LoadBalancer: path, Port: int(v.Port)}.String()
	return !strings.Contains(i.Problem, leftOut) && !slices.ContainsFunc(Behind(r, v.ARN().String()), func(b Ingress) bool { return b.Instance == i.Instance })
}

// ListenersByUse are the listeners of a load balancer, first those that a person would try first: HTTP before HTTPS, whose certificate
// is for no address, before what no browser opens; then by port.
func ListenersByUse(r store.Reader, lb LoadBalancer) []Listener {
	use := []api.ProtocolEnum{api.ProtocolEnumHTTP, api.ProtocolEnumHTTPS}
	rank := func(l Listener) int {
		if n := slices.Index(use, l.Protocol); n >= 0 {
			return n
		}
		return len(use)
	}
	return slices.SortedFunc(Listeners.Prefix(r, lb.Key()+"/"), func(a, b Listener) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Port, b.Port))
	})
}

// ID is that of the container instance.
func (i Ingress) ID() string { return i.Instance[strings.LastIndexByte(i.Instance, '/')+1:] }
