package acm

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	api "berth/api/acm"
	"berth/aws"
)

// leaf is the certificate itself. What is in the store was parsed before.
func (c Certificate) leaf() *x509.Certificate {
	list, err := parsePEM([]byte(c.Body))
	if err != nil || len(list) == 0 {
		panic("unreachable: the certificate " + c.ID + " was checked when it was imported")
	}
	return list[0]
}

func status(leaf *x509.Certificate, now time.Time) api.CertificateStatus {
	if now.After(leaf.NotAfter) {
		return api.CertificateStatusExpired
	}
	return api.CertificateStatusIssued
}

// DescribeCertificate shows what a certificate says and who uses it.
func (s *Service) DescribeCertificate(ctx context.Context, in *api.DescribeCertificateRequest) (*api.DescribeCertificateResponse, error) {
	r := s.Store.Read()
	c, err := find(r, aws.CallerFrom(ctx), in.CertificateArn)
	if err != nil {
		return nil, err
	}
	leaf, arn := c.leaf(), c.ARN().String()
	out := api.CertificateDetail{
		CertificateArn: new(arn), SubjectAlternativeNames: names(leaf), Serial: new(serial(leaf)), Subject: new(leaf.Subject.String()),
		Issuer: new(issuer(leaf)), CreatedAt: aws.NewTime(time.UnixMilli(c.Created)), ImportedAt: aws.NewTime(time.UnixMilli(c.Imported)),
		Status: status(leaf, s.Now()), NotBefore: aws.NewTime(leaf.NotBefore), NotAfter: aws.NewTime(leaf.NotAfter),
		KeyAlgorithm: algorithm(leaf), SignatureAlgorithm: new(signature(leaf)), InUseBy: append([]string{}, s.InUse(r, arn)...),
		Type: api.CertificateTypeImported, RenewalEligibility: api.RenewalEligibilityIneligible,
		Options: &api.CertificateOptions{
			CertificateTransparencyLoggingPreference: api.CertificateTransparencyLoggingPreferenceDisabled, Export: api.CertificateExportDisabled,
		},
		KeyUsages: []api.KeyUsage{}, ExtendedKeyUsages: extendedUsages(leaf),
	}
	if name := domain(leaf); name != "" {
		out.DomainName = new(name)
	}
	for _, u := range usages(leaf) {
		out.KeyUsages = append(out.KeyUsages, api.KeyUsage{Name: u})
	}
	return &api.DescribeCertificateResponse{Certificate: &out}, nil
}

// maxListed is how many certificates a page has at most, and without MaxItems. Source: the model.
const maxListed = 1000

// ListCertificates lists certificates, in order of their IDs or of their creation. Without a filter of key types it lists those
// with RSA keys of 1024 and 2048 bits only, as ACM does.
func (s *Service) ListCertificates(ctx context.Context, in *api.ListCertificatesRequest) (*api.ListCertificatesResponse, error) {
	caller := aws.CallerFrom(ctx)
	if (in.SortBy == "") != (in.SortOrder == "") {
		return nil, aws.Errorf("InvalidArgsException", "SortBy and SortOrder must be specified together.")
	}
	scope := fmt.Sprintf("ListCertificates %s %s %v %+v %s %s", caller.Account, caller.Region, in.CertificateStatuses, aws.Value(in.Includes), in.SortBy, in.SortOrder)
	var after string
	if in.NextToken != nil {
		var err error
		if after, err = s.Pages.Open(scope, *in.NextToken); err != nil {
			return nil, aws.Errorf(codeValidation, "The next token is not valid.")
		}
	}
	r := s.Store.Read()
	var all []Certificate
	for c := range Certificates.Prefix(r, caller.Account+"/"+caller.Region+"/") {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Certificate) int {
		order := strings.Compare(place(a, in.SortBy), place(b, in.SortBy))
		if in.SortOrder == api.SortOrderDescending {
			return -order
		}
		return order
	})
	limit := int(cmp.Or(aws.Value(in.MaxItems), maxListed))
	out := &api.ListCertificatesResponse{CertificateSummaryList: []api.CertificateSummary{}}
	last := ""
	for _, c := range all {
		at := place(c, in.SortBy)
		if in.NextToken != nil && (in.SortOrder != api.SortOrderDescending && at <= after || in.SortOrder == api.SortOrderDescending && at >= after) {
			continue
		}
		leaf := c.leaf()
		if !listed(leaf, in, s.Now()) {
			continue
		}
		if len(out.CertificateSummaryList) == limit {
			out.NextToken = new(s.Pages.Seal(scope, last))
			break
		}
		last = at
		out.CertificateSummaryList = append(out.CertificateSummaryList, s.summary(c, leaf, len(s.InUse(r, c.ARN().String())) > 0))
	}
	return out, nil
}

// place is what certificates are sorted by; different for each.
func place(c Certificate, by api.SortBy) string {
	if by == api.SortByCreatedAt {
		return fmt.Sprintf("%020d %s", c.Created, c.ID)
	}
	return c.ID
}

func listed(leaf *x509.Certificate, in *api.ListCertificatesRequest, now time.Time) bool {
	if in.CertificateStatuses != nil && !slices.Contains(in.CertificateStatuses, status(leaf, now)) {
		return false
	}
	f := aws.Value(in.Includes)
	if f.KeyTypes == nil {
		f.KeyTypes = []api.KeyAlgorithm{api.KeyAlgorithmRSA1024, api.KeyAlgorithmRSA2048}
	}
	if !slices.Contains(f.KeyTypes, algorithm(leaf)) || f.ManagedBy != "" || f.ExportOption == api.CertificateExportEnabled {
		return false
	}
	if f.KeyUsage != nil && !slices.ContainsFunc(f.KeyUsage, func(u api.KeyUsageName) bool {
		return u == api.KeyUsageNameAny || slices.Contains(usages(leaf), u)
	}) {
		return false
	}
	return f.ExtendedKeyUsage == nil || slices.ContainsFunc(f.ExtendedKeyUsage, func(u api.ExtendedKeyUsageName) bool {
		have := extendedUsages(leaf)
		return u == api.ExtendedKeyUsageNameAny || u == api.ExtendedKeyUsageNameNone && len(have) == 0 ||
			slices.ContainsFunc(have, func(h api.ExtendedKeyUsage) bool { return h.Name == u })
	})
}

func (s *Service) summary(c Certificate, leaf *x509.Certificate, used bool) api.CertificateSummary {
	const maxNames = 100 // Source: the model, SubjectAlternativeNameSummaries
	all := names(leaf)
	out := api.CertificateSummary{
		CertificateArn: new(c.ARN().String()), DomainName: new(domain(leaf)), SubjectAlternativeNameSummaries: all[:min(len(all), maxNames)],
		HasAdditionalSubjectAlternativeNames: new(len(all) > maxNames), Status: status(leaf, s.Now()), Type: api.CertificateTypeImported,
		KeyAlgorithm: algorithm(leaf), KeyUsages: append([]api.KeyUsageName{}, usages(leaf)...), ExtendedKeyUsages: []api.ExtendedKeyUsageName{},
		ExportOption: api.CertificateExportDisabled, InUse: new(used), RenewalEligibility: api.RenewalEligibilityIneligible,
		NotBefore: aws.NewTime(leaf.NotBefore), NotAfter: aws.NewTime(leaf.NotAfter),
		CreatedAt: aws.NewTime(time.UnixMilli(c.Created)), ImportedAt: aws.NewTime(time.UnixMilli(c.Imported)),
	}
	for _, u := range extendedUsages(leaf) {
		out.ExtendedKeyUsages = append(out.ExtendedKeyUsages, u.Name)
	}
	return out
}

// domain is the common name, else the first alternative name.
func domain(c *x509.Certificate) string {
	if c.Subject.CommonName != "" || len(c.DNSNames) == 0 {
		return c.Subject.CommonName
	}
	return c.DNSNames[0]
}

// names are the alternative names, or the common name where there are none. Never nil.
func names(c *x509.Certificate) []string {
	if len(c.DNSNames) == 0 && c.Subject.CommonName != "" {
		return []string{c.Subject.CommonName}
	}
	return append([]string{}, c.DNSNames...)
}

func serial(c *x509.Certificate) string {
	text := hex.EncodeToString(c.SerialNumber.Bytes())
	if text == "" {
		text = "00"
	}
	var parts []string
	for i := 0; i < len(text); i += 2 {
		parts = append(parts, text[i:i+2])
	}
	return strings.Join(parts, ":")
}

// issuer is the issuer's organization, else its common name, else its whole name.
func issuer(c *x509.Certificate) string {
	if len(c.Issuer.Organization) > 0 {
		return c.Issuer.Organization[0]
	}
	return cmp.Or(c.Issuer.CommonName, c.Issuer.String())
}

// signature names the signature's algorithm as Java does: SHA256WITHRSA.
func signature(c *x509.Certificate) string {
	hash, kind, ok := strings.Cut(c.SignatureAlgorithm.String(), "-")
	if !ok {
		return strings.ToUpper(hash)
	}
	if strings.HasPrefix(hash, "ECDSA") {
		return kind + "WITHECDSA" // ECDSA-SHA256
	}
	return hash + "WITH" + kind // SHA256-RSA
}

func usages(c *x509.Certificate) (out []api.KeyUsageName) {
	for _, u := range []struct {
		bit  x509.KeyUsage
		name api.KeyUsageName
	}{
		{x509.KeyUsageDigitalSignature, api.KeyUsageNameDigitalSignature},
		{x509.KeyUsageContentCommitment, api.KeyUsageNameNonRepudiation},
		{x509.KeyUsageKeyEncipherment, api.KeyUsageNameKeyEncipherment},
		{x509.KeyUsageDataEncipherment, api.KeyUsageNameDataEncipherment},
		{x509.KeyUsageKeyAgreement, api.KeyUsageNameKeyAgreement},
		{x509.KeyUsageCertSign, api.KeyUsageNameCertificateSigning},
		{x509.KeyUsageCRLSign, api.KeyUsageNameCrlSigning},
		{x509.KeyUsageEncipherOnly, api.KeyUsageNameEncipherOnly},
		{x509.KeyUsageDecipherOnly, api.KeyUsageNameDecipherOnly},
	} {
		if c.KeyUsage&u.bit != 0 {
			out = append(out, u.name)
		}
	}
	return out
}

// extendedUsages lists the extended key usages with their OIDs. Source of the numbers: RFC 5280, 4.2.1.12. Never nil.
func extendedUsages(c *x509.Certificate) []api.ExtendedKeyUsage {
	out := []api.ExtendedKeyUsage{}
	add := func(name api.ExtendedKeyUsageName, oid string) {
		out = append(out, api.ExtendedKeyUsage{Name: name, OID: new(oid)})
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageAny:
			add(api.ExtendedKeyUsageNameAny, "2.5.29.37.0")
		case x509.ExtKeyUsageServerAuth:
			add(api.ExtendedKeyUsageNameTLSWebServerAuthentication, "1.3.6.1.5.5.7.3.1")
		case x509.ExtKeyUsageClientAuth:
			add(api.ExtendedKeyUsageNameTLSWebClientAuthentication, "1.3.6.1.5.5.7.3.2")
		case x509.ExtKeyUsageCodeSigning:
			add(api.ExtendedKeyUsageNameCodeSigning, "1.3.6.1.5.5.7.3.3")
		case x509.ExtKeyUsageEmailProtection:
			add(api.ExtendedKeyUsageNameEmailProtection, "1.3.6.1.5.5.7.3.4")
		case x509.ExtKeyUsageIPSECEndSystem:
			add(api.ExtendedKeyUsageNameIpsecEndSystem, "1.3.6.1.5.5.7.3.5")
		case x509.ExtKeyUsageIPSECTunnel:
			add(api.ExtendedKeyUsageNameIpsecTunnel, "1.3.6.1.5.5.7.3.6")
		case x509.ExtKeyUsageIPSECUser:
			add(api.ExtendedKeyUsageNameIpsecUser, "1.3.6.1.5.5.7.3.7")
		case x509.ExtKeyUsageTimeStamping:
			add(api.ExtendedKeyUsageNameTimeStamping, "1.3.6.1.5.5.7.3.8")
		case x509.ExtKeyUsageOCSPSigning:
			add(api.ExtendedKeyUsageNameOcspSigning, "1.3.6.1.5.5.7.3.9")
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		add(api.ExtendedKeyUsageNameCustom, asn1.ObjectIdentifier(oid).String())
	}
	return out
}
