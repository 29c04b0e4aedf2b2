// Package haproxy turns load balancers, their rules and their target groups into what HAProxy carries traffic with.
//
// It is pure: the same Frame gives the same text. The control plane makes the Frame of its records (package elbv2), the
// agent of each machine with the ingress role renders it for that machine and keeps HAProxy at it (package agent/ingress).
//
//	elbv2 records ──▶ Frame ──dispatch──▶ agent ──▶ Config: the text (changes seldom: a reload)
//	                                            └──▶ Slots: which target is in which server slot (changes often: runtime socket)
//
//	frame.go   what is to be balanced
package haproxy
