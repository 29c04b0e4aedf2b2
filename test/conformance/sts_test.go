package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"berth/server"
)

func TestSTS(t *testing.T) {
	w := newWorld(t)
	t.Run("GetCallerIdentity", func(t *testing.T) {
		out := must(w.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))(t)
		if *out.Account != w.account || *out.Arn != "arn:aws:iam::"+w.account+":root" || *out.UserId != w.account {
			t.Errorf("got %s %s %s", *out.Account, *out.Arn, *out.UserId)
		}
	})
	t.Run("other operations are refused", func(t *testing.T) {
		_, err := w.sts.GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
		wantError(t, err, "InvalidAction", "The operation GetSessionToken of STS is not supported by this Berth.")
	})
}

// The credentials that a control plane makes at its first start work, and no others.
func TestCredentialsAreVerified(t *testing.T) {
	dir := t.TempDir()
	url, stop, err := start(server.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	var key struct{ AccessKeyID, SecretAccessKey string }
	text := must(os.ReadFile(filepath.Join(dir, "credentials")))(t)
	if err := json.Unmarshal(text, &key); err != nil {
		t.Fatal(err)
	}
	with := func(id, secret string) *world {
		w := &world{t: t, url: url, credentials: aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}}
		return w.connect()
	}
	good := with(key.AccessKeyID, key.SecretAccessKey)
	if out := must(good.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))(t); *out.Account != server.DefaultAccount {
		t.Errorf("account %s", *out.Account)
	}
	must(good.ecs.ListClusters(t.Context(), &ecs.ListClustersInput{}))(t)
	const mismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	_, err = with(key.AccessKeyID, "wrong").sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantError(t, err, "SignatureDoesNotMatch", mismatch)
	_, err = with(key.AccessKeyID, "wrong").ecs.ListClusters(t.Context(), &ecs.ListClustersInput{})
	wantError(t, err, "InvalidSignatureException", mismatch)
	_, err = with("AKIAUNKNOWN", "x").sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantError(t, err, "InvalidClientTokenId", "The security token included in the request is invalid.")
	_, err = with("AKIAUNKNOWN", "x").ecs.ListClusters(t.Context(), &ecs.ListClustersInput{})
	wantError(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")
}
