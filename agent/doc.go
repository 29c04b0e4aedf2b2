// Package agent is the node agent: it brings one machine to the state of its assignment and tells the server what
// became of it.
//
//	server ──assignment──▶ session ──▶ node ──▶ runner (one per task) ──▶ actions ──▶ Images, Runtime, Network
//	   ▲                      │                  │   ▲                                      │
//	   └───────report─────────┴───── outbox ◀────┘   └── results, exits, health ────────────┘
//	                                    journal ◀┘
//
// The heart is the task machine: facts (task, container), and next, which concludes from facts alone what to do now
// and when to look again. It reads no clock and does nothing itself. A runner carries its plans out and feeds results
// back. Facts are in the journal, so a new process goes on where a killed one was, after comparing with what the
// runtime really has.
//
// What holds always: a status never goes back; the first cause of a stop stays; nothing is stopped because something
// is missing (no contact, a task that an assignment does not name, a definition that is not known).
//
// Files:
//
//	task.go container.go depends.go health.go plan.go facts.go steps.go   the task machine, pure
//	runner.go perform.go etcfiles.go volumes.go network.go pause.go       its actions
//	node.go journal.go outbox.go                                          all tasks of the machine
//	session.go identity.go host.go                                        the server, and who we are
//	logline.go logfiles.go logtarget.go logfollow.go logship.go           output of containers
//	endpoint.go taskprotection.go                                         what containers ask the agent
//	config.go run.go                                                      what a caller needs
//	runtime.go proto/                                                     contracts with oci, vpc and dispatch
package agent
