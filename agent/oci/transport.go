package oci

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"
)

// maxManifestBytes bounds manifests and token answers. Source: the distribution specification asks registries to
// accept manifests of at least 4 MiB; nothing larger is in use.
const maxManifestBytes = 4 << 20

// errPlainHTTP is returned where text would go over the network unencrypted.
var errPlainHTTP = errors.New("plain http is allowed for this machine's registries only")

// registryTransport carries the requests of pulls from one registry. It redirects those for host to the endpoint,
// keeps plain text to where it is allowed, and bounds answers other than blobs.
type registryTransport struct {
	host     string
	base     *url.URL // nil: the registry is reached by its name
	plain    bool     // plain text to host is allowed
	keepHost bool     // see RegistryEndpoint
	next     http.RoundTripper
}

func newRegistryTransport(host string, e RegistryEndpoint) (*registryTransport, error) {
	t := &registryTransport{host: host, plain: isLoopback(host)}
	if e.URL != "" {
		base, err := url.Parse(e.URL)
		if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
			return nil, fmt.Errorf("registry %s: endpoint %q is not a http or https URL", host, e.URL)
		}
		t.base, t.plain, t.keepHost = base, base.Scheme == "http", e.KeepHost
	}
	t.next = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       e.TLSConfig,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
	}
	return t, nil
}

func (t *registryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.URL.Host == t.host
	manifest := !strings.Contains(req.URL.Path, "/blobs/")
	if own && t.base != nil {
		req = req.Clone(req.Context())
		req.URL.Scheme, req.URL.Host = t.base.Scheme, t.base.Host
		req.URL.Path, req.URL.RawPath = path.Join(t.base.Path, req.URL.Path)+trailingSlash(req.URL.Path), ""
		if !t.keepHost {
			req.Host = t.base.Host
		}
	}
	if req.URL.Scheme != "https" && !(own && t.plain) {
		closeBody(req)
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Redacted(), errPlainHTTP)
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	// Blobs that a registry redirects elsewhere have addresses of any form; only the registry's own other answers
	// are known to be small.
	if own && manifest {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxManifestBytes}
	}
	return resp, nil
}

func trailingSlash(p string) string {
	if strings.HasSuffix(p, "/") {
		return "/"
	}
	return ""
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// isLoopback says whether host (with or without port) is this machine by name or address.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

var errTooLarge = errors.New("answer is larger than 4 MiB")

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
