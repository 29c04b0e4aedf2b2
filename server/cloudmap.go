package server

import (
	"net/netip"

	"berth/ec2"
	"berth/ecs"
	"berth/store"
)

// hasVPC says whether an account has a VPC in a region, for Cloud Map: there is the default one.
func hasVPC(_ store.Reader, account, region, id string) bool {
	return id == ec2.DefaultVPCID(account, region)
}

// machineAddress finds the address of the machine with an EC2 instance ID, for Cloud Map.
func machineAddress(r store.Reader, account, region, instanceID string) (netip.Addr, bool) {
	m, ok := ecs.MachineByInstanceID(r, account, region, instanceID)
	if !ok {
		return netip.Addr{}, false
	}
	at, err := netip.ParseAddr(m.Host)
	return at, err == nil
}
