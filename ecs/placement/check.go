package placement

import (
	"fmt"
	"slices"
	"strings"
)

// Reasons of refusals, as the API shows them in failures[]. ReasonLaunchType is never shown there: an
// instance of another launch type is not considered at all.
const (
	ReasonInactive         = "INACTIVE"
	ReasonLaunchType       = "LAUNCH_TYPE"
	ReasonAgent            = "AGENT"
	ReasonAttribute        = "ATTRIBUTE"
	ReasonCPU              = "RESOURCE:CPU"
	ReasonMemory           = "RESOURCE:MEMORY"
	ReasonPorts            = "RESOURCE:PORTS"
	ReasonPortsUDP         = "RESOURCE:PORTS_UDP"
	ReasonGPU              = "RESOURCE:GPU"
	ReasonLocation         = "LOCATION"
	ReasonMemberOf         = "MemberOf placement constraint unsatisfied"
	ReasonDistinctInstance = "distinctInstance placement constraint unsatisfied."

	reasonResource = "RESOURCE:"
)

// Refusal says why an instance cannot take a task: the first check that failed, in the order agent,
// attribute, resource (CPU, memory, ports, GPU, custom), location, constraint.
type Refusal struct {
	Instance string
	Reason   string
	// Subject is what the reason is about: an attribute, a zone, an expression, a status, a custom resource.
	Subject string
	// Need, Left and Total are amounts for resources; Need is the port for ports; Left is the number of
	// tasks that are in the way for distinctInstance.
	Need, Left, Total int64

	found string
}

// Considered tells whether the instance was a candidate at all. RunTask reports no failure for others.
func (r Refusal) Considered() bool {
	return r.Reason != ReasonInactive && r.Reason != ReasonLaunchType
}

// Detail says it in words and numbers: "needs 512 MiB, 128 left of 2048".
func (r Refusal) Detail() string {
	switch r.Reason {
	case ReasonInactive:
		return "status is " + r.Subject
	case ReasonLaunchType:
		return "launch type is " + r.found + ", needs " + r.Subject
	case ReasonAgent:
		return r.Subject
	case ReasonAttribute:
		if r.found != "" {
			return "attribute " + r.Subject + ", has " + r.found
		}
		return "lacks attribute " + r.Subject
	case ReasonCPU:
		return fmt.Sprintf("needs %d CPU units, %d left of %d", r.Need, r.Left, r.Total)
	case ReasonMemory:
		return fmt.Sprintf("needs %d MiB, %d left of %d", r.Need, r.Left, r.Total)
	case ReasonPorts:
		return fmt.Sprintf("host port %d/tcp is taken", r.Need)
	case ReasonPortsUDP:
		return fmt.Sprintf("host port %d/udp is taken", r.Need)
	case ReasonGPU:
		return fmt.Sprintf("needs %d GPUs, %d left of %d", r.Need, r.Left, r.Total)
	case ReasonLocation:
		return "needs zone " + r.Subject + ", is in " + r.found
	case ReasonMemberOf:
		return "does not satisfy " + r.Subject
	case ReasonDistinctInstance:
		return fmt.Sprintf("already has %d of group %s", r.Left, r.Subject)
	}
	return fmt.Sprintf("needs %d of %s, %d left of %d", r.Need, r.Subject, r.Left, r.Total)
}

// Check tells whether the instance can take the task; if not, why.
func Check(t *Task, on *Instance) (Refusal, bool) {
	for _, check := range [...]func(*Task, *Instance) (Refusal, bool){candidate, attributes, resources, location, constraints} {
		if r, ok := check(t, on); !ok {
			r.Instance = on.ID
			return r, false
		}
	}
	return Refusal{}, true
}

// fitsDescription checks what does not depend on the tasks of the instance; fitsLoad checks the rest.
// Together they are Check.
func fitsDescription(t *Task, on *Instance) bool {
	if _, ok := candidate(t, on); !ok {
		return false
	}
	if _, ok := attributes(t, on); !ok {
		return false
	}
	if _, ok := location(t, on); !ok {
		return false
	}
	for i := range t.Constraints {
		if e := t.Constraints[i].expr; e != nil && !e.load && !e.match(on) {
			return false
		}
	}
	return true
}

func fitsLoad(t *Task, on *Instance) bool {
	if _, ok := resources(t, on); !ok {
		return false
	}
	for i := range t.Constraints {
		c := &t.Constraints[i]
		switch {
		case c.expr == nil:
			if c.Type == TypeDistinctInstance && on.Groups[t.Group] > 0 {
				return false
			}
		case c.expr.load && !c.expr.match(on):
			return false
		}
	}
	return true
}

func candidate(t *Task, on *Instance) (Refusal, bool) {
	if on.Status != StatusActive {
		return Refusal{Reason: ReasonInactive, Subject: on.Status}, false
	}
	switch {
	case t.LaunchType == LaunchTypeEC2 && on.External:
		return Refusal{Reason: ReasonLaunchType, Subject: t.LaunchType, found: LaunchTypeExternal}, false
	case t.LaunchType == LaunchTypeExternal && !on.External:
		return Refusal{Reason: ReasonLaunchType, Subject: t.LaunchType, found: LaunchTypeEC2}, false
	case !on.Connected:
		return Refusal{Reason: ReasonAgent, Subject: "the agent is disconnected"}, false
	case on.Impaired != "":
		return Refusal{Reason: ReasonAgent, Subject: on.Impaired}, false
	}
	return Refusal{}, true
}

func attributes(t *Task, on *Instance) (Refusal, bool) {
	for _, a := range t.Requires {
		has, ok := on.Attributes[a.Name]
		if !ok {
			return Refusal{Reason: ReasonAttribute, Subject: a.String()}, false
		}
		if a.Value != "" && has != a.Value {
			if has == "" {
				has = "no value"
			}
			return Refusal{Reason: ReasonAttribute, Subject: a.String(), found: has}, false
		}
	}
	return Refusal{}, true
}

func (a Attribute) String() string {
	if a.Value == "" {
		return a.Name
	}
	return a.Name + "=" + a.Value
}

func resources(t *Task, on *Instance) (Refusal, bool) {
	need := &t.Needs
	cpu, memory := on.left()
	switch {
	case need.CPU > 0 && need.CPU > cpu:
		return short(ReasonCPU, need.CPU, on.Total.CPU, cpu), false
	case need.Memory > 0 && need.Memory > memory:
		return short(ReasonMemory, need.Memory, on.Total.Memory, memory), false
	}
	if p, taken := overlap(need.TCP, on.Used.TCP); taken {
		return Refusal{Reason: ReasonPorts, Need: int64(p)}, false
	}
	if p, taken := overlap(need.UDP, on.Used.UDP); taken {
		return Refusal{Reason: ReasonPortsUDP, Need: int64(p)}, false
	}
	if left := on.Total.GPU - on.Used.GPU; need.GPU > 0 && need.GPU > left {
		return short(ReasonGPU, need.GPU, on.Total.GPU, left), false
	}
	if len(need.Custom) > 0 {
		return custom(need, on)
	}
	return Refusal{}, true
}

func short(reason string, need, total, left int64) Refusal {
	return Refusal{Reason: reason, Need: need, Left: max(left, 0), Total: total}
}

func custom(need *Resources, on *Instance) (Refusal, bool) {
	for _, name := range sortedKeys(need.Custom) {
		n, left := need.Custom[name], on.Total.Custom[name]-on.Used.Custom[name]
		if n > 0 && n > left {
			r := short(reasonResource+name, n, on.Total.Custom[name], left)
			r.Subject = name
			return r, false
		}
	}
	return Refusal{}, true
}

func overlap(need, used []uint16) (uint16, bool) {
	for _, p := range need {
		if _, taken := slices.BinarySearch(used, p); taken {
			return p, true
		}
	}
	return 0, false
}

func location(t *Task, on *Instance) (Refusal, bool) {
	if len(t.Zones) == 0 {
		return Refusal{}, true
	}
	zone := on.Attributes[ZoneAttribute]
	if slices.Contains(t.Zones, zone) {
		return Refusal{}, true
	}
	if zone == "" {
		zone = "none"
	}
	return Refusal{Reason: ReasonLocation, Subject: strings.Join(t.Zones, " or "), found: zone}, false
}

func constraints(t *Task, on *Instance) (Refusal, bool) {
	for i := range t.Constraints {
		c := &t.Constraints[i]
		switch {
		case c.expr == nil:
			if n := on.Groups[t.Group]; c.Type == TypeDistinctInstance && n > 0 {
				return Refusal{Reason: ReasonDistinctInstance, Subject: t.Group, Left: int64(n)}, false
			}
		case !c.expr.match(on):
			return Refusal{Reason: ReasonMemberOf, Subject: c.expr.text}, false
		}
	}
	return Refusal{}, true
}
