package iam

import (
	"net"
	"net/http"
	"strings"

	"berth/aws"
)

// DevAuthenticator accepts any credentials: an access key ID of 12 digits names the account, any other means
// 000000000000. It is for listeners on loopback only. Requests that a web page could have sent are refused, since no
// secret keeps a page in the user's browser from calling localhost.
func DevAuthenticator(r *http.Request, api *aws.API, read func() ([]byte, error)) (aws.Caller, []byte, error) {
	none := aws.Caller{}
	if fromBrowser(r) {
		return none, nil, &aws.Error{
			Code: "AccessDeniedException", Status: http.StatusForbidden,
			Message: "Development credentials are not accepted from web pages or under this host name.",
		}
	}
	sig, err := parseSignature(r, api)
	if err != nil {
		return none, nil, err
	}
	if !regionName.MatchString(sig.region) {
		return none, nil, fail(api, wrongScope, "Credential should be scoped to a valid region. ")
	}
	body, err := read()
	if err != nil {
		return none, nil, err
	}
	if stated := r.Header.Get("X-Amz-Content-Sha256"); strings.HasPrefix(stated, "STREAMING-") {
		payload, good := newChunked(stated, r, body).verify(sig, nil)
		if !good {
			return none, nil, fail(api, mismatch, textMismatch)
		}
		body = payload
	}
	account := DefaultAccount
	if aws.IsAccountID(sig.keyID) {
		account = sig.keyID
	}
	return aws.RootCaller(account, homeRegion(sig.region), sig.keyID), body, nil
}

// fromBrowser says whether a page of another site could have made r: it names its origin, or reached us by a foreign
// host name that was made to point here.
func fromBrowser(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	if origin := r.Header.Get("Origin"); origin != "" && !strings.HasSuffix(origin, "://"+r.Host) {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host != "localhost" && net.ParseIP(host) == nil && !strings.HasSuffix(host, ".localhost") && !strings.HasSuffix(host, ".amazonaws.com")
}
