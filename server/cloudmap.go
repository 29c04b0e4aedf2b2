package server

import (
	"net/netip"

	"berth/ecs"
	"berth/store"
)

// machineAddress finds the address of the machine with an EC2 instance ID, for Cloud Map.
func machineAddress(r store.Reader, account, region, instanceID string) (netip.Addr, bool) {
	m, ok := ecs.MachineByInstanceID(r, account, region, instanceID)
	if !ok {
		return netip.Addr{}, false
	}
	at, err := netip.ParseAddr(m.Host)
	return at, err == nil
}
