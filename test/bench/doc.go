// Command bench measures Berth against a baseline in the same run, in turns, so that whatever else the machine does
// hits both alike. scripts/bench.sh runs it; docs/reference/performance.md explains it and holds the last figures.
//
// Files:
//
//	main.go report.go stats.go   sections, the table that is printed, medians
//	berth.go client.go           a Berth of its own, and a small signing client
//	tasks.go runc.go             tasks that are started, and the same bundles by bare runc
//	start.go scale.go            one start; 0 to 50 tasks
//	service.go swarm.go          0 to 50 and 500 tasks of one service; the same in Docker Swarm
//	balance.go keepalive.go      requests through a load balancer, against a HAProxy with a file written by hand
//	haproxy.go elb.go            that HAProxy, and who is in rotation; a load balancer of Berth
//	failure.go                   from a target's failure to its removal
//	rest.go machine.go           processor time with services at rest, on simulated machines
//	api.go drive.go bare.go      requests per second, against a bare HTTP server
//	memory.go                    resident memory
//	gobench.go                   benchmarks of packages, printed again
package main
