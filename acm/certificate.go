package acm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	api "berth/api/acm"
	"berth/aws"
	"berth/store"
)

// Certificate is the record of one imported certificate.
type Certificate struct {
	// Written by: ImportCertificate, when it makes the record.
	Account string `json:"a"`
	Region  string `json:"r"`
	ID      string `json:"i"` // UUID; the end of the ARN
	Created int64  `json:"c"` // ms since the epoch

	// Written by: ImportCertificate, each time.
	Imported int64      `json:"im"`          // ms since the epoch
	Body     string     `json:"b"`           // PEM, one certificate
	Chain    string     `json:"ch,omitzero"` // PEM, issuers in order; may be empty
	Key      aws.Secret `json:"k"`           // PEM, not encrypted
	// Digest tells one content from another: hex of the SHA-256 of the bundle (see PEM).
	Digest string `json:"d"`

	// Written by: ImportCertificate when it makes the record, AddTagsToCertificate, RemoveTagsFromCertificate.
	Tags map[string]string `json:"t,omitzero"`
}

// Certificates is the table of certificates, by account/region/ID.
var Certificates = store.NewTable("acm/certificate", Certificate.StoreKey)

// StoreKey is account/region/ID.
func (c Certificate) StoreKey() string { return c.Account + "/" + c.Region + "/" + c.ID }

// ARN names the certificate.
func (c Certificate) ARN() aws.ARN {
	return aws.NewARN("acm", c.Region, c.Account, "certificate/"+c.ID)
}

// PEM is one file with the certificate, its chain and the private key, in this order: what HAProxy reads.
func (c Certificate) PEM() aws.Secret { return bundle(c.Body, c.Chain, c.Key) }

func bundle(body, chain string, key aws.Secret) aws.Secret {
	var b strings.Builder
	for _, part := range []string{body, chain, key.Reveal()} {
		if part = strings.TrimSpace(part); part != "" {
			b.WriteString(part + "\n")
		}
	}
	return aws.Secret(b.String())
}

// ByARN finds a certificate.
func ByARN(r store.Reader, arn string) (Certificate, bool) {
	key := keyOf(arn)
	if key == "" {
		return Certificate{}, false
	}
	return Certificates.Get(r, key)
}

// keyOf is the key of the certificate that an ARN names; empty if it names none.
func keyOf(arn string) string {
	a, err := aws.ParseARN(arn)
	if err != nil || a.Service() != "acm" {
		return ""
	}
	id, ok := strings.CutPrefix(a.Resource(), "certificate/")
	if !ok || id == "" || strings.Contains(id, "/") {
		return ""
	}
	return a.Account() + "/" + a.Region() + "/" + id
}

// maxCertificates is how many certificates an account may have in a region. Source: ACM user guide, quotas.
const maxCertificates = 2500

// ImportCertificate keeps a certificate with its key, or replaces the content of one.
func (s *Service) ImportCertificate(ctx context.Context, in *api.ImportCertificateRequest) (*api.ImportCertificateResponse, error) {
	caller, now := aws.CallerFrom(ctx), s.Now()
	if in.CertificateArn != nil && len(in.Tags) > 0 {
		return nil, aws.Errorf(codeInvalid, "Tagging is not permitted on re-import.")
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := checkImport(in.Certificate, in.PrivateKey, in.CertificateChain, now); err != nil {
		return nil, err
	}
	fresh := Certificate{
		Account: caller.Account, Region: caller.Region, ID: aws.NewUUID(), Created: now.UnixMilli(), Imported: now.UnixMilli(),
		Body: string(in.Certificate), Chain: string(in.CertificateChain), Key: aws.Secret(in.PrivateKey), Tags: tags,
	}
	sum := sha256.Sum256([]byte(fresh.PEM().Reveal()))
	fresh.Digest = hex.EncodeToString(sum[:])
	arn := fresh.ARN()
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		c := fresh
		if in.CertificateArn == nil {
			n := 0
			for range Certificates.Prefix(tx, c.Account+"/"+c.Region+"/") {
				n++
			}
			if n >= maxCertificates {
				return aws.Errorf(codeLimit, "You have reached the maximum number of certificates: %d.", maxCertificates)
			}
			Certificates.Put(tx, c)
			return nil
		}
		have, err := find(tx, caller, in.CertificateArn)
		if err != nil {
			return err
		}
		if old, fresh := have.leaf(), c.leaf(); algorithm(old) != algorithm(fresh) {
			return aws.Errorf(codeValidation, "The key algorithm of the certificate is %s and cannot be changed to %s.", algorithm(old), algorithm(fresh))
		}
		c.ID, c.Created, c.Tags = have.ID, have.Created, have.Tags
		Certificates.Put(tx, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if in.CertificateArn != nil {
		arn = aws.ARN(*in.CertificateArn)
	}
	return &api.ImportCertificateResponse{CertificateArn: new(arn.String())}, nil
}

// find finds a certificate of the caller.
func find(r store.Reader, caller aws.Caller, arn *string) (Certificate, error) {
	a := aws.ARN(aws.Value(arn))
	key := keyOf(a.String())
	if key == "" || a.Region() != caller.Region {
		return Certificate{}, aws.Errorf(codeInvalidARN, "The Amazon Resource Name (ARN) is not valid: %s", a)
	}
	c, ok := Certificates.Get(r, key)
	if !ok || c.Account != caller.Account {
		return Certificate{}, aws.Errorf(codeNotFound, "Could not find certificate %s in account %s.", a, caller.Account)
	}
	return c, nil
}

// GetCertificate returns a certificate and its chain, never its key.
func (s *Service) GetCertificate(ctx context.Context, in *api.GetCertificateRequest) (*api.GetCertificateResponse, error) {
	c, err := find(s.Store.Read(), aws.CallerFrom(ctx), in.CertificateArn)
	if err != nil {
		return nil, err
	}
	out := &api.GetCertificateResponse{Certificate: new(c.Body)}
	if c.Chain != "" {
		out.CertificateChain = new(c.Chain)
	}
	return out, nil
}

// DeleteCertificate removes a certificate that nothing uses.
func (s *Service) DeleteCertificate(ctx context.Context, in *api.DeleteCertificateRequest) (*api.DeleteCertificateResponse, error) {
	return &api.DeleteCertificateResponse{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := find(tx, aws.CallerFrom(ctx), in.CertificateArn)
		if err != nil {
			return err
		}
		if users := s.InUse(tx, c.ARN().String()); len(users) > 0 {
			return aws.Errorf(codeInUse, "Certificate %s in account %s is in use.", c.ARN(), c.Account)
		}
		Certificates.Delete(tx, c.StoreKey())
		return nil
	})
}
