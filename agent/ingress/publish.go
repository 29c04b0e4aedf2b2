package ingress

import (
	"maps"
	"net/netip"

	"berth/agent"
)

// claim decides which load balancers have which published addresses. The caller holds mu.
func (i *Ingress) claim() string { return "" }

// published are the addresses of load balancers that face the internet, by ID. The caller holds mu.
func (i *Ingress) published() map[string][]netip.Addr { return nil }

func (i *Ingress) publishedAddresses() map[string]netip.Addr {
	out := map[string]netip.Addr{}
	for id, all := range i.published() {
		out[id] = all[0]
	}
	if len(out) == 0 {
		return nil
	}
	return maps.Clone(out)
}

// openings are the addresses and ports at which tasks reach load balancers.
func (i *Ingress) openings() []agent.Opening {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []agent.Opening
	for _, lb := range i.state.Frame.LoadBalancers {
		for _, l := range lb.Listeners {
			for _, a := range lb.Addresses {
				if l.Protocol != "UDP" {
					out = append(out, agent.Opening{Address: a, Port: uint16(l.Port), Protocol: "tcp"})
				}
				if l.Protocol == "UDP" || l.Protocol == "TCP_UDP" {
					out = append(out, agent.Opening{Address: a, Port: uint16(l.Port), Protocol: "udp"})
				}
			}
		}
	}
	return out
}
