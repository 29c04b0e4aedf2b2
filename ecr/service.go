package ecr

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	api "berth/api/ecr"
	"berth/aws"
	"berth/reconcile"
	"berth/store"
)

// Deps is what the service stands on.
type Deps struct {
	Store *store.Store
	Pages *aws.Pages
	// Root is the folder of the registry's files.
	Root string
	// Endpoint is the URL under which clients reach the API listener, such as http://127.0.0.1:4566.
	Endpoint func() string
	// Key signs login tokens and download URLs; 32 random bytes that stay the same over restarts.
	Key []byte
	// InUse says whether a task that is not stopped runs the image with this digest. Nil means none does.
	InUse func(digest string) bool
	Log   *slog.Logger // nil means slog.Default()
	// KeepUnused is how long bytes that no manifest names are kept, as their upload may still go on; 0 means 1 hour.
	KeepUnused time.Duration
}

// Service answers the ECR API and serves the registry.
type Service struct {
	api.Unimplemented
	Deps
	files *files

	// sweep is held for writing while blobs are removed, and for reading while a client is told that a blob is there.
	sweep sync.RWMutex
	locks sync.Map // repository key -> *sync.Mutex, held while images or tags change

	indexed   sync.Map // keys of repositories that this process has compared with their files
	collected atomic.Pointer[time.Time]
}

// New opens the registry's storage and makes the service.
func New(d Deps) (*Service, error) {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.InUse == nil {
		d.InUse = func(string) bool { return false }
	}
	if d.KeepUnused == 0 {
		d.KeepUnused = time.Hour
	}
	f, err := openFiles(d.Root, d.Key)
	if err != nil {
		return nil, err
	}
	return &Service{Deps: d, files: f}, nil
}

// Tables are the tables of this service.
func Tables() []store.AnyTable { return []store.AnyTable{Repositories, Images} }

// Reconcilers keep records and files in step, expire images, and remove unused bytes.
func (s *Service) Reconcilers() []reconcile.Reconciler {
	return []reconcile.Reconciler{repositories{s}, expiry{s}, collection{s}}
}

// Handler serves /v2/ on the API listener.
func (s *Service) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// PullHandler serves /v2/ to agents: pulls only, without login.
func (s *Service) PullHandler() http.Handler { return http.HandlerFunc(s.servePulls) }

// Host is the host:port in repositoryUri.
func (s *Service) Host() string {
	_, host, ok := strings.Cut(s.Endpoint(), "://")
	if !ok {
		return s.Endpoint()
	}
	return strings.TrimSuffix(host, "/")
}

// locked runs f while nobody else changes the repository's images.
func (s *Service) locked(key string, f func() error) error {
	l, _ := s.locks.LoadOrStore(key, new(sync.Mutex))
	mu := l.(*sync.Mutex)
	mu.Lock()
	defer mu.Unlock()
	return f()
}

func invalid(format string, args ...any) error {
	return aws.Errorf("InvalidParameterException", "Invalid parameter at '"+format, args...)
}

// place is the caller's account and region, or those of registryId, which must be the caller's.
func place(ctx context.Context, registryID *string, repository string) (account, region string, err error) {
	c := aws.CallerFrom(ctx)
	if registryID != nil && *registryID != c.Account {
		return "", "", noRepository(repository, *registryID)
	}
	return c.Account, c.Region, nil
}

func noRepository(name, account string) error {
	return aws.Errorf("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", name, account)
}

// page is the window of a list that a request asks for.
func (s *Service) page(scope string, token *string, max *int32, usual int) (after string, n int, err error) {
	n = usual
	if max != nil {
		n = int(*max)
	}
	if token == nil {
		return "", n, nil
	}
	after, err = s.Pages.Open(scope, *token)
	if err != nil {
		return "", 0, aws.Errorf("InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
	}
	return after, n, nil
}

func scopeOf(operation string, r Repository, more ...any) string {
	return fmt.Sprint(append([]any{operation, " ", r.Key(), " "}, more...)...)
}

func millisTime(ms int64) *aws.Time {
	if ms == 0 {
		return nil
	}
	return aws.NewTime(time.UnixMilli(ms))
}
