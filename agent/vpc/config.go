package vpc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"berth/agent/proto"
)

// Defaults of Config.
var (
	// DefaultPool is where containers get their addresses. Only containers ever see it.
	DefaultPool = netip.MustParsePrefix("10.231.0.0/16")
	// DefaultLinkPool is where an agent finds the two addresses of its uplink: link-local addresses that clouds and ECS
	// (169.254.169-172) do not use.
	DefaultLinkPool = netip.MustParsePrefix("169.254.192.0/18")
)

// Config of one agent's network. The main namespace is that of the thread which calls Open.
type Config struct {
	// Dir holds the state of this agent's network and nothing else. Required.
	Dir string
	// Pool has the containers' addresses; its first address is their gateway. Default DefaultPool.
	Pool netip.Prefix
	// LinkPool has the uplink's two addresses. Default DefaultLinkPool.
	LinkPool netip.Prefix
	// Egress lets containers open connections to outside the machine, from the machine's own addresses.
	Egress bool
	// HostPorts are ports of the machine's own services that containers may connect to, besides published ports.
	// All others are refused.
	HostPorts []HostPort
	// Resolvers are host:port addresses for the containers' DNS. Default: those of /etc/resolv.conf when Egress is on, else none.
	Resolvers []string
	// PortProxy is the command that runs portproxy.Run with "--dir DIR" added. Default: this program's "port-proxy".
	PortProxy []string
	// MTU of the containers' links. Default 1500.
	MTU int
	Log *slog.Logger
}

// HostPort is one port of the machine.
type HostPort struct {
	Port     uint16
	Protocol string // tcp or udp
}

// withDefaults fills the zero values in and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("network directory is not set")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("network directory: %w", err)
	}
	c.Dir = dir
	if !c.Pool.IsValid() {
		c.Pool = DefaultPool
	}
	if !c.LinkPool.IsValid() {
		c.LinkPool = DefaultLinkPool
	}
	c.Pool, c.LinkPool = c.Pool.Masked(), c.LinkPool.Masked()
	if !c.Pool.Addr().Is4() || c.Pool.Bits() > 29 || c.Pool.Bits() < 8 {
		return c, fmt.Errorf("container pool %s: need an IPv4 network of /8 to /29", c.Pool)
	}
	if !c.LinkPool.Addr().Is4() || c.LinkPool.Bits() > 31 || c.LinkPool.Bits() < 8 {
		return c, fmt.Errorf("uplink pool %s: need an IPv4 network of /8 to /31", c.LinkPool)
	}
	if c.Pool.Overlaps(c.LinkPool) {
		return c, fmt.Errorf("container pool %s overlaps uplink pool %s", c.Pool, c.LinkPool)
	}
	if c.Pool.Overlaps(proto.ConnectNet) || c.LinkPool.Overlaps(proto.ConnectNet) {
		return c, fmt.Errorf("container pool %s and uplink pool %s: %s is for Service Connect", c.Pool, c.LinkPool, proto.ConnectNet)
	}
	for _, p := range c.HostPorts {
		if p.Port == 0 || protocolNumber(p.Protocol) == 0 {
			return c, fmt.Errorf("host port %d/%s: need a port and tcp or udp", p.Port, p.Protocol)
		}
	}
	if len(c.PortProxy) == 0 {
		self, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("find own program: %w", err)
		}
		c.PortProxy = []string{self, "port-proxy"}
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

// runID is derived from the directory, so that what a lost directory left behind is found by the next one in its place.
func (c Config) runID() string {
	sum := sha256.Sum256([]byte(c.Dir))
	return hex.EncodeToString(sum[:4])
}

// linkPrefix begins the name of every agent's uplink in a main namespace.
const linkPrefix = "bth"

func (c Config) uplinkName() string { return linkPrefix + c.runID() }

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}
