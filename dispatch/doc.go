// Package dispatch is the control plane's end of the agent protocol (agent/proto): it lets machines join, keeps one
// session per machine, sends each its complete assignment whenever that changes, and writes what machines report into
// the store.
//
//	authority.go  the certificates of machines and of the listener
//	token.go      join tokens
//	join.go       a token buys a certificate; a certificate buys its successor
//	server.go     the listener, and which machine has which session
//	session.go    hello, welcome, assignments, reports, heartbeats
//	logs.go       log events of tasks
//	limiter.go    how often an address may try to join
package dispatch
