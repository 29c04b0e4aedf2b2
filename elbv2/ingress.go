package elbv2

import (
	"maps"
	"net/netip"
	"strings"
	"time"

	"berth/agent/proto"
	"berth/store"
)

// Ingress is a machine that carries load balancers' traffic.
type Ingress struct {
	// Written by: Connected, when the machine's session begins.
	Account  string `json:"a"`
	Region   string `json:"r"`
	Instance string `json:"i"` // ARN of the container instance
	// Connected says that the machine has a session. Written by: Connected, Reconnected, Disconnected.
	Connected bool `json:"c,omitzero"`
	// Of the newest report. Written by: ApplyReport; Connected clears Revision and Problem, which the machine tells anew.
	// Revision is one of the store: the machine's traffic goes by what was written up to there. 0: that is not known.
	Revision  uint64                `json:"rev,omitzero"`
	Loopback  netip.Prefix          `json:"lo,omitzero"`
	Published map[string]netip.Addr `json:"pub,omitzero"`
	Problem   string                `json:"pr,omitzero"`
}

// Ingresses is the table of machines with the ingress role, by the ARN of their container instance.
var Ingresses = store.NewTable("elbv2/ingress", Ingress.Key,
	store.Index(byPlace, func(i Ingress) []string { return []string{i.Account + "/" + i.Region} }),
)

// byPlace is an index by account/region.
const byPlace = "place"

// Key is the ARN of the container instance.
func (i Ingress) Key() string { return i.Instance }

// placeOf is the account/region that a key begins with.
func placeOf(key string) string {
	account, region, _ := splitKey(key)
	return account + "/" + region
}

// Connected notes that a session of a container instance begins. Without the ingress role the machine is no ingress from now on.
func Connected(tx *store.Tx, account, region, instanceARN string, ingress bool) {
	if !ingress {
		forgetIngress(tx, instanceARN)
		return
	}
	i, ok := Ingresses.Get(tx, instanceARN)
	if ok && i.Connected && i.Revision == 0 && i.Problem == "" {
		return
	}
	i.Account, i.Region, i.Instance = account, region, instanceARN
	i.Connected, i.Revision, i.Problem = true, 0, ""
	Ingresses.Put(tx, i)
}

// Reconnected notes that the session of a machine that was taken for disconnected is there after all.
func Reconnected(tx *store.Tx, instanceARN string) {
	if i, ok := Ingresses.Get(tx, instanceARN); ok && !i.Connected {
		i.Connected = true
		Ingresses.Put(tx, i)
	}
}

// Disconnected notes that a container instance is not heard of any more: nothing waits for it. What it said is kept, as it
// may come back.
func Disconnected(tx *store.Tx, instanceARN string) {
	if i, ok := Ingresses.Get(tx, instanceARN); ok && i.Connected {
		i.Connected = false
		Ingresses.Put(tx, i)
	}
}

// Removed notes that a container instance with this EC2 instance ID was deregistered: it is no ingress any more, and as no frame has
// its targets, those of them that leave have no time left.
func Removed(tx *store.Tx, account, region, instanceARN, ec2ID string) {
	forgetIngress(tx, instanceARN)
	for t := range Targets.By(tx, byTargetDraining, account+"/"+region) {
		if t.ID == ec2ID {
			t.Until = t.Draining
			Targets.Put(tx, t)
		}
	}
}

func forgetIngress(tx *store.Tx, instanceARN string) {
	if _, ok := Ingresses.Get(tx, instanceARN); ok {
		Ingresses.Delete(tx, instanceARN)
	}
}

// groupKind begins the ID of a target group in frames and reports.
const groupKind = "targetgroup/"

// ApplyReport writes what a machine with ingress says into the store. What it says of targets that are not there, or were registered
// anew since, is dropped; so is that a target which stays is drained. Forgotten lists what a full report no longer has; it is for the
// caller to drop (ForgetReports), before this.
func ApplyReport(tx *store.Tx, ingressARN string, report proto.IngressReport, now time.Time) {
	i, ok := Ingresses.Get(tx, ingressARN)
	if !ok {
		return
	}
	next := i
	next.Revision, next.Problem = report.Revision, report.Problem
	next.Loopback, next.Published = report.Loopback, report.Published
	if next.Revision != i.Revision || next.Problem != i.Problem || next.Loopback != i.Loopback || !maps.Equal(next.Published, i.Published) {
		Ingresses.Put(tx, next)
	}
	for _, s := range report.Targets {
		applyStatus(tx, i, s, now)
	}
}

func applyStatus(tx *store.Tx, i Ingress, s proto.TargetStatus, now time.Time) {
	key, ok := i.targetKey(s)
	if !ok {
		return
	}
	t, ok := Targets.Get(tx, key)
	leaves := s.State == proto.TargetDraining || s.State == proto.TargetDrained
	if !ok || t.Registered != s.Since || leaves && t.Draining == 0 {
		return
	}
	have, _ := TargetHealths.Get(tx, healthKey(key, i.Key()))
	if have.Since != s.Since {
		have = TargetHealth{}
	}
	h := TargetHealth{
		Target: key, Ingress: i.Key(), Since: s.Since, State: s.State, Reason: s.Reason, Description: s.Description, Probe: s.Probe,
		At: have.At, Was: have.Was || s.State == proto.TargetHealthy,
	}
	if h == have {
		return
	}
	h.At = now.UnixMilli()
	TargetHealths.Put(tx, h)
	settle(tx, t)
}

// targetKey is the key of the target that a status speaks of: one of the ingress' own account and region.
func (i Ingress) targetKey(s proto.TargetStatus) (string, bool) {
	group, ok := strings.CutPrefix(s.Group, groupKind)
	return i.Account + "/" + i.Region + "/" + group + "/" + s.Target, ok
}

// Forgotten lists the keys of TargetHealths that are not in a full report of the ingress: the machine knows nothing of those targets.
func Forgotten(r store.Reader, ingressARN string, report proto.IngressReport) (keys []string) {
	i, ok := Ingresses.Get(r, ingressARN)
	if !ok || !report.Full {
		return nil
	}
	said := make(map[string]bool, len(report.Targets))
	for _, s := range report.Targets {
		if key, ok := i.targetKey(s); ok {
			said[key] = true
		}
	}
	for h := range TargetHealths.By(r, byHealthIngress, ingressARN) {
		if !said[h.Target] {
			keys = append(keys, h.Key())
		}
	}
	return keys
}

// ForgetReports drops what Forgotten has listed.
func ForgetReports(tx *store.Tx, keys []string) {
	for _, k := range keys {
		TargetHealths.Delete(tx, k)
	}
}

// ConnectedIngresses are the machines that carry traffic of an account and region now.
func ConnectedIngresses(r store.Reader, account, region string) (out []Ingress) {
	for i := range Ingresses.By(r, byPlace, account+"/"+region) {
		if i.Connected {
			out = append(out, i)
		}
	}
	return out
}
