package elbv2

import (
	"net/netip"

	"berth/store"
)

// Ingress is a machine that carries load balancers' traffic.
type Ingress struct {
	// Written by: Connected, when the machine's session begins.
	Account  string `json:"a"`
	Region   string `json:"r"`
	Instance string `json:"i"` // ARN of the container instance
	// Connected says that the machine has a session. Written by: Connected, Disconnected.
	Connected bool `json:"c,omitzero"`
	// Of the newest report. Written by: ApplyReport.
	Revision  uint64                `json:"rev,omitzero"`
	Loopback  netip.Prefix          `json:"lo,omitzero"`
	Published map[string]netip.Addr `json:"pub,omitzero"`
	Problem   string                `json:"pr,omitzero"`
}

// Ingresses is the table of machines with the ingress role, by the ARN of their container instance.
var Ingresses = store.NewTable("elbv2/ingress", Ingress.Key,
	store.Index("place", func(i Ingress) []string { return []string{i.Account + "/" + i.Region} }),
)

// Key is the ARN of the container instance.
func (i Ingress) Key() string { return i.Instance }
