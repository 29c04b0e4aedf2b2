package ecs

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	api "berth/api/ecs"
)

const maxPortRanges = 100

var portNamePattern = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,63}$`)

// modeOf is the network mode; bridge if absent.
func modeOf(mode api.NetworkMode) api.NetworkMode {
	return cmp.Or(mode, api.NetworkModeBridge)
}

func protocolOf(p api.PortMapping) api.TransportProtocol {
	return cmp.Or(p.Protocol, api.TransportProtocolTcp)
}

// usedPort is a host port of a task and its protocol.
type usedPort struct {
	port     int32
	protocol api.TransportProtocol
}

func checkPorts(in *api.RegisterTaskDefinitionRequest) error {
	mode := modeOf(in.NetworkMode)
	taken, names := map[usedPort]bool{}, map[string]bool{}
	for i := range in.ContainerDefinitions {
		c := &in.ContainerDefinitions[i]
		if len(c.PortMappings) > 0 && mode == api.NetworkModeNone {
			return clientError("Port mappings are not allowed with networkMode=none.")
		}
		if err := checkContainerPorts(c); err != nil {
			return err
		}
		for _, p := range c.PortMappings {
			if err := checkPort(mode, p, taken); err != nil {
				return err
			}
			if p.Name != nil && names[*p.Name] {
				return clientError("Port mapping names must be unique within a Task Definition: '%s'.", *p.Name)
			}
			names[value(p.Name)] = true
		}
	}
	return nil
}

// checkContainerPorts checks what does not depend on the network mode.
func checkContainerPorts(c *api.ContainerDefinition) error {
	protocols := map[int32]api.TransportProtocol{}
	var ranges []api.PortMapping
	for _, p := range c.PortMappings {
		if err := firstError(checkEnum("portMappings.protocol", p.Protocol), checkEnum("portMappings.appProtocol", p.AppProtocol)); err != nil {
			return err
		}
		if p.Name != nil && !portNamePattern.MatchString(*p.Name) {
			return settingError(*c.Name, "The port mapping name '%s' must have 1 to 64 lower-case letters, digits, hyphens and underscores and not begin with a hyphen.", *p.Name)
		}
		if p.ContainerPortRange != nil {
			if err := checkPortRange(c, p, ranges); err != nil {
				return err
			}
			ranges = append(ranges, p)
			continue
		}
		if value(p.ContainerPort) < 1 || *p.ContainerPort > 65535 {
			return clientError("Invalid 'containerPort' setting for container '%s'.", *c.Name)
		}
		if p.HostPort != nil && (*p.HostPort < 0 || *p.HostPort > 65535) {
			return clientError("Invalid 'hostPort' setting for container '%s'.", *c.Name)
		}
		if have, ok := protocols[*p.ContainerPort]; ok && have != protocolOf(p) {
			return settingError(*c.Name, "Container port %d can't be exposed for more than one protocol.", *p.ContainerPort)
		}
		protocols[*p.ContainerPort] = protocolOf(p)
	}
	return nil
}

func checkPortRange(c *api.ContainerDefinition, p api.PortMapping, before []api.PortMapping) error {
	first, last, ok := parsePortRange(*p.ContainerPortRange)
	switch {
	case !ok:
		return clientError("Invalid 'containerPortRange' setting for container '%s'.", *c.Name)
	case p.ContainerPort != nil || p.HostPort != nil:
		return settingError(*c.Name, "A port mapping with 'containerPortRange' can't have 'containerPort' or 'hostPort'.")
	case len(before) >= maxPortRanges:
		return settingError(*c.Name, "A container can have at most %d port ranges.", maxPortRanges)
	}
	for _, b := range before {
		f, l, _ := parsePortRange(*b.ContainerPortRange)
		if protocolOf(b) == protocolOf(p) && first <= l && f <= last {
			return settingError(*c.Name, "The port ranges '%s' and '%s' overlap.", *b.ContainerPortRange, *p.ContainerPortRange)
		}
	}
	return nil
}

// checkPort checks one mapping against the network mode and the host ports taken so far.
func checkPort(mode api.NetworkMode, p api.PortMapping, taken map[usedPort]bool) error {
	if p.ContainerPortRange != nil {
		if mode == api.NetworkModeHost {
			return clientError("Container port ranges are not supported when networkMode=host.")
		}
		return nil
	}
	host := value(p.HostPort)
	if mode != api.NetworkModeBridge {
		if host != 0 && host != *p.ContainerPort {
			return clientError("When networkMode=%s, the host ports and container ports in port mappings must match.", mode)
		}
		host = *p.ContainerPort
	}
	if host == 0 {
		return nil
	}
	key := usedPort{host, protocolOf(p)}
	if taken[key] {
		return clientError("%s host port '%d' is mapped multiple times in task.", strings.ToUpper(string(key.protocol)), host)
	}
	taken[key] = true
	return nil
}

// checkNetworking checks links, name resolution and namespaces against the network mode.
func checkNetworking(in *api.RegisterTaskDefinitionRequest) error {
	mode := modeOf(in.NetworkMode)
	for i := range in.ContainerDefinitions {
		c := &in.ContainerDefinitions[i]
		if len(c.Links) > 0 && mode != api.NetworkModeBridge {
			return clientError("Links are not supported when networkMode=%s.", mode)
		}
		if mode == api.NetworkModeAwsvpc {
			for what, set := range awsvpcRefused(c) {
				if set {
					return clientError("%s are not supported on container when networkMode=awsvpc.", what)
				}
			}
		}
		for _, s := range c.SystemControls {
			if mode == api.NetworkModeHost && strings.HasPrefix(*s.Namespace, "net.") {
				return settingError(*c.Name, "System control '%s' is not supported when networkMode=host.", *s.Namespace)
			}
			if in.IpcMode == api.IpcModeHost && isIPCControl(*s.Namespace) {
				return settingError(*c.Name, "System control '%s' is not supported when ipcMode=host.", *s.Namespace)
			}
		}
	}
	return nil
}

// awsvpcRefused yields the members that a container can't have in awsvpc mode, in a fixed order.
func awsvpcRefused(c *api.ContainerDefinition) func(yield func(string, bool) bool) {
	return func(yield func(string, bool) bool) {
		_ = yield("DNS servers", len(c.DnsServers) > 0) && yield("DNS search domains", len(c.DnsSearchDomains) > 0) &&
			yield("Extra hosts", len(c.ExtraHosts) > 0) && yield("Hostnames", value(c.Hostname) != "")
	}
}

// hostPorts are the fixed host ports that a task of this definition takes of its instance, ascending.
func hostPorts(d *api.TaskDefinition) (tcp, udp []int32) {
	mode := modeOf(d.NetworkMode)
	if mode != api.NetworkModeBridge && mode != api.NetworkModeHost {
		return nil, nil
	}
	for _, c := range d.ContainerDefinitions {
		for _, p := range c.PortMappings {
			port := value(p.HostPort)
			if port == 0 {
				continue
			}
			if protocolOf(p) == api.TransportProtocolUdp {
				udp = append(udp, port)
			} else {
				tcp = append(tcp, port)
			}
		}
	}
	slices.Sort(tcp)
	slices.Sort(udp)
	return tcp, udp
}
