package portproxy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Version is the version of the protocol and of Config. An agent replaces a process of another version.
const Version = 2

const (
	configFile = "proxy.json"
	socketFile = "proxy.sock"
	lockFile   = "proxy.lock"
	logFile    = "proxy.log"
)

// Config is what the process reads once, when it starts.
type Config struct {
	Version int `json:"version"`
	// Target is the address at which every published port is found under its host port.
	Target netip.Addr `json:"target"`
	// Namespace is the path of the network namespace in which DNS is served, on address DNS, port 53.
	Namespace string     `json:"namespace"`
	DNS       netip.Addr `json:"dns"`
	// Resolvers are host:port addresses that queries are passed to. Empty means those of /etc/resolv.conf.
	Resolvers []string `json:"resolvers,omitempty"`
	// Loopback is the machine's own network of load balancers. The process answers DNS for the machine at its last address,
	// and only for Berth's names. The zero Prefix: it does not.
	Loopback netip.Prefix `json:"loopback,omitzero"`
	// Refuse makes DNS answer REFUSED instead of asking the machine's resolvers. Resolvers that are given are asked anyway.
	Refuse bool `json:"refuse,omitempty"`
	// Instance tells one life of the bridge namespace from another.
	Instance string `json:"instance"`
}

// WriteConfig writes the configuration of the process into dir.
func WriteConfig(dir string, c Config) error {
	c.Version = Version
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode port proxy configuration: %w", err)
	}
	tmp := filepath.Join(dir, configFile+".new")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write port proxy configuration: %w", err)
	}
	return os.Rename(tmp, filepath.Join(dir, configFile))
}

func readConfig(dir string) (Config, error) {
	var c Config
	data, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return c, fmt.Errorf("read port proxy configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read port proxy configuration: %w", err)
	}
	return c, nil
}

// Port is Count consecutive ports from Host on. Host 0 asks for free ones of the ephemeral range.
type Port struct {
	Host     uint16 `json:"host"`
	Count    uint16 `json:"count"`
	Protocol string `json:"protocol"` // tcp or udp
}

// Hello is what a running process says about itself.
type Hello struct {
	Version int    `json:"version"`
	PID     int    `json:"pid"`
	Config  Config `json:"config"`
	// IPv6 tells whether ports are bound on IPv6 too.
	IPv6 bool `json:"ipv6"`
}

// ConflictError says that a port is in use.
type ConflictError struct {
	Port     uint16
	Protocol string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("Bind for 0.0.0.0:%d failed: port is already allocated", e.Port)
}

type request struct {
	Op    string `json:"op"` // hello, open, close, owners, stop
	Owner string `json:"owner,omitempty"`
	Ports []Port `json:"ports,omitempty"`
}

type response struct {
	Error    string         `json:"error,omitempty"`
	Conflict *ConflictError `json:"conflict,omitempty"`
	Hello    *Hello         `json:"hello,omitempty"`
	Ports    []Port         `json:"ports,omitempty"`
	Owners   []string       `json:"owners,omitempty"`
}
