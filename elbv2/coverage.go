package elbv2

// Support says what Berth does with an operation, a field or an attribute.
type Support string

// Kinds of support.
const (
	ActedOn    Support = "acted on"
	StoredOnly Support = "stored only"
	Refused    Support = "refused"
)

// Coverage is the support of one field or attribute.
type Coverage struct {
	Name    string
	Support Support
	Note    string // why not, or what is special
}

// Reasons say why operations are refused. Those that stand neither here nor are answered by api.Unimplemented are acted on.
func Reasons() map[string]string {
	const (
		trust  = "there is no mutual authentication, so there are no trust stores"
		shared = "resources cannot be shared"
		pools  = "there is no IPAM"
	)
	return map[string]string{
		"CreateTrustStore": trust, "ModifyTrustStore": trust, "DeleteTrustStore": trust, "DescribeTrustStoreAssociations": trust,
		"DeleteSharedTrustStoreAssociation": trust, "GetTrustStoreCaCertificatesBundle": trust, "AddTrustStoreRevocations": trust,
		"DescribeTrustStoreRevocations": trust, "RemoveTrustStoreRevocations": trust, "GetTrustStoreRevocationContent": trust,
		"GetResourcePolicy": shared, "ModifyIpPools": pools,
	}
}

// Notes say what is special about operations that are acted on.
func Notes() map[string]string {
	return map[string]string{
		"CreateLoadBalancer":          "gateway load balancers, IPv6, elastic addresses, chosen addresses and IPAM pools are refused",
		"SetSecurityGroups":           "security groups do not filter packets yet",
		"SetIpAddressType":            "ipv4 only",
		"CreateListener":              "QUIC and mutual authentication are refused",
		"CreateRule":                  "actions that authenticate are refused",
		"DescribeTrustStores":         "there are none",
		"DescribeCapacityReservation": "there is none",
		"ModifyCapacityReservation":   "a reset only; reserving is refused",
		"DescribeSSLPolicies":         "policies with FIPS and post-quantum keys are not there",
		"DescribeAccountLimits":       "the limits of this Berth",
	}
}

// LoadBalancerAttributeCoverage has a line for every attribute of load balancers, and for which types.
func LoadBalancerAttributeCoverage() []Coverage { return loadBalancerAttributes.coverage() }

// ListenerAttributeCoverage has a line for every attribute of listeners, and for which protocols.
func ListenerAttributeCoverage() []Coverage { return listenerAttributes.coverage() }

func (s attributeSet) coverage() (out []Coverage) {
	for _, a := range s {
		for _, kind := range a.of {
			out = append(out, Coverage{Name: a.key + " (" + kind + ")", Support: a.support, Note: a.note})
		}
	}
	return out
}
