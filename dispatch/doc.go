// Package dispatch is the control plane's end of the agent protocol (agent/proto): it lets machines join, keeps one
// session per machine, sends each its complete assignment whenever that changes, and writes what machines report into
// the store.
//
//	token ──▶ join ──▶ certificate ──▶ session ──▶ hello ─▶ welcome ─▶ assignment ⇄ report, heartbeat
//	                      ▲   renew │
//	                      └─────────┘
//
// Who a machine is comes from its certificate and from nothing that it says. A machine has one session; a newer one
// replaces it, and the store takes nothing more from the older, because every report is written in one transaction with
// a check of the session. Nothing is stopped because something is missing: what an assignment says is to be stopped is
// positively known to be over (ecs.Verdict).
//
//	authority.go  the certificates of machines and of the listener
//	token.go      join tokens
//	join.go       a token buys a certificate; a certificate buys its successor
//	server.go     the listener, and which machine has which session
//	session.go    hello, welcome, assignments, reports, heartbeats
//	frame.go      frames of agents, checked
//	machine.go    which session of a machine may write
//	logs.go       log events of tasks, access logs of load balancers
//	ingress.go    what machines balance, what they say of targets
//	metrics.go    what machines count for load balancers
//	taskprotection.go  what tasks say of their own protection
//	limiter.go    how often an address may try to join, and tasks ask
package dispatch
