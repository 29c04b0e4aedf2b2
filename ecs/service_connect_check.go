package ecs

import (
	"reflect"
	"regexp"

	api "berth/api/ecs"
)

// aliasPattern is what a DNS name of a client alias may be. Source: ECS API reference, ServiceConnectClientAlias.
var aliasPattern = regexp.MustCompile(`^[a-z0-9_.][a-z0-9_.-]{0,126}$`)

// checkConnect checks a Service Connect configuration, as far as nothing has to be looked up.
func (v *ServiceRecord) checkConnect(in *api.ServiceConnectConfiguration) error {
	switch {
	case in == nil:
		return nil
	case in.Enabled == nil:
		return invalid("serviceConnectConfiguration.enabled can not be null.")
	case !*in.Enabled:
		return nil
	case v.external():
		return invalid("Service Connect is not supported with the deployment controller EXTERNAL.")
	case v.Launch == api.LaunchTypeExternal:
		return invalid("Service Connect is not supported with the EXTERNAL launch type.")
	case in.LogConfiguration != nil:
		return notYet("serviceConnectConfiguration.logConfiguration (there is no proxy in the task that would write a log)")
	case in.AccessLogConfiguration != nil:
		return notYet("serviceConnectConfiguration.accessLogConfiguration (access logs of Service Connect)")
	}
	for _, s := range in.Services {
		if err := checkConnectService(s); err != nil {
			return err
		}
	}
	return nil
}

func checkConnectService(s api.ServiceConnectService) error {
	const at = "serviceConnectConfiguration.services."
	switch {
	case value(s.PortName) == "":
		return invalid("%sportName can not be blank.", at)
	case s.DiscoveryName != nil && !portNamePattern.MatchString(*s.DiscoveryName):
		return invalid("The discoveryName '%s' must have 1 to 64 lower-case letters, digits, hyphens and underscores and not begin with a hyphen.", *s.DiscoveryName)
	case len(s.ClientAliases) != 1:
		return invalid("The Service Connect service with the portName '%s' must have 1 client alias.", *s.PortName)
	case s.Tls != nil:
		return notYet(at + "tls (TLS of Service Connect)")
	case s.IngressPortOverride != nil:
		return notYet(at + "ingressPortOverride (traffic comes to the task's own port: there is no proxy in the task)")
	}
	a := s.ClientAliases[0]
	switch {
	case value(a.Port) < 1 || *a.Port > 65535:
		return invalid("The port of a client alias must be between 1 and 65535.")
	case a.TestTrafficRules != nil:
		return notYet(at + "clientAliases.testTrafficRules (traffic shifts with Service Connect)")
	case a.DnsName != nil && !aliasPattern.MatchString(*a.DnsName):
		return invalid("The dnsName '%s' must have 1 to 127 lower-case letters, digits, underscores, hyphens and periods and not begin with a hyphen.", *a.DnsName)
	}
	if t := s.Timeout; t != nil && (value(t.IdleTimeoutSeconds) < 0 || value(t.PerRequestTimeoutSeconds) < 0) {
		return invalid("The timeouts of Service Connect must not be negative.")
	}
	return nil
}

// checkShift refuses deployments that would have to shift the traffic of Service Connect.
func (v ServiceRecord) checkShift(in *api.ServiceConnectConfiguration) error {
	if in != nil && len(in.Services) > 0 && shifts(v.Config.Strategy) {
		return notYet("The deployment strategy " + string(v.Config.Strategy) + " for services of Service Connect (serviceConnectConfiguration.services)")
	}
	return nil
}

// connectConfig is the configuration that a service of a cluster has when it is given one; nil: none. Without a namespace it has the
// cluster's default one, if there is one.
func connectConfig(in *api.ServiceConnectConfiguration, c Cluster) *api.ServiceConnectConfiguration {
	if in == nil || !value(in.Enabled) {
		return nil
	}
	out := *in
	if value(out.Namespace) == "" && c.Connect != "" {
		out.Namespace = new(c.Connect)
	}
	return &out
}

func sameConnect(a, b *api.ServiceConnectConfiguration) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(normalConnect(*a), normalConnect(*b))
}

// normalConnect makes no difference between no list and an empty one.
func normalConnect(c api.ServiceConnectConfiguration) api.ServiceConnectConfiguration {
	c.Services = orEmpty(c.Services)
	return c
}
