package iam

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"time"

	"berth/aws"
	"berth/store"
)

var accessKeys = store.NewTable("iam/access-key", func(k AccessKey) string { return k.ID },
	store.Index("account", func(k AccessKey) []string { return []string{k.Account} }))

// Tables lists what this package keeps.
func Tables() []store.AnyTable { return []store.AnyTable{accessKeys} }

// StoredKeys are the access keys of a store.
type StoredKeys struct{ Store *store.Store }

// AccessKey implements AccessKeys.
func (s StoredKeys) AccessKey(_ context.Context, id string) (AccessKey, bool, error) {
	k, found := accessKeys.Get(s.Store.Read(), id)
	return k, found, nil
}

// EnsureRootKey returns the lasting key of the account's root, made now if there is none. Servers that start together
// agree on one.
func EnsureRootKey(ctx context.Context, st *store.Store, account string, now time.Time) (AccessKey, error) {
	key, fresh := AccessKey{}, NewAccessKey(account, now)
	err := st.Update(ctx, func(tx *store.Tx) error {
		for k := range accessKeys.By(tx, "account", account) {
			if k.Token == "" {
				key = k
				return nil
			}
		}
		key = fresh
		accessKeys.Put(tx, fresh)
		return nil
	})
	if err != nil {
		return AccessKey{}, fmt.Errorf("make the root key of account %s: %w", account, err)
	}
	return key, nil
}

// DefaultAccount is the account of the key pair that the first start makes.
const DefaultAccount = "000000000000"

// AccessKey is a pair of credentials. Token and Expires are set for temporary ones only. It is never changed once made.
type AccessKey struct {
	ID      string     `json:"id"`
	Secret  aws.Secret `json:"sk"`
	Account string     `json:"acc"`
	Token   aws.Secret `json:"tok,omitzero"`
	Created time.Time  `json:"at"`
	Expires time.Time  `json:"exp,omitzero"`
}

const secretLength = 40

// NewAccessKey makes a pair for the root of account, in the form of AWS: AKIA and 16 letters and digits, and a secret
// of 40 characters (240 random bits).
func NewAccessKey(account string, now time.Time) AccessKey {
	var id [10]byte
	var secret [30]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	_, _ = rand.Read(secret[:])
	return AccessKey{
		ID: "AKIA" + base32.StdEncoding.EncodeToString(id[:]), Account: account, Created: now.UTC(),
		Secret: aws.Secret(base64.StdEncoding.EncodeToString(secret[:])),
	}
}

func (k AccessKey) caller(region string) aws.Caller {
	return aws.RootCaller(k.Account, homeRegion(region), k.ID)
}

// homeRegion is where global endpoints are signed for: SDKs may say aws-global.
func homeRegion(region string) string {
	if region == "aws-global" {
		return "us-east-1"
	}
	return region
}

// StaticKeys are access keys by ID, for tests and for programs without a store.
type StaticKeys map[string]AccessKey

// Keys makes StaticKeys of pairs.
func Keys(pairs ...AccessKey) StaticKeys {
	keys := StaticKeys{}
	for _, k := range pairs {
		keys[k.ID] = k
	}
	return keys
}

// AccessKey implements AccessKeys.
func (s StaticKeys) AccessKey(_ context.Context, id string) (AccessKey, bool, error) {
	k, found := s[id]
	return k, found, nil
}

// String keeps secrets out of printed values.
func (k AccessKey) String() string {
	return fmt.Sprintf("access key %s of account %s", k.ID, k.Account)
}
