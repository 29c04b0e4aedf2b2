package iam

import (
	"net/http"

	"berth/aws"
)

// failure is a way in which authentication fails. Its code depends on the protocol of the service.
type failure int

const (
	missing     failure = iota // no signature at all
	incomplete                 // a signature that lacks parts or is malformed
	unknownKey                 // no such access key, or its session token is another
	mismatch                   // another secret, or something signed was changed
	outOfTime                  // signed too long ago or in the future
	wrongScope                 // signed for another service or region
	tokenExpiry                // the session token's time is over
)

type answer struct {
	code   string
	status int
}

// Source: AWS general reference, common errors; for EC2 its own error page, which has one code for all bad credentials.
var (
	jsonAnswers = [...]answer{
		missing: {"MissingAuthenticationTokenException", 400}, incomplete: {"IncompleteSignatureException", 400},
		unknownKey: {"UnrecognizedClientException", 400}, mismatch: {"InvalidSignatureException", 400},
		outOfTime: {"InvalidSignatureException", 400}, wrongScope: {"InvalidSignatureException", 400},
		tokenExpiry: {"ExpiredTokenException", 400},
	}
	queryAnswers = [...]answer{
		missing: {"MissingAuthenticationToken", 403}, incomplete: {"IncompleteSignature", 400},
		unknownKey: {"InvalidClientTokenId", 403}, mismatch: {"SignatureDoesNotMatch", 403},
		outOfTime: {"SignatureDoesNotMatch", 403}, wrongScope: {"SignatureDoesNotMatch", 403},
		tokenExpiry: {"ExpiredToken", 403},
	}
	ec2Answers = [...]answer{
		missing: {"MissingAuthenticationToken", 403}, incomplete: {"IncompleteSignature", 400},
		unknownKey: {"AuthFailure", 401}, mismatch: {"AuthFailure", 401},
		outOfTime: {"RequestExpired", 400}, wrongScope: {"AuthFailure", 401},
		tokenExpiry: {"RequestExpired", 400},
	}
)

const (
	textMissing   = "Missing Authentication Token"
	textUnknown   = "The security token included in the request is invalid."
	textMismatch  = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textExpired   = "The security token included in the request is expired"
	textEC2Failed = "AWS was not able to validate the provided access credentials"
)

// fail names the failure in the codes of api's protocol.
func fail(api *aws.API, f failure, format string, args ...any) *aws.Error {
	var a answer
	switch api.Protocol {
	case aws.Query:
		a = queryAnswers[f]
	case aws.EC2:
		if a = ec2Answers[f]; a.status == http.StatusUnauthorized {
			format, args = textEC2Failed, nil
		}
	default:
		a = jsonAnswers[f]
	}
	e := aws.Errorf(a.code, format, args...)
	e.Status = a.status
	return e
}
