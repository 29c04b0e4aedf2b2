// Package server is the control plane assembled: the store, the services, the front door, the agents' listener and
// the reconcilers.
//
//	config.go       what can be set, and what is refused
//	services.go     THE list of everything that runs
//	server.go       start, listen, end
//	own.go          Berth's own operations: status, join tokens, backups, explanations
//	credentials.go  the key pair that is made at the first start, and the key of page tokens
package server
