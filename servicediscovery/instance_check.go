package servicediscovery

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	api "berth/api/servicediscovery"
	"berth/store"
)

// Attributes that mean something.
const (
	attrIPv4       = "AWS_INSTANCE_IPV4"
	attrIPv6       = "AWS_INSTANCE_IPV6"
	attrPort       = "AWS_INSTANCE_PORT"
	attrCNAME      = "AWS_INSTANCE_CNAME"
	attrInitHealth = "AWS_INIT_HEALTH_STATUS"
	attrAlias      = "AWS_ALIAS_DNS_NAME"
	attrEC2        = "AWS_EC2_INSTANCE_ID"
)

var knownAttributes = []string{attrIPv4, attrIPv6, attrPort, attrCNAME, attrInitHealth, attrAlias, attrEC2}

// attributes checks what a request says of an instance and completes it.
func (s *Service) attributes(r store.Reader, v ServiceRecord, said map[string]string) (map[string]string, error) {
	if err := checkAttributes(v, said); err != nil {
		return nil, err
	}
	id := said[attrEC2]
	if id == "" {
		return said, nil
	}
	n, ok := Namespaces.Get(r, v.NamespaceKey())
	if !ok || n.Type != api.NamespaceTypeHTTP {
		return nil, invalid("%s is possible in HTTP namespaces only.", attrEC2)
	}
	var host netip.Addr
	if s.Machine != nil {
		host, ok = s.Machine(r, v.Account, v.Region, id)
	}
	if !host.Is4() || !ok {
		return nil, invalid("The instance %s has no IPv4 address that is known here.", id)
	}
	out := maps.Clone(said)
	out[attrIPv4] = host.String()
	return out, nil
}

// checkAttributes checks what an instance's attributes say by themselves and for the service's DNS records.
func checkAttributes(v ServiceRecord, a map[string]string) error {
	size, custom := 0, 0
	for key, value := range a {
		size += utf8.RuneCountInString(key) + utf8.RuneCountInString(value)
		if slices.Contains(knownAttributes, key) {
			continue
		}
		if strings.HasPrefix(key, "AWS_") {
			return invalid("The attribute %s is not known. Custom attributes must not begin with AWS_.", key)
		}
		if custom++; key == "" || strings.HasPrefix(key, "aws:") {
			return invalid("The attribute key %q is not valid.", key)
		}
	}
	if custom > maxCustomAttributes {
		return invalid("An instance can have at most %d custom attributes.", maxCustomAttributes)
	}
	if size > maxAttributesSize {
		return invalid("All keys and values of an instance's attributes can have at most %d characters together.", maxAttributesSize)
	}
	if err := checkValues(a); err != nil {
		return err
	}
	if _, ok := a[attrInitHealth]; ok && !v.CustomHealth {
		return invalid("%s needs a service with HealthCheckCustomConfig.", attrInitHealth)
	}
	if alone(a) {
		return checkAlone(v, a)
	}
	return checkNeeded(v, a)
}

// checkValues checks the form of the attributes that mean something.
func checkValues(a map[string]string) error {
	if text, ok := a[attrIPv4]; ok {
		if ip, err := netip.ParseAddr(text); err != nil || !ip.Is4() {
			return invalid("%s must be an IPv4 address, not %q.", attrIPv4, text)
		}
	}
	if text, ok := a[attrIPv6]; ok {
		if ip, err := netip.ParseAddr(text); err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
			return invalid("%s must be an IPv6 address, not %q.", attrIPv6, text)
		}
	}
	if text, ok := a[attrPort]; ok {
		if port, err := strconv.ParseUint(text, 10, 16); err != nil || port == 0 || text[0] == '+' {
			return invalid("%s must be a number from 1 to 65535, not %q.", attrPort, text)
		}
	}
	if text, ok := a[attrCNAME]; ok {
		if err := checkName(strings.TrimSuffix(text, ".")); err != nil {
			return invalid("%s is not a DNS name: %s.", attrCNAME, err)
		}
	}
	if text, ok := a[attrInitHealth]; ok && text != string(api.HealthStatusHealthy) && text != string(api.HealthStatusUnhealthy) {
		return invalid("%s must be HEALTHY or UNHEALTHY, not %q.", attrInitHealth, text)
	}
	return nil
}

// alone says that an instance is named by an attribute that stands in the place of all AWS_INSTANCE attributes.
func alone(a map[string]string) bool {
	_, alias := a[attrAlias]
	_, ec2 := a[attrEC2]
	return alias || ec2
}

func checkAlone(v ServiceRecord, a map[string]string) error {
	alias, isAlias := a[attrAlias]
	_, isEC2 := a[attrEC2]
	if isEC2 {
		for key := range a {
			if key != attrEC2 && key != attrInitHealth {
				return invalid("With %s only %s is possible, not %s.", attrEC2, attrInitHealth, key)
			}
		}
	}
	if !isAlias {
		return nil
	}
	for key := range a {
		if strings.HasPrefix(key, "AWS_INSTANCE_") {
			return invalid("%s and %s exclude each other.", attrAlias, key)
		}
	}
	switch {
	case !v.has(api.RecordTypeA) && !v.has(api.RecordTypeAaaa):
		return invalid("%s needs a service with an A or AAAA record.", attrAlias)
	case v.Policy != api.RoutingPolicyWeighted:
		return invalid("%s needs a service with the routing policy WEIGHTED.", attrAlias)
	case checkName(strings.TrimSuffix(alias, ".")) != nil || !strings.HasSuffix(strings.ToLower(strings.TrimSuffix(alias, ".")), ".elb."+Zone):
		return invalid("%s must be the DNS name of a load balancer, which ends in .elb.%s.", attrAlias, Zone)
	}
	return nil
}

// checkNeeded checks that there is what the service's DNS records are made of.
func checkNeeded(v ServiceRecord, a map[string]string) error {
	needs := func(kind api.RecordType, key string) error {
		if _, ok := a[key]; v.has(kind) && !ok {
			return invalid("The service has an %s record: the attribute %s is required.", kind, key)
		}
		return nil
	}
	for _, n := range []struct {
		kind api.RecordType
		key  string
	}{
		{api.RecordTypeA, attrIPv4}, {api.RecordTypeAaaa, attrIPv6}, {api.RecordTypeCname, attrCNAME}, {api.RecordTypeSrv, attrPort},
	} {
		if err := needs(n.kind, n.key); err != nil {
			return err
		}
	}
	if v.has(api.RecordTypeSrv) && a[attrIPv4] == "" && a[attrIPv6] == "" {
		return invalid("The service has an SRV record: %s, %s or both are required.", attrIPv4, attrIPv6)
	}
	return nil
}
