package ingress

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"berth/agent"
	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// carriesUDP tells whether a listener has UDP, which the network carries and not HAProxy.
func carriesUDP(l haproxy.Listener) bool { return l.Protocol == "UDP" || l.Protocol == "TCP_UDP" }

// flowsAgain is after how long the network is asked to look whether all is there still.
const flowsAgain = 8 * time.Second

// syncFlows makes the network balance the UDP of the newest frame over the targets that should serve.
func (i *Ingress) syncFlows(ctx context.Context) {
	i.mu.Lock()
	listeners := i.udpListeners()
	healthy := i.healthyUDP()
	i.mu.Unlock()
	if !i.flowed.IsZero() && time.Since(i.flowed) < flowsAgain && reflect.DeepEqual(listeners, i.flows) && reflect.DeepEqual(healthy, i.kept) {
		return // the network may be at work with something else, and slots do not wait for that
	}
	text := ""
	if err := i.cfg.Network.Flows(ctx, listeners); err != nil {
		text = "UDP of load balancers: " + err.Error()
	} else {
		i.flows, i.flowed = listeners, time.Now()
	}
	if ctx.Err() == nil {
		i.problem("udp", text)
	}
	if text == "" && !reflect.DeepEqual(healthy, i.kept) {
		if err := writeJSON(i.cfg.path(flowsFile), healthy); err != nil {
			i.log.Warn("which targets have UDP is not noted; a restart of the agent checks them first", "err", err)
			return
		}
		i.kept = healthy
	}
}

// flowsFile keeps what the next agent takes for healthy.
const flowsFile = "flows.json"

// keptFlows is flows.json. Written by: syncFlows.
type keptFlows struct {
	// Namespace tells one start of the machine from another: targets do not outlive it.
	Namespace string       `json:"namespace"`
	Targets   []keptTarget `json:"targets,omitzero"`
}

// keptTarget is a healthy target of a group with UDP.
type keptTarget struct {
	Group  string `json:"group"`
	Target string `json:"target"`
	Since  int64  `json:"since"`
}

// healthyUDP lists the healthy targets of groups with UDP. The caller holds mu.
func (i *Ingress) healthyUDP() (out keptFlows) {
	_, out.Namespace = i.cfg.Network.TaskNamespace()
	for _, g := range i.state.Frame.Groups {
		if g.Protocol != "UDP" && g.Protocol != "TCP_UDP" {
			continue
		}
		for _, t := range g.Targets {
			if h, ok := i.checks.health(key{g.ID, t.ID, t.Since}); ok && h.state == proto.TargetHealthy && !t.Draining {
				out.Targets = append(out.Targets, keptTarget{g.ID, t.ID, t.Since})
			}
		}
	}
	return out
}

// adoptFlows takes targets to which UDP flows for healthy. The caller holds no lock.
func (i *Ingress) adoptFlows() {
	var f keptFlows
	err := readJSON(i.cfg.path(flowsFile), &f)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.log.Warn("which targets had UDP is not known", "err", err)
	}
	if _, identity := i.cfg.Network.TaskNamespace(); err != nil || f.Namespace != identity {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range f.Targets {
		i.state.adopted[key{t.Group, t.Target, t.Since}] = true
	}
}

// udpListeners are those of the newest frame with the targets of their slots. The caller holds mu.
func (i *Ingress) udpListeners() (all []agent.UDPListener) {
	m := i.machine()
	groups := map[string]haproxy.Group{}
	for _, g := range i.state.Frame.Groups {
		groups[g.ID] = g
	}
	for _, lb := range i.state.Frame.LoadBalancers {
		for _, l := range lb.Listeners {
			if lb.Kind != haproxy.Network || !carriesUDP(l) {
				continue
			}
			out := agent.UDPListener{Number: lb.Number, Port: uint16(l.Port), Tasks: lb.Addresses}
			if own := m.Address(lb.Number); own.IsValid() {
				out.Machine = append(out.Machine, own)
			}
			for _, a := range i.state.published[lb.ID] {
				if a.Is4() {
					out.Machine = append(out.Machine, a)
				}
			}
			var shares []share
			for _, r := range l.Rules { // there is but the default one
				for _, w := range r.Action.Groups {
					g := groups[w.Group]
					shares = append(shares, share{w.Weight, i.serves(m, g)})
					out.ByClient = out.ByClient || g.Attributes["stickiness.enabled"] == "true"
				}
			}
			out.Slots = slotsOf(shares)
			all = append(all, out)
		}
	}
	return all
}

// serves are the targets of a group to which flows go. The caller holds mu.
func (i *Ingress) serves(m haproxy.Machine, g haproxy.Group) (all []netip.AddrPort) {
	for _, w := range i.wantedOf(m, g) {
		if w.State == haproxy.Serve && w.At.Addr().Is4() {
			all = append(all, w.At)
		}
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all)
}

// share is the weight of a target group and its targets.
type share struct {
	weight  int
	targets []netip.AddrPort
}

// slotsOf deals agent.UDPSlots slots out, by weight among groups that have targets, and evenly among the targets of each.
func slotsOf(shares []share) []netip.AddrPort {
	total := 0
	shares = slices.DeleteFunc(slices.Clone(shares), func(s share) bool { return s.weight <= 0 || len(s.targets) == 0 })
	for _, s := range shares {
		total += s.weight
	}
	if total == 0 {
		return nil
	}
	out := make([]netip.AddrPort, 0, agent.UDPSlots)
	sum := 0
	for _, s := range shares {
		sum += s.weight
		for n := 0; len(out) < sum*agent.UDPSlots/total; n++ {
			out = append(out, s.targets[n%len(s.targets)])
		}
	}
	return out
}
