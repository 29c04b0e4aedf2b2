package haproxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/elbv2/haproxy"
)

// secureFrame is a load balancer with two certificates.
func secureFrame(t testing.TB, lb haproxy.LoadBalancer, policy string, groups ...haproxy.Group) haproxy.Frame {
	f := frame(lb, groups...)
	f.Certificates = []haproxy.Certificate{certificate(t, "default", "a.example.com"), certificate(t, "other", "b.example.com", "*.c.example.com")}
	l := &f.LoadBalancers[0].Listeners[0]
	l.Certificates, l.SSLPolicy = []string{"default", "other"}, policy
	return f
}

// dial makes a TLS connection.
func (p *proxy) dial(config *tls.Config) (*tls.Conn, error) {
	config.InsecureSkipVerify = true
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", p.address, config)
}

// client speaks HTTP over TLS; with two it speaks HTTP/2 only.
func (p *proxy) client(two bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetHTTP2(two)
	tr := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.address)
		}}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func (p *proxy) fetch(c *http.Client, url string) (*http.Response, string) {
	p.t.Helper()
	res, err := c.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res, string(b)
}

func TestTLSChoosesCertificateVersionAndProtocol(t *testing.T) {
	lb := alb("HTTPS", 443, forward("web"))
	lb.Attributes["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] = "true"
	lb.Listeners[0].Attributes["routing.http.request.x_amzn_tls_cipher_suite.header_name"] = "X-Suite"
	p := serve(t, secureFrame(t, logs(lb), "ELBSecurityPolicy-TLS13-1-2-2021-06", group("web", "HTTP", nil)))
	p.set("web", newTarget(t, "a", nil).at)
	for asked, want := range map[string]string{"a.example.com": "a.example.com", "B.example.com": "b.example.com", "x.c.example.com": "b.example.com", "unknown.org": "a.example.com", "": "a.example.com"} {
		c, err := p.dial(&tls.Config{ServerName: asked})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%q: got the certificate of %s, want %s", asked, got, want)
		}
		c.Close()
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := p.dial(&tls.Config{ServerName: "a.example.com", MinVersion: version, MaxVersion: version})
		if (err == nil) != ok {
			t.Errorf("%s: got %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
	for two, version := range map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"} {
		res, body := p.fetch(p.client(two), "https://a.example.com/x")
		if res.Proto != version || !strings.Contains(body, "X-Amzn-Tls-Version: TLSv1.3") || !strings.Contains(body, "X-Suite: TLS_") || !strings.Contains(body, "X-Forwarded-Proto: https") {
			t.Errorf("%s: got %s %s", version, res.Proto, body)
		}
	}
	e := p.entry(func(e haproxy.Entry) bool { return e.URL != "" })
	if e.TLS != "TLSv1.3" || !strings.HasPrefix(e.Cipher, "TLS_") {
		t.Errorf("got %+v", e)
	}
}

func TestPoliciesOfOldTakeOldVersions(t *testing.T) {
	p := serve(t, secureFrame(t, alb("HTTPS", 443, forward("web")), "ELBSecurityPolicy-2016-08", group("web", "HTTP", nil)))
	for version, ok := range map[uint16]bool{tls.VersionTLS10: true, tls.VersionTLS12: true, tls.VersionTLS13: false} {
		c, err := p.dial(&tls.Config{MinVersion: version, MaxVersion: version, ServerName: "a.example.com"})
		if (err == nil) != ok {
			t.Errorf("%s: got %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestTargetsMaySpeakHTTP2OrTLS(t *testing.T) {
	two := group("two", "HTTP", nil)
	two.Version = "GRPC"
	p := serve(t, frame(alb("HTTP", 80, rule("two", forwardTo("two"), condition("path-pattern", "/two")), forward("tls")), two, group("tls", "HTTPS", nil)))
	p.set("two", newTarget(t, "two", nil).at)
	s := newTarget(t, "unused", nil)
	s.Close()
	secure := newSecureTarget(t)
	p.set("tls", secure)
	if got := p.get("/two"); !strings.HasPrefix(got.body, "GET /two HTTP/2.0\n") {
		t.Errorf("got %+v", got)
	}
	if got := p.get("/tls"); got.body != "TLS HTTP/1.1" {
		t.Errorf("got %+v", got)
	}
}

// newSecureTarget is a server with a certificate that nobody knows.
func newSecureTarget(t *testing.T) haproxy.SlotTarget {
	c := certificate(t, "x", "nobody.invalid")
	pair, err := tls.X509KeyPair([]byte(string(c.PEM)), []byte(string(c.PEM)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "TLS "+r.Proto) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return at(l.Addr())
}

func TestStreamsOfHTTP2EndWhenATargetDrains(t *testing.T) {
	p := serve(t, secureFrame(t, alb("HTTPS", 443, forward("web")), "", group("web", "HTTP", nil)))
	asked, release := make(chan bool, 1), make(chan bool)
	a := newTarget(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			asked <- true
			<-release
		}
		io.WriteString(w, "a")
	})
	b := newTarget(t, "b", nil)
	p.set("web", a.at)
	c := p.client(true)
	slow := make(chan string, 1)
	go func() {
		res, err := c.Get("https://a.example.com/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		slow <- string(body)
	}()
	<-asked
	p.set("web", a.as(haproxy.Drain), b.at)
	for range 10 { // by the same connection
		if res, _ := p.fetch(c, "https://a.example.com/"); res.Header.Get("X-Name") != "b" {
			t.Errorf("got %s", res.Header.Get("X-Name"))
		}
	}
	p.reload()
	p.set("web", b.at)
	close(release)
	if got := <-slow; got != "a" {
		t.Errorf("the open stream got %q", got)
	}
	if res, _ := p.fetch(c, "https://a.example.com/"); res.Header.Get("X-Name") != "b" {
		t.Errorf("after the reload: got %s", res.Header.Get("X-Name"))
	}
}

// echo answers each connection with its name and then with what it gets.
func echo(t *testing.T, name string) (haproxy.SlotTarget, chan []byte) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	first := make(chan []byte, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				first <- bytes.Clone(buf[:n])
				io.WriteString(c, name)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return at(l.Addr()), first
}

// said sends a text and reads an answer of one length.
func said(t *testing.T, c net.Conn, text string, n int) string {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTCPWithProxyProtocolDrainsAndLogs(t *testing.T) {
	p := serve(t, frame(nlb("TCP", 6379, forward("db")), group("db", "TCP", attributes{"proxy_protocol_v2.enabled": "true"})))
	a, first := echo(t, "a")
	b, _ := echo(t, "b")
	p.set("db", a)
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := said(t, c, "hello", 1); got != "a" {
		t.Errorf("got %q", got)
	}
	head := <-first
	if !bytes.HasPrefix(head, []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11")) || int(binary.BigEndian.Uint16(head[24:])) != c.LocalAddr().(*net.TCPAddr).Port {
		t.Errorf("got %q, want a PROXY v2 header with the client's port", head)
	}
	a.State = haproxy.Drain
	p.set("db", a, b)
	if got := said(t, c, "more", 4); !strings.HasSuffix("hellomore", got) && got != "more" && got != "hell" {
		t.Errorf("the open connection: got %q", got)
	}
	d, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	if got := said(t, d, "x", 1); got != "b" {
		t.Errorf("a new connection went to %q", got)
	}
	d.Close()
}

func TestSourceIPStays(t *testing.T) {
	p := serve(t, frame(nlb("TCP", 6379, forward("db")), group("db", "TCP", attributes{"stickiness.enabled": "true", "stickiness.type": "source_ip"})))
	a, _ := echo(t, "a")
	b, _ := echo(t, "b")
	p.set("db", a, b)
	where := func(from byte) string {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, from)}}
		c, err := d.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return said(t, c, "x", 1)
	}
	places := map[byte]string{}
	seen := map[string]bool{}
	for from := range byte(40) {
		places[from] = where(from + 1)
		seen[places[from]] = true
	}
	p.reload()
	p.set("db", a, b)
	for from, place := range places {
		if got := where(from + 1); got != place {
			t.Errorf("127.0.1.%d went from %s to %s", from+1, place, got)
		}
	}
	if len(seen) != 2 {
		t.Errorf("all went to %v", seen)
	}
}

func TestTLSOfNetworkLoadBalancers(t *testing.T) {
	lb := nlb("TLS", 443, forward("db"))
	lb.Listeners[0].ALPN = "HTTP2Preferred"
	p := serve(t, secureFrame(t, lb, "ELBSecurityPolicy-TLS13-1-3-2021-06", group("db", "TCP", nil)))
	a, _ := echo(t, "a")
	p.set("db", a)
	c, err := p.dial(&tls.Config{NextProtos: []string{"http/1.1", "h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s := c.ConnectionState(); s.NegotiatedProtocol != "h2" || s.Version != tls.VersionTLS13 {
		t.Errorf("got %s %s", s.NegotiatedProtocol, tls.VersionName(s.Version))
	}
	if got := said(t, c, "x", 1); got != "a" {
		t.Errorf("got %q", got)
	}
}

func TestTheLogTellsEverything(t *testing.T) {
	p := serve(t, frame(logs(alb("HTTP", 80, rule("0123456789abcdef", forwardTo("web"), condition("path-pattern", "/a*")), rule("default", fixed(404, "no")))), group("web", "HTTP", nil)))
	a := newTarget(t, "a", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(418); io.WriteString(w, "tea") })
	p.set("web", a.at)
	p.do(request("POST", `/a"\%25[src]?x={}`, "Host: h.example.com", "User-Agent: \"quoted\\\" \xff agent", "Content-Length: 2") + "hi")
	e := p.entry(func(haproxy.Entry) bool { return true })
	if e.LoadBalancer != "app/web/50dc6c495c0c9188" || e.Rule != "0123456789abcdef" || e.Group != "targetgroup/web/73e2d6bc24d8a067" || e.Status != 418 || e.TargetStatus != 418 ||
		e.Method != "POST" || e.URL != `/a"\%25[src]?x={}` || e.Host != "h.example.com" || !strings.HasPrefix(e.UserAgent, `"quoted\"`) || e.Target != "127.0.0.1" || e.TargetPort != int(a.at.At.Port()) ||
		e.Client != "127.0.0.1" || e.Response < 0 || e.Total < 0 || e.Sent == 0 || e.Received == 0 || !strings.HasPrefix(e.Trace, "Root=1-") || e.End != "--" || e.Version != "HTTP/1.1" {
		t.Errorf("got %+v", e)
	}
	p.get("/none")
	if e := p.entry(func(haproxy.Entry) bool { return true }); e.Rule != "default" || e.Group != "" || e.Target != "" || e.Status != 404 || e.TargetStatus != 0 || e.Response != -1 {
		t.Errorf("got %+v", e)
	}
	p.do("GARBAGE\r\n\r\n")
	if e := p.entry(func(haproxy.Entry) bool { return true }); e.Status != 400 || e.Rule != "" {
		t.Errorf("got %+v", e)
	}
}

func TestConnectionsEndAtTheirAge(t *testing.T) {
	p := serve(t, web(nil), func(c *haproxy.Config) {
		c.Text = bytes.ReplaceAll(c.Text, []byte("gt 3600"), []byte("ge 0"))
	})
	p.set("web", newTarget(t, "a", nil).at)
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := p.over(c, request("GET", "/")); got.status != 200 {
		t.Errorf("got %+v", got)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
}

func TestSlowStartBeginsWhenASlotIsMadeReady(t *testing.T) {
	p := serve(t, web(attributes{"slow_start.duration_seconds": "30"}))
	p.set("web", newTarget(t, "a", nil).at)
	state, err := ask(p.m.StatsSocket, "show servers state")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(state, " 127.0.0.1 1 4 100 100 ") { // operational state 1: starting
		t.Errorf("got %s", state)
	}
}
