// Package vpc gives containers their network: network modes bridge and none of task definitions.
//
//	main namespace                      bridge namespace                 container's namespace
//	 (the agent's)                        (one per agent)                  (one per container)
//	  eth0, lo                             gateway 10.231.0.1 on lo
//	                                       endpoint 169.254.170.2 on lo
//	  bth1a2b3c4d  169.254.x.0/31 -------- uplink 169.254.x.1
//	  table berth_1a2b3c4d                 table berth
//	  host port -> 169.254.x.1             c2 -------------------------- eth0 10.231.0.2/32
//	                                       c3 -------------------------- eth0 10.231.0.3/32
//
// The bridge namespace is a router and not a layer-2 bridge: each container hangs on a link of its own with a host
// route. A bridge would end at 1,023 containers and would need ARP and MAC filters between neighbours; on a link of
// its own a container has nobody to deceive. An address that is not the container's own is dropped as it comes in.
//
// The container pool exists in the bridge namespace only. The main namespace knows the two link-local addresses of the
// uplink and nothing else, so agents on one machine may have the same pool, a network of the machine that overlaps with it loses
// nothing but being reached from containers, and no address of the pool ever appears on a wire. A published port is translated twice: in the main namespace to the
// uplink's far end under the same port, in the bridge namespace to the container. Both are nftables maps in the kernel:
// they carry traffic, localhost included, whether or not any process of Berth lives. Package portproxy holds the ports and
// carries IPv6.
//
// Containers reach the agent itself at 169.254.170.2, as on ECS, which exists in the bridge namespace only; those in network mode host at
// an address of the machine's loopback: see endpoint.go.
//
// UDP of load balancers is translated in tables of its own: see flows.go.
//
// Everything a restarted agent must know is in Config.Dir:
//
//	network.json          addresses of the uplink, pool (fabric)
//	ns/bridge, ns/<id>    namespaces, kept by bind mounts
//	containers/<id>.json  address and ports of a container, written before they are used (record)
//	balancers.json        addresses and ports of load balancers (balance)
//	proxy.*               package portproxy
//	names.json            what DNS answers (package names)
//
// Sysctls of the main namespace: net.ipv4.ip_forward is set to 1 and put back by Cleanup of the last agent of the
// machine; where it was 0 before, a rule keeps the machine from routing between its networks. All others belong to links and
// namespaces that go away.
package vpc
