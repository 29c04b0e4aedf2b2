// Package ec2 is the part of Amazon EC2 that load balancers, services and their clients need: the default VPC of each
// account and region with everything in it, security groups and network interfaces.
//
//	Vpc 172.31.0.0/16 ──< Subnet (one for each zone) ──< NetworkInterface >── SecurityGroup ──< SecurityGroupRule
//	    ├── RouteTable (main) ── InternetGateway
//	    └── NetworkAcl
//
// What every account and region has from the beginning is derived, not written: IDs are hashes of the account, the region and
// what they name. Records are kept of what users change: security groups, tags, network interfaces, and zones beyond the
// region's first three. Every account has the same addresses, so a network interface's address is unique over all
// accounts and regions of a control plane.
//
// Security groups do not filter packets yet. VPCs and subnets other than the default ones cannot be made yet.
//
//	ec2.go                       the service
//	id.go                        IDs: derived, random, malformed, not found
//	filter.go                    filters of Describe operations
//	page.go                      what all Describe operations do: IDs, filters, order, pages
//	region.go, zone.go           regions and availability zones; zone_reconciler.go records the zones of machines
//	vpc.go, subnet.go, routetable.go, internetgateway.go, networkacl.go    the default VPC
//	address.go, natgateway.go    empty lists
//	networkinterface.go          network interfaces and their addresses; networkinterface_describe.go shows them
//	securitygroup.go             security groups; securitygroup_operations.go, securitygroup_wire.go (how they are shown)
//	securitygrouprule.go         their rules; securitygrouprule_request.go reads rules from requests, _revoke.go removes them
//	tag.go                       tags of everything
//	coverage.go                  what is acted on, stored only or refused
package ec2
