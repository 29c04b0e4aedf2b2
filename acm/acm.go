package acm

import (
	"time"

	api "berth/api/acm"
	"berth/aws"
	"berth/store"
)

// Deps are what the service stands on.
type Deps struct {
	Store *store.Store
	Now   func() time.Time // nil means time.Now
	Pages *aws.Pages
	// InUse lists the ARNs of resources that use a certificate, each once; nil means that nothing uses any.
	InUse func(r store.Reader, certificate string) []string
}

// Service answers the ACM API. Operations that it does not have are answered by api.Unimplemented.
type Service struct {
	api.Unimplemented
	Deps
}

// New makes the service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.InUse == nil {
		d.InUse = func(store.Reader, string) []string { return nil }
	}
	return &Service{Deps: d}
}

// Tables lists the service's tables, for store.Open.
func Tables() []store.AnyTable { return []store.AnyTable{Certificates} }

// Codes of errors.
const (
	codeInvalidARN = "InvalidArnException"
	codeInvalid    = "InvalidParameterException"
	codeValidation = "ValidationException"
	codeNotFound   = "ResourceNotFoundException"
	codeInUse      = "ResourceInUseException"
	codeManyTags   = "TooManyTagsException"
	codeBadTag     = "InvalidTagException"
	codeLimit      = "LimitExceededException"
)
