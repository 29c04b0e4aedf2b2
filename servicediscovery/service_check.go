package servicediscovery

import (
	"slices"
	"strings"

	api "berth/api/servicediscovery"
)

// apex is the name of a service whose DNS name is that of the namespace.
const apex = "."

// checkServiceName: labels of letters, digits, hyphens and underscores, together at most 127 characters; or the apex.
func checkServiceName(name string) error {
	if name == apex {
		return nil
	}
	if len(name) > 127 {
		return invalid("The name of a service has at most 127 characters.")
	}
	if err := checkName(name); err != nil {
		return invalid("The name of the service is not valid: %s.", err)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "_" {
			return invalid("The name of the service is not valid: a label must not be an underscore alone.")
		}
	}
	return nil
}

// checkHealthConfig refuses what would have Route 53 ask addresses on the internet.
func checkHealthConfig(public *api.HealthCheckConfig, custom *api.HealthCheckCustomConfig) error {
	switch {
	case public != nil && custom != nil:
		return invalid("A service has HealthCheckConfig or HealthCheckCustomConfig, not both.")
	case public != nil:
		return invalid("HealthCheckConfig is not supported: there is no Route 53 to check from. Use HealthCheckCustomConfig.")
	}
	return nil
}

// checkService fills in what follows from the namespace, and checks what the request says of DNS.
func checkService(v *ServiceRecord, n Namespace, in *api.CreateServiceRequest) error {
	if n.Type == api.NamespaceTypeHTTP || in.Type == api.ServiceTypeOptionHTTP {
		v.Type = api.ServiceTypeHTTP
		if in.DnsConfig != nil {
			return invalid("DnsConfig is not possible: the instances of this service are found by DiscoverInstances only.")
		}
		return nil
	}
	v.Type = api.ServiceTypeDNSHTTP
	if in.DnsConfig == nil {
		return invalid("DnsConfig is required in a DNS namespace, unless Type is HTTP.")
	}
	if id := in.DnsConfig.NamespaceId; id != nil && *id != n.ID {
		return invalid("The NamespaceId of DnsConfig is not that of the service.")
	}
	if err := checkName(v.dnsName(n)); err != nil {
		return invalid("The service's DNS name %s is not valid: %s.", v.dnsName(n), err)
	}
	v.Records, v.Policy = in.DnsConfig.DnsRecords, in.DnsConfig.RoutingPolicy
	if v.Policy == "" {
		v.Policy = api.RoutingPolicyMultivalue
	}
	return checkRecords(v.Records, v.Policy)
}

// dnsName is the service's name in DNS, without a dot at its end.
func (v ServiceRecord) dnsName(n Namespace) string {
	if v.Name == apex {
		return n.Name
	}
	return v.Name + "." + n.Name
}

// checkRecords admits A, AAAA, A and AAAA, SRV, or CNAME.
func checkRecords(records []api.DnsRecord, policy api.RoutingPolicy) error {
	var kinds []string
	for _, r := range records {
		if slices.Contains(kinds, string(r.Type)) {
			return invalid("DnsRecords has the type %s twice.", r.Type)
		}
		kinds = append(kinds, string(r.Type))
	}
	slices.Sort(kinds)
	switch text := strings.Join(kinds, " "); text {
	case "A", "AAAA", "A AAAA", "SRV":
	case "CNAME":
		if policy != api.RoutingPolicyWeighted {
			return invalid("A CNAME record needs the routing policy WEIGHTED.")
		}
	case "":
		return invalid("DnsRecords is empty.")
	default:
		return invalid("The record types %s cannot be combined. Possible are: A; AAAA; A and AAAA; SRV; CNAME.", text)
	}
	return nil
}

// changedRecords are the service's records with other TTLs, or fewer of them. Types can't be added.
func changedRecords(v ServiceRecord, change *api.DnsConfigChange) ([]api.DnsRecord, error) {
	if change == nil {
		return nil, nil
	}
	for _, r := range change.DnsRecords {
		if !v.has(r.Type) {
			return nil, invalid("The service %s has no record of the type %s, and the type cannot be changed.", v.ID, r.Type)
		}
	}
	return change.DnsRecords, checkRecords(change.DnsRecords, v.Policy)
}
