// Package berth has Berth's own operations, beside those of AWS: the health of all parts, tokens for machines to
// join with, the reasons of placement, backups. They are called like any AWS JSON 1.1 service, signed, with the signing
// name "berth".
package berth

import (
	"context"
	"time"

	"berth/aws"
)

// Paths that answer without a signature.
const (
	// PathReady answers 200 when the server serves.
	PathReady = "/_berth/v1/ready"
	// PathBackup is followed by the key that StartBackup gave; it answers once, with the snapshot.
	PathBackup = "/_berth/v1/backup/"
)

// API describes the service.
var API = aws.API{
	Name: "berth", ID: "Berth", Version: "2026-11-01", Protocol: aws.JSON, JSONVersion: "1.1",
	Target: "Berth_20261101", SigningName: "berth", Endpoint: "berth",
	Operations: []aws.Operation{
		aws.Op("CreateJoinToken", Handler.CreateJoinToken),
		aws.Op("Explain", Handler.Explain),
		aws.Op("GetAddresses", Handler.GetAddresses),
		aws.Op("GetMetrics", Handler.GetMetrics),
		aws.Op("GetStatus", Handler.GetStatus),
		aws.Op("ListEvents", Handler.ListEvents),
		aws.Op("ListTargets", Handler.ListTargets),
		aws.Op("StartBackup", Handler.StartBackup),
	},
	Errors: []aws.ErrorShape{
		{Code: "InvalidParameterException", Status: 400}, {Code: "ResourceNotFoundException", Status: 400}, {Code: "ServerException", Status: 500},
	},
}

// Handler answers the operations.
type Handler interface {
	CreateJoinToken(ctx context.Context, in *CreateJoinTokenRequest) (*CreateJoinTokenResponse, error)
	Explain(ctx context.Context, in *ExplainRequest) (*ExplainResponse, error)
	GetAddresses(ctx context.Context, in *GetAddressesRequest) (*GetAddressesResponse, error)
	GetMetrics(ctx context.Context, in *GetMetricsRequest) (*GetMetricsResponse, error)
	GetStatus(ctx context.Context, in *GetStatusRequest) (*GetStatusResponse, error)
	ListEvents(ctx context.Context, in *ListEventsRequest) (*ListEventsResponse, error)
	ListTargets(ctx context.Context, in *ListTargetsRequest) (*ListTargetsResponse, error)
	StartBackup(ctx context.Context, in *StartBackupRequest) (*StartBackupResponse, error)
}

// GetStatusRequest has no members.
type GetStatusRequest struct{}

// StartBackupRequest has no members.
type StartBackupRequest struct{}

// StartBackupResponse says where the snapshot can be read, once, within a minute.
type StartBackupResponse struct {
	Path string `json:"path"`
}

// GetStatusResponse is the health of one Berth.
type GetStatusResponse struct {
	Version  string    `json:"version"`
	Account  string    `json:"account"`
	Region   string    `json:"region"`
	Parts    []Part    `json:"parts"`
	Machines []Machine `json:"machines"`
	Tasks    Tasks     `json:"tasks"`
	// Notices are sentences about whole zones: that too many machines went silent at once.
	Notices []string `json:"notices,omitzero"`
}

// Healthy says whether every part and every machine is well.
func (s GetStatusResponse) Healthy() bool {
	for _, p := range s.Parts {
		if !p.Healthy {
			return false
		}
	}
	for _, m := range s.Machines {
		if !m.Connected || m.Impaired != "" || m.Behind {
			return false
		}
	}
	return true
}

// Part is one part of the control plane: store, logs, registry, agents.
type Part struct {
	Name    string `json:"name"`
	Healthy bool   `json:"healthy"`
	Detail  string `json:"detail,omitzero"`
}

// Machine is one container instance.
type Machine struct {
	Arn       string    `json:"containerInstanceArn"`
	Cluster   string    `json:"cluster"`
	Zone      string    `json:"zone,omitzero"`
	Status    string    `json:"status"` // ACTIVE, DRAINING
	Connected bool      `json:"connected"`
	LastSeen  time.Time `json:"lastSeen,omitzero"`
	LostAt    time.Time `json:"lostAt,omitzero"`   // when services replace the tasks on a machine that is not connected; zero: never
	Impaired  string    `json:"impaired,omitzero"` // why nothing new should be placed there
	// Hindered is what is in the way of load balancers there. Behind says that for this the machine does not follow what is written.
	Hindered string `json:"hindered,omitzero"`
	Behind   bool   `json:"behind,omitzero"`
	Running  int    `json:"running"`
	Pending  int    `json:"pending"`
	// CPU is in units (1024 = one core), memory in MiB.
	CPUTotal    int32 `json:"cpuTotal"`
	CPUFree     int32 `json:"cpuFree"`
	MemoryTotal int32 `json:"memoryTotal"`
	MemoryFree  int32 `json:"memoryFree"`
}

// Tasks are counts over all clusters of the account and region.
type Tasks struct {
	Running  int `json:"running"`
	Pending  int `json:"pending"`
	Stopping int `json:"stopping"`
}

// CreateJoinTokenRequest asks for a token with which a machine joins.
type CreateJoinTokenRequest struct {
	Cluster string `json:"cluster,omitzero"` // default "default"
	// TTLSeconds is how long the token works. Default 900, at most 86400.
	TTLSeconds int `json:"ttlSeconds,omitzero"`
	// Uses is how many machines may join with it. Default 1.
	Uses int `json:"uses,omitzero"`
}

// CreateJoinTokenResponse buys a machine its certificate.
type CreateJoinTokenResponse struct {
	Token   string    `json:"token"`
	Server  string    `json:"server"` // host:port of the agent listener
	Expires time.Time `json:"expires"`
}

// ExplainRequest asks why tasks are, or would be, where they are.
type ExplainRequest struct {
	Cluster string `json:"cluster,omitzero"`
	// Subject is a task (ID, ID prefix or ARN), a service (name or ARN), a deployment (ecs-svc/NUMBER or the ARN of a service
	// deployment), a load balancer (name, ARN or DNS name), a target group (name or ARN) or one of its targets (GROUP/TARGET, or the target alone), a task definition (family or
	// family:revision), or empty for the cluster.
	Subject string `json:"subject,omitzero"`
}

// ExplainResponse explains placement, machine by machine.
type ExplainResponse struct {
	Subject  string           `json:"subject"`
	Summary  string           `json:"summary"`
	Machines []ExplainMachine `json:"machines"`
	// Steps is what the machine does, or did, for the task.
	Steps []ExplainStep `json:"steps,omitzero"`
	// Reasons are sentences about what keeps a service or a deployment from being steady, the weightiest first.
	Reasons []string `json:"reasons,omitzero"`
	// Targets are those of the subject that are not healthy, or all that it names.
	Targets []Target `json:"targets,omitzero"`
	// Addresses are where a load balancer answers, or should.
	Addresses []Address `json:"addresses,omitzero"`
}

// ExplainMachine is one machine's answer.
type ExplainMachine struct {
	Machine string `json:"machine"` // container instance ID
	Fits    bool   `json:"fits"`
	Reason  string `json:"reason,omitzero"` // as in failures[]: RESOURCE:MEMORY, ATTRIBUTE, AGENT, ...
	Detail  string `json:"detail,omitzero"` // by how much: "needs 512 MiB, 128 left"
}

// ExplainStep is one step of a task on its machine.
type ExplainStep struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	Error string    `json:"error,omitzero"`
}

// ListEventsRequest asks for service events, which are kept for 30 days.
type ListEventsRequest struct {
	Cluster string `json:"cluster,omitzero"`
	Service string `json:"service,omitzero"` // name or ARN; empty: all services of the cluster
	// Since is the time of the oldest event wanted, in ms since the epoch.
	Since int64 `json:"since,omitzero"`
	// Limit is how many events are given at most, the newest. Default and maximum 1000.
	Limit int `json:"limit,omitzero"`
}

// ListEventsResponse has events, oldest first.
type ListEventsResponse struct {
	Events []Event `json:"events"`
}

// Event is one event of a service.
type Event struct {
	ID      string    `json:"id"`
	Cluster string    `json:"cluster"`
	Service string    `json:"service"`
	At      time.Time `json:"createdAt"`
	Message string    `json:"message"`
}

// GetAddressesRequest asks where something answers.
type GetAddressesRequest struct {
	Cluster string `json:"cluster,omitzero"`
	// Subject is a service (name or ARN) or a load balancer (name, ARN or DNS name).
	Subject string `json:"subject"`
}

// GetAddressesResponse has every address at which the subject answers, or will. Of a load balancer HTTP listeners come first, then HTTPS, then
// others; each by port.
type GetAddressesResponse struct {
	Addresses []Address `json:"addresses"`
}

// Address is where a port of a load balancer, or of a task without one, answers.
type Address struct {
	// LoadBalancer is the ARN of the load balancer; empty for a task's own port.
	LoadBalancer string `json:"loadBalancerArn,omitzero"`
	DNSName      string `json:"dnsName,omitzero"`
	Protocol     string `json:"protocol"` // HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP
	Port         int    `json:"port"`
	// Machine is the ARN of the container instance that answers, Local the address at which only it reaches the port itself.
	Machine string `json:"containerInstanceArn"`
	Local   string `json:"local,omitzero"`
	// Public is the address at which others reach the port, if there is one.
	Public string `json:"public,omitzero"`
	// Served says that the machine's traffic goes by the listener as it is written; Hindered what keeps the machine from what it should do.
	Served   bool   `json:"served"`
	Hindered string `json:"hindered,omitzero"`
}

// ListTargetsRequest asks for the load balancers' targets of a service's tasks.
type ListTargetsRequest struct {
	Cluster string `json:"cluster,omitzero"`
	Service string `json:"service"` // name or ARN
}

// ListTargetsResponse has the targets in order of their tasks.
type ListTargetsResponse struct {
	Targets []Target `json:"targets"`
}

// Target is one target of a target group.
type Target struct {
	Group  string `json:"targetGroupArn"`
	Target string `json:"target,omitzero"` // instance ID or address, a colon and the port; empty if it is not registered
	Task   string `json:"task,omitzero"`   // ID of the task behind it; empty if a client registered it
	// State and Description are those of DescribeTargetHealth; the state is missing if it is not registered.
	State       string `json:"state"`
	Description string `json:"description,omitzero"`
	// Probes are the answers to the last health check, one for each machine that carries traffic.
	Probes  []string `json:"probes,omitzero"`
	Summary string   `json:"summary"` // one sentence
}
