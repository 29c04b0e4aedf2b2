// Command bench measures Berth against a baseline in the same run, in turns, so that whatever else the machine does
// hits both alike. scripts/bench.sh runs it; docs/reference/performance.md explains it and holds the last figures.
//
// Files:
//
//	main.go report.go stats.go   sections, the table that is printed, medians
//	berth.go client.go           a Berth of its own, and a small signing client
//	tasks.go runc.go             tasks that are started, and the same bundles by bare runc
//	start.go scale.go            one start; 0 to 50 tasks
//	api.go drive.go bare.go      requests per second, against a bare HTTP server
//	memory.go                    resident memory
//	gobench.go                   benchmarks of packages, printed again
package main
