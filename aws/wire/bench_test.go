package wire_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	apiecs "berth/api/ecs"
	"berth/aws/wire"
	"berth/iam"
)

// BenchmarkFrontDoor is the cost of a request without its handler and without the network: routing, signature, decoding,
// validation, encoding.
func BenchmarkFrontDoor(b *testing.B) {
	key := iam.NewAccessKey(account, time.Now())
	verifier := &iam.Verifier{Keys: iam.Keys(key)}
	door := wire.New(wire.Config{Services: []wire.Service{{API: &apiecs.API, Handler: &fakeECS{}}}, Authenticate: verifier.Authenticate})
	body := []byte(`{"cluster":"default","taskDefinition":"web:1","count":2,"overrides":{"containerOverrides":[{"name":"c","environment":[{"name":"A","value":"b"}]}]}}`)
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:4566/", bytes.NewReader(body))
	for k, v := range ecsTarget("RunTask") {
		r.Header.Set(k, v)
	}
	sum := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(context.Background(), sdk.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret.Reveal()}, r, hex.EncodeToString(sum[:]), "ecs", region, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(bytes.NewReader(body))
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
