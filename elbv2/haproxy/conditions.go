package haproxy

import (
	"fmt"
	"net/netip"
	"strings"
)

// conditions writes the ACLs of a rule's conditions and gives what to put after "if". HAProxy takes several ACLs of one name as
// alternatives, and names in a row as all of them.
func (r *renderer) conditions(rule int, conditions []Condition) string {
	var names []string
	for i, c := range conditions {
		acl := fmt.Sprintf("c%d.%d", rule, i)
		lines := tests(c)
		if len(lines) == 0 {
			lines = []string{"always_false"}
		}
		for _, l := range lines {
			r.line("acl %s %s", acl, l)
		}
		names = append(names, acl)
	}
	return strings.Join(names, " ")
}

// tests are the alternatives of a condition. Source of the rules on case: ELB user guide, condition types: hosts, values of headers and query
// strings are compared without regard to case, paths and methods with it.
func tests(c Condition) (out []string) {
	fetch, fold := "path", ""
	switch c.Field {
	case "host-header":
		fetch, fold = "var(txn.host)", "-i "
	case "http-header":
		// req.fhdr looks at each line of that name in turn, commas and all.
		fetch, fold = "req.fhdr("+argument(c.Header)+")", "-i "
	case "http-request-method":
		for _, v := range c.Values {
			out = append(out, "method -m str -- "+word(v))
		}
		return out
	case "query-string":
		for _, p := range c.Query {
			out = append(out, "query -m reg -i -- "+word(queryPattern(p)))
		}
		return out
	case "source-ip":
		for _, v := range c.Values {
			if p, err := netip.ParsePrefix(v); err == nil {
				out = append(out, "src "+p.Masked().String())
			}
		}
		return out
	}
	for _, v := range c.Values {
		if pattern, text, whole := wildcards(v); whole {
			out = append(out, word(fetch)+" -m str "+fold+"-- "+word(text))
		} else {
			out = append(out, word(fetch)+" -m reg "+fold+"-- "+word(pattern))
		}
	}
	for _, v := range c.Regex {
		if pattern, _, err := regex(v); err == nil {
			out = append(out, word(fetch)+" -m reg "+fold+"-- "+word(pattern))
		}
	}
	return out
}
