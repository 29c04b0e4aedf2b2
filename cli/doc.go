// Package cli is what the sub-commands of berth share: finding a Berth, calling its AWS APIs with signed
// requests, tables, and errors in four parts. It is a client like any other: it never reads the store.
//
//	connection.go  which Berth, with which credentials
//	client.go      one signed call of an AWS JSON 1.1 operation, and of Berth's own /_berth/ routes
//	output.go      tables on a terminal, plain lines in a pipe, -o json
//	failure.go     error, cause, fix, code
//	progress.go    a line for what takes longer than a second
package cli
