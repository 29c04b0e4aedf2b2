package iam

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/aws"
)

// AccessKeys finds access keys by ID.
type AccessKeys interface {
	AccessKey(ctx context.Context, id string) (key AccessKey, found bool, err error)
}

// Verifier checks the signature of requests. Its Authenticate is the front door's Authenticator.
type Verifier struct{ Keys AccessKeys }

const (
	algorithm     = "AWS4-HMAC-SHA256"
	timeForm      = "20060102T150405Z"
	clockSkew     = 15 * time.Minute
	maxPresigned  = 7 * 24 * time.Hour
	maxUnverified = 1 << 20 // a body larger than this is read only for a known key
	maxSigned     = 64      // signed headers
)

// signature is what a request says of how it was signed.
type signature struct {
	keyID, date, region, service string // the credential scope
	signed                       []string
	mac                          string
	at                           time.Time
	presigned                    bool
	expires                      time.Duration // of a presigned URL
	token                        string
}

func (s *signature) scope() string {
	return s.date + "/" + s.region + "/" + s.service + "/aws4_request"
}

// Authenticate verifies the signature of r for the service of api. An unknown key costs as much time as a wrong secret.
func (v *Verifier) Authenticate(r *http.Request, api *aws.API, read func() ([]byte, error)) (aws.Caller, []byte, error) {
	none := aws.Caller{}
	sig, err := parseSignature(r, api)
	if err != nil {
		return none, nil, err
	}
	if err := sig.check(r, api, time.Now()); err != nil {
		return none, nil, err
	}
	key, found, err := v.Keys.AccessKey(r.Context(), sig.keyID)
	if err != nil {
		return none, nil, fmt.Errorf("find access key: %w", err)
	}
	if !found {
		key = AccessKey{Secret: aws.Secret(strings.Repeat("x", secretLength))}
		if r.ContentLength < 0 || r.ContentLength > maxUnverified {
			return none, nil, fail(api, unknownKey, textUnknown)
		}
	}
	body, err := read()
	if err != nil {
		return none, nil, err
	}
	payload, good := sig.verify(r, body, key.Secret)
	tokenGood := subtle.ConstantTimeCompare([]byte(sig.token), []byte(key.Token)) == 1
	switch {
	case !found || !tokenGood:
		return none, nil, fail(api, unknownKey, textUnknown)
	case !good:
		return none, nil, fail(api, mismatch, textMismatch)
	case !key.Expires.IsZero() && time.Now().After(key.Expires):
		return none, nil, fail(api, tokenExpiry, textExpired)
	}
	return key.caller(sig.region), payload, nil
}

// parseSignature reads the header or the presigned form.
func parseSignature(r *http.Request, api *aws.API) (*signature, error) {
	if strings.Contains(r.URL.RawQuery, "X-Amz-Algorithm=") {
		return parsePresigned(r, api)
	}
	auth := r.Header.Get("Authorization")
	if auth == "" {
		return nil, fail(api, missing, textMissing)
	}
	name, rest, _ := strings.Cut(auth, " ")
	if name != algorithm {
		return nil, fail(api, incomplete, "Unsupported AWS 'algorithm': '%.64s'.", name)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		k, v, found := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[k]; !found || twice {
			return nil, fail(api, incomplete, "Authorization header is not in the form of %s.", algorithm)
		}
		fields[k] = v
	}
	for _, k := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[k] == "" {
			return nil, fail(api, incomplete, "Authorization header requires '%s' parameter.", k)
		}
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			date = t.UTC().Format(timeForm)
		}
	}
	sig := &signature{mac: fields["Signature"], token: r.Header.Get("X-Amz-Security-Token")}
	return sig, sig.fill(api, fields["Credential"], fields["SignedHeaders"], date)
}

func parsePresigned(r *http.Request, api *aws.API) (*signature, error) {
	q := r.URL.Query()
	if a := q.Get("X-Amz-Algorithm"); a != algorithm {
		return nil, fail(api, incomplete, "Unsupported AWS 'algorithm': '%.64s'.", a)
	}
	if r.Header.Get("Authorization") != "" {
		return nil, fail(api, incomplete, "Only one of the Authorization header and the X-Amz-Algorithm parameter is allowed.")
	}
	for _, k := range []string{"X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Date"} {
		if len(q[k]) != 1 || q.Get(k) == "" {
			return nil, fail(api, incomplete, "The query string requires '%s' parameter once.", k)
		}
	}
	sig := &signature{mac: q.Get("X-Amz-Signature"), token: q.Get("X-Amz-Security-Token"), presigned: true, expires: clockSkew}
	if e := q.Get("X-Amz-Expires"); e != "" {
		seconds, err := strconv.Atoi(e)
		if err != nil || seconds < 1 || seconds > int(maxPresigned/time.Second) {
			return nil, fail(api, incomplete, "X-Amz-Expires must be between 1 and %d seconds.", int(maxPresigned/time.Second))
		}
		sig.expires = time.Duration(seconds) * time.Second
	}
	return sig, sig.fill(api, q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Date"))
}

func (s *signature) fill(api *aws.API, credential, signed, date string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return fail(api, incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, the last aws4_request.")
	}
	s.keyID, s.date, s.region, s.service = parts[0], parts[1], parts[2], parts[3]
	s.signed = strings.Split(signed, ";")
	if len(s.signed) > maxSigned || !slices.IsSorted(s.signed) || signed != strings.ToLower(signed) {
		return fail(api, incomplete, "SignedHeaders must be lower-case names in order.")
	}
	at, err := time.Parse(timeForm, date)
	if err != nil {
		return fail(api, incomplete, "Date in header or X-Amz-Date must be of the form YYYYMMDD'T'HHMMSS'Z'.")
	}
	s.at = at
	return nil
}

// check looks at everything that needs no secret: date, scope, and what must be signed.
func (s *signature) check(r *http.Request, api *aws.API, now time.Time) error {
	if s.date != s.at.Format("20060102") {
		return fail(api, wrongScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.16s' != '%s', from '%s'.", s.date, s.at.Format("20060102"), s.at.Format(timeForm))
	}
	life := clockSkew
	if s.presigned {
		life = s.expires
	}
	show := func(t time.Time) string { return t.UTC().Format(timeForm) }
	if s.at.Add(life).Before(now) {
		return fail(api, outOfTime, "Signature expired: %s is now earlier than %s (%s - %d min.)", show(s.at), show(now.Add(-life)), show(now), int(life.Minutes()))
	}
	if s.at.Add(-clockSkew).After(now) {
		return fail(api, outOfTime, "Signature not yet current: %s is still later than %s (%s + 15 min.)", show(s.at), show(now.Add(clockSkew)), show(now))
	}
	if s.service != api.SigningName {
		return fail(api, wrongScope, "Credential should be scoped to correct service: '%s'. ", api.SigningName)
	}
	if at := hostRegion(r.Host); !regionName.MatchString(s.region) || at != "" && at != s.region {
		return fail(api, wrongScope, "Credential should be scoped to a valid region. ")
	}
	if !slices.Contains(s.signed, "host") {
		return fail(api, mismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(s.signed, lower) {
			return fail(api, mismatch, "There were headers present in the request which were not signed: %s", lower)
		}
	}
	return nil
}

var regionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

var regionLabel = regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,2}-[0-9]$`)

// hostRegion is the region in a host name such as ecs.us-east-1.example.com, or "".
func hostRegion(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for label := range strings.SplitSeq(host, ".") {
		if regionLabel.MatchString(label) {
			return label
		}
	}
	return ""
}

// verify computes the signature with secret and compares. It returns the body without chunk framing.
func (s *signature) verify(r *http.Request, body []byte, secret aws.Secret) (payload []byte, good bool) {
	hash, payload, chunks := s.payload(r, body)
	s3 := s.service == "s3"
	request := canonicalRequest(r, s.signed, s3, hash)
	key := signingKey(secret.Reveal(), s.date, s.region, s.service)
	text := algorithm + "\n" + s.at.Format(timeForm) + "\n" + s.scope() + "\n" + hashHex([]byte(request))
	want := hex.EncodeToString(mac(key, text))
	good = subtle.ConstantTimeCompare([]byte(want), []byte(s.mac)) == 1
	if chunks == nil {
		return payload, good && payload != nil
	}
	payload, ok := chunks.verify(s, key)
	return payload, good && ok
}

// payload decides which hash of the body is signed. A nil payload says that the body is not what its hash says.
func (s *signature) payload(r *http.Request, body []byte) (hash string, payload []byte, chunks *chunked) {
	if body == nil {
		body = []byte{}
	}
	stated := r.Header.Get("X-Amz-Content-Sha256")
	if stated == "" && s.presigned && s.service == "s3" {
		stated = unsignedPayload
	}
	switch {
	case stated == "":
		return hashHex(body), body, nil
	case stated == unsignedPayload:
		return stated, body, nil
	case strings.HasPrefix(stated, "STREAMING-"):
		return stated, nil, newChunked(stated, r, body)
	}
	if subtle.ConstantTimeCompare([]byte(hashHex(body)), []byte(stated)) != 1 {
		return stated, nil, nil
	}
	return stated, body, nil
}
