package proto

import (
	"net/netip"

	"berth/elbv2/haproxy"
)

// Frame types of load balancing. Only agents whose Hello has Ingress set get and send them.
//
//	agent                                server
//	  │◀────────────────────────── ingress ─│   everything you should balance, revision N
//	  │── ingress-report ─────────────────▶│   what became of it, health of targets
//	  │◀────────────────────── ingress-ack ─│
const (
	TypeIngress       = "ingress"
	TypeIngressReport = "ingress-report"
	TypeIngressAck    = "ingress-ack"
)

// Ingress is everything that this machine should balance. A lower revision than one already seen in this session is
// ignored.
type Ingress struct {
	// Revision is one of the server's store, at which the frame was made: it says all that was written up to there. It rises from frame
	// to frame, and from session to session unless the store was restored from a backup.
	Revision uint64        `json:"revision"`
	Frame    haproxy.Frame `json:"frame"`
}

// IngressReport tells what became of an Ingress. It carries only targets whose state changed since the last
// acknowledged report; the first of a session carries all.
type IngressReport struct {
	Seq      uint64 `json:"seq"`
	Revision uint64 `json:"revision"` // of the newest Ingress that traffic follows; 0 if that is not known
	Full     bool   `json:"full,omitzero"`
	// Loopback is this machine's /22 of load balancers: base address + Number is where the machine itself reaches one.
	Loopback netip.Prefix `json:"loopback,omitzero"`
	// Published are the machine's own addresses at which load balancers that face the internet answer, by the ID of the load balancer.
	Published map[string]netip.Addr `json:"published,omitzero"`
	// Problem says what is in the way of traffic: HAProxy refuses the file, a port is taken. It has parts with a semicolon and a blank between
	// them; one that is a haproxy.Problem of a port says that this listener is left out.
	Problem string         `json:"problem,omitzero"`
	Targets []TargetStatus `json:"targets,omitzero"`
}

// States of a target as one machine sees it.
const (
	TargetInitial   = "initial"
	TargetHealthy   = "healthy"
	TargetUnhealthy = "unhealthy"
	TargetDraining  = "draining" // no new requests, some are open
	TargetDrained   = "drained"  // no requests are open, none will come
)

// TargetStatus is one target of one group.
type TargetStatus struct {
	Group  string `json:"group"`
	Target string `json:"target"`
	// Since is that of the target in the frame. What is said of another registration of the target is ignored.
	Since int64  `json:"since,omitzero"`
	State string `json:"state"`
	// Reason and Description are AWS's reason code and text, such as Target.ResponseCodeMismatch and
	// "Health checks failed with these codes: [500]".
	Reason      string `json:"reason,omitzero"`
	Description string `json:"description,omitzero"`
	// Probe is the answer to the last health check, in one line, for people.
	Probe string `json:"probe,omitzero"`
}

// IngressAck says that everything up to Seq is in the store.
type IngressAck struct {
	Seq uint64 `json:"seq"`
}

// MetricBatch is POSTed to PathMetrics: what this machine counted for load balancers in one period.
type MetricBatch struct {
	Samples []MetricSample `json:"samples"`
}

// MetricSample is one number of one minute, under the name and the dimensions that CloudWatch has for it.
type MetricSample struct {
	Namespace  string            `json:"namespace"` // AWS/ApplicationELB, AWS/NetworkELB
	Name       string            `json:"name"`      // RequestCount, TargetResponseTime, ...
	Dimensions map[string]string `json:"dimensions"`
	Unit       string            `json:"unit"`
	At         int64             `json:"at"` // start of the period, ms since the epoch
	Period     int               `json:"period"`
	Sum        float64           `json:"sum"`
	Count      float64           `json:"count"`
	Min        float64           `json:"min"`
	Max        float64           `json:"max"`
}

// AccessLogBatch is POSTed to PathAccessLogs: lines of the access log of one load balancer. The server knows to which log group they go.
type AccessLogBatch struct {
	LoadBalancer string     `json:"loadBalancer"` // ID, such as app/web/50dc6c495c0c9188
	Events       []LogEvent `json:"events"`
}

// Paths of what machines count and log for load balancers.
const (
	PathMetrics    = "/agent/v1/metrics"     // takes a MetricBatch
	PathAccessLogs = "/agent/v1/access-logs" // takes an AccessLogBatch
)
