package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth/agent/proto"
)

// Identity is the machine's certificate, which says who it is in every session, and the authorities that it trusts.
// It is kept in one file of mode 0600 and renewed at two thirds of its life.
type Identity struct {
	cfg  *Config
	path string

	mu   sync.Mutex // guards cert, leaf, authorities
	cert tls.Certificate
	leaf *x509.Certificate
	pool *x509.CertPool
	file identityFile
}

// identityFile is the stored form; all are PEM.
type identityFile struct {
	Key         []byte `json:"key"`
	Certificate []byte `json:"certificate"`
	Authorities []byte `json:"authorities"`
}

// joinRetry is how often an unreachable server is asked again for the first certificate.
const (
	joinRetry    = 2 * time.Second
	requestLimit = 20 * time.Second
	renewRetry   = time.Minute
)

// errRefused is an answer of the server that asking again will not change.
type errRefused struct {
	status int
	text   string
}

func (e *errRefused) Error() string {
	return fmt.Sprintf("the server answered %d: %s", e.status, e.text)
}

// Join returns the machine's identity: the stored one, or a new one bought with the token. While the server can't be
// reached it waits; a token that is refused is an error.
func Join(ctx context.Context, cfg Config) (*Identity, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make agent directory: %w", err)
	}
	id := &Identity{cfg: &cfg, path: filepath.Join(cfg.DataDir, "identity.json")}
	err := id.load()
	if err == nil && id.fits(cfg.Token, time.Now()) {
		return id, nil
	}
	if cfg.Token == "" {
		return nil, fmt.Errorf("this machine has no valid certificate (%w): make a token with `berth token create` and start the agent with --token", orElse(err, errors.New("it has expired")))
	}
	for {
		err := id.join(ctx)
		if err == nil {
			return id, nil
		}
		if refused, ok := errors.AsType[*errRefused](err); ok && refused.status < 500 {
			return nil, fmt.Errorf("join %s: %w", cfg.Server, err)
		}
		if cfg.Log != nil {
			cfg.Log.Warn("joining failed; trying again", "server", cfg.Server, "err", err)
		}
		select {
		case <-time.After(joinRetry):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// fits tells whether the stored certificate is still valid and of the authority that the token names.
func (id *Identity) fits(token string, now time.Time) bool {
	if now.After(id.leaf.NotAfter) {
		return false
	}
	if token == "" {
		return true
	}
	pin, err := tokenPin(token)
	if err != nil {
		return true // a broken token does not take away what works
	}
	for rest := id.file.Authorities; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return false
		}
		if sha256.Sum256(block.Bytes) == pin {
			return true
		}
	}
}

// tokenPin is the fingerprint of the authority in a token "berth1.<sha256 of the CA certificate>.<id>.<secret>".
func tokenPin(token string) ([sha256.Size]byte, error) {
	var pin [sha256.Size]byte
	parts := strings.Split(token, ".")
	if len(parts) != 4 || parts[0] != "berth1" {
		return pin, errors.New("the token is not of the form berth1.FINGERPRINT.ID.SECRET")
	}
	raw, err := hex.DecodeString(parts[1])
	if err != nil || len(raw) != len(pin) {
		return pin, errors.New("the token's fingerprint is not a SHA-256 in hex")
	}
	copy(pin[:], raw)
	return pin, nil
}

// join buys a certificate. The server shows its authority in the handshake, and only the one that the token names
// is believed.
func (id *Identity) join(ctx context.Context) error {
	pin, err := tokenPin(id.cfg.Token)
	if err != nil {
		return &errRefused{status: http.StatusBadRequest, text: err.Error()}
	}
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection checks against the pin instead of a pool
		VerifyConnection: func(s tls.ConnectionState) error {
			pool := x509.NewCertPool()
			for _, c := range s.PeerCertificates {
				if sha256.Sum256(c.Raw) == pin {
					pool.AddCert(c)
				}
			}
			return verifyServer(s, pool)
		},
	}
	key, csr, err := newRequest(id.cfg.Name)
	if err != nil {
		return err
	}
	return id.buy(ctx, conf, proto.PathJoin, proto.JoinRequest{Token: id.cfg.Token, CSR: csr, Name: id.cfg.Name}, key)
}

// renew replaces the certificate with a new one, with a new key.
func (id *Identity) renew(ctx context.Context) error {
	key, csr, err := newRequest(id.cfg.Name)
	if err != nil {
		return err
	}
	return id.buy(ctx, id.TLSConfig(), proto.PathRenew, proto.RenewRequest{CSR: csr}, key)
}

func (id *Identity) buy(ctx context.Context, conf *tls.Config, path string, request any, key []byte) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: conf, DialContext: id.cfg.Dial, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: requestLimit}
	answer, err := postJSON(ctx, client, id.cfg.Server+path, body)
	if err != nil {
		return err
	}
	var resp proto.JoinResponse
	if err := json.Unmarshal(answer, &resp); err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	return id.take(identityFile{Key: key, Certificate: resp.Certificate, Authorities: resp.Authorities}, true)
}

// take makes f the identity, and stores it.
func (id *Identity) take(f identityFile, store bool) error {
	cert, err := tls.X509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(f.Authorities) {
		return errors.New("certificate: no authority came with it")
	}
	if store {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if err := writeFile(id.path, text, true); err != nil { // CreateTemp makes it 0600
			return fmt.Errorf("store the certificate: %w", err)
		}
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.cert, id.leaf, id.pool, id.file = cert, cert.Leaf, pool, f
	return nil
}

func (id *Identity) load() error {
	text, err := os.ReadFile(id.path)
	if err != nil {
		return err
	}
	var f identityFile
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("read %s: %w", id.path, err)
	}
	return id.take(f, false)
}

// discard removes the stored identity, so that the next start joins with a token.
func (id *Identity) discard() {
	if err := os.Remove(id.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		id.cfg.Log.Error("the identity of a deregistered machine was not removed", "err", err)
	}
}

// TLSConfig is for connections to the server: it always shows the newest certificate and trusts only the server's
// own authorities.
func (id *Identity) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does it with the newest authorities; the server's address may be any
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			id.mu.Lock()
			defer id.mu.Unlock()
			cert := id.cert
			return &cert, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			id.mu.Lock()
			pool := id.pool
			id.mu.Unlock()
			return verifyServer(s, pool)
		},
	}
}

// verifyServer accepts certificates for servers of the given authorities. Machines get certificates for clients only,
// so that none can pose as the server.
func verifyServer(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// keep renews the certificate at two thirds of its life until ctx ends.
func (id *Identity) keep(ctx context.Context) {
	for {
		id.mu.Lock()
		leaf := id.leaf
		id.mu.Unlock()
		wait := max(time.Until(leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore)*2/3)), 0)
		for first := true; ; first = false {
			if !first {
				wait = renewRetry
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			err := id.renew(ctx)
			if err == nil {
				id.cfg.Log.Info("certificate renewed")
				break
			}
			id.cfg.Log.Warn("renewing the certificate failed; trying again", "err", err)
		}
	}
}

func newRequest(name string) (key, csr []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if name == "" {
		name, _ = os.Hostname()
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, private)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), csr, nil
}

// postJSON posts and returns the answer's body. An answer other than 2xx is an *errRefused.
func postJSON(ctx context.Context, client *http.Client, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, &errRefused{status: resp.StatusCode, text: strings.TrimSpace(string(answer[:min(len(answer), 1000)]))}
	}
	return answer, nil
}
