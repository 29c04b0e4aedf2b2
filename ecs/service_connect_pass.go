package ecs

import (
	"slices"

	"berth/elbv2"
	"berth/servicediscovery"
)

// keepPorts keeps the ports of Service Connect that the service's deployments have, with the settings of the primary one, and gives back the
// others when no task of theirs is left to drain.
func (p *pass) keepPorts() {
	owner := string(p.v.ARN())
	wanted := map[string]elbv2.ConnectPort{}
	for _, d := range p.live {
		if d.Gone {
			continue
		}
		for _, c := range d.ports() {
			port := d.connectPort(c)
			if _, ok := wanted[port.Key()]; !ok || d.Number == p.v.Primary {
				wanted[port.Key()] = port
			}
		}
	}
	have := elbv2.PortsOf(p.tx, owner)
	for key, port := range wanted {
		// Another service may have taken what a deployment that comes back had. Nothing is reached there then, and the user gives it another name.
		other := elbv2.ClaimPort(p.tx, port)
		p.noteIf(other != "", noteClaimed+key, "cannot be reached at %s by Service Connect: the service %s can", port.Alias(), other)
	}
	for _, port := range have {
		if _, ok := wanted[port.Key()]; ok || p.v.Ended == 0 && elbv2.HasTargets(p.tx, port.GroupKey()) {
			continue
		}
		if elbv2.ReleasePort(p.tx, port) {
			servicediscovery.ReleaseHTTPService(p.tx, port.Discovery)
		}
	}
}

const noteClaimed = "claimed "

// connected says whether the machines that carry traffic have looked at a task's ports of Service Connect, so that it
// takes requests when others stop. What they found makes no task unhealthy: as in ECS, only its containers' checks and load balancers do.
func (p *pass) connected(t *Task) bool {
	d := p.live[t.deployment()]
	if d == nil || len(d.ports()) == 0 || len(elbv2.ConnectedIngresses(p.r, p.v.Account, p.v.Region)) == 0 {
		return true
	}
	if !t.Balanced {
		return false
	}
	return !slices.ContainsFunc(elbv2.TargetsOf(p.r, string(t.ARN())), func(target elbv2.Target) bool {
		g, ok := elbv2.GroupByKey(p.r, target.Group)
		return ok && g.Connect() && targetStatus(p.r, g, target).state == targetInitial
	})
}
