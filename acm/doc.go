// Package acm is AWS Certificate Manager: certificates with their keys, as load balancers show them to clients.
//
// Certificates are imported; Berth issues none. A certificate has one state only: it is there. Importing into the ARN of
// one replaces it, and everything that uses it follows.
//
// Files:
//
//	acm.go          Service, Deps, tables
//	certificate.go  the record; import, get, delete
//	describe.go     what DescribeCertificate and ListCertificates show
//	check.go        what is asked of a certificate, its key and its chain (pure)
//	tag.go          tags
//	coverage.go     what is refused, and why
package acm
