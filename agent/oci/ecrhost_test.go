package oci

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestImagesOfAWSAccountsArePulledFromBerthUnderTheirOwnHost(t *testing.T) {
	var host, path string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host, path = r.Host, r.URL.Path }))
	defer server.Close()
	im := &Images{registries: map[string]RegistryEndpoint{}, transports: map[string]*registryTransport{}}
	if err := im.SetRegistry(AnyECR, RegistryEndpoint{URL: server.URL + "/agent/v1/registry", KeepHost: true}); err != nil {
		t.Fatal(err)
	}
	const ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	transport, err := newRegistryTransport(ecr, im.endpoint(ecr))
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodGet, "http://"+ecr+"/v2/web/manifests/1", nil)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if host != ecr || path != "/agent/v1/registry/v2/web/manifests/1" {
		t.Errorf("asked for %s of host %s", path, host)
	}
	for _, other := range []string{"docker.io", "ecr.amazonaws.com.example.org", "x.dkr.ecr.eu-west-1.amazonaws.com"} {
		if e := im.endpoint(other); e.URL != "" {
			t.Errorf("%s would be pulled from %s", other, e.URL)
		}
	}
}
