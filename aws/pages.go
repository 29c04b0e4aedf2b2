package aws

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// Pages seals the cursors of lists into page tokens. A token shows nothing of its cursor, cannot be changed, and opens
// only for the scope it was sealed for. Tokens of one key stay good over restarts and on every server with that key.
type Pages struct {
	aead     cipher.AEAD
	nonceKey []byte
}

// ErrPageToken says that a token was not sealed with this key for this scope.
var ErrPageToken = errors.New("page token is not valid")

const nonceSize = 12

// NewPages takes a key of any length; 32 random bytes are right.
func NewPages(key []byte) *Pages {
	block, err := aes.NewCipher(derive(key, "berth page token cipher"))
	if err != nil {
		panic("unreachable: a derived key has 32 bytes: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("unreachable: AES has 16 byte blocks: " + err.Error())
	}
	return &Pages{aead: aead, nonceKey: derive(key, "berth page token nonce")}
}

// Seal makes a token. scope names the list and everything that selects it: account, region, operation, filters.
// The same scope and cursor give the same token.
func (p *Pages) Seal(scope, cursor string) string {
	nonce := derive(p.nonceKey, scope+"\x00"+cursor)[:nonceSize]
	sealed := p.aead.Seal(nonce, nonce, []byte(cursor), []byte(scope))
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// Open returns the cursor of a token made by Seal for the same scope, or ErrPageToken.
func (p *Pages) Open(scope, token string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < nonceSize {
		return "", ErrPageToken
	}
	cursor, err := p.aead.Open(nil, raw[:nonceSize], raw[nonceSize:], []byte(scope))
	if err != nil {
		return "", ErrPageToken
	}
	return string(cursor), nil
}

func derive(key []byte, label string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(label))
	return mac.Sum(nil)
}
