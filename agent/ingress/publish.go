package ingress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/elbv2/haproxy"
)

// claim decides which addresses and ports of the machine load balancers have, and says what they do not get. What one has it keeps while it
// wants it; else the one with the lowest number is first. The caller holds mu.
func (i *Ingress) claim() string {
	s := &i.state
	var missed []string
	claims, published, blocked := map[string]string{}, map[string][]netip.Addr{}, map[string]bool{}
	m := i.machine()
	wants := map[string]bool{} // claims that are still wanted
	for _, lb := range s.Frame.LoadBalancers {
		for _, at := range i.publicPorts(lb) {
			wants[lb.ID+" "+at.key()] = true
		}
	}
	for at, id := range s.Claims {
		if wants[id+" "+at] {
			claims[at] = id
		}
	}
	for _, lb := range s.Frame.LoadBalancers {
		for _, l := range lb.Listeners {
			own := m.Address(lb.Number)
			if l.Protocol == "UDP" || lb.Kind == haproxy.Connect || !own.IsValid() {
				continue
			}
			if err := free(netip.AddrPortFrom(own, uint16(l.Port))); err != nil {
				blocked[fmt.Sprint(lb.ID, " ", l.Port)] = true
				missed = append(missed, haproxy.Problem{LoadBalancer: lb.ID, Port: l.Port, Reason: fmt.Sprintf("%s: %v", own, err)}.String())
			}
		}
		for _, a := range i.cfg.Publish {
			if why := i.claimAddress(lb, a, claims); why != "" {
				missed = append(missed, why)
			} else if len(i.publicPorts(lb)) > 0 {
				published[lb.ID] = append(published[lb.ID], a)
			}
		}
	}
	s.Claims, s.published, s.blocked = claims, published, blocked
	return strings.Join(missed, "; ")
}

// publicPort is a published address and port.
type publicPort struct {
	netip.AddrPort
	udp bool
}

// key names it in Claims.
func (p publicPort) key() string {
	if p.udp {
		return p.String() + "/udp"
	}
	return p.String()
}

// publicPorts are the published addresses and ports that a load balancer wants.
func (i *Ingress) publicPorts(lb haproxy.LoadBalancer) (all []publicPort) {
	if !lb.InternetFacing || lb.Kind == haproxy.Connect {
		return nil
	}
	for _, a := range i.cfg.Publish {
		for _, l := range lb.Listeners {
			at := netip.AddrPortFrom(a, uint16(l.Port))
			if l.Protocol != "UDP" {
				all = append(all, publicPort{at, false})
			}
			if carriesUDP(l) && a.Is4() {
				all = append(all, publicPort{at, true})
			}
		}
	}
	return all
}

// claimAddress takes an address with all ports of a load balancer, or none of them and says why.
func (i *Ingress) claimAddress(lb haproxy.LoadBalancer, a netip.Addr, claims map[string]string) string {
	ports := slices.DeleteFunc(i.publicPorts(lb), func(p publicPort) bool { return p.Addr() != a })
	for _, at := range ports {
		if other := claims[at.key()]; other != "" && other != lb.ID {
			return fmt.Sprintf("%s is not published: %s belongs to %s", lb.ID, at.key(), other)
		}
		err := free(at.AddrPort)
		if at.udp {
			err = freeUDP(at.AddrPort)
		}
		if err != nil {
			return fmt.Sprintf("%s is not published: %s: %v", lb.ID, at.key(), err)
		}
	}
	for _, at := range ports {
		claims[at.key()] = lb.ID
	}
	return ""
}

// free tells whether HAProxy can listen at an address; its own listeners do not count.
func free(at netip.AddrPort) error {
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(at.Port()), Addr: [4]byte{}})
	if at.Addr().Is4() {
		sa.(*unix.SockaddrInet4).Addr = at.Addr().As4()
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// As HAProxy does.
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return errors.New("the port is taken")
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return errors.New("this machine has no such address")
	}
	return err
}

// freeUDP tells whether a port of the machine is nobody's: the kernel would take its packets away.
func freeUDP(at netip.AddrPort) error {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	switch {
	case err == nil:
		return c.Close()
	case errors.Is(err, unix.EADDRINUSE):
		return errors.New("the port is taken")
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return errors.New("this machine has no such address")
	}
	return err
}

// carried is the frame without listeners that have no address, and what is wrong with them. The caller holds mu.
func (i *Ingress) carried() (haproxy.Frame, []haproxy.Problem) {
	f, problems := haproxy.Sound(i.state.Frame)
	f.LoadBalancers = slices.Clone(f.LoadBalancers)
	for n := range f.LoadBalancers {
		lb := &f.LoadBalancers[n]
		lb.Listeners = slices.DeleteFunc(slices.Clone(lb.Listeners), func(l haproxy.Listener) bool {
			return i.state.blocked[fmt.Sprint(lb.ID, " ", l.Port)]
		})
	}
	return f, problems
}

// publishedAddresses are the addresses of the machine at which load balancers answer, as they are reported. The caller holds mu.
func (i *Ingress) publishedAddresses() map[string]netip.Addr {
	if len(i.state.published) == 0 {
		return nil
	}
	out := map[string]netip.Addr{}
	for id, all := range i.state.published {
		out[id] = all[0]
	}
	return out
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
				if carriesUDP(l) {
					out = append(out, agent.Opening{Address: a, Port: uint16(l.Port), Protocol: "udp"})
				}
			}
		}
	}
	return out
}
