package vpc

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"berth/agent"
	"berth/test/netlab"
)

// serveEndpoint answers each request at the endpoint of a mode with who is seen to ask.
func serveEndpoint(t *testing.T, n *Network, mode string) {
	t.Helper()
	l, err := n.Listen(mode)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(w, mode+" "+host)
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
}

// get asks a URL by a dialer.
func get(t *testing.T, by dialer, url string) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: by, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestContainersReachTheAgent(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	dir := t.TempDir()
	n, second := openOn(t, m, testConfig(t, dir+"/net")), openOn(t, m, testConfig(t, dir+"/net2"))
	// One that publishes port 80 must not be met instead of the agent.
	a := attach(t, n, "a", agent.PortRequest{ContainerPort: 80, HostPort: 80, Protocol: "tcp"})
	serveTCP(t, a.NetNS, "a", 80)
	b, c := attach(t, n, "b"), attach(t, second, "c")
	for _, mode := range []string{modeBridge, modeHost} {
		serveEndpoint(t, n, mode)
		serveEndpoint(t, second, mode)
	}
	for _, res := range []agent.NetworkResult{a, b, c} {
		if got, err := get(t, from(t, res.NetNS), "http://169.254.170.2/"); err != nil || got != "bridge "+res.IPv4 {
			t.Errorf("got %q, %v, want to be seen as %s", got, err, res.IPv4)
		}
	}
	for _, one := range []*Network{n, second} {
		at := one.Endpoint(modeHost).String()
		if got, err := get(t, m.Dial, "http://"+at+"/"); err != nil || !strings.HasPrefix(got, "host 127.") {
			t.Errorf("the machine at %s: got %q, %v", at, got, err)
		}
		if got, err := get(t, from(t, b.NetNS), "http://"+at+"/"); err == nil {
			t.Errorf("a container in mode bridge reaches the endpoint of mode host: %q", got)
		}
	}
	if got, err := get(t, m.Dial, "http://169.254.170.2/"); err == nil {
		t.Errorf("the machine itself reaches the endpoint of mode bridge: %q", got)
	}
	if n.Endpoint(modeHost) == second.Endpoint(modeHost) {
		t.Errorf("two agents share %s", n.Endpoint(modeHost))
	}
	if _, err := n.Listen(modeNone); err == nil {
		t.Error("mode none has an endpoint")
	}
}

func TestEndpointIsThereAfterARestart(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	cfg := testConfig(t, t.TempDir()+"/net")
	n := openOn(t, m, cfg)
	res := attach(t, n, "a")
	before := n.Endpoint(modeHost)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openOn(t, m, cfg)
	serveEndpoint(t, n, modeBridge)
	if got, err := get(t, from(t, res.NetNS), "http://169.254.170.2/"); err != nil || got != "bridge "+res.IPv4 || n.Endpoint(modeHost) != before {
		t.Errorf("got %q, %v; mode host is at %s, was at %s", got, err, n.Endpoint(modeHost), before)
	}
}
