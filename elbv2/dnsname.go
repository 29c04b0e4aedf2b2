package elbv2

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	api "berth/api/elbv2"
)

// DNSZone is the domain in which Berth's own DNS server answers for load balancers. The top level is for private use (ICANN
// resolution of July 2024).
const DNSZone = "berth.internal"

// DNSName is the name at which the load balancer is reached, such as web-1234567890.us-east-1.elb.berth.internal. The digits
// come from its ID.
func (v LoadBalancer) DNSName() string {
	sum := sha256.Sum256([]byte(v.ID))
	const tenDigits = 10_000_000_000
	name := fmt.Sprintf("%s-%010d.%s.elb.%s", strings.ToLower(v.Name), binary.BigEndian.Uint64(sum[:8])%tenDigits, v.Region, DNSZone)
	if v.Scheme == api.LoadBalancerSchemeEnumInternal {
		return "internal-" + name
	}
	return name
}
