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
	return map[string]string{}
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
