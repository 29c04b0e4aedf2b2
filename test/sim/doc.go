// Package sim has scenario tests: the whole control plane in one process, with a store in memory, asked by the AWS SDK
// over pipes; machines are simulated and speak the real protocol over mutual TLS; time is virtual. So an hour of
// retention or a machine that is silent for minutes takes milliseconds.
//
// BERTH_SIM_LOG=1 with -v shows the control plane's log.
//
//	wire_test.go      listeners and cables that can be pulled
//	world_test.go     the control plane and its client
//	machine_test.go   a simulated machine
//	ingress_test.go   the part of a machine that carries load balancers' traffic
//	*_rule_test.go    the scenarios
//	fault_test.go     random faults from a seed, with the laws checked after each step
package sim
