// Package names answers DNS queries for the names of Berth: those of load balancers below berth.internal, and those of
// the private DNS namespaces of an account and region.
//
// A Table is made of what the server has sent last (proto.Names) and never changes. There are two views of it: tasks reach a
// load balancer at its private addresses, which exist inside their network only; the machine itself at an address of its own
// loopback network. Answers are authoritative. What is in none of the zones is somebody else's: the caller passes it on or refuses it.
//
// Files: table.go (from proto.Names to a Table), answer.go (from a query to an answer), file.go (the file in which the agent keeps
// the names for the process that answers, which outlives it).
package names
