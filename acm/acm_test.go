package acm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	api "berth/api/acm"
	"berth/aws"
	"berth/store"
)

var testNow = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// issued is a certificate with its key, as PEM and parsed.
type issued struct {
	cert, key string
	parsed    *x509.Certificate
	signer    crypto.Signer
}

// issue makes a certificate for names, signed by parent or by itself.
func issue(t *testing.T, signer crypto.Signer, parent *issued, from, until time.Time, names ...string) *issued {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x0a1b2c), Subject: pkix.Name{CommonName: names[0], Organization: []string{"Test"}}, DNSNames: names, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	above, by := template, signer
	if parent != nil {
		above, by = parent.parsed, parent.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, signer.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return &issued{text("CERTIFICATE", der), text("PRIVATE KEY", key), parsed, signer}
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hour is a certificate that is valid for an hour around testNow.
func hour(t *testing.T, key crypto.Signer, parent *issued, names ...string) *issued {
	t.Helper()
	return issue(t, key, parent, testNow.Add(-time.Hour), testNow.Add(time.Hour), names...)
}

func newService(t *testing.T) (*Service, context.Context) {
	t.Helper()
	st, err := store.Open(store.Config{Tables: Tables()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s := New(Deps{Store: st, Now: func() time.Time { return testNow }, Pages: aws.NewPages([]byte("k"))})
	return s, aws.WithCaller(t.Context(), aws.RootCaller("123456789012", "eu-west-1", "k"))
}

// code is the code of an *aws.Error, "" for nil.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*aws.Error](err)
	if !ok {
		t.Fatalf("not an error for users: %v", err)
	}
	return e.Code
}

func TestWhatIsImported(t *testing.T) {
	root := hour(t, ecKey(t), nil, "root.example")
	middle := hour(t, ecKey(t), root, "middle.example")
	leaf := hour(t, ecKey(t), middle, "www.example.com", "example.com")
	other := hour(t, ecKey(t), nil, "other.example")
	old := issue(t, ecKey(t), nil, testNow.Add(-2*time.Hour), testNow.Add(-time.Hour), "old.example")
	early := issue(t, ecKey(t), nil, testNow.Add(time.Hour), testNow.Add(2*time.Hour), "early.example")
	for _, c := range []struct{ name, body, key, chain, want string }{
		{"alone", leaf.cert, leaf.key, "", ""},
		{"with its chain", leaf.cert, leaf.key, middle.cert + root.cert, ""},
		{"a chain without the root", leaf.cert, leaf.key, middle.cert, ""},
		{"lines around", "\n\n" + leaf.cert + "\n", "\n" + leaf.key, "", ""},
		{"no PEM", "hello", leaf.key, "", "invalid PEM-encoded certificate"},
		{"a key for a certificate", leaf.key, leaf.key, "", "invalid PEM-encoded certificate"},
		{"two certificates", leaf.cert + middle.cert, leaf.key, "", "more than one certificate"},
		{"text before", "x\n" + leaf.cert, leaf.key, "", "invalid PEM-encoded certificate"},
		{"another's key", leaf.cert, other.key, "", "does not match"},
		{"no key", leaf.cert, "x", "", "not supported"},
		{"a certificate for a key", leaf.cert, leaf.cert, "", "not supported"},
		{"an encrypted key", leaf.cert, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "", "not supported"},
		{"two keys", leaf.cert, leaf.key + leaf.key, "", "not supported"},
		{"another's chain", leaf.cert, leaf.key, other.cert, "Could not validate"},
		{"a chain with a gap", leaf.cert, leaf.key, root.cert, "Could not validate"},
		{"a chain upside down", leaf.cert, leaf.key, root.cert + middle.cert, "Could not validate"},
		{"a chain that is none", leaf.cert, leaf.key, "x", "invalid PEM-encoded certificate"},
		{"expired", old.cert, old.key, "", "expired"},
		{"not valid yet", early.cert, early.key, "", "not valid yet"},
		{"too large", leaf.cert + strings.Repeat("\n", maxBody), leaf.key, "", "larger than"},
		{"too large a key", leaf.cert, leaf.key + strings.Repeat("\n", maxKey), "", "larger than"},
		{"too large a chain", leaf.cert, leaf.key, strings.Repeat("\n", maxChain+1), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkImport([]byte(c.body), []byte(c.key), []byte(c.chain), testNow)
			if c.want == "" && err != nil || c.want != "" && (code(t, err) != codeValidation || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), []byte(""))
	f.Fuzz(func(t *testing.T, body, key, chain []byte) {
		if err := checkImport(body, key, chain, testNow); err != nil {
			code(t, err)
		}
	})
}

func TestTheKeyIsNeverShown(t *testing.T) {
	s, ctx := newService(t)
	leaf := hour(t, rsaKey(t), nil, "www.example.com")
	out, err := s.ImportCertificate(ctx, &api.ImportCertificateRequest{Certificate: []byte(leaf.cert), PrivateKey: []byte(leaf.key)})
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(leaf.key, "\n")[1]
	got, err := s.GetCertificate(ctx, &api.GetCertificateRequest{CertificateArn: out.CertificateArn})
	described, err2 := s.DescribeCertificate(ctx, &api.DescribeCertificateRequest{CertificateArn: out.CertificateArn})
	listed, err3 := s.ListCertificates(ctx, &api.ListCertificatesRequest{})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []any{got, described, listed} {
		if text, _ := json.Marshal(answer); strings.Contains(string(text), secret) {
			t.Errorf("the key stands in %s", text)
		}
	}
	c, ok := ByARN(s.Store.Read(), *out.CertificateArn)
	if !ok || c.PEM().Reveal() != leaf.cert+leaf.key {
		t.Errorf("got %v, %q", ok, c.PEM().Reveal())
	}
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %s", c, c, c.PEM())} {
		if strings.Contains(shown, secret) {
			t.Errorf("the key stands in %s", shown)
		}
	}
	if *got.Certificate != leaf.cert || got.CertificateChain != nil {
		t.Errorf("got %+v", got)
	}
}

func TestImportAgainReplacesTheContent(t *testing.T) {
	s, ctx := newService(t)
	first, second, rsa := hour(t, ecKey(t), nil, "a.example"), hour(t, ecKey(t), nil, "b.example"), hour(t, rsaKey(t), nil, "c.example")
	in := &api.ImportCertificateRequest{Certificate: []byte(first.cert), PrivateKey: []byte(first.key), Tags: []api.Tag{{Key: new("k"), Value: new("v")}}}
	out, err := s.ImportCertificate(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := ByARN(s.Store.Read(), *out.CertificateArn)
	again := &api.ImportCertificateRequest{CertificateArn: out.CertificateArn, Certificate: []byte(second.cert), PrivateKey: []byte(second.key)}
	if _, err := s.ImportCertificate(ctx, again); err != nil {
		t.Fatal(err)
	}
	after, _ := ByARN(s.Store.Read(), *out.CertificateArn)
	if after.Digest == before.Digest || after.ID != before.ID || after.Tags["k"] != "v" || after.Body != second.cert {
		t.Errorf("got %+v after %+v", after, before)
	}
	again.Tags = in.Tags
	if _, err := s.ImportCertificate(ctx, again); code(t, err) != codeInvalid {
		t.Errorf("tags again: %v", err)
	}
	other := &api.ImportCertificateRequest{CertificateArn: out.CertificateArn, Certificate: []byte(rsa.cert), PrivateKey: []byte(rsa.key)}
	if _, err := s.ImportCertificate(ctx, other); code(t, err) != codeValidation {
		t.Errorf("another kind of key: %v", err)
	}
	if kept, _ := ByARN(s.Store.Read(), *out.CertificateArn); kept.Digest != after.Digest {
		t.Error("a refused import changed the certificate")
	}
}

func TestACertificateInUseStays(t *testing.T) {
	s, ctx := newService(t)
	leaf := hour(t, ecKey(t), nil, "a.example")
	out, err := s.ImportCertificate(ctx, &api.ImportCertificateRequest{Certificate: []byte(leaf.cert), PrivateKey: []byte(leaf.key)})
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/a/1"}
	s.InUse = func(store.Reader, string) []string { return users }
	if _, err := s.DeleteCertificate(ctx, &api.DeleteCertificateRequest{CertificateArn: out.CertificateArn}); code(t, err) != codeInUse {
		t.Errorf("got %v", err)
	}
	described, err := s.DescribeCertificate(ctx, &api.DescribeCertificateRequest{CertificateArn: out.CertificateArn})
	if err != nil || len(described.Certificate.InUseBy) != 1 {
		t.Errorf("got %+v, %v", described, err)
	}
	users = nil
	if _, err := s.DeleteCertificate(ctx, &api.DeleteCertificateRequest{CertificateArn: out.CertificateArn}); err != nil {
		t.Error(err)
	}
	if _, err := s.DeleteCertificate(ctx, &api.DeleteCertificateRequest{CertificateArn: out.CertificateArn}); code(t, err) != codeNotFound {
		t.Errorf("got %v", err)
	}
}

func TestAnotherAccountFindsNothing(t *testing.T) {
	s, ctx := newService(t)
	leaf := hour(t, ecKey(t), nil, "a.example")
	out, err := s.ImportCertificate(ctx, &api.ImportCertificateRequest{Certificate: []byte(leaf.cert), PrivateKey: []byte(leaf.key)})
	if err != nil {
		t.Fatal(err)
	}
	stranger := aws.WithCaller(t.Context(), aws.RootCaller("999999999999", "eu-west-1", "k"))
	if _, err := s.GetCertificate(stranger, &api.GetCertificateRequest{CertificateArn: out.CertificateArn}); code(t, err) != codeNotFound {
		t.Errorf("got %v", err)
	}
	list, err := s.ListCertificates(stranger, &api.ListCertificatesRequest{Includes: &api.Filters{KeyTypes: []api.KeyAlgorithm{api.KeyAlgorithmEcPrime256v1}}})
	if err != nil || len(list.CertificateSummaryList) != 0 {
		t.Errorf("got %+v, %v", list, err)
	}
}
