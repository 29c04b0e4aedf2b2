package vpc

import (
	"net/netip"

	"berth/agent/proto"
	"berth/agent/vpc/names"
)

// SetNames makes DNS answer exactly these names, to tasks on the gateway of the bridge and to the machine at Resolver.
func (n *Network) SetNames(all proto.Names) error { return names.Write(n.cfg.Dir, all) }

// Resolver is the address of the machine's loopback at which the machine itself gets answers for Berth's names, port 53.
func (n *Network) Resolver() netip.Addr { return names.Last(n.Loopback()) }
