package agent

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// Images pulls images and says what is in them. Implemented by agent/oci.
type Images interface {
	// Pull makes the image present and returns it. ref is as in the container definition. The error's text
	// begins with ECS's error name ("CannotPullContainerError: ...", see Error).
	Pull(ctx context.Context, ref string, opts PullOptions) (Image, error)
	// Collect removes unused images, oldest first, until the store's file system is below its high-water mark.
	// Images of existing containers are kept.
	Collect(ctx context.Context) error
}

// PullOptions say how to pull.
type PullOptions struct {
	Username, Password string
	// Progress is called with bytes done and bytes known in total; it must not block.
	Progress func(done, total int64)
}

// Image is a pulled image.
type Image struct {
	ID     string // of the local store
	Digest string // sha256:... of the manifest
	Config ImageConfig
}

// ImageConfig is what a container takes from its image when the definition is silent.
type ImageConfig struct {
	Entrypoint, Cmd, Env []string
	WorkingDir, User     string
	StopSignal           string
	Volumes              []string
	Labels               map[string]string
}

// Runtime creates and runs containers. Each container has a monitor process of its own, so nothing here needs
// Berth to stay alive. All methods may be repeated. Implemented by agent/oci.
type Runtime interface {
	// Create makes the container: root file system, bundle, cgroup, monitor. It does not run yet.
	Create(ctx context.Context, c Container) error
	// Start runs the created container's process.
	Start(ctx context.Context, id string) error
	// Signal sends a signal to the container's first process (all=false) or to all of its processes.
	Signal(ctx context.Context, id string, signal int, all bool) error
	// Remove deletes the container and everything made for it but its log. It kills what still runs.
	Remove(ctx context.Context, id string) error
	// List returns every container known to this runtime directory, from the runtime's own state and the
	// monitors' exit files.
	List(ctx context.Context) ([]ContainerState, error)
}

// Exits tells when containers end. Implemented by agent/oci.
type Exits interface {
	// Wait returns when the container has ended, with its state, or when ctx is done.
	Wait(ctx context.Context, id string) (ContainerState, error)
	// State returns one container's state now.
	State(ctx context.Context, id string) (ContainerState, error)
}

// Execer runs a further process in a running container (health checks, ECS Exec).
type Execer interface {
	// Exec runs args and returns its exit code. Output beyond 4 KiB is dropped when out is nil. The process is killed when ctx ends.
	Exec(ctx context.Context, id string, args []string, out io.Writer) (exitCode int, err error)
}

// Container is all that the runtime needs to create one container. Paths are absolute host paths.
type Container struct {
	ID      string // 1-64 characters of [a-z0-9-], unique on the machine
	TaskArn string
	// Name is the container's name in its definition.
	Name  string
	Image Image
	// Definition has overrides merged in; the runtime takes from it everything that is not below: command, entryPoint, environment,
	// workingDirectory, user, ulimits, readonlyRootFilesystem, privileged, linuxParameters, dockerSecurityOptions, systemControls,
	// pseudoTerminal, interactive, cpu, memory, memoryReservation.
	Definition ecs.ContainerDefinition
	// Env is added by the agent (ECS_*, AWS_*) and wins over the definition's environment, as on ECS.
	Env []string

	Hostname string
	// CgroupParent is the task's cgroup ("berth/<run>/<task id>"), with the task's own limits already applied by PrepareTask.
	CgroupParent string
	// NetNS is the path of the network namespace to join; empty means the host's.
	NetNS string
	// PIDNS and IPCNS are paths of namespaces to join; empty means a new one; "host" means the host's.
	PIDNS, IPCNS string
	// Mounts are the resolved volumes; the runtime adds the standard ones (proc, sys, dev, shm, tmpfs of linuxParameters).
	Mounts []specs.Mount
	// ResolvConf, Hosts and HostnameFile are files bound at /etc/resolv.conf, /etc/hosts, /etc/hostname.
	ResolvConf, Hosts, HostnameFile string
	// Runtime names the OCI runtime: "runc", "crun" or "runsc"; empty is the machine's default.
	Runtime string
	// Annotations are passed to the OCI runtime.
	Annotations map[string]string
	// LogPath is the file that the monitor writes in k8s-file form.
	LogPath string
	// LogMaxBytes is where the monitor rotates the file; 0 means never.
	LogMaxBytes int64
	// GPUIDs are the devices to show.
	GPUIDs []string
}

// ContainerState is what the runtime knows of a container.
type ContainerState struct {
	ID      string
	TaskArn string
	Name    string
	Phase   Phase
	PID     int // 0 when not running
	// ExitCode is valid when Phase is PhaseExited and ExitKnown; a killed monitor can leave no exit code.
	ExitCode   int
	ExitKnown  bool
	OOMKilled  bool
	StartedAt  time.Time
	FinishedAt time.Time
	// Error is set when the runtime could not start the process ("exec: \"x\": no such file ...").
	Error string
}

// Phase of a container in the runtime.
type Phase string

// Phases.
const (
	PhaseCreated Phase = "created"
	PhaseRunning Phase = "running"
	PhaseExited  Phase = "exited"
)

// TaskCgroups prepares and removes the cgroup that holds a task's containers. Implemented by agent/oci.
type TaskCgroups interface {
	// PrepareTask makes the task's cgroup. cpu is in units (0: no quota), memory in MiB (0: no limit), pids 0 means the default.
	PrepareTask(ctx context.Context, parent string, cpu, memory, pids int32) error
	// RemoveTask kills whatever is left in it and removes it.
	RemoveTask(ctx context.Context, parent string) error
}

// Network gives containers and tasks their network. All methods may be repeated, also after a restart of the agent.
// Implemented by agent/vpc.
type Network interface {
	// Attach makes the network namespace of one container (bridge and none mode) and publishes its ports.
	Attach(ctx context.Context, req NetworkRequest) (NetworkResult, error)
	// Detach removes it. Detaching what is not there is no error.
	Detach(ctx context.Context, id string) error
	// List returns the IDs of everything attached.
	List(ctx context.Context) ([]string, error)
}

// NetworkRequest asks for a container's network.
type NetworkRequest struct {
	ID      string // the container's ID
	TaskArn string
	Mode    string // "bridge" or "none"; "host" needs no Attach
	Ports   []PortRequest
	// Sysctls are net.* values to set inside the namespace.
	Sysctls map[string]string
}

// PortRequest publishes ContainerPort (or the range ContainerPort..ContainerPort+Count-1).
type PortRequest struct {
	ContainerPort uint16
	HostPort      uint16 // 0 means: choose from the ephemeral range
	Count         uint16 // 0 and 1 both mean one port
	Protocol      string // tcp or udp
}

// NetworkResult says what was attached. Bindings stand in the order of the request.
type NetworkResult struct {
	NetNS    string // path of the network namespace
	IPv4     string // empty in mode none
	Gateway  string
	DNS      []string // resolvers that the namespace can reach
	Bindings []PortBinding
}

// PortBinding is a published port or range.
type PortBinding struct {
	PortRequest
	BindIPs []string // "0.0.0.0", "::"
}

// Error is a failure with ECS's name for it, shown as the container's or the task's reason.
type Error struct {
	Name   string // CannotPullContainerError, CannotCreateContainerError, CannotStartContainerError, ...
	Detail string
	Err    error
}

func (e *Error) Error() string { return e.Name + ": " + e.Detail }
func (e *Error) Unwrap() error { return e.Err }

// Names keeps what this machine's DNS answers. Implemented by agent/vpc.
type Names interface {
	// SetNames makes DNS answer exactly these names from now on, also when the agent is gone.
	SetNames(all proto.Names) error
}

// Endpoints are where containers reach this agent. Implemented by agent/vpc.
type Endpoints interface {
	// Endpoint is the address for containers of a network mode; not valid if they reach none. It does not change as long as there are
	// containers.
	Endpoint(mode string) netip.AddrPort
	// Listen listens there. In mode bridge a connection's remote address is that of the container at its other end.
	Listen(mode string) (net.Listener, error)
}

// Ingress carries the traffic of load balancers on this machine. Implemented by agent/ingress.
type Ingress interface {
	// Run works until ctx ends; its end leaves traffic flowing. post is the way to the server for what is no report.
	Run(ctx context.Context, post Post) error
	// Apply takes everything that this machine should balance. It keeps it for a later start without a server.
	// instance is the ARN of this machine's container instance. It does not wait for what follows.
	Apply(instance string, in proto.Ingress)
	// Report makes the next report, without its sequence number: with full of every target, else of those that changed since the
	// last call. It returns false when there is nothing to say.
	Report(full bool) (proto.IngressReport, bool)
	// Reports has an element when there may be something to report. It has room for one.
	Reports() <-chan struct{}
}

// Post sends a body as JSON to a path of the server's agent listener, as this machine.
type Post func(ctx context.Context, path string, body any) error

// UDPSlots is how many slots a UDP listener has: a flow goes to one of them, so a target gets a multiple of 1/120 of them, and
// at most 120 targets get any on one machine.
const UDPSlots = 120

// UDPListener is one UDP port of a load balancer on a machine.
type UDPListener struct {
	Number int // of the load balancer, from 1 to 1022
	Port   uint16
	// Machine are the addresses of it in the main namespace, Tasks those in the network of tasks. IPv4.
	Machine, Tasks []netip.Addr
	// Slots has the target of each of UDPSlots slots; a loopback address is a port of this machine. Empty: nobody takes what comes.
	Slots []netip.AddrPort
	// ByClient: all flows of an address go to one slot.
	ByClient bool
}

// Opening is one port of an address of a load balancer inside the tasks' network.
type Opening struct {
	Address  netip.Addr
	Port     uint16
	Protocol string // tcp or udp
}
