package haproxy

// requestHeaders writes what a request gets before it goes to a target.
func (r *renderer) requestHeaders(lb LoadBalancer, l Listener) {
	a := lb.Attributes
	r.hostHeader(lb, l)
	if a["routing.http.drop_invalid_header_fields.enabled"] == "true" {
		r.line("option http-restrict-req-hdr-names delete")
	}
	r.forwardedFor(a)
	r.line("http-request set-header X-Forwarded-Proto %s", scheme(l))
	r.line("http-request set-header X-Forwarded-Port %d", l.Port)
	// A trace that has begun goes on, with our own part in front.
	r.line("http-request set-header X-Amzn-Trace-Id %s if { req.fhdr(x-amzn-trace-id) -m sub Root= }", word("Self="+traceID+";%[req.fhdr(x-amzn-trace-id)]"))
	r.line("http-request set-header X-Amzn-Trace-Id %s unless { req.fhdr(x-amzn-trace-id) -m sub Root= }", word("Root="+traceID))
	if l.Protocol == "HTTPS" && a["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] == "true" {
		r.line("http-request set-header %s %%[ssl_fc_protocol]", word(header(l, "routing.http.request.x_amzn_tls_version.header_name", "X-Amzn-Tls-Version")))
		r.line("http-request set-header %s %%[ssl_fc_cipher]", word(header(l, "routing.http.request.x_amzn_tls_cipher_suite.header_name", "X-Amzn-Tls-Cipher-Suite")))
	}
}

// traceID is the time in 8 hex digits and 24 random ones.
const traceID = "1-%[date,hex,bytes(8,8),lower]-%[rand,hex,bytes(8,8),lower]%[rand,hex,bytes(8,8),lower]%[rand,hex,bytes(8,8),lower]"

func scheme(l Listener) string {
	if l.Protocol == "HTTPS" {
		return "https"
	}
	return "http"
}

func header(l Listener, key, otherwise string) string {
	if v := l.Attributes[key]; v != "" {
		return v
	}
	return otherwise
}

// hostHeader adds the port to a host without one, if it is not the protocol's own, and takes the protocol's own away.
func (r *renderer) hostHeader(lb LoadBalancer, l Listener) {
	if lb.Attributes["routing.http.preserve_host_header.enabled"] == "true" {
		return
	}
	if l.Protocol == "HTTP" && l.Port == 80 || l.Protocol == "HTTPS" && l.Port == 443 {
		r.line("http-request set-header Host %%[req.hdr(host),host_only] if { req.hdr(host) -m end :%d }", l.Port)
		return
	}
	r.line("http-request set-header Host %%[req.hdr(host)]:%d if { req.hdr(host) -m len gt 0 } { req.hdr(host),port_only -m int 0 }", l.Port)
}

// forwardedFor writes X-Forwarded-For as the load balancer's attributes say. What is there is continued in one line; of a request with several such
// lines, another one is added. The first one is written by the backends: see forwardedForFirst.
func (r *renderer) forwardedFor(attributes map[string]string) {
	switch attributes["routing.http.xff_header_processing.mode"] {
	case "preserve":
		return
	case "remove":
		r.line("http-request del-header X-Forwarded-For")
		return
	}
	client := "%[src]"
	if attributes["routing.http.xff_client_port.enabled"] == "true" {
		client = "%[var(txn.client)]"
		r.line("http-request set-var-fmt(txn.client) %s", word("%[src]:%[src_port]"))
		r.line("http-request set-var-fmt(txn.client) %s if { src -m ip ::/0 } !{ src -m ip 0.0.0.0/0 }", word("[%[src]]:%[src_port]"))
	}
	another := "if { var(txn.lines) -m int gt 1 }"
	if !forwardedForFirst(attributes) {
		another = "unless { var(txn.lines) -m int 1 }"
	}
	r.line("http-request set-var(txn.lines) req.fhdr_cnt(x-forwarded-for)")
	r.line("http-request add-header X-Forwarded-For %s %s", word(client), another)
	r.line("http-request set-header X-Forwarded-For %s if { var(txn.lines) -m int 1 }", word("%[req.fhdr(x-forwarded-for)], "+client))
}

// forwardedForFirst tells whether HAProxy's own option can write X-Forwarded-For where there is none yet: it costs less than a rule.
func forwardedForFirst(attributes map[string]string) bool {
	mode := attributes["routing.http.xff_header_processing.mode"]
	return mode != "preserve" && mode != "remove" && attributes["routing.http.xff_client_port.enabled"] != "true"
}

// responseHeaders are header fields of answers by the attribute that sets them. Source: ELB user guide, HTTP header modification.
var responseHeaders = []struct{ attribute, header string }{
	{"strict_transport_security", "Strict-Transport-Security"},
	{"access_control_allow_origin", "Access-Control-Allow-Origin"},
	{"access_control_allow_methods", "Access-Control-Allow-Methods"},
	{"access_control_allow_headers", "Access-Control-Allow-Headers"},
	{"access_control_allow_credentials", "Access-Control-Allow-Credentials"},
	{"access_control_expose_headers", "Access-Control-Expose-Headers"},
	{"access_control_max_age", "Access-Control-Max-Age"},
	{"content_security_policy", "Content-Security-Policy"},
	{"x_content_type_options", "X-Content-Type-Options"},
	{"x_frame_options", "X-Frame-Options"},
}

// answers writes what every answer gets, also those that the load balancer gives itself.
func (r *renderer) answers(lb LoadBalancer, l Listener) {
	for _, h := range responseHeaders {
		if v := l.Attributes["routing.http.response."+h.attribute+".header_value"]; v != "" {
			r.line("http-after-response set-header %s %s", h.header, word(format(v)))
		}
	}
	if l.Attributes["routing.http.response.server.enabled"] == "false" {
		r.line("http-after-response del-header Server")
	}
	if lb.Kind == Application {
		// HAProxy has no limit on the age of a connection, so the answer to a request that comes later ends it. It ends connections of HTTP/1 only.
		r.line("http-after-response set-header Connection close if { date,sub(sess.begun) gt %d } { fc_http_major lt 2 }",
			attribute(lb.Attributes, "client_keep_alive.seconds", 60, 604800, 3600))
	}
}

// desync refuses requests that servers may read in different ways. HAProxy itself refuses what RFC 9112 says must be refused and writes every
// request anew, in all modes: what is more than one reading to others has one when it arrives. So the modes monitor and defensive are the same
// (Differs: monitor lets nothing through that defensive would not), and strictest refuses what is allowed but rare.
func (r *renderer) desync(lb LoadBalancer) {
	if lb.Attributes["routing.http.desync_mitigation_mode"] != "strictest" {
		return
	}
	r.line("http-request deny deny_status 400 if { req.hdr_cnt(content-length) gt 1 }")
	r.line("http-request deny deny_status 400 if { req.hdr(content-length) -m found } { req.hdr(transfer-encoding) -m found }")
	r.line("http-request deny deny_status 400 if { method GET HEAD OPTIONS TRACE } { req.hdr(content-length),add(0) gt 0 }")
	r.line("http-request deny deny_status 400 if { method GET HEAD OPTIONS TRACE } { req.hdr(transfer-encoding) -m found }")
}

// timeouts writes how long a client may be silent.
func (r *renderer) timeouts(lb LoadBalancer, l Listener) {
	idle := idleSeconds(lb, l)
	r.line("timeout client %ds", idle)
	if isHTTP(lb, l) {
		r.line("timeout http-request %ds", min(idle, 60))
		r.line("timeout http-keep-alive %ds", idle)
	}
}

// never is a timeout of 20 days: HAProxy wants one, and takes at most 24.
const never = 1728000

// idleSeconds is how long nothing may come from either side.
func idleSeconds(lb LoadBalancer, l Listener) int {
	switch {
	case lb.Kind == Application:
		return attribute(lb.Attributes, "idle_timeout.timeout_seconds", 1, 4000, 60)
	case lb.Kind == Network:
		return attribute(l.Attributes, "tcp.idle_timeout.seconds", 60, 6000, 350)
	}
	otherwise := 3600
	if isHTTP(lb, l) {
		otherwise = 300
	}
	if n := attribute(lb.Attributes, "idle_timeout.timeout_seconds", 0, never, otherwise); n > 0 {
		return n
	}
	return never
}

// isHTTP says whether the listener looks into requests.
func isHTTP(lb LoadBalancer, l Listener) bool {
	return lb.Kind != Network && (l.Protocol == "HTTP" || l.Protocol == "HTTPS")
}
