// Package haproxy turns load balancers, their rules and their target groups into what HAProxy carries traffic with.
//
// It is pure: the same Frame gives the same text. The control plane makes the Frame of its records (package elbv2), the
// agent of each machine with the ingress role renders it for that machine and keeps HAProxy at it (package agent/ingress).
//
//	elbv2 records ──▶ Frame ──dispatch──▶ agent ──▶ Config: the text (changes seldom: a reload)
//	                                            └──▶ Slots: which target is in which server slot (changes often: runtime socket)
//
//	frame.go       what is to be balanced
//	check.go       what of it cannot be, and why (Sound)
//	machine.go     the machine, and what comes out: Config, Backend
//	render.go      Render; global.go, listener.go, conditions.go, actions.go, headers.go, tls.go, backend.go: its sections
//	late.go        how a worker that stops hands requests to the next one
//	answers.go     what a load balancer says itself
//	quote.go       the only way by which texts of users get into the configuration; regex.go: the same for patterns
//	slots.go       Plan: which runtime commands bring slots to what is wanted
//	logscan.go     a line of the log into its fields
//	log.go         the line that HAProxy logs for a request, and ParseLog
//
// Nothing that a user can put into a record changes the structure of the configuration: every text goes through quote.go, regular
// expressions are parsed and written anew, bodies and certificates are files. FuzzRender holds HAProxy itself against it.
package haproxy
