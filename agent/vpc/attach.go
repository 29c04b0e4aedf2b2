package vpc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/agent/vpc/portproxy"
	"berth/agent/vpc/thread"
)

// Network modes.
const (
	modeBridge = "bridge"
	modeNone   = "none"
	modeHost   = "host" // needs no attachment
)

// startError is what ECS shows when a container's network cannot be made.
const startError = "CannotStartContainerError"

// Attach makes the container's network namespace and publishes its ports. A container that is attached gets its
// recorded result. When it fails nothing is left; a port in use is a CannotStartContainerError.
func (n *Network) Attach(ctx context.Context, req agent.NetworkRequest) (agent.NetworkResult, error) {
	if err := checkRequest(req); err != nil {
		return agent.NetworkResult{}, err
	}
	unlock, err := n.ids.lock(ctx, req.ID)
	if err != nil {
		return agent.NetworkResult{}, err
	}
	defer unlock()
	if r := n.record(req.ID); r != nil {
		there, err := kept(n.cfg.namespacePath(req.ID))
		if err != nil {
			return agent.NetworkResult{}, err
		}
		if there && r.Ready {
			return n.result(r), nil
		}
		if err := n.detach(ctx, req.ID); err != nil {
			return agent.NetworkResult{}, err
		}
	}
	r, err := n.attach(ctx, req)
	if err != nil {
		if undo := n.detach(context.WithoutCancel(ctx), req.ID); undo != nil {
			n.cfg.Log.Error("network of failed container is left behind", "container", req.ID, "task", req.TaskArn, "err", undo)
		}
		return agent.NetworkResult{}, fmt.Errorf("attach %s to the network: %w", req.ID, err)
	}
	return n.result(r), nil
}

func checkRequest(req agent.NetworkRequest) error {
	if !idPattern.MatchString(req.ID) {
		return fmt.Errorf("container ID %q: need 1 to 64 characters of a-z, 0-9 and -", req.ID)
	}
	if req.Mode != modeBridge && req.Mode != modeNone {
		return fmt.Errorf("network mode %q needs no attachment or is not known", req.Mode)
	}
	if req.Mode == modeNone && len(req.Ports) > 0 {
		return errors.New("network mode none cannot publish ports")
	}
	for _, p := range req.Ports {
		if protocolNumber(p.Protocol) == 0 || p.ContainerPort == 0 || int(p.ContainerPort)+int(max(p.Count, 1))-1 > 65535 {
			return fmt.Errorf("port mapping %d+%d/%s is not valid", p.ContainerPort, p.Count, p.Protocol)
		}
	}
	for key := range req.Sysctls {
		if _, err := sysctlPath(key); err != nil {
			return err
		}
	}
	return nil
}

// attach goes the whole way. On an error the caller removes what is there.
func (n *Network) attach(ctx context.Context, req agent.NetworkRequest) (*record, error) {
	r, err := n.reserve(req)
	if err != nil {
		return nil, err
	}
	if err := writeFile(n.cfg.recordPath(r.ID), r); err != nil {
		return nil, err
	}
	if r.Bindings, err = n.openPorts(ctx, req); err != nil {
		return nil, err
	}
	n.setRecord(*r)
	err = createNamespace(n.cfg.namespacePath(r.ID), func() error { return n.setUpContainer(r, req.Sysctls) })
	if err != nil {
		return nil, err
	}
	n.frame.RLock()
	defer n.frame.RUnlock()
	if r.Mode == modeBridge {
		if err := n.connect(r); err != nil {
			return nil, err
		}
	}
	r.Ready = true
	if err := writeFile(n.cfg.recordPath(r.ID), r); err != nil {
		return nil, err
	}
	n.setRecord(*r)
	return r, nil
}

// setRecord replaces the record in memory. Records there are never changed in place, for readers hold them without a lock.
func (n *Network) setRecord(r record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[r.ID] = &r
}

func (n *Network) record(id string) *record {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.records[id]
}

func (n *Network) reserve(req agent.NetworkRequest) (*record, error) {
	r := &record{Version: recordVersion, ID: req.ID, TaskArn: req.TaskArn, Mode: req.Mode}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Mode == modeBridge {
		var err error
		if r.Address, err = n.addrs.take(r.ID); err != nil {
			return nil, err
		}
	}
	reserved := *r
	n.records[r.ID] = &reserved
	return r, nil
}

// openPorts binds the host ports. A port proxy that is not there is started once.
func (n *Network) openPorts(ctx context.Context, req agent.NetworkRequest) ([]agent.PortBinding, error) {
	if len(req.Ports) == 0 {
		return nil, nil
	}
	var ask []portproxy.Port
	for _, p := range req.Ports {
		ask = append(ask, portproxy.Port{Host: p.HostPort, Count: max(p.Count, 1), Protocol: p.Protocol})
	}
	got, err := n.proxy.Open(ctx, req.ID, ask)
	conflict, inUse := errors.AsType[*portproxy.ConflictError](err)
	if err != nil && !inUse {
		if err := n.repairProxy(ctx, false); err != nil {
			return nil, err
		}
		got, err = n.proxy.Open(ctx, req.ID, ask)
		conflict, inUse = errors.AsType[*portproxy.ConflictError](err)
	}
	if inUse {
		return nil, &agent.Error{Name: startError, Detail: conflict.Error(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	ips := n.bindIPs()
	bindings := make([]agent.PortBinding, len(req.Ports))
	for i, p := range req.Ports {
		p.HostPort, p.Count = got[i].Host, got[i].Count
		bindings[i] = agent.PortBinding{PortRequest: p, BindIPs: ips}
	}
	return bindings, nil
}

func (n *Network) bindIPs() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ipv6 {
		return []string{"0.0.0.0", "::"}
	}
	return []string{"0.0.0.0"}
}

// setUpContainer runs on a thread inside the container's new namespace.
func (n *Network) setUpContainer(r *record, sysctls map[string]string) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	// As container engines do: any user may bind any port and send pings.
	for _, s := range [][2]string{
		{"net.ipv4.ip_unprivileged_port_start", "0"},
		{"net.ipv4.ping_group_range", "0 2147483647"},
	} {
		if err := writeSysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	if err := disableIPv6("default"); err != nil { // lo keeps ::1
		return err
	}
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	if r.Mode == modeBridge {
		if err := n.plugIn(nl, r); err != nil {
			return err
		}
	}
	for key, value := range sysctls {
		if err := writeSysctl(key, value); err != nil {
			return err
		}
	}
	return nil
}

// plugIn makes the link between the bridge namespace and the container's, which is the calling thread's, and sets the container's end up.
func (n *Network) plugIn(nl *netlink.Handle, r *record) error {
	here, err := thread.Open(thread.Namespace)
	if err != nil {
		return err
	}
	defer unix.Close(here)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = r.linkName(n.fabric.Pool), n.cfg.MTU
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(here),
		PeerHardwareAddr: r.mac(), PeerMTU: uint32(n.cfg.MTU),
	}
	err = n.bridge.nl.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) { // of an earlier container whose namespace is still in use or being destroyed
		if err := deleteLink(n.bridge, attrs.Name); err != nil {
			return err
		}
		err = n.bridge.nl.LinkAdd(veth)
	}
	if err != nil {
		return fmt.Errorf("make link %s: %w", attrs.Name, err)
	}
	eth0, err := nl.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	if err := nl.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(host(r.Address))}); err != nil {
		return fmt.Errorf("set address %s: %w", r.Address, err)
	}
	if err := nl.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("set eth0 up: %w", err)
	}
	gateway, index := n.fabric.gateway(), eth0.Attrs().Index
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Dst: ipNet(host(gateway)), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Gw: gateway.AsSlice()},
	} {
		if err := nl.RouteAdd(route); err != nil {
			return fmt.Errorf("set route to %s: %w", gateway, err)
		}
	}
	return n.joinBridge(nl, index, r)
}

// joinBridge gives the bridge's end of the container's link its route and returns when both ends pass packets.
func (n *Network) joinBridge(nl *netlink.Handle, eth0 int, r *record) error {
	link, err := n.bridge.nl.LinkByName(r.linkName(n.fabric.Pool))
	if err != nil {
		return fmt.Errorf("find link of %s: %w", r.Address, err)
	}
	if err := n.bridge.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link of %s up: %w", r.Address, err)
	}
	route := &netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: ipNet(host(r.Address)), Scope: netlink.SCOPE_LINK, Src: n.fabric.gateway().AsSlice(),
	}
	if err := n.bridge.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("set route to %s: %w", r.Address, err)
	}
	return errors.Join(waitUp(nl, eth0), waitUp(n.bridge.nl, link.Attrs().Index))
}

// connect opens the way: own address first, then the ports from the inside out.
func (n *Network) connect(r *record) error {
	if err := n.bridge.nft.add(bridgeTable, r.bridgeElements(n.fabric.Pool)); err != nil {
		return err
	}
	if len(r.Bindings) == 0 {
		return nil
	}
	return n.main.nft.add(n.hostTable(), r.hostElements())
}

func (n *Network) result(r *record) agent.NetworkResult {
	res := agent.NetworkResult{NetNS: n.cfg.namespacePath(r.ID), Bindings: r.Bindings}
	if r.Mode == modeBridge {
		res.IPv4, res.Gateway = r.Address.String(), n.fabric.gateway().String()
		res.DNS = append([]string{res.Gateway}, n.directResolvers()...)
	}
	return res
}

// directResolvers are resolvers of the machine that containers reach without the forwarder, for the time in which it is away.
// A resolver configuration takes three servers; the forwarder is the first.
func (n *Network) directResolvers() []string {
	if !n.cfg.Egress || len(n.cfg.Resolvers) > 0 {
		return nil
	}
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var direct []string
	for line := range strings.SplitSeq(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		reachable := err == nil && a.Is4() && !a.IsLoopback() && !n.fabric.Pool.Contains(a) && !linkLocalNet.Contains(a)
		if reachable && len(direct) < 2 {
			direct = append(direct, a.String())
		}
	}
	return direct
}
