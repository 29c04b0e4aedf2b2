// Package rollout decides which tasks of a service to start and which to stop now, and when a deployment has failed.
//
// It is pure: no clock, no I/O, no randomness. The same service, tasks and time give the same plan.
//
//	                 PRIMARY and well ───── keep ──▶ fewer than desired? start    more? stop the surplus
//	tasks ──▶ sort ─┤
//	                 old, on a draining      leave ──▶ stop while enough healthy ones remain (minimumHealthyPercent)
//	                 machine or unhealthy
//
// A task is healthy when its checks say so or, without checks, when it has run for a while; until then it settles. A
// settling task of those that leave still counts as serving, one that is new does not. So a rolling update never takes
// away a task before its successor is proven.
//
// Deployments that shift traffic (blue/green, linear, canary) go through stages besides:
//
//	RECONCILE_SERVICE ─▶ PRE_SCALE_UP ─▶ SCALE_UP ─▶ POST_SCALE_UP ─▶ TEST_TRAFFIC_SHIFT ─▶ POST_TEST_TRAFFIC_SHIFT ─┐
//	      ┌──────────────────────────────────────── for each step ────────────────────────────────────────────────┘
//	      ▼                                ┌────────┘
//	PRE_PRODUCTION_TRAFFIC_SHIFT ─▶ PRODUCTION_TRAFFIC_SHIFT ─▶ POST_PRODUCTION_TRAFFIC_SHIFT ─▶ BAKE_TIME ─▶ CLEAN_UP
//	any stage ── failure ──▶ traffic back to the old revision ─▶ its hooks again ─▶ new tasks stop
//
// The new revision takes traffic only when as many of its tasks as are desired are healthy; the old one loses tasks only in
// CLEAN_UP. A stage that moves traffic is over when every machine that carries traffic sends it there. In each stage the tasks of each revision are planned for themselves.
//
//	rollout.go  service, task, plan; replicas
//	daemon.go   one task on each machine
//	order.go    which of several equal tasks goes first
//	rebalance.go tasks of a service that rests, moved between zones
//	breaker.go  thresholds of the circuit breaker, what counts, pause between attempts
//	stage.go, lifecycle.go, scale.go  stages, steps and weights; what to do next in a stage; tasks of each revision
package rollout
