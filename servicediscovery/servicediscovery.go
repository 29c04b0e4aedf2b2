package servicediscovery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/reconcile"
	"berth/store"
)

// Deps are what the service stands on.
type Deps struct {
	Store *store.Store
	Now   func() time.Time // nil means time.Now
	Pages *aws.Pages
	Log   *slog.Logger
	// Machine finds the address of the machine with an EC2 instance ID, for the attribute AWS_EC2_INSTANCE_ID. Nil: there are none.
	Machine func(r store.Reader, account, region, instanceID string) (netip.Addr, bool)
	// VPC says whether an account has a VPC in a region. Nil: every ID that looks like one is taken.
	VPC func(r store.Reader, account, region, id string) bool
}

// Service answers the Cloud Map API. Operations that it does not have are answered by api.Unimplemented.
type Service struct {
	api.Unimplemented
	Deps
}

// New makes the service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Deps: d}
}

// Tables lists the service's tables, for store.Open.
func Tables() []store.AnyTable {
	return []store.AnyTable{Namespaces, Services, Instances, Operations}
}

// Reconcilers are all reconcilers of the service.
func (s *Service) Reconcilers() []reconcile.Reconciler {
	return []reconcile.Reconciler{operationExpiry{s}}
}

// Quotas. Source: Cloud Map endpoints and quotas.
const (
	maxNamespaces         = 50   // in an account and region
	maxInstances          = 1000 // of a service
	maxNamespaceInstances = 2000 // of a namespace
	maxCustomAttributes   = 30   // of an instance
	maxAttributesSize     = 5000 // characters of all keys and values of an instance
	maxServiceAttributes  = 30
	maxTags               = 50
)

// Invalid words broken constraints of the model: the service has one code for all that is wrong in an input.
func Invalid(_ string, broken []aws.Violation) error {
	return invalid("%s", (&aws.Invalid{Violations: broken}).Error())
}

func invalid(format string, args ...any) *aws.Error {
	return aws.Errorf("InvalidInput", format, args...)
}

// place begins the keys of everything that an account has in a region.
func place(account, region string) string { return account + "/" + region + "/" }

func callerPlace(ctx context.Context) string {
	c := aws.CallerFrom(ctx)
	return place(c.Account, c.Region)
}

// newID is a prefix and 16 letters and digits.
func newID(prefix string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = digits[b[i]%32]
	}
	return prefix + string(b)
}

// derived is n capital letters and digits that follow from a text, always the same.
func derived(text string, n int) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	sum := sha256.Sum256([]byte(text))
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[sum[i]%32]
	}
	return string(b)
}

// keyOf is the key of a thing of a kind (namespace, service) that is named by its ID or ARN. An ARN of another account or region, or of
// another kind, gives a key that nothing has.
func keyOf(place, kind, idOrARN string) string {
	if !aws.IsARN(idOrARN) {
		return place + idOrARN
	}
	a, err := aws.ParseARN(idOrARN)
	if err != nil || a.Service() != "servicediscovery" {
		return ""
	}
	id, ok := strings.CutPrefix(a.Resource(), kind+"/")
	if !ok || !strings.HasPrefix(place, a.Account()+"/"+a.Region()+"/") {
		return ""
	}
	return place + id
}

// orNew is the text that p points to, or a new UUID. Clients that do not name a request get a name for it.
func orNew(p *string) string {
	if aws.Value(p) != "" {
		return *p
	}
	return aws.NewUUID()
}

// optional is nil for the empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// page gives the part of a list that a request asks for: at most limit (or usual) items of all that keep takes, in order of
// their names, and the token for the next part, nil at the end. scope names the list and what selects it.
func page[T any](s *Service, scope string, token *string, limit *int32, usual int, all func(yield func(T) bool), name func(T) string) ([]T, *string, error) {
	after := ""
	if token != nil {
		var err error
		if after, err = s.Pages.Open(scope, *token); err != nil {
			return nil, nil, invalid("The NextToken is not valid.")
		}
	}
	if limit != nil {
		usual = int(*limit)
	}
	out := []T{}
	for v := range all {
		if after != "" && name(v) <= after {
			continue
		}
		if len(out) == usual {
			return out, new(s.Pages.Seal(scope, name(out[usual-1]))), nil
		}
		out = append(out, v)
	}
	return out, nil, nil
}
