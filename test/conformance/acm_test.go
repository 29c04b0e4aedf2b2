package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	ours "berth/acm"
	api "berth/api/acm"
)

// selfSigned is a certificate for a name and its key, both in PEM.
func selfSigned(t *testing.T, key crypto.Signer, name string) (certificate, private []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Test"}}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// certificate imports a new certificate with an EC key and returns its ARN.
func (w *world) certificate(name string) string {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	body, private := selfSigned(w.t, key, name)
	out := must(w.acm.ImportCertificate(w.t.Context(), &acm.ImportCertificateInput{Certificate: body, PrivateKey: private}))(w.t)
	return *out.CertificateArn
}

func TestACMCertificateLife(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	body, private := selfSigned(t, key, "www.example.com")
	arn := *must(w.acm.ImportCertificate(ctx, &acm.ImportCertificateInput{
		Certificate: body, PrivateKey: private, CertificateChain: body, Tags: []types.Tag{{Key: new("a"), Value: new("1")}},
	}))(t).CertificateArn

	d := must(w.acm.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn}))(t).Certificate
	if *d.DomainName != "www.example.com" || d.Status != types.CertificateStatusIssued || d.Type != types.CertificateTypeImported ||
		d.KeyAlgorithm != types.KeyAlgorithmRsa2048 || *d.SignatureAlgorithm != "SHA256WITHRSA" || *d.Issuer != "Test" || !recent(d.ImportedAt) ||
		d.KeyUsages[0].Name != types.KeyUsageNameDigitalSignature || *d.ExtendedKeyUsages[0].OID != "1.3.6.1.5.5.7.3.1" {
		t.Errorf("got %+v", d)
	}
	got := must(w.acm.GetCertificate(ctx, &acm.GetCertificateInput{CertificateArn: &arn}))(t)
	if *got.Certificate != string(body) || *got.CertificateChain != string(body) {
		t.Errorf("got %+v", got)
	}

	must(w.acm.AddTagsToCertificate(ctx, &acm.AddTagsToCertificateInput{CertificateArn: &arn, Tags: []types.Tag{{Key: new("b"), Value: new("2")}}}))(t)
	must(w.acm.RemoveTagsFromCertificate(ctx, &acm.RemoveTagsFromCertificateInput{CertificateArn: &arn, Tags: []types.Tag{{Key: new("a")}, {Key: new("b"), Value: new("other")}}}))(t)
	tags := must(w.acm.ListTagsForCertificate(ctx, &acm.ListTagsForCertificateInput{CertificateArn: &arn}))(t).Tags
	if len(tags) != 1 || *tags[0].Key != "b" || *tags[0].Value != "2" {
		t.Errorf("got %+v", tags)
	}

	must(w.acm.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &arn}))(t)
	_, err = w.acm.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})
	wantError(t, err, "ResourceNotFoundException", "Could not find certificate "+arn+" in account "+w.account+".")
}

func TestACMListCertificates(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	var arns []string
	for _, n := range []string{"a.example", "b.example", "c.example"} {
		arns = append(arns, w.certificate(n))
	}
	if plain := must(w.acm.ListCertificates(ctx, &acm.ListCertificatesInput{}))(t); len(plain.CertificateSummaryList) != 0 {
		t.Errorf("without a filter only RSA keys are listed, got %d", len(plain.CertificateSummaryList))
	}
	in := acm.ListCertificatesInput{
		Includes: &types.Filters{KeyTypes: []types.KeyAlgorithm{types.KeyAlgorithmEcPrime256v1}}, MaxItems: new(int32(2)),
		SortBy: types.SortByCreatedAt, SortOrder: types.SortOrderDescending, CertificateStatuses: []types.CertificateStatus{types.CertificateStatusIssued},
	}
	var got []string
	for pages := acm.NewListCertificatesPaginator(w.acm, &in); pages.HasMorePages(); {
		for _, c := range must(pages.NextPage(ctx))(t).CertificateSummaryList {
			got = append(got, *c.CertificateArn)
			if *c.InUse || len(c.SubjectAlternativeNameSummaries) != 1 || c.KeyAlgorithm != types.KeyAlgorithmEcPrime256v1 {
				t.Errorf("got %+v", c)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(arns)
	if !slices.Equal(got, arns) {
		t.Errorf("got %v, want %v", got, arns)
	}
}

func TestACMBadInput(t *testing.T) {
	w := newWorld(t)
	gone := "arn:aws:acm:us-east-1:" + w.account + ":certificate/00000000-0000-4000-8000-000000000000"
	elsewhere := "arn:aws:acm:eu-west-1:" + w.account + ":certificate/00000000-0000-4000-8000-000000000000"
	text := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	w.refuses("acm", []bad{
		{"DescribeCertificate", `{"CertificateArn": "` + gone + `"}`, "ResourceNotFoundException: Could not find certificate " + gone + " in account " + w.account + "."},
		{"GetCertificate", `{"CertificateArn": "` + gone + `"}`, "ResourceNotFoundException: Could not find certificate " + gone + " in account " + w.account + "."},
		{"DeleteCertificate", `{"CertificateArn": "` + elsewhere + `"}`, "InvalidArnException: The Amazon Resource Name (ARN) is not valid: " + elsewhere},
		{"ListTagsForCertificate", `{"CertificateArn": "` + gone + `/x"}`, "InvalidArnException: The Amazon Resource Name (ARN) is not valid: " + gone + "/x"},
		{"AddTagsToCertificate", `{"CertificateArn": "` + gone + `", "Tags": [{"Key": "aws:x", "Value": "y"}]}`, "InvalidTagException: Tag keys that begin with aws: are reserved: aws:x"},
		{"ImportCertificate", `{"Certificate": "` + text("x") + `", "PrivateKey": "` + text("x") + `"}`, "ValidationException: The certificate field contains an invalid PEM-encoded certificate."},
		{"ListCertificates", `{"SortBy": "CREATED_AT"}`, "InvalidArgsException: SortBy and SortOrder must be specified together."},
		{"ListCertificates", `{"NextToken": "x"}`, "ValidationException: The next token is not valid."},
	})
	w.refusesWhatIsNotBuilt("acm", (*ours.Service)(nil), &api.API)
}
