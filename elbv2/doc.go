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
//	loadbalancer.go, listener.go, rule.go, targetgroup.go   records
//	loadbalancer_create.go, *_operations.go, *_attribute.go, *_certificate.go   operations of a noun
//	rule_action.go, rule_condition.go   what is asked of actions, conditions and transforms
//	attribute.go    attributes of load balancers and listeners: names, defaults, values
//	tag.go, limit.go, sslpolicy.go, truststore.go   what is there for all
//	failure.go, page.go   errors that several operations have; pages of lists
//	coverage.go     what is refused or stored only, and why
//	target.go       targets: register, deregister, and the end of draining (target_reconciler.go)
//	health.go       what machines report of targets, and what follows from several reports (pure)
//	ingress.go      machines that carry traffic
//	frame.go        records -> haproxy.Frame
//	why.go          what keeps a load balancer from answering, for people
//	follow.go       which machines do not go by what is written yet
//	connect.go      ports of Service Connect, which ECS claims: a load balancer with a target group that the API does not show
//	shift.go        what ECS changes in rules during deployments
//	haproxy/        Frame -> configuration, pure
package elbv2
