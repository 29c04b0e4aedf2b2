package haproxy

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Cipher suites, strongest first. Forward secrecy comes with ECDHE.
var (
	suites13  = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
	secret    = []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}
	secretCBC = []string{"ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"}
	secretSHA = []string{"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA"}
	plainRSA  = []string{"AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"}
	plainSHA  = []string{"AES128-SHA", "AES256-SHA"}
)

// policy is what a security policy means to HAProxy.
type policy struct {
	least, most string // versions of TLS
	ciphers     []string
}

// policyOf reads a policy off its name, as names follow one scheme: TLS13 allows TLS 1.3; 1-0 to 1-3 is the least version; FS and Res leave only
// ciphers with forward secrecy, Res only those with GCM; Ext adds older ciphers. Source: ELB user guide, security policies.
func policyOf(name string) policy {
	p := policy{least: "TLSv1.0", most: "TLSv1.2"}
	has := func(parts ...string) bool {
		for _, s := range parts {
			if strings.Contains(name+"-", "-"+s+"-") {
				return true
			}
		}
		return false
	}
	if has("TLS13") {
		p.most = "TLSv1.3"
	}
	switch {
	case has("TLS13-1-3"):
		p.least = "TLSv1.3"
	case has("1-2"):
		p.least = "TLSv1.2"
	case has("1-1"):
		p.least = "TLSv1.1"
	}
	switch old := p.least < "TLSv1.2"; {
	case has("Res"):
		p.ciphers = secret
	case has("Ext0"):
		p.ciphers = concat(secret, secretCBC, secretSHA)
	case has("Ext1"):
		p.ciphers = concat(secret, secretCBC, plainRSA)
	case has("FS") && !old, has("TLS13") && !has("Ext2") && !old:
		p.ciphers = concat(secret, secretCBC)
	case has("FS"):
		p.ciphers = concat(secret, secretCBC, secretSHA)
	case has("Ext", "Ext2") || old:
		p.ciphers = concat(secret, secretCBC, secretSHA, plainRSA, plainSHA)
	default:
		p.ciphers = concat(secret, secretCBC, plainRSA)
	}
	return p
}

func concat(lists ...[]string) (out []string) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// tls gives what a bind line of an encrypted listener has behind the address.
func (r *renderer) tls(lb LoadBalancer, l Listener) string {
	var list strings.Builder
	for _, id := range l.Certificates {
		if c, err := normalPEM(r.certificates[id].PEM); err == nil {
			file := "certificates/" + name(id) + ".pem"
			r.files[file] = c
			list.WriteString(path.Join(r.m.Dir, file) + "\n")
		}
	}
	p := policyOf(l.SSLPolicy)
	out := " ssl crt-list " + r.file("listeners/"+FrontendName(lb.ID, l.Port)+".crt-list", []byte(list.String()))
	out += " ssl-min-ver " + p.least + " ssl-max-ver " + p.most
	// OpenSSL takes versions before 1.2 only at the lowest level.
	if ciphers := strings.Join(p.ciphers, ":"); p.least < "TLSv1.2" {
		out += " ciphers " + ciphers + ":@SECLEVEL=0"
	} else {
		out += " ciphers " + ciphers
	}
	if p.most == "TLSv1.3" {
		out += " ciphersuites " + suites13
	}
	return out + alpn(lb, l)
}

// alpn is which protocols are offered, the liked ones first.
func alpn(lb LoadBalancer, l Listener) string {
	if lb.Kind == Application {
		if lb.Attributes["routing.http2.enabled"] == "false" {
			return " alpn http/1.1"
		}
		return " alpn h2,http/1.1"
	}
	switch l.ALPN {
	case "HTTP1Only":
		return " alpn http/1.1,http/1.0"
	case "HTTP2Only":
		return " alpn h2"
	case "HTTP2Optional":
		return " alpn http/1.1,http/1.0,h2"
	case "HTTP2Preferred":
		return " alpn h2,http/1.1,http/1.0"
	}
	return ""
}

// normalPEM is a certificate, its chain and its key as OpenSSL reads them. It refuses what OpenSSL would.
func normalPEM(p PEM) ([]byte, error) {
	pair, err := tls.X509KeyPair([]byte(p), []byte(p))
	if err != nil {
		return nil, errors.New("the certificate or its key cannot be read") // what crypto/tls says might show the key
	}
	var out []byte
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errors.New("a certificate of the chain cannot be read")
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 1024 {
			return nil, fmt.Errorf("an RSA key of %d bits is too short", k.N.BitLen())
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, errors.New("the key is of a kind that is not supported")
	}
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}
