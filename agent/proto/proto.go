// Package proto holds the messages between the control plane (package dispatch) and the node agent
// (package agent). It has structs only.
//
// One session is one WebSocket over mutual TLS. Every message is one JSON text frame holding a Frame.
//
//	agent                                server
//	  │── hello ──────────────────────────▶│   who I am, what I have
//	  │◀────────────────────────── welcome ─│   container instance ARN, heartbeat interval
//	  │◀─────────────────────── assignment ─│   everything you should be running, revision N
//	  │── report (seq) ───────────────────▶│   what became of it
//	  │◀────────────────────── report-ack ──│
//	  │── heartbeat ──────────────────────▶│
//	  │◀─────────────────── heartbeat-ack ──│
//
// Nothing is stopped because something is missing: a task leaves a machine only when an assignment names
// it with DesiredStatus STOPPED. A task that the agent has and the assignment lacks stays running and is
// reported with its status; the server answers with an assignment that names it.
package proto

import (
	"encoding/json"
	"net/netip"
	"time"

	ecs "berth/api/ecs"
)

// Version is the protocol's version, sent in Hello. A server refuses versions that it does not know.
const Version = 1

// MaxFrame is the largest frame, in bytes, that either side accepts.
const MaxFrame = 64 << 20

// Frame types.
const (
	TypeHello        = "hello"
	TypeWelcome      = "welcome"
	TypeAssignment   = "assignment"
	TypeReport       = "report"
	TypeReportAck    = "report-ack"
	TypeHeartbeat    = "heartbeat"
	TypeHeartbeatAck = "heartbeat-ack"
	TypeClose        = "close"
)

// Frame is the envelope of every message.
type Frame struct {
	Type string          `json:"type"`
	Body json.RawMessage `json:"body"`
}

// Hello is the agent's first message. The identity of the machine comes from the session's certificate,
// never from here.
type Hello struct {
	ProtocolVersion int    `json:"protocolVersion"`
	BerthVersion    string `json:"berthVersion"`
	BootID          string `json:"bootId"`  // /proc/sys/kernel/random/boot_id
	Cluster         string `json:"cluster"` // name; empty means "default"
	Account         string `json:"account,omitzero"`
	Region          string `json:"region,omitzero"`

	CPU      int32    `json:"cpu"`               // units, 1024 = one core
	Memory   int32    `json:"memory"`            // MiB
	Ports    []string `json:"ports,omitzero"`    // TCP host ports that are taken
	PortsUDP []string `json:"portsUdp,omitzero"` // UDP host ports that are taken
	GPUs     []string `json:"gpus,omitzero"`     // device IDs

	Zone       string          `json:"zone,omitzero"`
	Attributes []ecs.Attribute `json:"attributes,omitzero"` // capabilities and the machine's own
	Address    string          `json:"address,omitzero"`    // the machine's address as it sees it
	// Ingress says that this machine carries load balancers' traffic.
	Ingress bool `json:"ingress,omitzero"`
	// Names says that this machine answers DNS and wants to know the names.
	Names bool `json:"names,omitzero"`
}

// Welcome answers Hello.
type Welcome struct {
	ContainerInstanceArn string        `json:"containerInstanceArn"`
	Heartbeat            time.Duration `json:"heartbeat"` // nanoseconds between heartbeats
	// AckedSeq is the highest report sequence number that the server has applied for this machine.
	AckedSeq uint64 `json:"ackedSeq"`
	// Registry maps the image registry's host:port, as repositoryUri shows it, to the address through which
	// this agent reaches it with its own certificate.
	Registry string `json:"registry,omitzero"`
}

// Assignment is the complete list of tasks that this machine should have, with the definitions they refer to.
type Assignment struct {
	// Revision rises with every change. An assignment with a lower revision than one already seen in this
	// session is ignored.
	Revision uint64 `json:"revision"`
	Tasks    []Task `json:"tasks"`
	// Definitions has every definition that Tasks refer to and that was not yet sent in this session.
	Definitions map[string]ecs.TaskDefinition `json:"definitions,omitzero"`
}

// Task is one task of an assignment.
type Task struct {
	Arn           string    `json:"arn"`
	ClusterArn    string    `json:"clusterArn"`
	DesiredStatus string    `json:"desiredStatus"` // RUNNING or STOPPED
	Definition    string    `json:"definition"`    // key into Definitions; overrides are already merged in
	CreatedAt     time.Time `json:"createdAt"`
	Group         string    `json:"group,omitzero"`
	LaunchType    string    `json:"launchType,omitzero"`
	// GPUIDs are the devices reserved for each container, by its name.
	GPUIDs map[string][]string `json:"gpuIds,omitzero"`
	// Hosts are the names of Service Connect that the task knows; containers in network mode bridge find them in /etc/hosts. They
	// never change.
	Hosts []Host `json:"hosts,omitzero"`
	// ContainerArns are the ARNs of the task's containers, by name.
	ContainerArns map[string]string `json:"containerArns"`
	// Why the task is to stop; set with DesiredStatus STOPPED.
	StopCode      string `json:"stopCode,omitzero"`
	StoppedReason string `json:"stoppedReason,omitzero"`
}

// Host is a name with its address.
type Host struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
}

// ConnectNet has the addresses of Service Connect's names. They exist in the tasks' network of each machine only. The network is for
// tests of routers (RFC 2544), so that nobody reaches anything there.
var ConnectNet = netip.MustParsePrefix("198.18.0.0/15")

// Report tells what became of tasks. It carries only tasks that changed since the last acknowledged report;
// the first report of a session carries all tasks that the agent has.
type Report struct {
	// Seq rises by at least one with each report of this machine, across restarts of the agent.
	Seq   uint64       `json:"seq"`
	Full  bool         `json:"full,omitzero"` // every task that the agent knows is in Tasks
	Tasks []TaskStatus `json:"tasks"`
}

// ReportAck says that everything up to Seq is in the store.
type ReportAck struct {
	Seq uint64 `json:"seq"`
}

// TaskStatus is what the agent knows of one task.
type TaskStatus struct {
	Arn           string `json:"arn"`
	LastStatus    string `json:"lastStatus"` // PENDING, ACTIVATING, RUNNING, DEACTIVATING, STOPPING, DEPROVISIONING, STOPPED
	StopCode      string `json:"stopCode,omitzero"`
	StoppedReason string `json:"stoppedReason,omitzero"`
	HealthStatus  string `json:"healthStatus,omitzero"` // HEALTHY, UNHEALTHY, UNKNOWN

	PullStartedAt      time.Time `json:"pullStartedAt,omitzero"`
	PullStoppedAt      time.Time `json:"pullStoppedAt,omitzero"`
	StartedAt          time.Time `json:"startedAt,omitzero"`
	StoppingAt         time.Time `json:"stoppingAt,omitzero"`
	ExecutionStoppedAt time.Time `json:"executionStoppedAt,omitzero"`
	StoppedAt          time.Time `json:"stoppedAt,omitzero"`

	Containers []ContainerStatus `json:"containers,omitzero"`
	// Steps is the visible list of what the agent does for the task, in order.
	Steps []Step `json:"steps,omitzero"`
}

// ContainerStatus is what the agent knows of one container.
type ContainerStatus struct {
	Name            string               `json:"name"`
	RuntimeID       string               `json:"runtimeId,omitzero"`
	ImageDigest     string               `json:"imageDigest,omitzero"`
	LastStatus      string               `json:"lastStatus"` // PENDING, RUNNING, STOPPED
	ExitCode        *int32               `json:"exitCode,omitzero"`
	Reason          string               `json:"reason,omitzero"` // "<ErrorName>: <detail>"
	HealthStatus    string               `json:"healthStatus,omitzero"`
	NetworkBindings []ecs.NetworkBinding `json:"networkBindings,omitzero"`
	RestartCount    int32                `json:"restartCount,omitzero"`
	StartedAt       time.Time            `json:"startedAt,omitzero"`
	FinishedAt      time.Time            `json:"finishedAt,omitzero"`
	// OOMKilled is set when the container's cgroup counted an OOM kill.
	OOMKilled bool `json:"oomKilled,omitzero"`
}

// Step is one thing that the agent does for a task.
type Step struct {
	Name  string    `json:"name"`  // "pull web", "network", "create web", "start web", "wait db HEALTHY", ...
	State string    `json:"state"` // waiting, running, done, failed
	Since time.Time `json:"since,omitzero"`
	Error string    `json:"error,omitzero"`
}

// Heartbeat is sent every Welcome.Heartbeat. Three missed ones make the machine disconnected.
type Heartbeat struct {
	Revision uint64 `json:"revision"` // the assignment that the agent works on
	// Impaired says why new tasks should not be placed here ("disk 97 % full"); empty means healthy.
	Impaired string `json:"impaired,omitzero"`
}

// Close is sent before the server ends a session on purpose.
type Close struct {
	Reason string `json:"reason"`
	// Deregistered means that this identity will not be let in again: the machine needs a new certificate.
	Deregistered bool `json:"deregistered,omitzero"`
}

// JoinRequest is POSTed to PathJoin without a client certificate. The agent checks the server's certificate
// authority against the fingerprint inside the token.
type JoinRequest struct {
	Token string `json:"token"`
	CSR   []byte `json:"csr"` // PKCS #10, DER
	Name  string `json:"name,omitzero"`
}

// JoinResponse carries the machine's certificate and the authorities to trust.
type JoinResponse struct {
	Certificate []byte `json:"certificate"` // PEM chain
	Authorities []byte `json:"authorities"` // PEM
}

// RenewRequest is POSTed to PathRenew with the current client certificate.
type RenewRequest struct {
	CSR []byte `json:"csr"`
}

// LogBatch is POSTed to PathLogs: events of one log stream, in order.
type LogBatch struct {
	Task   string     `json:"task"` // ARN; the server checks that it is placed on this machine
	Region string     `json:"region,omitzero"`
	Group  string     `json:"group"`
	Stream string     `json:"stream"`
	Create bool       `json:"create,omitzero"` // awslogs-create-group
	Events []LogEvent `json:"events"`
}

// LogEvent is one log event. Timestamp is in milliseconds since the epoch.
type LogEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

// Paths on the agent listener.
const (
	PathJoin    = "/agent/v1/join"
	PathRenew   = "/agent/v1/renew"
	PathSession = "/agent/v1/session"
	PathLogs    = "/agent/v1/logs"
	// PathRegistry is followed by the registry's own /v2/... paths; pulls need no further login.
	PathRegistry = "/agent/v1/registry"
)
