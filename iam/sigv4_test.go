package iam

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"berth/aws"
)

var (
	jsonAPI  = aws.API{Name: "ecs", Protocol: aws.JSON, SigningName: "ecs"}
	queryAPI = aws.API{Name: "sts", Protocol: aws.Query, SigningName: "sts"}
	ec2API   = aws.API{Name: "ec2", Protocol: aws.EC2, SigningName: "ec2"}
	s3API    = aws.API{Name: "s3", Protocol: aws.RESTXML, SigningName: "s3"}
)

func apiFor(service string) *aws.API {
	for _, a := range []*aws.API{&jsonAPI, &queryAPI, &ec2API, &s3API} {
		if a.SigningName == service {
			return a
		}
	}
	panic("no API " + service)
}

// request is what a client signs. Zero values mean a good JSON request.
type request struct {
	method, url, body, service, region string
	at                                 time.Time
	headers                            map[string]string
	key                                AccessKey
	hash                               string // payload hash to sign; default: of the body
}

var testKey = AccessKey{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Account: "111122223333"}

func (q request) build(t testing.TB) (*http.Request, request) {
	t.Helper()
	if q.method == "" {
		q.method = "POST"
	}
	if q.url == "" {
		q.url = "http://127.0.0.1:4566/"
	}
	if q.service == "" {
		q.service = "ecs"
	}
	if q.region == "" {
		q.region = "us-east-1"
	}
	if q.at.IsZero() {
		q.at = time.Now()
	}
	if q.key.ID == "" {
		q.key = testKey
	}
	if q.hash == "" {
		q.hash = hashHex([]byte(q.body))
	}
	r, err := http.NewRequestWithContext(t.Context(), q.method, q.url, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range q.headers {
		r.Header.Set(k, v)
	}
	return r, q
}

func (q request) credentials() sdk.Credentials {
	return sdk.Credentials{AccessKeyID: q.key.ID, SecretAccessKey: q.key.Secret.Reveal(), SessionToken: q.key.Token.Reveal()}
}

func s3Options(service string) func(*v4.SignerOptions) {
	return func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }
}

// signed is the request as a server reads it, signed in its header by the SDK.
func (q request) signed(t testing.TB) *http.Request {
	t.Helper()
	r, q := q.build(t)
	if err := v4.NewSigner().SignHTTP(t.Context(), q.credentials(), r, q.hash, q.service, q.region, q.at, s3Options(q.service)); err != nil {
		t.Fatal(err)
	}
	return sent(t, r)
}

// presigned is the request as a server reads it, signed in its URL.
func (q request) presigned(t testing.TB) *http.Request {
	t.Helper()
	r, q := q.build(t)
	u, headers, err := v4.NewSigner().PresignHTTP(t.Context(), q.credentials(), r, q.hash, q.service, q.region, q.at, s3Options(q.service))
	if err != nil {
		t.Fatal(err)
	}
	if r.URL, err = url.Parse(u); err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{} // the SDK has moved x-amz headers into the URL
	for k, v := range headers {
		if k != "Host" && k != "Content-Length" {
			r.Header[k] = v
		}
	}
	return sent(t, r)
}

// sent passes r over the wire form.
func sent(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		t.Fatal(err)
	}
	return got.WithContext(t.Context())
}

func authenticate(r *http.Request, service string, keys ...AccessKey) (aws.Caller, []byte, error) {
	v := Verifier{Keys: Keys(append(keys, testKey)...)}
	return v.Authenticate(r, apiFor(service), func() ([]byte, error) { return io.ReadAll(r.Body) })
}

func TestGoodSignatures(t *testing.T) {
	session := AccessKey{ID: "ASIASESSION", Secret: "temporary", Account: "444455556666", Token: "the/token+==", Expires: time.Now().Add(time.Hour)}
	for _, c := range []struct {
		name string
		request
	}{
		{"plain", request{body: `{"a":1}`}},
		{"empty body", request{}},
		{"stated hash", request{body: "x", headers: map[string]string{"X-Amz-Content-Sha256": hashHex([]byte("x"))}}},
		{"unsigned payload", request{body: "x", hash: unsignedPayload, headers: map[string]string{"X-Amz-Content-Sha256": unsignedPayload}}},
		{"target and odd header spaces", request{headers: map[string]string{"X-Amz-Target": "A.B", "X-Amz-Meta-A": "  a   b  c "}}},
		{"query", request{method: "GET", url: "http://localhost:1/?b=2&a=x%20y&a=A&c=%2F%7E&d&Z=%E2%82%AC&e=a%2Bb"}},
		{"path", request{method: "GET", url: "http://localhost:1/a%20b/c+d/%C3%A9/x=y/"}},
		{"S3 path", request{method: "GET", service: "s3", url: "http://localhost:1/b/a%20b/../c/%C3%A9//x", headers: map[string]string{"X-Amz-Content-Sha256": hashHex(nil)}}},
		{"session token", request{key: session}},
		{"14 minutes old", request{at: time.Now().Add(-14 * time.Minute)}},
		{"14 minutes ahead", request{at: time.Now().Add(14 * time.Minute)}},
		{"other region", request{region: "ap-southeast-2", url: "http://ecs.ap-southeast-2.amazonaws.com/"}},
		{"Query", request{service: "sts", body: "Action=GetCallerIdentity&Version=2011-06-15"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller, payload, err := authenticate(c.signed(t), cmpOr(c.service, "ecs"), session)
			if err != nil {
				t.Fatal(err)
			}
			key := testKey
			if c.key.ID != "" {
				key = c.key
			}
			if want := aws.RootCaller(key.Account, cmpOr(c.region, "us-east-1"), key.ID); caller != want {
				t.Errorf("caller: got %+v, want %+v", caller, want)
			}
			if string(payload) != c.body {
				t.Errorf("payload: got %q", payload)
			}
		})
		t.Run(c.name+" presigned", func(t *testing.T) {
			if _, _, err := authenticate(c.presigned(t), cmpOr(c.service, "ecs"), session); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func cmpOr(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

func replace(r *http.Request, old, text string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, text, 1))
}

func setQuery(r *http.Request, name, value string) {
	q := r.URL.Query()
	q.Set(name, value)
	if value == "" {
		q.Del(name)
	}
	r.URL.RawQuery = q.Encode()
}

func TestBadSignatures(t *testing.T) {
	const token = "X-Amz-Security-Token"
	expired := AccessKey{ID: "ASIAOLD", Secret: "old", Account: "444455556666", Token: "t", Expires: time.Now().Add(-time.Minute)}
	wrong := AccessKey{ID: testKey.ID, Secret: "another", Account: testKey.Account}
	stranger := AccessKey{ID: "AKIANOBODY", Secret: "x", Account: testKey.Account}
	type change func(*http.Request)
	for _, c := range []struct {
		name    string
		request request
		presign bool
		change  change
		code    string
	}{
		{"no signature", request{}, false, func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException"},
		{"empty header", request{}, false, func(r *http.Request) { r.Header.Set("Authorization", " ") }, "IncompleteSignatureException"},
		{"other scheme", request{}, false, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignatureException"},
		{"version 4a", request{}, false, func(r *http.Request) { replace(r, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256") }, "IncompleteSignatureException"},
		{"no credential", request{}, false, func(r *http.Request) { replace(r, "Credential=", "Cred=") }, "IncompleteSignatureException"},
		{"no signed headers", request{}, false, func(r *http.Request) { replace(r, "SignedHeaders=", "Signed=") }, "IncompleteSignatureException"},
		{"no mac", request{}, false, func(r *http.Request) { replace(r, "Signature=", "Sig=") }, "IncompleteSignatureException"},
		{"mac twice", request{}, false, func(r *http.Request) { replace(r, "Signature=", "Signature=a, Signature=") }, "IncompleteSignatureException"},
		{"garbage", request{}, false, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 \x00,,==,") }, "IncompleteSignatureException"},
		{"short scope", request{}, false, func(r *http.Request) { replace(r, "/us-east-1", "") }, "IncompleteSignatureException"},
		{"long scope", request{}, false, func(r *http.Request) { replace(r, "/us-east-1", "/us-east-1/x") }, "IncompleteSignatureException"},
		{"other terminator", request{}, false, func(r *http.Request) { replace(r, "aws4_request", "aws5_request") }, "IncompleteSignatureException"},
		{"no date", request{}, false, func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "IncompleteSignatureException"},
		{"bad date", request{}, false, func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, "IncompleteSignatureException"},
		{"headers out of order", request{}, false, func(r *http.Request) { replace(r, "SignedHeaders=", "SignedHeaders=z;") }, "IncompleteSignatureException"},
		{"headers in upper case", request{}, false, func(r *http.Request) { replace(r, "=host", "=Host") }, "IncompleteSignatureException"},
		{"65 headers", request{}, false, func(r *http.Request) {
			replace(r, "SignedHeaders=", "SignedHeaders="+strings.Repeat("a;", 64))
		}, "IncompleteSignatureException"},

		{"unknown key", request{key: stranger}, false, nil, "UnrecognizedClientException"},
		{"unknown key, large body", request{key: stranger, body: strings.Repeat("x", maxUnverified+1)}, false, nil, "UnrecognizedClientException"},
		{"key in lower case", request{}, false, func(r *http.Request) { replace(r, "AKIDEXAMPLE", "akidexample") }, "UnrecognizedClientException"},
		{"token with a lasting key", request{key: AccessKey{ID: testKey.ID, Secret: testKey.Secret, Token: "t"}}, false, nil, "UnrecognizedClientException"},
		{"session without token", request{key: AccessKey{ID: expired.ID, Secret: expired.Secret}}, false, nil, "UnrecognizedClientException"},
		{"session with another token", request{key: AccessKey{ID: expired.ID, Secret: expired.Secret, Token: "u"}}, false, nil, "UnrecognizedClientException"},
		{"session is over", request{key: expired}, false, nil, "ExpiredTokenException"},

		{"wrong secret", request{key: wrong}, false, nil, "InvalidSignatureException"},
		{"mac changed", request{}, false, func(r *http.Request) { replace(r, "Signature=", "Signature=0") }, "InvalidSignatureException"},
		{"mac in upper case", request{}, false, func(r *http.Request) {
			a := r.Header.Get("Authorization")
			i := strings.Index(a, "Signature=") + len("Signature=")
			r.Header.Set("Authorization", a[:i]+strings.ToUpper(a[i:]))
		}, "InvalidSignatureException"},
		{"body changed", request{body: "a"}, false, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }, "InvalidSignatureException"},
		{"body changed under a stated hash", request{body: "a", headers: map[string]string{"X-Amz-Content-Sha256": hashHex([]byte("a"))}}, false,
			func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }, "InvalidSignatureException"},
		{"hash replaced by unsigned", request{body: "a", headers: map[string]string{"X-Amz-Content-Sha256": hashHex([]byte("a"))}}, false,
			func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", unsignedPayload) }, "InvalidSignatureException"},
		{"hash header added", request{body: "a"}, false, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", unsignedPayload) }, "InvalidSignatureException"},
		{"unknown streaming form", request{hash: "STREAMING-X", headers: map[string]string{"X-Amz-Content-Sha256": "STREAMING-X"}}, false, nil, "InvalidSignatureException"},
		{"method changed", request{}, false, func(r *http.Request) { r.Method = "PUT" }, "InvalidSignatureException"},
		{"path changed", request{}, false, func(r *http.Request) { r.URL.Path = "/x" }, "InvalidSignatureException"},
		{"query added", request{}, false, func(r *http.Request) { r.URL.RawQuery = "a=b" }, "InvalidSignatureException"},
		{"query changed", request{url: "http://h/?a=b"}, false, func(r *http.Request) { r.URL.RawQuery = "a=c" }, "InvalidSignatureException"},
		{"host changed", request{}, false, func(r *http.Request) { r.Host = "evil:1" }, "InvalidSignatureException"},
		{"target changed", request{headers: map[string]string{"X-Amz-Target": "A.ListTasks"}}, false, func(r *http.Request) { r.Header.Set("X-Amz-Target", "A.StopTask") }, "InvalidSignatureException"},
		{"target added", request{}, false, func(r *http.Request) { r.Header.Set("X-Amz-Target", "A.StopTask") }, "InvalidSignatureException"},
		{"target sent twice", request{headers: map[string]string{"X-Amz-Target": "A.B"}}, false, func(r *http.Request) { r.Header.Add("X-Amz-Target", "A.C") }, "InvalidSignatureException"},
		{"token added", request{}, false, func(r *http.Request) { r.Header.Set(token, "t") }, "InvalidSignatureException"},
		{"host not signed", request{}, false, func(r *http.Request) { replace(r, "=host;", "=") }, "InvalidSignatureException"},
		{"16 minutes old", request{at: time.Now().Add(-16 * time.Minute)}, false, nil, "InvalidSignatureException"},
		{"16 minutes ahead", request{at: time.Now().Add(16 * time.Minute)}, false, nil, "InvalidSignatureException"},
		{"scope of another day", request{}, false, func(r *http.Request) { replace(r, time.Now().UTC().Format("/20060102/"), "/20200101/") }, "InvalidSignatureException"},
		{"replayed to another service", request{service: "ec2"}, false, nil, "InvalidSignatureException"},
		{"scope renamed to this service", request{service: "ec2"}, false, func(r *http.Request) { replace(r, "/ec2/", "/ecs/") }, "InvalidSignatureException"},
		{"replayed to another region's host", request{region: "eu-west-1", url: "http://ecs.us-east-1.localhost/"}, false, nil, "InvalidSignatureException"},
		{"scope renamed to another region", request{}, false, func(r *http.Request) { replace(r, "us-east-1", "us-west-2") }, "InvalidSignatureException"},
		{"no region", request{}, false, func(r *http.Request) { replace(r, "us-east-1", "") }, "InvalidSignatureException"},
		{"odd region", request{}, false, func(r *http.Request) { replace(r, "us-east-1", "US_EAST") }, "InvalidSignatureException"},

		{"presigned, no credential", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Credential", "") }, "IncompleteSignatureException"},
		{"presigned, no date", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Date", "") }, "IncompleteSignatureException"},
		{"presigned, no signed headers", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-SignedHeaders", "") }, "IncompleteSignatureException"},
		{"presigned, no mac", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Signature", "") }, "IncompleteSignatureException"},
		{"presigned, other algorithm", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Algorithm", "AWS4-X") }, "IncompleteSignatureException"},
		{"presigned, endless", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Expires", "604801") }, "IncompleteSignatureException"},
		{"presigned, life of zero", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Expires", "0") }, "IncompleteSignatureException"},
		{"presigned, life not a number", request{}, true, func(r *http.Request) { setQuery(r, "X-Amz-Expires", "1e3") }, "IncompleteSignatureException"},
		{"presigned and header", request{}, true, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, "IncompleteSignatureException"},
		{"presigned, mac twice", request{}, true, func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=0" }, "IncompleteSignatureException"},
		{"presigned, life made longer", request{url: "http://h/?X-Amz-Expires=60"}, true, func(r *http.Request) { setQuery(r, "X-Amz-Expires", "3600") }, "InvalidSignatureException"},
		{"presigned, life is over", request{url: "http://h/?X-Amz-Expires=60", at: time.Now().Add(-2 * time.Minute)}, true, nil, "InvalidSignatureException"},
		{"presigned, parameter changed", request{url: "http://h/?Action=A"}, true, func(r *http.Request) { setQuery(r, "Action", "B") }, "InvalidSignatureException"},
		{"presigned, parameter added", request{url: "http://h/?Action=A"}, true, func(r *http.Request) { setQuery(r, "B", "B") }, "InvalidSignatureException"},
		{"presigned, body added", request{method: "GET"}, true, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }, "InvalidSignatureException"},
		{"presigned, unsigned x-amz header", request{}, true, func(r *http.Request) { r.Header.Set("X-Amz-Target", "A.B") }, "InvalidSignatureException"},
		{"presigned by an unknown key", request{key: stranger}, true, nil, "UnrecognizedClientException"},
		{"presigned, wrong secret", request{key: wrong}, true, nil, "InvalidSignatureException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.request.signed(t)
			if c.presign {
				r = c.request.presigned(t)
			}
			if c.change != nil {
				c.change(r)
			}
			_, payload, err := authenticate(r, "ecs", expired)
			e, ok := errors.AsType[*aws.Error](err)
			if !ok || e.Code != c.code || e.Status != 400 || payload != nil {
				t.Errorf("got %v (payload %q), want %s", err, payload, c.code)
			}
		})
	}
}

func TestCodesOfEachProtocol(t *testing.T) {
	wrong := AccessKey{ID: testKey.ID, Secret: "another"}
	stranger := AccessKey{ID: "AKIANOBODY", Secret: "x"}
	for _, c := range []struct {
		name    string
		request request
		code    string
		status  int
	}{
		{"Query, unknown key", request{service: "sts", key: stranger}, "InvalidClientTokenId", 403},
		{"Query, wrong secret", request{service: "sts", key: wrong}, "SignatureDoesNotMatch", 403},
		{"Query, too old", request{service: "sts", at: time.Now().Add(-time.Hour)}, "SignatureDoesNotMatch", 403},
		{"EC2, unknown key", request{service: "ec2", key: stranger}, "AuthFailure", 401},
		{"EC2, wrong secret", request{service: "ec2", key: wrong}, "AuthFailure", 401},
		{"EC2, too old", request{service: "ec2", at: time.Now().Add(-time.Hour)}, "RequestExpired", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := authenticate(c.request.signed(t), c.request.service)
			e, ok := errors.AsType[*aws.Error](err)
			if !ok || e.Code != c.code || e.Status != c.status {
				t.Errorf("got %v, want %s %d", err, c.code, c.status)
			}
		})
	}
	_, _, unknown := authenticate(request{service: "ec2", key: stranger}.signed(t), "ec2")
	_, _, mismatch := authenticate(request{service: "ec2", key: wrong}.signed(t), "ec2")
	if unknown.Error() != mismatch.Error() {
		t.Errorf("EC2 has one text for bad credentials: got %q and %q", unknown, mismatch)
	}
}

// chunkedRequest is signed as S3 clients sign what they stream: the signature of the header seeds that of each chunk.
func chunkedRequest(t testing.TB, form string, chunks []string, trailer string) *http.Request {
	t.Helper()
	at := time.Now().UTC()
	total := len(strings.Join(chunks, ""))
	headers := map[string]string{"X-Amz-Content-Sha256": form, "Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": strconv.Itoa(total)}
	if trailer != "" {
		name, _, _ := strings.Cut(trailer, ":")
		headers["X-Amz-Trailer"] = name
	}
	r := request{method: "PUT", service: "s3", url: "http://localhost:1/b/k", headers: headers, hash: form, at: at}.signed(t)
	_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	key := signingKey(testKey.Secret.Reveal(), at.Format("20060102"), "us-east-1", "s3")
	scope := at.Format(timeForm) + "\n" + at.Format("20060102") + "/us-east-1/s3/aws4_request\n"
	var body strings.Builder
	for _, c := range append(chunks, "") {
		body.WriteString(strconv.FormatInt(int64(len(c)), 16))
		if form != streamingUnsignedTailer {
			seed = hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256-PAYLOAD\n"+scope+seed+"\n"+hashHex(nil)+"\n"+hashHex([]byte(c))))
			body.WriteString(";chunk-signature=" + seed)
		}
		body.WriteString("\r\n" + c)
		if c != "" {
			body.WriteString("\r\n")
		}
	}
	if trailer != "" {
		body.WriteString(trailer + "\r\n")
		if form == streamingSignedTrailer {
			sum := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256-TRAILER\n"+scope+seed+"\n"+hashHex([]byte(trailer+"\n"))))
			body.WriteString("x-amz-trailer-signature:" + sum + "\r\n")
		}
	}
	body.WriteString("\r\n")
	r.Body = io.NopCloser(strings.NewReader(body.String()))
	r.ContentLength = int64(body.Len())
	return r
}

func TestChunkedPayloads(t *testing.T) {
	const crc = "x-amz-checksum-crc32:DUoRhQ==" // of "hello world"
	for _, c := range []struct{ name, form, trailer string }{
		{"signed", streamingSigned, ""},
		{"signed with trailer", streamingSignedTrailer, crc},
		{"unsigned with trailer", streamingUnsignedTailer, crc},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, payload, err := authenticate(chunkedRequest(t, c.form, []string{"hello ", "world"}, c.trailer), "s3")
			if err != nil || string(payload) != "hello world" {
				t.Errorf("got %q, %v", payload, err)
			}
		})
		for _, bad := range []struct{ name, old, text string }{
			{"a byte changed", "hello ", "hellO "},
			{"a chunk cut", "5;", "4;"},
			{"a trailer changed", "DUoR", "XUoR"},
			{"a signature changed", "signature=", "signature=0"},
			{"the end missing", "\r\n0", "\r\n1"},
			{"a size too large", "6", "fffffff0"},
		} {
			t.Run(c.name+", "+bad.name, func(t *testing.T) {
				r := chunkedRequest(t, c.form, []string{"hello ", "world"}, c.trailer)
				body, _ := io.ReadAll(r.Body)
				changed := strings.Replace(string(body), bad.old, bad.text, 1)
				if changed == string(body) {
					t.Skip("this form has no such part")
				}
				r.Body = io.NopCloser(strings.NewReader(changed))
				if _, payload, err := authenticate(r, "s3"); err == nil {
					t.Errorf("accepted %q", payload)
				}
			})
		}
	}
}

func TestDevelopmentCredentials(t *testing.T) {
	for _, c := range []struct {
		name, keyID string
		change      func(*http.Request)
		account     string
		code        string
	}{
		{"an account as key", "123456789012", nil, "123456789012", ""},
		{"any key", "test", nil, DefaultAccount, ""},
		{"a wrong signature", "test", func(r *http.Request) { replace(r, "Signature=", "Signature=0") }, DefaultAccount, ""},
		{"no signature", "test", func(r *http.Request) { r.Header.Del("Authorization") }, "", "MissingAuthenticationTokenException"},
		{"a page of another site", "test", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, "", "AccessDeniedException"},
		{"a cross-site fetch", "test", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, "", "AccessDeniedException"},
		{"a rebound host name", "test", func(r *http.Request) { r.Host = "evil.example:4566" }, "", "AccessDeniedException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request{key: AccessKey{ID: c.keyID, Secret: "any"}, region: "eu-north-1", body: "{}"}.signed(t)
			if c.change != nil {
				c.change(r)
			}
			caller, payload, err := DevAuthenticator(r, &jsonAPI, func() ([]byte, error) { return io.ReadAll(r.Body) })
			if c.code != "" {
				if e, ok := errors.AsType[*aws.Error](err); !ok || e.Code != c.code {
					t.Errorf("got %v, want %s", err, c.code)
				}
				return
			}
			if err != nil || caller != aws.RootCaller(c.account, "eu-north-1", c.keyID) || string(payload) != "{}" {
				t.Errorf("got %+v %q %v", caller, payload, err)
			}
		})
	}
}

func TestBodyIsNotReadBeforeTheCheapChecks(t *testing.T) {
	r := request{at: time.Now().Add(-time.Hour)}.signed(t)
	v := Verifier{Keys: Keys(testKey)}
	_, _, err := v.Authenticate(r, &jsonAPI, func() ([]byte, error) {
		t.Error("the body was read")
		return nil, nil
	})
	if err == nil {
		t.Error("accepted")
	}
}

// What an outsider could time is the same for a key that exists and one that does not: the body is read and hashed, the
// signature is computed, and only then the answers part.
func TestUnknownKeyTakesTheSamePath(t *testing.T) {
	for _, key := range []AccessKey{{ID: testKey.ID, Secret: "another"}, {ID: "AKIANOBODY", Secret: "another"}} {
		r, read := request{key: key, body: "x"}.signed(t), false
		v := Verifier{Keys: Keys(testKey)}
		_, _, err := v.Authenticate(r, &jsonAPI, func() ([]byte, error) {
			read = true
			return io.ReadAll(r.Body)
		})
		if err == nil || !read {
			t.Errorf("%s: %v, body read: %v", key.ID, err, read)
		}
	}
}

type brokenKeys struct{}

func (brokenKeys) AccessKey(context.Context, string) (AccessKey, bool, error) {
	return AccessKey{}, false, errors.New("store away")
}

func TestTroubleWithTheStoreIsNotTheCallersFault(t *testing.T) {
	v := Verifier{Keys: brokenKeys{}}
	_, _, err := v.Authenticate(request{}.signed(t), &jsonAPI, func() ([]byte, error) { return nil, nil })
	if _, ok := errors.AsType[*aws.Error](err); ok || err == nil {
		t.Errorf("got %v, want an internal error", err)
	}
}

func TestCanonicalForms(t *testing.T) {
	for _, c := range []struct{ sent, plain, s3 string }{
		{"", "/", "/"},
		{"/", "/", "/"},
		{"/a//b/./c/../d/", "/a/b/d/", "/a//b/./c/../d/"},
		{"/a%20b", "/a%2520b", "/a%20b"},
		{"/a+b", "/a%2Bb", "/a%2Bb"},
		{"/..", "/", "/.."},
	} {
		if got := canonicalPath(c.sent, false); got != c.plain {
			t.Errorf("path %q: got %q, want %q", c.sent, got, c.plain)
		}
		if got := canonicalPath(c.sent, true); got != c.s3 {
			t.Errorf("S3 path %q: got %q, want %q", c.sent, got, c.s3)
		}
	}
	for _, c := range []struct{ sent, want string }{
		{"", ""},
		{"b&a", "a=&b="},
		{"a=2&a=1&A=3", "A=3&a=1&a=2"},
		{"a=b%2fc&X-Amz-Signature=x&&d=%zz", "a=b%2Fc&d=%25zz"},
	} {
		if got := canonicalQuery(c.sent); got != c.want {
			t.Errorf("query %q: got %q, want %q", c.sent, got, c.want)
		}
	}
}

// The example of the AWS general reference, "Signature Version 4 signing process".
func TestPublishedExample(t *testing.T) {
	key := signingKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam")
	if got, want := hex.EncodeToString(key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; got != want {
		t.Errorf("signing key: got %s, want %s", got, want)
	}
	text := "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\nf536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
	if got, want := hex.EncodeToString(mac(key, text)), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"; got != want {
		t.Errorf("signature: got %s, want %s", got, want)
	}
}

func FuzzAuthenticate(f *testing.F) {
	r := request{}.signed(f)
	f.Add("POST", "/", "", r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), "", []byte("x"))
	f.Add("GET", "/a/../b", request{}.presigned(f).URL.RawQuery, "", "", "", []byte(nil))
	c := chunkedRequest(f, streamingSignedTrailer, []string{"abc"}, "x-amz-checksum-crc32:x")
	body, _ := io.ReadAll(c.Body)
	f.Add("PUT", "/b/k", "", c.Header.Get("Authorization"), c.Header.Get("X-Amz-Date"), streamingSignedTrailer, body)
	v := Verifier{Keys: Keys(AccessKey{ID: testKey.ID, Secret: NewAccessKey("", time.Now()).Secret})}
	f.Fuzz(func(t *testing.T, method, path, query, auth, date, hash string, body []byte) {
		r := &http.Request{Method: method, Host: "localhost", URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, ContentLength: int64(len(body))}
		for name, value := range map[string]string{"Authorization": auth, "X-Amz-Date": date, "X-Amz-Content-Sha256": hash} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		for _, api := range []*aws.API{&jsonAPI, &queryAPI, &s3API} {
			_, _, err := v.Authenticate(r, api, func() ([]byte, error) { return body, nil })
			if _, ok := errors.AsType[*aws.Error](err); !ok {
				t.Fatalf("nobody knows the secret, so nothing may pass, and nothing is internal: %v", err)
			}
		}
		_, _, _ = DevAuthenticator(r, &jsonAPI, func() ([]byte, error) { return body, nil })
	})
}
