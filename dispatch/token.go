package dispatch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/aws"
	"berth/ecs"
	"berth/store"
)

// JoinToken is the record of a token with which machines join. The secret itself is not kept.
type JoinToken struct {
	ID      string    `json:"id"`
	Hash    string    `json:"h"` // SHA-256 of the secret, hex
	Account string    `json:"a"`
	Region  string    `json:"r"`
	Cluster string    `json:"c"`
	Machine string    `json:"m,omitzero"` // the one identity that it gives; empty gives each machine its own
	Uses    int       `json:"u"`          // left. Written by: Redeem
	Expires time.Time `json:"e"`
}

var joinTokens = store.NewTable("dispatch/join-token", func(t JoinToken) string { return t.ID })

// Tables lists what this package keeps.
func Tables() []store.AnyTable { return []store.AnyTable{joinTokens, Machines} }

// DefaultTokenLife is how long a join token works unless said otherwise.
const DefaultTokenLife = 15 * time.Minute

// tokenForm begins every join token: berth1.<authority's fingerprint>.<id>.<secret>.
const tokenForm = "berth1"

var errToken = errors.New("the token is unknown, used up or expired")

// Tokens makes and redeems join tokens.
type Tokens struct {
	Store     *store.Store
	Authority *Authority
}

// Create makes a token that lets uses machines join who's cluster within life. When who.ID is set, every machine that
// joins with it gets that identity: it is for one machine that may have lost its certificate.
func (t Tokens) Create(ctx context.Context, who ecs.Machine, life time.Duration, uses int, now time.Time) (aws.Secret, time.Time, error) {
	if life <= 0 {
		life = DefaultTokenLife
	}
	if who.Cluster == "" {
		who.Cluster = "default"
	}
	var secret [24]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(text))
	record := JoinToken{
		ID: aws.NewHexID()[:16], Hash: hex.EncodeToString(sum[:]), Account: who.Account, Region: who.Region, Cluster: who.Cluster,
		Machine: who.ID, Uses: max(uses, 1), Expires: now.Add(life).UTC(),
	}
	err := t.Store.Update(ctx, func(tx *store.Tx) error {
		for old := range joinTokens.All(tx) {
			if now.After(old.Expires) {
				joinTokens.Delete(tx, old.ID)
			}
		}
		joinTokens.Put(tx, record)
		return nil
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("make a join token: %w", err)
	}
	return aws.Secret(strings.Join([]string{tokenForm, t.Authority.Fingerprint(), record.ID, text}, ".")), record.Expires, nil
}

// Redeem takes one use of a token and says who the machine is from now on.
func (t Tokens) Redeem(ctx context.Context, token string, now time.Time) (who ecs.Machine, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 4 || parts[0] != tokenForm {
		return who, errToken
	}
	sum := sha256.Sum256([]byte(parts[3]))
	given, fresh := hex.EncodeToString(sum[:]), aws.NewHexID()
	err = t.Store.Update(ctx, func(tx *store.Tx) error {
		record, _ := joinTokens.Get(tx, parts[2])
		// An unknown ID takes the same comparison, so that it cannot be told from a wrong secret.
		if subtle.ConstantTimeCompare([]byte(record.Hash), []byte(given)) != 1 || record.Uses < 1 || now.After(record.Expires) {
			return errToken
		}
		who = ecs.Machine{ID: fresh, Account: record.Account, Region: record.Region, Cluster: record.Cluster}
		if record.Machine != "" {
			who.ID = record.Machine
		}
		if record.Uses--; record.Uses == 0 {
			joinTokens.Delete(tx, record.ID)
		} else {
			joinTokens.Put(tx, record)
		}
		return nil
	})
	return who, err
}
