package ecs

import (
	"berth/elbv2"
	"berth/store"
)

// States of a target as the ELB API has them.
const (
	targetHealthy     = "healthy"
	targetUnhealthy   = "unhealthy"
	targetUnused      = "unused"
	targetInitial     = "initial"
	targetUnavailable = "unavailable" // its group does no health checks
)

// status is what all machines that carry traffic say of a target together.
type status struct {
	state       string
	description string // why it is not healthy
}

func targetStatus(r store.Reader, g elbv2.TargetGroup, t elbv2.Target) status {
	state, _, description := elbv2.Health(r, g, t)
	return status{state, description}
}
