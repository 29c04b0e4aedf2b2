package ingress

import (
	"strconv"
	"strings"
)

// matches tells whether a code is in a matcher such as "200", "200-299,302" or, of gRPC, "0-99".
func matches(matcher string, code int) bool {
	for part := range strings.SplitSeq(matcher, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		if first <= code && code <= last {
			return true
		}
	}
	return false
}
