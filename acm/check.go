package acm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"time"

	api "berth/api/acm"
	"berth/aws"
)

// Sizes in bytes. Source: the model, but for the chain: a record must fit into one transaction of the store.
const (
	maxBody  = 32768
	maxKey   = 5120
	maxChain = 262144
)

// checkImport says what is wrong with a certificate, its key or its chain at now; nil if nothing is.
func checkImport(body, key, chain []byte, now time.Time) error {
	switch {
	case len(body) > maxBody:
		return aws.Errorf(codeValidation, "The certificate is larger than %d bytes.", maxBody)
	case len(key) > maxKey:
		return aws.Errorf(codeValidation, "The private key is larger than %d bytes.", maxKey)
	case len(chain) > maxChain:
		return aws.Errorf(codeValidation, "The certificate chain is larger than %d bytes.", maxChain)
	}
	certificates, err := parsePEM(body)
	if err != nil || len(certificates) == 0 {
		return aws.Errorf(codeValidation, "The certificate field contains an invalid PEM-encoded certificate.")
	}
	if len(certificates) > 1 {
		return aws.Errorf(codeValidation, "The certificate field contains more than one certificate. You can specify only one certificate in this field.")
	}
	leaf := certificates[0]
	switch {
	case now.Before(leaf.NotBefore):
		return aws.Errorf(codeValidation, "The certificate is not valid yet. It begins to be valid at %s.", leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return aws.Errorf(codeValidation, "The certificate has expired. It was valid until %s.", leaf.NotAfter.UTC().Format(time.RFC3339))
	case algorithm(leaf) == "":
		return aws.Errorf(codeValidation, "The certificate's key algorithm is not supported.")
	}
	if err := checkKey(leaf, key); err != nil {
		return err
	}
	return checkChain(leaf, chain)
}

func checkKey(leaf *x509.Certificate, text []byte) error {
	private, err := parseKey(text)
	if err != nil {
		return err
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(private.Public()) {
		return aws.Errorf(codeValidation, "The private key does not match the certificate.")
	}
	return nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	invalid := aws.Errorf(codeValidation, "The private key is not supported: it must be an unencrypted RSA or EC key in PEM.")
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, invalid
		}
		if block.Type == "EC PARAMETERS" {
			continue
		}
		var key any
		var err error
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			return nil, invalid
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok || len(bytes.TrimSpace(rest)) > 0 {
			return nil, invalid
		}
		return signer, nil
	}
}

// checkChain asks that each certificate was signed by the next one.
func checkChain(leaf *x509.Certificate, text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	chain, err := parsePEM(text)
	if err != nil || len(chain) == 0 {
		return aws.Errorf(codeValidation, "The certificate chain field contains an invalid PEM-encoded certificate.")
	}
	at := leaf
	for _, issuer := range chain {
		if !bytes.Equal(at.RawIssuer, issuer.RawSubject) || at.CheckSignatureFrom(issuer) != nil {
			return aws.Errorf(codeValidation, "Could not validate the certificate with the certificate chain.")
		}
		at = issuer
	}
	return nil
}

// parsePEM reads certificates that follow each other; anything else in the text is an error.
func parsePEM(text []byte) (out []*x509.Certificate, err error) {
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
			return nil, aws.Errorf(codeValidation, "not a PEM-encoded certificate")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out, rest = append(out, c), after
	}
	return out, nil
}

// algorithm names the kind and size of a certificate's key; empty if ACM does not take it.
func algorithm(c *x509.Certificate) api.KeyAlgorithm {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		switch key.N.BitLen() {
		case 1024:
			return api.KeyAlgorithmRSA1024
		case 2048:
			return api.KeyAlgorithmRSA2048
		case 3072:
			return api.KeyAlgorithmRSA3072
		case 4096:
			return api.KeyAlgorithmRSA4096
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return api.KeyAlgorithmEcPrime256v1
		case elliptic.P384():
			return api.KeyAlgorithmEcSecp384r1
		case elliptic.P521():
			return api.KeyAlgorithmEcSecp521r1
		}
	}
	return ""
}
