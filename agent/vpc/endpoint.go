package vpc

import (
	"fmt"
	"net"
	"net/netip"
)

// Where containers reach the agent. Source: ECS developer guide, task metadata endpoint version 4; ports that ECS reserves on every
// instance for its agent.
var bridgeEndpoint = netip.MustParseAddrPort("169.254.170.2:80")

// hostEndpointPort is one of those ports, so no task has it.
const hostEndpointPort = 51679

// Endpoint is the address at which containers of a network mode reach the agent. 169.254.170.2 exists in the bridge namespace only:
// containers that share the machine's namespace are given a loopback address, which is this agent's alone. Those of mode none reach
// nothing.
func (n *Network) Endpoint(mode string) netip.AddrPort {
	switch mode {
	case modeBridge:
		return bridgeEndpoint
	case modeHost:
		return netip.AddrPortFrom(n.Resolver(), hostEndpointPort)
	}
	return netip.AddrPort{}
}

// Listen listens at Endpoint. In mode bridge a connection's remote address is that of the container at its other end: the rules drop
// what another one sends in its name.
func (n *Network) Listen(mode string) (l net.Listener, err error) {
	at, where := n.Endpoint(mode), n.main
	if !at.IsValid() {
		return nil, fmt.Errorf("containers of network mode %q reach no agent", mode)
	}
	if mode == modeBridge {
		where = n.bridge
	}
	err = where.run(func() (err error) {
		l, err = net.Listen("tcp4", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen to containers of network mode %s: %w", mode, err)
	}
	return l, nil
}
