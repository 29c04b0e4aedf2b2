// Package ingress is the machine's side of load balancing: it makes HAProxy carry the traffic of a frame, checks targets and says what became of them.
//
//	proto.Ingress ──▶ Apply ──▶ frame.json
//	                   │
//	                   ├──▶ keepConfig (keep.go, render.go)   text, haproxy -c, start, reload     ──▶ HAProxy's master
//	                   ├──▶ keepSlots (slots.go)              which target serves in which slot   ──▶ every worker, old ones too
//	                   ├──▶ syncFlows (flows.go)              which target has which UDP          ──▶ the kernel, by agent/vpc
//	                   └──▶ checker (checker.go, probe.go, health.go)   is it well                 ──▶ keepSlots
//	proto.AccessLogBatch ◀── accessLog (accesslog.go, accessline.go) ◀── a line for each request, where there are access logs (logsocket.go)
//	proto.IngressReport ◀── Report (report.go)
//	proto.MetricBatch   ◀── meter (metrics.go, samples.go) ◀── counters of every worker (counts.go)
//
// HAProxy is a process of its own that outlives the agent. A reload happens only when the rendered text or its files change; targets come and go by
// its runtime socket. The file on disk always has the newest slots filled in (fill.go), so that a worker serves from its first moment.
//
// The agent also has HAProxy's listening sockets (listeners.go). When HAProxy is killed, clients that connect wait for the next one; requests that were under way
// are lost.
//
// A worker that stops is held (hold.go) until it has no connection any more and its counters have been read for the last time, so a reload loses no request of
// the metrics. What HAProxy has counted since the last look, 5 seconds, is lost when it is killed.
//
// A target is drained when its slot is in maintenance in every worker and two looks in a row found no session there. An old worker, which only serves
// the connections that it has, takes no commands: so a request that comes to it by a connection that a client has kept open goes to the
// newest worker, and its answer ends the connection.
//
// Config.Dir has:
//
//	frame.json     the newest frame, with keys, for a start without a server
//	running.json   what HAProxy was last made to serve
//	haproxy.cfg    its file; haproxy.cfg.new the one that is being checked
//	flows.json     targets that have UDP, for the next agent
//	files-*        certificates, answers and maps of a configuration
//	master.sock    HAProxy's master; stats.sock its newest worker; log.sock, where it writes requests of access logs; kept.sock, where the next HAProxy
//	               gets the listeners of one that was killed; haproxy.pid, haproxy.log
package ingress
