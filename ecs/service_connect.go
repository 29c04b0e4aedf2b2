package ecs

import (
	"cmp"
	"strings"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/elbv2"
	"berth/servicediscovery"
	"berth/store"
)

// Service Connect: a service claims names with ports in a Cloud Map namespace (elbv2.ConnectPorts). Every machine balances them
// on the way from its tasks to the service's tasks, as load balancers do; containers find the names in /etc/hosts. Tasks are targets of
// their ports from when they run until they leave: register, deregister.

// Connect is what a deployment has of Service Connect. Written by: CreateService, UpdateService.
type Connect struct {
	Namespace string `json:"ns"` // ID of the namespace
	// Config is what the user gave, with the namespace.
	Config api.ServiceConnectConfiguration `json:"cf"`
	Ports  []ConnectPort                   `json:"p,omitzero"`
	// Hosts are the names that there were in the namespace when the deployment began: its tasks know these.
	Hosts []proto.Host `json:"h,omitzero"`
}

// ConnectPort is a port of the deployment's tasks and the name and port at which others reach it.
type ConnectPort struct {
	Discovery     string `json:"d"`  // discovery name
	Service       string `json:"s"`  // ID of the Cloud Map service
	Alias         string `json:"a"`  // DNS name that clients use
	Port          int32  `json:"p"`  // that clients use
	Container     string `json:"c"`  // name
	ContainerPort int32  `json:"cp"` // TCP
	Protocol      string `json:"pr"` // HTTP, TCP
	Version       string `json:"v,omitzero"`
	Idle          int32  `json:"i"`          // seconds; 0: no limit
	Request       int32  `json:"r,omitzero"` // seconds; 0: no limit
}

func (d Deployment) connectConfig() *api.ServiceConnectConfiguration {
	if d.Connect == nil {
		return nil
	}
	return &d.Connect.Config
}

func (d Deployment) ports() []ConnectPort {
	if d.Connect == nil {
		return nil
	}
	return d.Connect.Ports
}

func (d Deployment) hosts() []proto.Host {
	if d.Connect == nil {
		return nil
	}
	return d.Connect.Hosts
}

func (d Deployment) namespaceKey() string {
	if d.Connect == nil {
		return ""
	}
	return d.Account + "/" + d.Region + "/" + d.Connect.Namespace
}

// connectPort is the record of one of the deployment's ports, without its address.
func (d Deployment) connectPort(c ConnectPort) elbv2.ConnectPort {
	return elbv2.ConnectPort{
		Account: d.Account, Region: d.Region, Namespace: d.Connect.Namespace, Name: c.Alias, Port: c.Port,
		Owner:     string(ServiceRecord{Account: d.Account, Region: d.Region, Cluster: d.Cluster, Name: d.Service}.ARN()),
		Discovery: d.Account + "/" + d.Region + "/" + c.Service,
		Protocol:  c.Protocol, Version: c.Version, Idle: c.Idle, Request: c.Request,
	}
}

func (c ConnectPort) discoveryARN(d Deployment) string {
	return string(aws.NewARN("servicediscovery", d.Region, d.Account, "service/"+c.Service))
}

// connectRegistries are the Cloud Map services of the deployment's ports.
func (d Deployment) connectRegistries() (out []api.ServiceRegistry) {
	for _, c := range d.ports() {
		out = append(out, api.ServiceRegistry{RegistryArn: new(c.discoveryARN(d)), ContainerName: new(c.Container), ContainerPort: new(c.ContainerPort)})
	}
	return out
}

// connectWire adds what the API shows of Service Connect.
func (d Deployment) connectWire(out *api.Deployment) {
	if d.Connect == nil {
		return
	}
	out.ServiceConnectConfiguration = new(d.Connect.Config)
	for _, c := range d.Connect.Ports {
		out.ServiceConnectResources = append(out.ServiceConnectResources, api.ServiceConnectServiceResource{
			DiscoveryName: new(c.Discovery), DiscoveryArn: new(c.discoveryARN(d)),
		})
	}
}

// connect claims what the configuration of a new deployment with a number names, and notes which names its tasks will know. Without a
// configuration it is nil.
func (v ServiceRecord) connect(tx *store.Tx, config *api.ServiceConnectConfiguration, definition TaskDefinition, number string, now time.Time) (*Connect, error) {
	if config == nil {
		return nil, nil
	}
	if err := v.checkShift(config); err != nil {
		return nil, err
	}
	if mode := networkMode(&definition.Definition); mode != api.NetworkModeBridge {
		return nil, invalid("Service Connect is not supported with the %s network mode specified in the task definition. Use bridge.", mode)
	}
	if value(config.Namespace) == "" {
		return nil, invalid("A namespace is required for Service Connect: serviceConnectConfiguration has none, and the cluster has no default namespace.")
	}
	n, err := connectNamespace(tx, v.Account, v.Region, *config.Namespace)
	if err != nil {
		return nil, err
	}
	out := &Connect{Namespace: n.ID, Config: *config}
	d := Deployment{Account: v.Account, Region: v.Region, Cluster: v.Cluster, Service: v.Name, Connect: out}
	discoveries, aliases := map[string]bool{}, map[string]bool{}
	for _, s := range config.Services {
		c, err := connectPortOf(s, n, &definition.Definition)
		if err != nil {
			return nil, err
		}
		p := d.connectPort(c)
		if discoveries[c.Discovery] || aliases[p.Alias()] {
			return nil, invalid("The discovery name '%s' or the client alias '%s' is given more than once.", c.Discovery, p.Alias())
		}
		discoveries[c.Discovery], aliases[p.Alias()] = true, true
		if err := d.claim(tx, n, &c, number, now); err != nil {
			return nil, err
		}
		out.Ports = append(out.Ports, c)
	}
	for _, p := range elbv2.PortsIn(tx, v.Account, v.Region, n.ID) {
		if last := len(out.Hosts) - 1; p.Address.IsValid() && (last < 0 || out.Hosts[last].Name != p.Name) {
			out.Hosts = append(out.Hosts, proto.Host{Name: p.Name, Address: p.Address})
		}
	}
	return out, nil
}

// connectPortOf finds the port of one service of a configuration in the task definition.
func connectPortOf(s api.ServiceConnectService, n servicediscovery.Namespace, d *api.TaskDefinition) (ConnectPort, error) {
	out := ConnectPort{Discovery: cmp.Or(value(s.DiscoveryName), *s.PortName), Port: *s.ClientAliases[0].Port}
	out.Alias = cmp.Or(value(s.ClientAliases[0].DnsName), out.Discovery+"."+strings.ToLower(n.Name))
	if !aliasPattern.MatchString(out.Alias) {
		return out, invalid("The client alias of '%s' would be '%s', which is no DNS name: specify a dnsName.", *s.PortName, out.Alias)
	}
	var m api.PortMapping
	for _, c := range d.ContainerDefinitions {
		for _, have := range c.PortMappings {
			if value(have.Name) == *s.PortName {
				m, out.Container = have, *c.Name
			}
		}
	}
	switch {
	case m.Name == nil:
		return out, invalid("The portName '%s' of serviceConnectConfiguration must match the name of a port mapping in the task definition.", *s.PortName)
	case m.ContainerPort == nil:
		return out, invalid("The port mapping '%s' has a containerPortRange. Service Connect needs a containerPort.", *s.PortName)
	case m.Protocol == api.TransportProtocolUdp:
		return out, invalid("The port mapping '%s' has the protocol udp. Service Connect needs tcp.", *s.PortName)
	}
	out.ContainerPort = *m.ContainerPort
	out.Protocol, out.Version = "HTTP", map[api.ApplicationProtocol]string{
		api.ApplicationProtocolHttp: "HTTP1", api.ApplicationProtocolHttp2: "HTTP2", api.ApplicationProtocolGrpc: "GRPC",
	}[m.AppProtocol]
	out.Idle, out.Request = idleHTTP, requestTimeout
	if out.Version == "" {
		out.Protocol, out.Idle, out.Request = "TCP", idleTCP, 0
	}
	if t := s.Timeout; t != nil {
		if t.IdleTimeoutSeconds != nil {
			out.Idle = *t.IdleTimeoutSeconds
		}
		if t.PerRequestTimeoutSeconds != nil && out.Protocol == "TCP" {
			return out, invalid("perRequestTimeoutSeconds is not supported for '%s': its appProtocol is TCP.", *s.PortName)
		}
		if t.PerRequestTimeoutSeconds != nil {
			out.Request = *t.PerRequestTimeoutSeconds
		}
	}
	return out, nil
}

// Timeouts in seconds. Source: ECS API reference, TimeoutConfiguration; that of requests: ECS developer guide, Service Connect.
const (
	idleHTTP       = 300
	idleTCP        = 3600
	requestTimeout = 15
)

// claim takes the discovery name and the alias of a port for the service, and fills in the Cloud Map service.
func (d Deployment) claim(tx *store.Tx, n servicediscovery.Namespace, c *ConnectPort, number string, now time.Time) error {
	in, err := servicediscovery.EnsureHTTPService(tx, n, c.Discovery, servicediscovery.DerivedID(number+"/"+c.Discovery), now)
	if e, ok := err.(*aws.Error); ok {
		return invalid("%s", e.Message) // codes of Cloud Map are not of this service
	}
	if err != nil {
		return err
	}
	if in.Type != "HTTP" {
		return invalid("The discovery name '%s' is that of a Cloud Map service with DNS records.", c.Discovery)
	}
	c.Service = in.ID
	p := d.connectPort(*c)
	if other := elbv2.ClaimPort(tx, p); other != "" {
		return invalid("The discovery name '%s' or the client alias '%s' is used by the service %s in the namespace %s.", c.Discovery, p.Alias(), other, n.Name)
	}
	return nil
}

// takeConnect sets the default namespace of a cluster. A name that no namespace has makes an HTTP namespace with the ID; an empty name
// removes the default.
func (c *Cluster) takeConnect(tx *store.Tx, in *api.ClusterServiceConnectDefaultsRequest, id string, now time.Time) error {
	switch {
	case in == nil:
		return nil
	case in.Namespace == nil:
		return invalid("serviceConnectDefaults.namespace can not be null.")
	case *in.Namespace == "":
		c.Connect = ""
		return nil
	case aws.IsARN(*in.Namespace):
		n, err := connectNamespace(tx, c.Account, c.Region, *in.Namespace)
		c.Connect = string(n.ARN())
		return err
	case strings.ContainsAny(*in.Namespace, `<>"/`):
		return invalid("The name of a namespace must not have any of the characters < > \" /.")
	}
	n, err := servicediscovery.EnsureHTTPNamespace(tx, c.Account, c.Region, *in.Namespace, id, now)
	if e, ok := err.(*aws.Error); ok {
		return invalid("%s", e.Message)
	}
	c.Connect = string(n.ARN())
	return err
}
