package elbv2

import (
	"strconv"
	"time"

	"berth/store"
)

// Target is the record of one target of a target group.
type Target struct {
	Group string `json:"g"` // key of the target group
	// ID is an EC2 instance ID or an address, as the target group's type says; Port is its port.
	ID   string `json:"i"`
	Port int32  `json:"p"`
	Zone string `json:"z,omitzero"` // as registered, such as "all"
	// By is the ARN of the ECS task behind the target; empty if a client registered it.
	By string `json:"b,omitzero"`
	// Registered is when the target was registered, ms since the epoch; it rises with every new registration of the same target.
	// Written by: Register.
	Registered int64 `json:"r"`
	// Settled says that the machines that carry traffic have come to a first verdict on this registration. Written by: ApplyReport,
	// the reconciler "elbv2.target".
	Settled bool `json:"se,omitzero"`

	// Draining is when the target was deregistered, ms since the epoch; 0: it is registered. Until is when waiting for its
	// connections ends. Written by: Deregister.
	Draining int64 `json:"d,omitzero"`
	Until    int64 `json:"u,omitzero"`
}

// Indexes of Targets.
const (
	byTargetGroup = "group" // key of the target group
	byTargetTask  = "task"  // ARN of the task
	// Both by account/region.
	byTargetDraining  = "draining"  // targets that leave
	byTargetUnsettled = "unsettled" // targets that stay and have no first verdict yet
)

// Targets is the table of targets, by the target group's key/ID:port.
var Targets = store.NewTable("elbv2/target", Target.Key,
	store.Index(byTargetGroup, func(t Target) []string { return []string{t.Group} }),
	store.Index(byTargetTask, func(t Target) []string {
		if t.By == "" {
			return nil
		}
		return []string{t.By}
	}),
	store.Index(byTargetDraining, func(t Target) []string {
		if t.Draining == 0 {
			return nil
		}
		return []string{placeOf(t.Group)}
	}),
	store.Index(byTargetUnsettled, func(t Target) []string {
		if t.Draining != 0 || t.Settled {
			return nil
		}
		return []string{placeOf(t.Group)}
	}),
)

// Name is ID:port, by which machines know the target in its group.
func (t Target) Name() string { return t.ID + ":" + strconv.Itoa(int(t.Port)) }

// Key is the target group's key and the name.
func (t Target) Key() string { return t.Group + "/" + t.Name() }

// Register adds a target to its group, or takes back its deregistration: its health begins anew. A target that is registered already
// stays as it is, but an ECS task may take over what a client registered, and another task what a task had (a new registration).
func Register(tx *store.Tx, t Target, now time.Time) {
	have, ok := Targets.Get(tx, t.Key())
	if ok && have.Draining == 0 && (t.By == "" || t.By == have.By || have.By == "") {
		if next := have; t.By != "" && have.By == "" {
			next.By = t.By
			Targets.Put(tx, next)
		}
		return
	}
	t.Registered, t.Settled, t.Draining, t.Until = max(now.UnixMilli(), have.Registered+1), false, 0, 0
	Targets.Put(tx, t)
}

// Deregister begins the end of a target: it gets no new requests, and its record goes when it has no open ones, at the latest
// after the group's deregistration delay. If nothing forwards to the group it is gone at once. A target that is not there, or leaves
// already, stays as it is.
func Deregister(tx *store.Tx, key string, now time.Time) {
	t, ok := Targets.Get(tx, key)
	if !ok || t.Draining != 0 {
		return
	}
	g, _ := GroupByKey(tx, t.Group)
	if !g.InUse(tx) {
		Targets.Delete(tx, key)
		return
	}
	t.Draining, t.Until = now.UnixMilli(), now.Add(g.DeregistrationDelay()).UnixMilli()
	Targets.Put(tx, t)
}

// TargetsOf are the targets of an ECS task: those that it has and those that still drain.
func TargetsOf(r store.Reader, taskARN string) (out []Target) {
	for t := range Targets.By(r, byTargetTask, taskARN) {
		out = append(out, t)
	}
	return out
}
