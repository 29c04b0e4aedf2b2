package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// calm is the end of the name of a backend's twin for Service Connect: the same servers, none of which is ejected.
const calm = ".all"

// backend writes the backend of a target group once.
func (r *renderer) backend(lb LoadBalancer, l Listener, group string) {
	g, ok := r.groups[group]
	if !ok {
		g = Group{ID: group}
	}
	b := Backend{Name: BackendName(lb.ID, group), LoadBalancer: lb.ID, Group: group}
	if r.made[b.Name] {
		return
	}
	r.made[b.Name] = true
	b.Slots = Slots(len(g.Targets), r.slots[group])
	servers := func(options string) {
		r.backends = append(r.backends, b)
		r.section("backend", b.Name)
		if isHTTP(lb, l) {
			r.httpBackend(lb, l, g)
		} else {
			r.tcpBackend(lb, l, g)
		}
		r.line("server-template s 1-%d 127.0.0.1:1 disabled weight %d%s%s", b.Slots, FullWeight, serverOptions(lb, l, g), options)
	}
	if lb.Kind != Connect {
		servers("")
		return
	}
	servers(ejection(lb, l, g))
	b.Name += calm
	servers("")
}

// ejection takes a server out after a number of failures in a row; after a time it comes back. HAProxy wants a check for that, which is but a connection.
//
// Tried with 2.6: a slot that leaves maintenance serves at once, checked or not; answers with 5xx (but 501 and 505) and failed connections
// count, an answer below 500 starts anew. When all are out, their twins in the second backend take over, as Envoy's panic mode does.
func ejection(lb LoadBalancer, l Listener, g Group) string {
	layer := "layer4"
	if isHTTP(lb, l) {
		layer = "layer7"
	}
	return fmt.Sprintf(" check inter %ds fall 1 rise 1 observe %s error-limit %d on-error mark-down",
		attribute(g.Attributes, "outlier.seconds", 1, 86400, 30), layer, attribute(g.Attributes, "outlier.failures", 1, 1000, 5))
}

func (r *renderer) httpBackend(lb LoadBalancer, l Listener, g Group) {
	idle := idleSeconds(lb, l)
	r.line("mode http")
	switch g.Attributes["load_balancing.algorithm.type"] {
	case "least_outstanding_requests":
		r.line("balance leastconn")
	case "weighted_random":
		r.line("balance random(1)")
	default:
		r.line("balance roundrobin")
	}
	r.line("timeout tunnel %ds", idle)
	answer := idle
	if lb.Kind == Connect {
		if n := attribute(lb.Attributes, "request_timeout.seconds", 0, never, 15); n > 0 {
			answer = n
		} else {
			answer = never
		}
		// What may be repeated without harm also goes to another server when one says that it cannot serve.
		r.line("retry-on conn-failure empty-response 503")
	} else {
		// A server may end a connection just when a request comes by it.
		r.line("retry-on conn-failure empty-response")
	}
	r.line("timeout server %ds", answer)
	if lb.Kind == Application {
		if forwardedForFirst(lb.Attributes) {
			r.line("option forwardfor if-none")
		}
		r.responseTimes(BackendName(lb.ID, g.ID))
	}
	if g.Attributes["stickiness.enabled"] == "true" {
		r.stickiness(g)
	}
}

// timesSection holds the tables of response times. One that is disabled has no peers; in a section of backends HAProxy would empty them when it stops.
const timesSection = "times"

// responseTimes counts how many answers took how many milliseconds, in a table of which these are the keys. HAProxy's own counters have
// an average only.
func (r *renderer) responseTimes(backend string) {
	r.line("http-response set-var-fmt(txn.ms) %%Tr if { status ge 200 }")
	r.line("http-response track-sc0 var(txn.ms) table %s/%s", timesSection, backend)
	r.line("http-response sc-inc-gpc0(0)")
	r.timed = append(r.timed, backend)
}

// times writes the tables.
func (r *renderer) times() {
	if len(r.timed) == 0 {
		return
	}
	r.section("peers", timesSection)
	r.line("disabled")
	for _, b := range r.timed {
		r.line("table %s type integer size 20k store gpc0", b)
	}
}

// TimesTable is the table in which a backend counts how long answers took: keys are milliseconds, gpc0 is how many. Empty: it does not.
func TimesTable(backend string) string {
	if balancer, _, ok := BackendOwner(backend); !ok || !strings.HasPrefix(balancer, "app/") {
		return ""
	}
	return timesSection + "/" + backend
}

// TimesBackend is the backend of a table.
func TimesBackend(table string) string { return strings.TrimPrefix(table, timesSection+"/") }

// stickiness keeps a client at its server by a cookie, a keyed hash of the server's address and port: it means the same in every worker, and one that was made up names no server. A
// slot in maintenance is passed over, and the answer names the new server.
//
// Differs: a target on the machine itself is known by another address than elsewhere, so its cookie holds for one machine.
func (r *renderer) stickiness(g Group) {
	key := sha256.Sum256([]byte("sticky\n" + g.ID))
	switch g.Attributes["stickiness.type"] {
	case "lb_cookie":
		// Each answer renews the cookie; HAProxy writes its date into it and takes no older one.
		seconds := attribute(g.Attributes, "stickiness.lb_cookie.duration_seconds", 1, 604800, 86400)
		r.line("cookie AWSALB insert dynamic maxidle %ds attr Max-Age=%d", seconds, seconds)
		r.line("http-request add-header Cookie AWSALB=%%[req.cook(AWSALBCORS)] if { req.cook(AWSALBCORS) -m found } !{ req.cook(AWSALB) -m found }")
		r.line("http-after-response add-header Set-Cookie %s if { res.cook(AWSALB) -m found }",
			word(fmt.Sprintf("AWSALBCORS=%%[res.cook(AWSALB)]; path=/; Max-Age=%d%s", seconds, crossSite("CORS"))))
	case "app_cookie":
		// The target begins the session by setting its own cookie. HAProxy then writes the server into ours.
		own := word("res.cook(" + argument(g.Attributes["stickiness.app_cookie.cookie_name"]) + ")")
		asked := word("req.cook(" + argument(g.Attributes["stickiness.app_cookie.cookie_name"]) + ")")
		seconds := attribute(g.Attributes, "stickiness.app_cookie.duration_seconds", 1, 604800, 86400)
		r.line("cookie AWSALBAPP-0 rewrite dynamic")
		// Without the target's cookie ours means nothing.
		r.line(`http-request replace-header Cookie '^(.*?)AWSALBAPP-0=[^;]*(.*)$' '\1\2' unless { %s -m found }`, asked)
		r.line("http-response add-header Set-Cookie %s if { %s -m found }", word(fmt.Sprintf("AWSALBAPP-0=x; Expires=%%[date(%d),http_date]; Path=/", seconds)), own)
	default:
		return
	}
	r.line("dynamic-cookie-key %s", hex.EncodeToString(key[:16]))
}

func (r *renderer) tcpBackend(lb LoadBalancer, l Listener, g Group) {
	idle := idleSeconds(lb, l)
	r.line("mode tcp")
	if g.Attributes["stickiness.enabled"] == "true" && g.Attributes["stickiness.type"] == "source_ip" {
		// By the slot's number, which as a rule is the same in every worker: see Plan.
		r.line("balance source")
		r.line("hash-type consistent")
	} else {
		r.line("balance roundrobin")
	}
	r.line("timeout server %ds", idle)
	r.line("timeout tunnel %ds", idle)
}

// serverOptions are those of every server of a group.
func serverOptions(lb LoadBalancer, l Listener, g Group) string {
	var out strings.Builder
	secure := g.Protocol == "HTTPS" || g.Protocol == "TLS"
	if secure {
		out.WriteString(" ssl verify none") // load balancers do not check targets' certificates
	}
	if isHTTP(lb, l) {
		switch two := g.Version == "HTTP2" || g.Version == "GRPC"; {
		case two && secure:
			out.WriteString(" alpn h2")
		case two:
			out.WriteString(" proto h2")
		case secure:
			out.WriteString(" alpn http/1.1")
		}
	}
	if lb.Kind == Network && g.Attributes["proxy_protocol_v2.enabled"] == "true" {
		out.WriteString(" send-proxy-v2")
	}
	// It works when a slot leaves maintenance. A new worker begins with all of them alike, so each still has its share.
	if n := attribute(g.Attributes, "slow_start.duration_seconds", 0, 900, 0); n > 0 && lb.Kind == Application {
		fmt.Fprintf(&out, " slowstart %ds", n)
	}
	return out.String()
}
