package haproxy_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"berth/elbv2/haproxy"
)

// connect is a port of Service Connect that listens in this namespace.
func connect(t *testing.T, protocol string, g haproxy.Group) *proxy {
	lb := haproxy.LoadBalancer{ID: "connect/prod/api:80", Number: 7, Kind: haproxy.Connect,
		Listeners: []haproxy.Listener{{ID: "0", Port: 80, Protocol: protocol, Rules: []haproxy.Rule{forward("api")}}}}
	return serve(t, frame(lb, g))
}

func TestServiceConnectEjectsWhatFails(t *testing.T) {
	p := connect(t, "HTTP", group("api", "HTTP", attributes{"outlier.failures": "3", "outlier.seconds": "3600"}))
	bad := newTarget(t, "bad", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	good := newTarget(t, "good", nil)
	p.set("api", bad.at, good.at)
	failed, last := 0, 0
	for i := range 40 {
		if got := p.get("/"); got.status == 500 {
			failed++
			last = i
		}
	}
	if failed < 3 || failed > 5 || last > 12 {
		t.Errorf("%d of 40 failed, the last was number %d", failed, last)
	}
	// If all are out, they are all asked.
	p.set("api", bad.at)
	for range 20 {
		if got := p.get("/"); got.status != 500 {
			t.Errorf("got %d", got.status)
		}
	}
	p.set("api")
	if got := p.get("/"); got.status != 503 {
		t.Errorf("without targets: got %d", got.status)
	}
}

func TestServiceConnectAsksAnother(t *testing.T) {
	p := connect(t, "HTTP", group("api", "HTTP", attributes{"outlier.failures": "1000"}))
	busy := newTarget(t, "busy", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	p.set("api", busy.at, newTarget(t, "good", nil).at)
	for range 20 {
		if got := p.get("/"); got.status != 200 {
			t.Errorf("got %d", got.status)
		}
	}
	if got := p.get("/").body; strings.Contains(got, "X-Forwarded") {
		t.Errorf("got %s", got)
	}
}

func TestServiceConnectOfTCP(t *testing.T) {
	p := connect(t, "TCP", group("api", "TCP", nil))
	a, _ := echo(t, "a")
	p.set("api", a)
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := said(t, c, "x", 1); got != "a" {
		t.Errorf("got %q", got)
	}
}
