// Package servicediscovery is AWS Cloud Map: namespaces, services and the instances that are found under a service's
// name, by DiscoverInstances and, in private DNS namespaces, by DNS.
//
//	Namespace ──< Service ──< Instance
//	     HTTP: DiscoverInstances only      DNS_PRIVATE: DiscoverInstances and DNS
//
// Everything is done when the operation that asks for it returns; an Operation is a record of that, always SUCCESS, and
// is kept for a week. DNS is answered on the machines: ZonesFor makes of the records what a machine needs to know, and
// package dispatch sends it to the agents.
//
// Files:
//
//	servicediscovery.go  Service, Deps, tables, what operations share
//	namespace.go         namespaces: record and operations
//	service.go           services: record and operations; service_check.go: what DnsConfig may say
//	serviceattribute.go  the attributes of a service
//	instance.go          instances: record and operations; instance_check.go: what attributes may say
//	health.go            custom health
//	discover.go          DiscoverInstances
//	operation.go         operations
//	filter.go            filters of lists
//	tag.go               tags
//	register.go          what ECS does in its own transactions
//	dns.go               what DNS has for namespaces and services
//	coverage.go          what is refused, and why
package servicediscovery
