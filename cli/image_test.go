package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	api "berth/api/ecr"
	"berth/aws"
)

func TestCheckImageRefusesWhatBerthsRegistryHasNot(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken") {
			fmt.Fprint(w, `{"authorizationData": [{"proxyEndpoint": "http://127.0.0.1:4566"}]}`)
			return
		}
		if !strings.Contains(r.Header.Get("Authorization"), "/us-west-2/ecr/") {
			t.Errorf("not asked in the image's region: %s", r.Header.Get("Authorization"))
		}
		var in api.DescribeImagesRequest
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &in); err != nil {
			t.Error(err)
		}
		id := in.ImageIds[0]
		code := ""
		switch {
		case aws.Value(in.RepositoryName) != "team/hello":
			code = "RepositoryNotFoundException"
		case aws.Value(id.ImageTag) != "latest" && aws.Value(id.ImageDigest) != "sha256:11":
			code = "ImageNotFoundException"
		}
		if code != "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type": %q, "message": "no"}`, code)
			return
		}
		fmt.Fprint(w, `{}`)
	}))
	t.Cleanup(server.Close)
	c := NewClient(Connection{Endpoint: server.URL, AccessKeyID: "AKIA", SecretAccessKey: "secret", Region: "us-east-1"})
	const own = "127.0.0.1:4566/000000000000/us-west-2/"
	for image, code := range map[string]string{
		own + "team/hello": "", own + "team/hello:latest": "", own + "team/hello@sha256:11": "", own + "team/hello:1@sha256:11": "",
		"nginx": "", "nginx:9": "", "registry.example:4566/000000000000/us-west-2/nope:9": "",
		own + "team/hello:9": "ImageNotFoundException", own + "team/hello@sha256:12": "ImageNotFoundException", own + "nope:9": "RepositoryNotFoundException",
	} {
		err := c.CheckImage(t.Context(), image)
		f, _ := errors.AsType[*Failure](err)
		if code == "" {
			if err != nil {
				t.Errorf("%s: %v", image, err)
			}
		} else if f == nil || f.Code != code || f.Exit != ExitNotFound || f.Cause == "" || f.Fix == "" {
			t.Errorf("%s: got %+v, want %s with a cause and a fix", image, err, code)
		}
	}
}
