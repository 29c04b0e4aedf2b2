// Package berth has the shapes of Berth's own routes, below /_berth/v1/ on the API listener. They are signed like
// every AWS call (signing name "berth") and carry JSON.
package berth

import "time"

// Routes.
const (
	PathStatus = "/_berth/v1/status" // GET: Status
	PathTokens = "/_berth/v1/tokens" // POST TokenRequest: Token
	PathWhy    = "/_berth/v1/why"    // POST WhyRequest: Why
	PathBackup = "/_berth/v1/backup" // GET: the snapshot, as bytes
	// PathReady answers without a signature: 200 when the server serves, 503 before.
	PathReady = "/_berth/v1/ready"
)

// Status is the health of one Berth.
type Status struct {
	Version  string    `json:"version"`
	Account  string    `json:"account"`
	Region   string    `json:"region"`
	Parts    []Part    `json:"parts"`
	Machines []Machine `json:"machines"`
	Tasks    Tasks     `json:"tasks"`
}

// Healthy says whether every part and every machine is well.
func (s Status) Healthy() bool {
	for _, p := range s.Parts {
		if !p.Healthy {
			return false
		}
	}
	for _, m := range s.Machines {
		if !m.Connected || m.Impaired != "" {
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
	Impaired  string    `json:"impaired,omitzero"` // why nothing new should be placed there
	Running   int       `json:"running"`
	Pending   int       `json:"pending"`
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

// TokenRequest asks for a token with which a machine joins.
type TokenRequest struct {
	Cluster string `json:"cluster,omitzero"` // default "default"
	// TTLSeconds is how long the token works. Default 900, at most 86400.
	TTLSeconds int `json:"ttlSeconds,omitzero"`
	// Uses is how many machines may join with it. Default 1.
	Uses int `json:"uses,omitzero"`
}

// Token buys a machine its certificate.
type Token struct {
	Token   string    `json:"token"`
	Server  string    `json:"server"` // host:port of the agent listener
	Expires time.Time `json:"expires"`
}

// WhyRequest asks why tasks are, or would be, where they are.
type WhyRequest struct {
	Cluster string `json:"cluster,omitzero"`
	// Subject is a task (ID, ID prefix or ARN), a task definition (family or family:revision), or empty for the cluster.
	Subject string `json:"subject,omitzero"`
}

// Why explains placement, machine by machine.
type Why struct {
	Subject  string       `json:"subject"`
	Summary  string       `json:"summary"`
	Machines []WhyMachine `json:"machines"`
	// Steps is what the machine does, or did, for the task.
	Steps []WhyStep `json:"steps,omitzero"`
}

// WhyMachine is one machine's answer.
type WhyMachine struct {
	Machine string `json:"machine"` // container instance ID
	Fits    bool   `json:"fits"`
	Reason  string `json:"reason,omitzero"` // as in failures[]: RESOURCE:MEMORY, ATTRIBUTE, AGENT, ...
	Detail  string `json:"detail,omitzero"` // by how much: "needs 512 MiB, 128 left"
}

// WhyStep is one step of a task on its machine.
type WhyStep struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	Error string    `json:"error,omitzero"`
}
