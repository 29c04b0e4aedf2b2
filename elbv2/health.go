package elbv2

import (
	"slices"

	"berth/agent/proto"
	api "berth/api/elbv2"
	"berth/store"
)

// TargetHealth is what one machine with ingress says of one target.
type TargetHealth struct {
	Target  string `json:"t"` // key of the target
	Ingress string `json:"m"` // key of the Ingress
	// Since is the registration that this is of. Of an earlier one it counts for nothing. Written by: ApplyReport.
	Since int64 `json:"si"`
	// Of the report. Written by: ApplyReport.
	State       string `json:"s"` // proto.TargetInitial and so on
	Reason      string `json:"r,omitzero"`
	Description string `json:"d,omitzero"`
	Probe       string `json:"p,omitzero"`
	At          int64  `json:"at"` // ms since the epoch
	// Was says that the machine has found the target healthy at some time.
	Was bool `json:"w,omitzero"`
}

// TargetHealths is the table of reports, by the target's key|the ingress' key. Those of targets and ingresses that are gone are removed
// by the reconciler "elbv2.target" and count for nothing before.
var TargetHealths = store.NewTable("elbv2/target-health", TargetHealth.Key,
	store.Index(byHealthTarget, func(h TargetHealth) []string { return []string{h.Target} }),
	store.Index(byHealthIngress, func(h TargetHealth) []string { return []string{h.Ingress} }),
)

// Indexes of TargetHealths.
const (
	byHealthTarget  = "target"  // key of the target
	byHealthIngress = "ingress" // key of the ingress
)

// Key is the target's key, a bar and the ingress' key.
func (h TargetHealth) Key() string { return healthKey(h.Target, h.Ingress) }

func healthKey(target, ingress string) string { return target + "|" + ingress }

// reportsOf are what the connected ingresses of the target's account and region say of it: one for each, with an empty State where one has
// said nothing yet.
func reportsOf(r store.Reader, t Target) (out []TargetHealth) {
	for i := range Ingresses.By(r, byPlace, placeOf(t.Group)) {
		if !i.Connected {
			continue
		}
		h, _ := TargetHealths.Get(r, healthKey(t.Key(), i.Key()))
		if h.Since != t.Registered {
			h = TargetHealth{}
		}
		out = append(out, h)
	}
	return out
}

// drained says whether every connected ingress of the target's account and region has let go of it. Without an ingress nobody sends
// it anything.
func drained(r store.Reader, t Target) bool {
	return !slices.ContainsFunc(reportsOf(r, t), func(h TargetHealth) bool { return h.State != proto.TargetDrained })
}

// settled says whether every report has got so far that the target need not wait for its first verdict any more: found healthy once, or
// unhealthy. Until then one machine may have no healthy target yet where another has.
func settled(reports []TargetHealth) bool {
	return len(reports) > 0 && !slices.ContainsFunc(reports, func(h TargetHealth) bool { return !h.Was && h.State != proto.TargetUnhealthy })
}

// settle notes that a target has got its first verdict. It keeps it when another machine begins to carry traffic.
func settle(tx *store.Tx, t Target) {
	if t.Settled || t.Draining != 0 || !settled(reportsOf(tx, t)) {
		return
	}
	t.Settled = true
	Targets.Put(tx, t)
}

// Health is the state of a target as DescribeTargetHealth shows it, with reason and description, which are empty for a healthy target.
// It costs a look at each machine with ingress of the account and region.
func Health(r store.Reader, g TargetGroup, t Target) (state, reason, description string) {
	s, why, text := judge(t, g.InUse(r), g.Check.HealthCheckEnabled == nil || *g.Check.HealthCheckEnabled, reportsOf(r, t))
	return string(s), string(why), text
}

// judge makes one verdict of the reports of all connected ingresses. A target is initial until all of them have come to a first verdict;
// from then on it is healthy if one finds it so. Reports have an empty State where an ingress has said nothing yet.
func judge(t Target, inUse, checked bool, reports []TargetHealth) (api.TargetHealthStateEnum, api.TargetHealthReasonEnum, string) {
	switch {
	case t.Draining != 0:
		return api.TargetHealthStateEnumDraining, api.TargetHealthReasonEnumTargetDeregistrationInProgress, "Target deregistration is in progress"
	case !inUse:
		return api.TargetHealthStateEnumUnused, api.TargetHealthReasonEnumTargetNotInUse,
			"Target group is not configured to receive traffic from the load balancer"
	case !checked:
		return api.TargetHealthStateEnumUnavailable, api.TargetHealthReasonEnumTargetHealthCheckDisabled, "Health checks are not enabled for this target"
	case len(reports) == 0:
		return api.TargetHealthStateEnumInitial, api.TargetHealthReasonEnumElbInternalError, "No connected machine carries the traffic of load balancers"
	}
	with := func(state string) int {
		return slices.IndexFunc(reports, func(h TargetHealth) bool { return h.State == state })
	}
	waits := !t.Settled && !settled(reports)
	if !waits && with(proto.TargetHealthy) >= 0 {
		return api.TargetHealthStateEnumHealthy, "", ""
	}
	if i := with(proto.TargetUnhealthy); !waits && i >= 0 {
		reason := api.TargetHealthReasonEnum(reports[i].Reason)
		if !slices.Contains(reason.Values(), string(reason)) {
			reason = api.TargetHealthReasonEnumTargetFailedHealthChecks
		}
		text := reports[i].Description
		if text == "" {
			text = "Health checks failed"
		}
		return api.TargetHealthStateEnumUnhealthy, reason, text
	}
	if slices.ContainsFunc(reports, func(h TargetHealth) bool { return h.State != "" }) {
		return api.TargetHealthStateEnumInitial, api.TargetHealthReasonEnumElbInitialHealthChecking, "Initial health checks in progress"
	}
	return api.TargetHealthStateEnumInitial, api.TargetHealthReasonEnumElbRegistrationInProgress, "Target registration is in progress"
}
