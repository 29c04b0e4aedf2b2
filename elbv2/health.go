package elbv2

import (
	"berth/agent/proto"
	"berth/store"
)

// TargetHealth is what one machine with ingress says of one target.
type TargetHealth struct {
	Target  string `json:"t"` // key of the target
	Ingress string `json:"m"` // key of the Ingress
	// Of the report. Written by: ApplyReport.
	State       string `json:"s"` // proto.TargetInitial and so on
	Reason      string `json:"r,omitzero"`
	Description string `json:"d,omitzero"`
	Probe       string `json:"p,omitzero"`
	At          int64  `json:"at"` // ms since the epoch
	// Was says that the machine has found the target healthy at some time.
	Was bool `json:"w,omitzero"`
}

// TargetHealths is the table of reports, by the target's key|the ingress' key.
var TargetHealths = store.NewTable("elbv2/target-health", TargetHealth.Key,
	store.Index("target", func(h TargetHealth) []string { return []string{h.Target} }),
	store.Index("ingress", func(h TargetHealth) []string { return []string{h.Ingress} }),
)

// Key is the target's key, a bar and the ingress' key.
func (h TargetHealth) Key() string { return h.Target + "|" + h.Ingress }

func forgetHealth(tx *store.Tx, target string) {
	for h := range TargetHealths.By(tx, "target", target) {
		TargetHealths.Delete(tx, h.Key())
	}
}

// drained says whether every connected ingress of the target's account and region has let go of it. Without an ingress nobody
// sends it anything.
func drained(r store.Reader, t Target) bool {
	account, region, _ := splitKey(t.Group)
	for i := range Ingresses.By(r, "place", account+"/"+region) {
		if !i.Connected {
			continue
		}
		h, ok := TargetHealths.Get(r, t.Key()+"|"+i.Key())
		if ok && h.State == proto.TargetDrained {
			continue
		}
		// An ingress that never had the target has nothing to let go of, once it follows a frame without it as an active one.
		return false
	}
	return true
}
