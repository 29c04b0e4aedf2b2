package ecr

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	api "berth/api/ecr"
	"berth/aws"
	"berth/aws/wire"
	"berth/store"
)

const (
	account = "000000000000"
	region  = "us-east-1"
)

// world is a registry and its API behind one listener, as in Berth.
type world struct {
	*sdkecr.Client
	service *Service
	store   *store.Store
	url     string
	inUse   map[string]bool
	root    string
}

func newWorld(t testing.TB) *world { return openWorld(t, filepath.Join(t.TempDir(), "registry")) }

// openWorld starts on the files in root, with no records.
func openWorld(t testing.TB, root string) *world {
	t.Helper()
	w := &world{inUse: map[string]bool{}, root: root}
	var err error
	if w.store, err = store.Open(store.Config{Tables: Tables()}); err != nil {
		t.Fatal(err)
	}
	w.service, err = New(Deps{
		Store: w.store, Pages: aws.NewPages([]byte("key")), Root: root, Key: []byte("key"),
		Endpoint: func() string { return w.url }, InUse: func(d string) bool { return w.inUse[d] }, KeepUnused: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(wire.New(wire.Config{
		Services: []wire.Service{{API: &api.API, Handler: w.service}},
		Mounts:   []wire.Mount{{Prefix: "/v2/", Handler: w.service.Handler()}},
		Authenticate: func(_ *http.Request, _ *aws.API, read func() ([]byte, error)) (aws.Caller, []byte, error) {
			body, err := read()
			return aws.RootCaller(account, region, "x"), body, err
		},
	}))
	t.Cleanup(func() {
		server.Close()
		_ = w.store.Close()
	})
	w.url = "http://" + server.Listener.Addr().String()
	server.Start()
	w.Client = sdkecr.New(sdkecr.Options{
		BaseEndpoint: &w.url, Region: region, RetryMaxAttempts: 1,
		Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: "x", SecretAccessKey: "y"}, nil
		}),
	})
	return w
}

func (w *world) auth() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: "AWS", Password: w.service.Password(account, time.Now().Add(time.Hour))})
}

func (w *world) ref(t testing.TB, repository string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(strings.TrimPrefix(w.url, "http://") + "/" + account + "/" + region + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// push pushes a random image and returns its digest.
func (w *world) push(t testing.TB, repository string) string {
	t.Helper()
	return w.pushImage(t, repository, randomImage(t))
}

func (w *world) pushImage(t testing.TB, repository string, img v1.Image) string {
	t.Helper()
	if err := remote.Write(w.ref(t, repository), img, w.auth()); err != nil {
		t.Fatalf("push %s: %v", repository, err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func randomImage(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t testing.TB, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("got %v, want %s: %s", err, code, message)
	}
}

// images lists "digest tags" of a repository from the API.
func (w *world) images(t testing.TB, repository string) map[string]string {
	t.Helper()
	out := map[string]string{}
	pages := sdkecr.NewDescribeImagesPaginator(w, &sdkecr.DescribeImagesInput{RepositoryName: &repository, MaxResults: new(int32(1))})
	for pages.HasMorePages() {
		for _, i := range must[*sdkecr.DescribeImagesOutput](t)(pages.NextPage(t.Context())).ImageDetails {
			out[*i.ImageDigest] = strings.Join(i.ImageTags, ",")
		}
	}
	return out
}
