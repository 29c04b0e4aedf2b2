package ingress

import (
	"maps"
	"reflect"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Reports has an element when there may be something to report.
func (i *Ingress) Reports() <-chan struct{} { return i.reports }

// Report makes the next report, without its number: with full of every target, else of those that changed since the last
// one. It returns false when nothing did.
func (i *Ingress) Report(full bool) (proto.IngressReport, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := &i.state
	r := proto.IngressReport{
		Revision: s.followed, Full: full, Loopback: i.cfg.Network.Loopback(), Published: i.publishedAddresses(), Problem: i.problemText(),
	}
	if !s.have {
		return r, full
	}
	all := map[key]proto.TargetStatus{}
	for _, g := range s.Frame.Groups {
		for _, t := range g.Targets {
			k := key{g.ID, t.ID, t.Since}
			all[k] = i.status(k, t)
			was, known := s.sent[k]
			if full || !known || news(was) != news(all[k]) {
				r.Targets = append(r.Targets, all[k])
			}
		}
	}
	told := r
	told.Targets, told.Full = nil, false
	if !full && len(r.Targets) == 0 && reflect.DeepEqual(told, s.told) {
		return r, false
	}
	s.told = told
	s.sent = maps.Clone(all)
	return r, true
}

// news is the part of a status for which a report is made: the last answer in words changes with every check.
func news(s proto.TargetStatus) proto.TargetStatus {
	s.Probe = ""
	return s
}

// status is what this machine says of a target. The caller holds mu.
func (i *Ingress) status(k key, t haproxy.Target) proto.TargetStatus {
	out := proto.TargetStatus{Group: k.group, Target: k.target, Since: k.since, State: proto.TargetInitial, Reason: reasonInitial, Description: textInitial}
	switch {
	case i.state.drained[k]:
		out.State, out.Reason, out.Description = proto.TargetDrained, reasonDraining, textDraining
	case t.Draining:
		out.State, out.Reason, out.Description = proto.TargetDraining, reasonDraining, textDraining
	default:
		if h, ok := i.checks.health(k); ok {
			out.State, out.Reason, out.Description, out.Probe = h.state, h.reason, h.description, h.probe
		}
	}
	return out
}
