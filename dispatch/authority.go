package dispatch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/aws"
	"berth/ecs"
)

// Lives of certificates. Agents renew theirs at two thirds, so a machine may be switched off for a month and come back
// without a new token.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 365 * 24 * time.Hour
	machineLife   = 90 * 24 * time.Hour
	// backdate allows for machines whose clocks are a little behind.
	backdate = 5 * time.Minute
)

// Authority signs the certificates of this control plane's agents and of their listener.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// OpenAuthority reads the authority in dir, or makes it at the first start. The key's mode is 0600.
func OpenAuthority(dir string, now time.Time) (*Authority, error) {
	certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if errors.Is(err, os.ErrNotExist) {
		if err := makeAuthority(dir, certFile, keyFile, now); err != nil {
			return nil, fmt.Errorf("make the authority of agents: %w", err)
		}
		pair, err = tls.LoadX509KeyPair(certFile, keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the authority of agents in %s: %w", dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the authority of agents in %s: its key is no ECDSA key", dir)
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

func makeAuthority(dir, certFile, keyFile string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Berth agents"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The certificate comes last: until it is there, the next start begins anew.
	if err := writeSecret(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
		return err
	}
	return writeSecret(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// writeSecret replaces a file of mode 0600 as a whole.
func writeSecret(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("unreachable: crypto/rand failed: " + err.Error())
	}
	return n
}

// Fingerprint is the SHA-256 of the authority's certificate, in hex, as join tokens carry it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// TLS is the configuration of the agents' listener. A client certificate is checked if one is shown; who needs one
// asks with MachineOf. Agents know the server by its authority, not by its name; the authority's certificate comes with
// the server's, so that a machine that has only a token can check the fingerprint.
func (a *Authority) TLS(now time.Time) (*tls.Config, error) {
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	first, err := a.serverCertificate(now)
	if err != nil {
		return nil, err
	}
	own := &serverCertificate{a: a, cert: first, until: now.Add(serverLife / 2)}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.current(time.Now()) },
		ClientAuth:     tls.VerifyClientCertIfGiven, ClientCAs: clients,
	}, nil
}

// serverCertificate is the listener's own, made anew at half of its life. It lives in memory only.
type serverCertificate struct {
	a *Authority

	mu    sync.Mutex // guards cert, until
	cert  *tls.Certificate
	until time.Time
}

func (c *serverCertificate) current(now time.Time) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.until) {
		return c.cert, nil
	}
	fresh, err := c.a.serverCertificate(now)
	if err != nil {
		return nil, err
	}
	c.cert, c.until = fresh, now.Add(serverLife/2)
	return fresh, nil
}

func (a *Authority) serverCertificate(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "berth"}, NotBefore: now.Add(-backdate), NotAfter: now.Add(serverLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public())
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

func (a *Authority) sign(template *x509.Certificate, key any) ([]byte, error) {
	template.SerialNumber, template.KeyUsage, template.BasicConstraintsValid = serial(), x509.KeyUsageDigitalSignature, true
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return der, nil
}

// Issue signs a certificate for the machine: the key comes from the request, everything else from the machine. Only
// ECDSA and Ed25519 keys are taken.
func (a *Authority) Issue(request []byte, m ecs.Machine, now time.Time) ([]byte, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("read the certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("check the certificate request: %w", err)
	}
	if csr.PublicKeyAlgorithm != x509.ECDSA && csr.PublicKeyAlgorithm != x509.Ed25519 {
		return nil, fmt.Errorf("a %s key was given, want ECDSA or Ed25519", csr.PublicKeyAlgorithm)
	}
	der, err := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "berth agent"}, URIs: []*url.URL{machineURI(m)},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(machineLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// machineURI is the identity in a machine's certificate: berth://agent/<account>/<region>/<cluster>/<machine>.
func machineURI(m ecs.Machine) *url.URL {
	return &url.URL{Scheme: "berth", Host: "agent", Path: "/" + strings.Join([]string{m.Account, m.Region, m.Cluster, m.ID}, "/")}
}

// MachineOf reads the machine out of a verified connection. ok is false if no certificate of a machine was shown.
func MachineOf(state *tls.ConnectionState) (m ecs.Machine, ok bool) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return m, false
	}
	leaf := state.PeerCertificates[0]
	if len(leaf.URIs) != 1 {
		return m, false
	}
	uri := leaf.URIs[0]
	parts := strings.Split(strings.TrimPrefix(uri.Path, "/"), "/")
	if len(parts) != 4 {
		return m, false
	}
	m = ecs.Machine{Account: parts[0], Region: parts[1], Cluster: parts[2], ID: parts[3]}
	if machineURI(m).String() != uri.String() || !aws.IsAccountID(m.Account) || slices.Contains(parts, "") {
		return ecs.Machine{}, false
	}
	return m, true
}
