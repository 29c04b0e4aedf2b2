package haproxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"berth/elbv2/haproxy"
)

// certificate is one for testing, made with a fixed validity.
func certificate(t testing.TB, id string, names ...string) haproxy.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(4e9, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k}))
	return haproxy.Certificate{ID: id, Digest: "1", PEM: haproxy.PEM(text)}
}

type attributes = map[string]string

// alb is an application load balancer with one listener.
func alb(protocol string, port int, rules ...haproxy.Rule) haproxy.LoadBalancer {
	return haproxy.LoadBalancer{ID: "app/web/50dc6c495c0c9188", Number: 1, Kind: haproxy.Application,
		Addresses: []netip.Addr{netip.MustParseAddr("172.31.16.9")}, Attributes: attributes{},
		Listeners: []haproxy.Listener{{ID: "f2f7dc8efc522ab2", Port: port, Protocol: protocol, Rules: rules, Attributes: attributes{}}}}
}

// logs gives a load balancer access logs.
func logs(lb haproxy.LoadBalancer) haproxy.LoadBalancer {
	lb.Attributes["access_logs.s3.enabled"] = "true"
	return lb
}

func nlb(protocol string, port int, rules ...haproxy.Rule) haproxy.LoadBalancer {
	lb := alb(protocol, port, rules...)
	lb.ID, lb.Kind = "net/flow/40dc6c495c0c9177", haproxy.Network
	return lb
}

func group(id, protocol string, a attributes) haproxy.Group {
	return haproxy.Group{ID: "targetgroup/" + id + "/73e2d6bc24d8a067", Protocol: protocol, Version: "HTTP1", Attributes: a}
}

func forward(groups ...string) haproxy.Rule { return rule("default", forwardTo(groups...)) }

func forwardTo(groups ...string) haproxy.Action {
	a := haproxy.Action{Kind: haproxy.Forward}
	for _, g := range groups {
		a.Groups = append(a.Groups, haproxy.Weighted{Group: "targetgroup/" + g + "/73e2d6bc24d8a067", Weight: 1})
	}
	return a
}

func rule(id string, a haproxy.Action, conditions ...haproxy.Condition) haproxy.Rule {
	return haproxy.Rule{ID: id, Action: a, Conditions: conditions}
}

func fixed(status int, body string) haproxy.Action {
	return haproxy.Action{Kind: haproxy.FixedResponse, Fixed: &haproxy.Fixed{Status: status, ContentType: "text/plain", Body: body}}
}

func frame(lb haproxy.LoadBalancer, groups ...haproxy.Group) haproxy.Frame {
	return haproxy.Frame{LoadBalancers: []haproxy.LoadBalancer{lb}, Groups: groups}
}

// accepted asks HAProxy what it thinks of a configuration.
func accepted(t testing.TB, dir string, c haproxy.Config) {
	t.Helper()
	if out, err := try(t, dir, c); err != nil {
		t.Fatalf("haproxy -c: %v\n%s\n%s", err, out, c.Text)
	}
}

func try(t testing.TB, dir string, c haproxy.Config) (string, error) {
	t.Helper()
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	write(t, dir, c)
	out, err := exec.Command(binary, "-c", "-f", filepath.Join(dir, "haproxy.cfg")).CombinedOutput()
	return string(out), err
}

func write(t testing.TB, dir string, c haproxy.Config) {
	t.Helper()
	for name, content := range c.Files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "haproxy.cfg"), c.Text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func machine(dir string) haproxy.Machine {
	return haproxy.Machine{Loopback: netip.MustParsePrefix("127.128.0.0/22"), Dir: dir, LogSocket: filepath.Join(dir, "log.sock"), StatsSocket: filepath.Join(dir, "stats.sock"), LateDir: dir}
}
