package ecs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"berth/agent/proto"
	"berth/aws"
	"berth/elbv2"
	"berth/store"
)

// Machine is who an agent is, by its certificate.
type Machine struct {
	ID      string // identity in the certificate, never reused for another machine
	Account string
	Region  string
	Cluster string // the cluster that the machine was let into; empty means "default"
}

// seenEvery is how often LastSeen is written while an agent is connected.
const seenEvery = 30 * time.Second

// CodeInactiveInstance is the error that refuses the agent of an instance that was deregistered.
const CodeInactiveInstance = "InactiveInstanceException"

// Connect registers the machine of an agent that said hello, or takes up its registration again: an instance keeps its
// ID for as long as the machine keeps its identity and is not deregistered. From now on session is the instance's
// session. The cluster "default" is made if it is missing.
// Errors: InactiveInstanceException if it was deregistered, ClusterNotFoundException, InvalidParameterException.
func (s *Service) Connect(ctx context.Context, who Machine, session string, h proto.Hello) (ContainerInstance, error) {
	if who.Cluster == "" {
		who.Cluster = defaultCluster
	}
	m, err := helloMachine(who, h)
	if err != nil {
		return ContainerInstance{}, err
	}
	now, fresh := MillisOf(s.now()), newInstanceID(s.now())
	var out ContainerInstance
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		var known bool
		if out, known, err = instanceOf(tx, who); err != nil {
			return err
		}
		if !known {
			if err := ensureCluster(tx, who.Account, who.Region, who.Cluster, now); err != nil {
				return err
			}
			out = ContainerInstance{
				Account: who.Account, Region: who.Region, Cluster: who.Cluster, ID: fresh, Registered: now,
				Machine: who.ID,
			}
		}
		if !strings.HasPrefix(out.EC2ID, "i-") {
			out.EC2ID = ec2IDOf(out.Key())
		}
		out.Connected, out.Session, out.Boot, out.LastSeen, out.Silent, out.Impaired = true, session, h.BootID, now, 0, ""
		out.describe(m)
		out.Version++
		ContainerInstances.Put(tx, out)
		putDescription(tx, out.Key(), m)
		elbv2.Connected(tx, out.Account, out.Region, string(out.ARN()), h.Ingress)
		return nil
	})
	return out, err
}

// ec2IDOf is the EC2 instance ID of a machine that has none of EC2's: load balancers know it by this. It is as stable as
// the instance's own ID.
func ec2IDOf(instance string) string {
	sum := sha256.Sum256([]byte(instance))
	return "i-" + hex.EncodeToString(sum[:])[:17]
}

// MachineByInstanceID finds the machine with an EC2 instance ID, in any cluster of the account and region. A machine that
// was deregistered is none.
func MachineByInstanceID(r store.Reader, account, region, ec2ID string) (elbv2.Machine, bool) {
	for c := range ContainerInstances.By(r, byInstanceHost, account+"/"+region+"|"+ec2ID) {
		d, _ := InstanceDescriptions.Get(r, c.Key())
		return elbv2.Machine{ARN: string(c.ARN()), Host: d.Address, Zone: d.Attributes[attributeZone]}, true
	}
	return elbv2.Machine{}, false
}

// instanceOf finds the instance of a machine.
func instanceOf(r store.Reader, who Machine) (c ContainerInstance, ok bool, err error) {
	for c := range ContainerInstances.By(r, byInstanceMachine, who.ID) {
		switch {
		case c.Account != who.Account || c.Region != who.Region || c.Cluster != who.Cluster:
			return c, false, invalid("The machine is registered in another cluster.")
		case c.Status == InstanceInactive:
			return c, false, aws.Errorf(CodeInactiveInstance, "The container instance %s was deregistered. Join this machine again with a new token.", c.ID)
		}
		return c, true, nil
	}
	return c, false, nil
}

// helloMachine reads the machine out of a hello. What it says of its identity must agree with the certificate.
func helloMachine(who Machine, h proto.Hello) (machine, error) {
	m := machine{machine: who.ID, cpu: h.CPU, memory: h.Memory, agentVersion: h.BerthVersion, attributes: map[string]string{}}
	for _, pair := range [...][3]string{{"account", h.Account, who.Account}, {"region", h.Region, who.Region}, {"cluster", h.Cluster, who.Cluster}} {
		if pair[1] != "" && pair[1] != pair[2] {
			return m, invalid("The agent says %s %s, its certificate %s.", pair[0], pair[1], pair[2])
		}
	}
	if h.CPU <= 0 || h.Memory <= 0 {
		return m, invalid("The agent reports %d CPU units and %d MiB.", h.CPU, h.Memory)
	}
	if h.Address != "" {
		a, err := netip.ParseAddr(h.Address)
		if err != nil {
			return m, invalid("The agent's address %q is no IP address.", h.Address)
		}
		m.address = a.Unmap().WithZone("").String()
	}
	var err error
	if m.tcp, err = parsePorts(h.Ports); err != nil {
		return m, err
	}
	if m.udp, err = parsePorts(h.PortsUDP); err != nil {
		return m, err
	}
	m.gpus = slices.Compact(slices.Sorted(slices.Values(h.GPUs)))
	for _, a := range h.Attributes {
		if err := checkAttribute(a); err != nil {
			return m, err
		}
		m.attributes[value(a.Name)] = value(a.Value)
	}
	defaults := map[string]string{attributeOSType: "linux", attributeOSFamily: "LINUX", attributeZone: who.Region + "a"}
	if h.Zone != "" {
		m.attributes[attributeZone] = h.Zone
	}
	for name, v := range defaults {
		if _, ok := m.attributes[name]; !ok {
			m.attributes[name] = v
		}
	}
	return m, nil
}

// Seen records a heartbeat of the instance's session: that the agent is there, and why it should get nothing new, if
// so. It writes only what changed, and LastSeen at most every 30 seconds. ok is false if the instance has another
// session by now, or is gone: then the session should end.
func (s *Service) Seen(ctx context.Context, instance, session, impaired string) (ok bool, err error) {
	s.placing.drain()
	now := MillisOf(s.now())
	c, found := ContainerInstances.Get(s.store.Read(), instance)
	if found && c.Session == session && c.Connected && c.Impaired == impaired && now-c.LastSeen < Millis(seenEvery.Milliseconds()) {
		return c.Status != InstanceInactive, nil
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		c, found := ContainerInstances.Get(tx, instance)
		if ok = found && c.Session == session && c.Status != InstanceInactive; !ok {
			return nil
		}
		if !c.Connected || c.Impaired != impaired {
			c.Version++
		}
		if !c.Connected {
			elbv2.Reconnected(tx, string(c.ARN()))
		}
		c.Connected, c.Impaired, c.LastSeen, c.Silent = true, impaired, now, 0
		ContainerInstances.Put(tx, c)
		return nil
	})
	return ok, err
}

// Disconnect records that the session ended or went silent. If the instance has another session by now, or is gone,
// nothing changes. Its tasks stay as they are.
func (s *Service) Disconnect(ctx context.Context, instance, session string) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		c, ok := ContainerInstances.Get(tx, instance)
		if !ok || c.Session != session || !c.Connected {
			return nil
		}
		c.Connected, c.Silent = false, MillisOf(s.now())
		c.Version++
		ContainerInstances.Put(tx, c)
		elbv2.Disconnected(tx, string(c.ARN()))
		return nil
	})
}
