package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"berth/agent/proto"
)

// Config of an agent. DataDir, Server and Deps are required; Token is, until the agent has joined once.
type Config struct {
	// DataDir is the agent's own directory (<data-dir>/agent).
	DataDir string
	// Server is the agent listener's URL, https://host:4567.
	Server string
	// Token buys the first certificate. It is not needed again.
	Token string
	// Name of the machine, put into its certificate request; empty means the host name.
	Name string

	Cluster, Account, Region, Zone string
	// Attributes are the operator's own, beside the capabilities.
	Attributes map[string]string
	// CPU (units) and Memory (MiB) offered to tasks; 0 means the machine's.
	CPU, Memory int32
	// CgroupRoot is the cgroup below which every task gets its own, such as "berth/3f9a".
	CgroupRoot string
	// Address is the machine's address as others see it; empty means the local end of the session.
	Address string
	// PauseCommand runs Pause; empty means this program with the argument "pause".
	PauseCommand []string
	// BerthVersion is told to the server.
	BerthVersion string
	// Welcomed is called with each Welcome, before assignments are taken, and with how this machine proves itself to
	// the server. Nil is allowed.
	Welcomed func(proto.Welcome, *tls.Config)
	// Dial replaces the network dialer; nil is allowed.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger

	Deps Deps
}

// Deps are the parts that do the work on the machine.
type Deps struct {
	Images  Images
	Runtime Runtime
	Exits   Exits
	Execer  Execer
	Cgroups TaskCgroups
	Network Network
	// Ingress makes this machine carry load balancers' traffic; nil: it does not.
	Ingress Ingress
	// Names makes this machine answer DNS; nil: it does not.
	Names Names
	// Endpoints lets containers reach this agent; nil: they do not.
	Endpoints Endpoints
}

// Validate says what is missing and how to give it.
func (c *Config) Validate() error {
	if !filepath.IsAbs(c.DataDir) {
		return fmt.Errorf("agent data directory %q is not absolute: give --data-dir an absolute path", c.DataDir)
	}
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("agent server %q is not an https:// URL: give --server https://HOST:4567", c.Server)
	}
	d := c.Deps
	if d.Images == nil || d.Runtime == nil || d.Exits == nil || d.Execer == nil || d.Cgroups == nil || d.Network == nil {
		return errors.New("agent: a part is missing in Deps")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Time limits of single actions. Source: ECS agent defaults (specification, section 8.4).
const (
	pullLimit    = 2 * time.Hour
	createLimit  = 4 * time.Minute
	startLimit   = 3 * time.Minute
	signalLimit  = 30 * time.Second
	prepareLimit = time.Minute
	dropLimit    = 2 * time.Minute
	// welcomePatience is how long a task that an earlier agent left waits with its pull for the server.
	welcomePatience = 30 * time.Second
)

// Directories below DataDir.
func (c *Config) tasksDir() string { return filepath.Join(c.DataDir, "tasks") }
func (c *Config) logsDir() string  { return filepath.Join(c.DataDir, "logs") }
func (c *Config) taskVolumes(id string) string {
	return filepath.Join(c.DataDir, "volumes", "tasks", id)
}
func (c *Config) sharedVolume(name string) string {
	return filepath.Join(c.DataDir, "volumes", "shared", name)
}
func (c *Config) etcDir(container string) string { return filepath.Join(c.DataDir, "etc", container) }
func (c *Config) cgroup(taskArn string) string   { return c.CgroupRoot + "/" + taskID(taskArn) }
