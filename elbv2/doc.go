// Package elbv2 is Elastic Load Balancing v2: application and network load balancers, their listeners and rules, target
// groups and targets.
//
//	LoadBalancer ──< Listener ──< Rule ──▶ TargetGroup ──< Target ──< TargetHealth (one for each machine with ingress)
//
// Operations write records; FrameFor makes of them what a machine balances; package dispatch sends it to every machine
// with the ingress role and writes what those report into TargetHealth and Ingresses. A target's life:
//
//	Register ──▶ initial ──▶ healthy ⇄ unhealthy ── Deregister ──▶ draining ──▶ record gone
//	                                                              (until every connected ingress says drained, or the
//	                                                               deregistration delay is over)
//
// Files:
//
//	elbv2.go        Service, Deps, tables, reconcilers
//	loadbalancer.go, listener.go, rule.go, targetgroup.go   records and operations
//	target.go       targets: register, deregister, and the end of draining (target_reconciler.go)
//	health.go       what machines report of targets, and what follows from several reports (pure)
//	ingress.go      machines that carry traffic
//	frame.go        records -> haproxy.Frame
//	shift.go        what ECS changes in rules during deployments
//	haproxy/        Frame -> configuration, pure
package elbv2
