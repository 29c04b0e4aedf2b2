package ecs

import (
	"berth/agent/proto"
	"berth/elbv2"
	"berth/store"
)

// States of a target as the ELB API has them.
const (
	targetInitial   = "initial"
	targetHealthy   = "healthy"
	targetUnhealthy = "unhealthy"
	targetUnused    = "unused"
	targetDraining  = "draining"
)

// status is what all machines that carry traffic say of a target together.
type status struct {
	state       string
	description string // why it is not healthy
	probe       string // the answer to the last check, in one line
}

// targetStatus: healthy where every connected ingress finds the target so, unhealthy where none does and each has an answer.
func targetStatus(r store.Reader, g elbv2.TargetGroup, t elbv2.Target) status {
	switch {
	case t.Draining != 0:
		return status{state: targetDraining}
	case !g.InUse(r):
		return status{state: targetUnused}
	}
	var healthy, unhealthy, other int
	out := status{state: targetInitial}
	for i := range elbv2.Ingresses.By(r, "place", g.Account+"/"+g.Region) {
		if !i.Connected {
			continue
		}
		h, _ := elbv2.TargetHealths.Get(r, t.Key()+"|"+i.Key())
		switch h.State {
		case proto.TargetHealthy:
			healthy++
		case proto.TargetUnhealthy:
			unhealthy++
			out.description, out.probe = h.Description, h.Probe
		default:
			other++
		}
	}
	switch {
	case other > 0 || healthy+unhealthy == 0:
	case unhealthy == 0:
		out.state = targetHealthy
	case healthy == 0:
		out.state = targetUnhealthy
	}
	return out
}
