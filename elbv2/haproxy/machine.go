package haproxy

import "net/netip"

// Machine is what rendering must know of the machine. Written by: the agent.
type Machine struct {
	// Instance is the ARN of its container instance: targets of it are reached at 127.0.0.1.
	Instance string
	// Loopback is the /22 of load balancers: number N answers at its base address + N in the main namespace.
	Loopback netip.Prefix
	// Published are the machine's own addresses at which load balancers answer too, by the ID of the load balancer.
	Published map[string][]netip.Addr
	// Namespace is the network namespace of tasks, where LoadBalancer.Addresses are bound: a name below /run/netns, or an
	// absolute path. Empty: those addresses are not bound. HAProxy only knows names and opens /var/run/netns/NAME, so
	// a path is written as ../../PATH; the directory /run/netns must exist for it.
	Namespace string
	// Dir is the absolute directory in which the caller puts Config.Files.
	Dir string
	// StatsSocket is the path of the runtime socket that each worker opens. It belongs to the newest worker; older ones answer
	// at the master's socket (haproxy -W -S) only.
	StatsSocket string
	// LateDir is the absolute directory of sockets by which a worker that stops hands requests to the next one; empty: it serves them itself.
	LateDir string
	// LogSocket is the path of the datagram socket that gets a line for each request of load balancers with access logs; empty: no log.
	LogSocket string
	// Threads over which traffic is spread; 0: as many as there are processors.
	Threads int
	// OpenFiles is how many files a process of the machine may have open at most, sockets too; 0: HAProxy finds out.
	OpenFiles int
}

// connections is how many connections fit into OpenFiles, each with one to a target, and what HAProxy needs beside. HAProxy does not start with more than the
// system's hard limit allows.
func (m Machine) connections() int {
	return max(100, min(maxConnections, (m.OpenFiles-1000)/2))
}

// address is where this machine reaches a target.
func (m Machine) address(t Target) string {
	if t.Instance != "" && t.Instance == m.Instance {
		return "127.0.0.1"
	}
	return t.Host
}

// Address is where the machine itself reaches a load balancer; the zero Addr if Loopback is not set.
func (m Machine) Address(number int) netip.Addr {
	base := m.Loopback.Masked().Addr()
	if !base.Is4() || number < 1 || number > MaxNumber {
		return netip.Addr{}
	}
	b := base.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) + uint32(number)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// Config is everything that HAProxy needs to carry the traffic of a Frame.
type Config struct {
	// Text is the configuration file.
	Text []byte
	// Files are further files by their names relative to Machine.Dir, such as certificates/ID.pem. They hold private keys:
	// only root may read them. A file that is not here any more may go when no worker started with it.
	Files map[string][]byte
	// Backends are the server slots to fill, in order of Name.
	Backends []Backend
}

// Backend is a target group behind one load balancer: server slots s1 to sSlots, all in maintenance when a worker starts.
type Backend struct {
	Name         string // as in the configuration
	LoadBalancer string // ID
	Group        string // ID
	Slots        int
}

// smallest is the least number of slots of a backend.
const smallest = 8

// Slots is how many server slots a group gets that has so many targets and had so many slots so far: a power of two, at least 8,
// never fewer than before. So the configuration seldom changes.
func Slots(targets, before int) int {
	n := max(smallest, before)
	for n < targets {
		n *= 2
	}
	return n
}
