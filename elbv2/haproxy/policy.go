package haproxy

import "strings"

// Policy is what a security policy means to HAProxy: the versions of TLS in AWS's words, such as TLSv1.2, and the cipher suites, those of
// TLS 1.3 first.
func Policy(name string) (versions, ciphers []string) {
	p := policyOf(name)
	for _, v := range []string{"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"} {
		if v >= p.least && v <= p.most {
			versions = append(versions, strings.TrimSuffix(v, ".0"))
		}
	}
	if p.most == "TLSv1.3" {
		ciphers = strings.Split(suites13, ":")
	}
	if p.least < "TLSv1.3" {
		ciphers = append(ciphers, p.ciphers...)
	}
	return versions, ciphers
}
