package haproxy

import "net/netip"

// Frame is everything that one machine balances. It is complete: what is not in it is not balanced.
// Written by: elbv2.FrameFor; read by the agent.
type Frame struct {
	LoadBalancers []LoadBalancer `json:"loadBalancers,omitzero"` // in order of Number, then ID
	// Groups has every target group that is forwarded to from LoadBalancers, and those to which nothing is forwarded any more but
	// that have targets that still drain; in order of ID.
	Groups []Group `json:"groups,omitzero"`
	// Certificates has every certificate that a listener of LoadBalancers names, in order of ID.
	Certificates []Certificate `json:"certificates,omitzero"`
}

// Kinds of load balancers.
const (
	Application = "application"
	Network     = "network"
	// Connect is a port of Service Connect: one listener without rules, reached by tasks only.
	Connect = "connect"
)

// LoadBalancer is one load balancer with its listeners.
type LoadBalancer struct {
	// ID is the last part of the ARN, such as app/web/50dc6c495c0c9188; of Connect, connect/<namespace>/<alias>.
	ID string `json:"id"`
	// Number is unique among all load balancers of the control plane, from 1 to MaxNumber. Each machine adds it to
	// its own loopback network, so that load balancers share no address.
	Number int    `json:"number"`
	Kind   string `json:"kind"` // Application, Network, Connect
	// Addresses are those at which tasks reach it. They exist inside the network of tasks only.
	Addresses      []netip.Addr `json:"addresses,omitzero"`
	InternetFacing bool         `json:"internetFacing,omitzero"`
	Listeners      []Listener   `json:"listeners,omitzero"` // in order of port
	// Attributes are those of the load balancer as the API has them, such as idle_timeout.timeout_seconds; what is not there has its
	// default. Of Connect: idle_timeout.timeout_seconds and request_timeout.seconds, of which 0 is no limit.
	Attributes map[string]string `json:"attributes,omitzero"`
}

// MaxNumber is the largest number of a load balancer: a machine's loopback network is a /22.
const MaxNumber = 1022

// Listener is one port of a load balancer.
type Listener struct {
	ID           string            `json:"id"` // last part of its ARN after the load balancer's ID, 16 hex digits
	Port         int               `json:"port"`
	Protocol     string            `json:"protocol"`              // HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP
	Certificates []string          `json:"certificates,omitzero"` // IDs; the first is the default, the others are chosen by SNI
	SSLPolicy    string            `json:"sslPolicy,omitzero"`
	ALPN         string            `json:"alpn,omitzero"` // of TLS listeners: HTTP1Only, HTTP2Only, HTTP2Optional, HTTP2Preferred, None
	Rules        []Rule            `json:"rules"`         // in order of evaluation; the last is the default and has no conditions
	Attributes   map[string]string `json:"attributes,omitzero"`
}

// Rule says what is done with requests for which all conditions hold.
type Rule struct {
	ID         string      `json:"id"` // last part of the ARN; "default" for the default rule
	Conditions []Condition `json:"conditions,omitzero"`
	Action     Action      `json:"action"`
	// Rewrites change host and path before a request is forwarded, in order.
	Rewrites []Rewrite `json:"rewrites,omitzero"`
}

// Condition holds if any of its values matches.
type Condition struct {
	Field  string   `json:"field"`           // host-header, path-pattern, http-header, http-request-method, query-string, source-ip
	Header string   `json:"header,omitzero"` // of http-header
	Values []string `json:"values,omitzero"` // with wildcards * and ?, except for methods and source-ip (CIDR)
	Regex  []string `json:"regex,omitzero"`  // of host-header, path-pattern and http-header
	Query  []Pair   `json:"query,omitzero"`  // of query-string, with wildcards; an empty key matches any key
}

// Pair is a key and a value of a query string.
type Pair struct {
	Key   string `json:"key,omitzero"`
	Value string `json:"value"`
}

// Rewrite replaces what Regex matches in the host or the URL.
type Rewrite struct {
	Type    string `json:"type"` // host-header-rewrite, url-rewrite
	Regex   string `json:"regex"`
	Replace string `json:"replace"`
}

// Kinds of actions.
const (
	Forward       = "forward"
	RedirectTo    = "redirect"
	FixedResponse = "fixed-response"
)

// Action is what a rule does.
type Action struct {
	Kind string `json:"kind"`
	// Of Forward: groups with their shares, and for how many seconds a client stays with its group (0: it does not).
	Groups     []Weighted `json:"groups,omitzero"`
	Stickiness int        `json:"stickiness,omitzero"`

	Redirect *Redirect `json:"redirect,omitzero"`
	Fixed    *Fixed    `json:"fixed,omitzero"`
}

// Weighted is a target group with its share of the traffic.
type Weighted struct {
	Group  string `json:"group"`  // ID
	Weight int    `json:"weight"` // 0 to 999
}

// Redirect has the parts of the new URL, with the placeholders #{protocol}, #{host}, #{port}, #{path} and #{query}.
type Redirect struct {
	Protocol string `json:"protocol"` // HTTP, HTTPS or #{protocol}
	Host     string `json:"host"`
	Port     string `json:"port"`
	Path     string `json:"path"`
	Query    string `json:"query"`
	Status   int    `json:"status"` // 301 or 302
}

// Fixed is an answer that the load balancer gives itself.
type Fixed struct {
	Status      int    `json:"status"` // 2xx, 4xx, 5xx
	ContentType string `json:"contentType,omitzero"`
	Body        string `json:"body,omitzero"` // at most 1024 characters
}

// Group is a target group.
type Group struct {
	ID       string `json:"id"`               // last part of the ARN, such as targetgroup/web/73e2d6bc24d8a067
	Protocol string `json:"protocol"`         // HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP
	Version  string `json:"version,omitzero"` // HTTP1, HTTP2, GRPC
	// Attributes are those of the target group as the API has them, such as stickiness.enabled and
	// load_balancing.algorithm.type; what is not there has its default. Behind Connect also outlier.failures, so many in a row eject a target,
	// and outlier.seconds, for how long.
	Attributes map[string]string `json:"attributes,omitzero"`
	Check      HealthCheck       `json:"check"`
	Targets    []Target          `json:"targets,omitzero"` // in order of ID
}

// HealthCheck is how a group's targets are checked. Seconds are whole seconds, as in the API.
type HealthCheck struct {
	Enabled   bool   `json:"enabled"`
	Protocol  string `json:"protocol"`       // HTTP, HTTPS, TCP
	Port      int    `json:"port,omitzero"`  // 0: the target's own
	Path      string `json:"path,omitzero"`  // of HTTP and HTTPS
	Codes     string `json:"codes,omitzero"` // such as 200 or 200-299,302; of GRPC such as 0 or 0-99
	Interval  int    `json:"interval"`       // seconds
	Timeout   int    `json:"timeout"`        // seconds
	Healthy   int    `json:"healthy"`        // successes in a row that make a target healthy
	Unhealthy int    `json:"unhealthy"`      // failures in a row that make it unhealthy
}

// Target is one address of a group.
type Target struct {
	ID   string `json:"id"`   // as registered: instance ID or address, then a colon and the port
	Host string `json:"host"` // address of the machine or of the target itself
	Port int    `json:"port"`
	// Instance is the ARN of the container instance that Host belongs to, for targets of type instance: on that machine itself the
	// target is reached by way of localhost.
	Instance string `json:"instance,omitzero"`
	// Since tells one registration of the same target from another, in ms since the epoch: with another Since, its health begins anew.
	Since int64 `json:"since,omitzero"`
	// Draining: no new request goes there, open ones end.
	Draining bool `json:"draining,omitzero"`
}

// Certificate is a certificate with its key.
type Certificate struct {
	ID string `json:"id"` // the last part of its ARN, in characters that a file name may have
	// Digest tells one content of the same ID from another.
	Digest string `json:"digest"`
	// PEM has the certificate, its chain and the private key. It prints as ***.
	PEM PEM `json:"pem"`
}

// PEM holds a private key and shows itself to nobody but JSON.
type PEM string

func (PEM) String() string   { return "***" }
func (PEM) GoString() string { return "***" }
