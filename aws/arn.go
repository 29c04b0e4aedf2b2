package aws

import (
	"fmt"
	"strings"
)

// ARN is an Amazon resource name, arn:partition:service:region:account:resource. The zero value means none.
// A value made by ParseARN or NewARN has all six parts; the accessors of any other value return "".
type ARN string

// NewARN names a resource in partition aws. resource is everything after the account, for example cluster/web.
func NewARN(service, region, account, resource string) ARN {
	return ARN("arn:aws:" + service + ":" + region + ":" + account + ":" + resource)
}

// ParseARN checks the form of s: six parts, a partition, a service and a resource; account is empty or 12 digits or "aws".
func ParseARN(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return "", fmt.Errorf("%q is not an ARN", s)
	}
	if parts[1] == "" || parts[2] == "" || parts[5] == "" {
		return "", fmt.Errorf("ARN %q lacks its partition, service or resource", s)
	}
	if a := parts[4]; a != "" && a != "aws" && !IsAccountID(a) {
		return "", fmt.Errorf("ARN %q has an account that is not 12 digits", s)
	}
	return ARN(s), nil
}

// IsAccountID says whether s is 12 decimal digits.
func IsAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// IsARN says whether s claims to be an ARN, well-formed or not.
func IsARN(s string) bool { return strings.HasPrefix(s, "arn:") }

func (a ARN) String() string    { return string(a) }
func (a ARN) Partition() string { return a.part(1) }
func (a ARN) Service() string   { return a.part(2) }
func (a ARN) Region() string    { return a.part(3) }
func (a ARN) Account() string   { return a.part(4) }

// Resource is everything after the account; it may hold colons and slashes.
func (a ARN) Resource() string { return a.part(5) }

func (a ARN) part(i int) string {
	parts := strings.SplitN(string(a), ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return ""
	}
	return parts[i]
}
