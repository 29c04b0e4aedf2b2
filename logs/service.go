package logs

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	api "berth/api/logs"
	"berth/aws"
	"berth/logs/events"
	"berth/reconcile"
	"berth/store"
)

// Deps is what the service stands on.
type Deps struct {
	Store  *store.Store
	Events *events.Engine
	Pages  *aws.Pages
	Log    *slog.Logger // nil means slog.Default()
}

// Service answers the CloudWatch Logs API.
type Service struct {
	api.Unimplemented
	Deps
	tails tails
}

// New makes the service. Every field of Deps but Log must be set.
func New(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	return &Service{Deps: d, tails: newTails()}
}

// Tables are the tables of this service.
func Tables() []store.AnyTable { return []store.AnyTable{Groups, Streams, Deletions} }

// Reconcilers delete what was deleted and what is older than its group keeps it.
func (s *Service) Reconcilers() []reconcile.Reconciler {
	return []reconcile.Reconciler{retention{s}, deletions{s}}
}

// newID returns a random ID for a group or stream, never 0.
func newID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

func invalid(format string, args ...any) error {
	return aws.Errorf("InvalidParameterException", format, args...)
}

func noGroup() error {
	return aws.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
}

func noStream() error {
	return aws.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
}

// shown turns an error of the engine into what a client sees.
func shown(err error) error {
	switch {
	case errors.Is(err, events.ErrNoSpace), errors.Is(err, events.ErrClosed):
		return &aws.Error{Code: "ServiceUnavailableException", Message: "The service cannot complete the request: " + err.Error(), Status: 503}
	case errors.Is(err, events.ErrNoStream):
		return noStream()
	}
	return err
}

// openToken is the cursor of a page token; ok is false without a token.
func (s *Service) openToken(scope string, token *string) (cursor string, ok bool, err error) {
	if token == nil {
		return "", false, nil
	}
	cursor, err = s.Pages.Open(scope, *token)
	if err != nil {
		return "", false, invalid("The specified nextToken is invalid.")
	}
	return cursor, true, nil
}

func millis(t time.Time) int64 { return t.UnixMilli() }

const day = 24 * time.Hour
