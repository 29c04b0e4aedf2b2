// Package iam knows who sends a request. Today every access key is the root of its account.
//
//	accesskey.go  access keys: their record, the table iam/access-key, how a new pair is made
//	sigv4.go      verifies Signature Version 4, in the Authorization header or in a presigned URL
//	canonical.go  the text that is signed
//	chunked.go    bodies that are sent in signed or unsigned chunks
//	codes.go      what each failure is called in each protocol
//	dev.go        development mode: any credentials are good
package iam
