package agent

import (
	"fmt"
	"strconv"
	"strings"

	ecs "berth/api/ecs"
	"berth/aws"
)

// networkRequest is what the container asks of the network.
func (t *task) networkRequest(c *container) (NetworkRequest, error) {
	def := t.definition(c.Name)
	req := NetworkRequest{ID: c.ID, TaskArn: t.Want.Arn, Mode: string(t.networkMode(c.Name))}
	for _, s := range def.SystemControls {
		if name := aws.Value(s.Namespace); strings.HasPrefix(name, "net.") {
			if req.Sysctls == nil {
				req.Sysctls = map[string]string{}
			}
			req.Sysctls[name] = aws.Value(s.Value)
		}
	}
	if req.Mode != string(ecs.NetworkModeBridge) {
		return req, nil
	}
	for _, m := range def.PortMappings {
		p, err := portRequest(m)
		if err != nil {
			return req, err
		}
		req.Ports = append(req.Ports, p)
	}
	return req, nil
}

func portRequest(m ecs.PortMapping) (PortRequest, error) {
	protocol := string(m.Protocol)
	if protocol == "" {
		protocol = string(ecs.TransportProtocolTcp)
	}
	if r := aws.Value(m.ContainerPortRange); r != "" {
		first, last, err := portRange(r)
		if err != nil {
			return PortRequest{}, err
		}
		return PortRequest{ContainerPort: first, Count: last - first + 1, Protocol: protocol}, nil
	}
	return PortRequest{ContainerPort: uint16(aws.Value(m.ContainerPort)), HostPort: uint16(aws.Value(m.HostPort)), Count: 1,
		Protocol: protocol}, nil
}

func portRange(r string) (first, last uint16, err error) {
	a, b, _ := strings.Cut(r, "-")
	f, err1 := strconv.ParseUint(a, 10, 16)
	l, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || f == 0 || l < f {
		return 0, 0, fmt.Errorf("containerPortRange %q is not FIRST-LAST", r)
	}
	return uint16(f), uint16(l), nil
}

// bindings shows published ports as ECS does: one entry for each port or range and each address.
func bindings(published []PortBinding) []ecs.NetworkBinding {
	var all []ecs.NetworkBinding
	for _, p := range published {
		for _, ip := range p.BindIPs {
			b := ecs.NetworkBinding{BindIP: &ip, Protocol: ecs.TransportProtocol(p.Protocol)}
			if p.Count > 1 {
				b.ContainerPortRange = new(fmt.Sprintf("%d-%d", p.ContainerPort, p.ContainerPort+p.Count-1))
				b.HostPortRange = new(fmt.Sprintf("%d-%d", p.HostPort, p.HostPort+p.Count-1))
			} else {
				b.ContainerPort, b.HostPort = new(int32(p.ContainerPort)), new(int32(p.HostPort))
			}
			all = append(all, b)
		}
	}
	return all
}

// hostBindings are the bindings of a container in host mode: its ports are the machine's.
func hostBindings(def *ecs.ContainerDefinition) []PortBinding {
	var all []PortBinding
	for _, m := range def.PortMappings {
		p, err := portRequest(m)
		if err != nil {
			continue
		}
		p.HostPort = p.ContainerPort
		all = append(all, PortBinding{PortRequest: p, BindIPs: []string{"0.0.0.0"}})
	}
	return all
}
