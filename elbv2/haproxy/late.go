package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
)

// A worker that stops does not close the connections that clients keep alive: the next request may be on its way. It comes with the slots of the past, which
// HAProxy 2.6 lets nobody change any more. So such a request goes to the next worker, by a socket that each listener has for that, and its answer ends the
// connection.

// late is the prefix of backends that lead to the next worker.
const late = "l."

// lateBind writes the socket of a listener.
func (r *renderer) lateBind(lb LoadBalancer, l Listener) {
	if r.m.LateDir != "" {
		r.line("bind %s accept-proxy mode 600", word("unix@"+r.lateSocket(lb, l)))
	}
}

// lateRequests leaves a request alone that comes when the worker stops. It must be the first rule.
func (r *renderer) lateRequests(logged bool) {
	if r.m.LateDir == "" {
		return
	}
	r.line("http-request set-var(txn.late) bool(true) if { stopping }")
	if logged {
		r.line("http-request set-log-level silent if { var(txn.late) -m found }") // the next worker logs it
	}
	r.line("http-request allow if { var(txn.late) -m found }")
}

func (r *renderer) lateUse(lb LoadBalancer, l Listener) {
	if r.m.LateDir != "" {
		r.line("use_backend %s if { var(txn.late) -m found }", lateName(lb, l))
	}
}

// lateBackend leads to the next worker, whose time limits hold.
func (r *renderer) lateBackend(lb LoadBalancer, l Listener) {
	if r.m.LateDir == "" {
		return
	}
	r.section("backend", lateName(lb, l))
	r.line("mode http")
	r.line("timeout server %ds", never)
	r.line("timeout tunnel %ds", never)
	r.line("server next %s send-proxy-v2", word("unix@"+r.lateSocket(lb, l)))
}

func lateName(lb LoadBalancer, l Listener) string {
	return late + strings.TrimPrefix(FrontendName(lb.ID, l.Port), "f.")
}

// lateSocket has a short name: paths of sockets have 107 bytes at most.
func (r *renderer) lateSocket(lb LoadBalancer, l Listener) string {
	sum := sha256.Sum256([]byte(FrontendName(lb.ID, l.Port)))
	return path.Join(r.m.LateDir, LatePrefix+hex.EncodeToString(sum[:4]))
}

// LatePrefix begins the names of sockets in Machine.LateDir.
const LatePrefix = "on-"

// LateOwner is the ID of the load balancer whose requests a backend leads to the next worker.
func LateOwner(backend string) (string, bool) {
	name, ok := strings.CutPrefix(backend, late)
	if !ok {
		return "", false
	}
	return FrontendOwner("f." + name)
}
