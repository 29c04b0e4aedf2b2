package ecr

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	api "berth/api/ecr"
	"berth/aws"
)

// tokenLife is how long a login is good. Source: API reference of GetAuthorizationToken.
const tokenLife = 12 * time.Hour

// userName is what clients give as their name; the token is the password.
const userName = "AWS"

// login is what a token says.
type login struct {
	Account string `json:"a"`
	Expires int64  `json:"e"` // seconds since the epoch
}

// GetAuthorizationToken makes a password for the registry, good for 12 hours.
func (s *Service) GetAuthorizationToken(ctx context.Context, in *api.GetAuthorizationTokenRequest) (*api.GetAuthorizationTokenResponse, error) {
	c := aws.CallerFrom(ctx)
	ids := in.RegistryIds
	if len(ids) == 0 {
		ids = []string{c.Account}
	}
	out := &api.GetAuthorizationTokenResponse{AuthorizationData: []api.AuthorizationData{}}
	for _, id := range ids {
		if id != c.Account {
			return nil, invalid("registryIds' failed to satisfy constraint: 'Berth gives tokens for your own account %s only'", c.Account)
		}
		expires := time.Now().Add(tokenLife)
		token := userName + ":" + s.Password(c.Account, expires)
		out.AuthorizationData = append(out.AuthorizationData, api.AuthorizationData{
			AuthorizationToken: new(base64.StdEncoding.EncodeToString([]byte(token))), ExpiresAt: aws.NewTime(expires), ProxyEndpoint: new(s.Endpoint()),
		})
	}
	return out, nil
}

// Password is a registry password of the account, for user AWS.
func (s *Service) Password(account string, expires time.Time) string {
	payload, err := json.Marshal(login{Account: account, Expires: expires.Unix()})
	if err != nil {
		panic("unreachable: a login is text and a number: " + err.Error())
	}
	text := base64.RawURLEncoding.EncodeToString(payload)
	return text + "." + s.sign("registry login", text)
}

// account returns whose login the request carries; ok is false if none or none that is good at now.
func (s *Service) account(r *http.Request, now time.Time) (account string, ok bool) {
	name, password, ok := r.BasicAuth()
	text, mac, two := strings.Cut(password, ".")
	if !ok || !two || name != userName || !hmac.Equal([]byte(mac), []byte(s.sign("registry login", text))) {
		return "", false
	}
	var l login
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(payload, &l) != nil || now.Unix() >= l.Expires {
		return "", false
	}
	return l.Account, true
}

func (s *Service) sign(purpose, text string) string {
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// downloadLife is how long the URL of a layer is good.
const downloadLife = time.Hour

// Names of the query parameters of a download URL.
const (
	expiresParam   = "X-Berth-Expires"
	signatureParam = "X-Berth-Signature"
)

func (s *Service) downloadURL(path string, now time.Time) string {
	expires := strconv.FormatInt(now.Add(downloadLife).Unix(), 10)
	return strings.TrimSuffix(s.Endpoint(), "/") + path + "?" + expiresParam + "=" + expires + "&" +
		signatureParam + "=" + s.sign("layer download", path+" "+expires)
}

// presigned says whether the request is for a download URL that is still good.
func (s *Service) presigned(r *http.Request, now time.Time) bool {
	q := r.URL.Query()
	expires, err := strconv.ParseInt(q.Get(expiresParam), 10, 64)
	want := s.sign("layer download", r.URL.Path+" "+q.Get(expiresParam))
	return err == nil && now.Unix() < expires && hmac.Equal([]byte(q.Get(signatureParam)), []byte(want))
}
