package haproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/elbv2/haproxy"
)

// cookies are those of an answer by name, with their attributes.
func cookies(a answer) map[string]*http.Cookie {
	out := map[string]*http.Cookie{}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		out[c.Name] = c
	}
	return out
}

func web(a attributes) haproxy.Frame {
	return frame(alb("HTTP", 80, forward("web")), group("web", "HTTP", a))
}

func TestClientsStayAtTheirTargetByLoadBalancerCookie(t *testing.T) {
	p := serve(t, web(attributes{"stickiness.enabled": "true", "stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": "60"}))
	a, b, c := newTarget(t, "a", nil), newTarget(t, "b", nil), newTarget(t, "c", nil)
	p.set("web", a.at, b.at, c.at)
	first := p.get("/")
	set := cookies(first)
	if set["AWSALB"] == nil || set["AWSALBCORS"] == nil || set["AWSALB"].MaxAge != 60 || set["AWSALB"].Path != "/" || !set["AWSALBCORS"].Secure || set["AWSALBCORS"].SameSite != http.SameSiteNoneMode {
		t.Fatalf("got %v", first.header["Set-Cookie"])
	}
	name := first.header.Get("X-Name")
	for _, cookie := range []string{"AWSALB", "AWSALBCORS"} {
		for range 10 {
			if got := p.get("/", "Cookie: x=y; "+cookie+"="+set[cookie].Value); got.header.Get("X-Name") != name {
				t.Fatalf("%s: went from %s to %s", cookie, name, got.header.Get("X-Name"))
			}
		}
	}
	// One in maintenance is passed over, and the cookie names another.
	states := map[string]*target{"a": a, "b": b, "c": c}
	var want []haproxy.SlotTarget
	for n, s := range states {
		if n == name {
			want = append(want, s.as(haproxy.Drain))
		} else {
			want = append(want, s.at)
		}
	}
	p.set("web", want...)
	moved := p.get("/", "Cookie: AWSALB="+set["AWSALB"].Value)
	if moved.status != 200 || moved.header.Get("X-Name") == name || cookies(moved)["AWSALB"] == nil || cookies(moved)["AWSALB"].Value == set["AWSALB"].Value {
		t.Errorf("drained: %+v", moved)
	}
	// What was made up, or is too old, counts for nothing.
	for _, bad := range []string{"", "s1", "0000000000000000", strings.Repeat("A", 3000), `"\x00`, strings.Split(set["AWSALB"].Value, "|")[0] + "|AAAAA"} {
		if got := p.get("/", "Cookie: AWSALB="+bad); got.status != 200 {
			t.Errorf("%q: got %d", bad, got.status)
		}
	}
}

func TestClientsStayAtTheirTargetByItsOwnCookie(t *testing.T) {
	p := serve(t, web(attributes{"stickiness.enabled": "true", "stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": "S'ESS", "stickiness.app_cookie.duration_seconds": "60"}))
	session := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			w.Header().Add("Set-Cookie", "S'ESS=1; Path=/")
		}
	}
	p.set("web", newTarget(t, "a", session).at, newTarget(t, "b", session).at, newTarget(t, "c", session).at)
	if got := p.get("/"); len(got.header["Set-Cookie"]) != 0 {
		t.Errorf("no session: got %v", got.header["Set-Cookie"])
	}
	login := p.get("/login")
	set := cookies(login)["AWSALBAPP-0"]
	if set == nil || set.Value == "x" || set.Expires.IsZero() || len(login.header["Set-Cookie"]) != 2 {
		t.Fatalf("login: got %v", login.header["Set-Cookie"])
	}
	names := map[string]bool{}
	for range 9 {
		if got := p.get("/", "Cookie: S'ESS=1; AWSALBAPP-0="+set.Value).header.Get("X-Name"); got != login.header.Get("X-Name") {
			t.Errorf("went from %s to %s", login.header.Get("X-Name"), got)
		}
		names[p.get("/", "Cookie: AWSALBAPP-0="+set.Value).header.Get("X-Name")] = true
	}
	if len(names) != 3 {
		t.Errorf("without a session a client went to %v only", names)
	}
}

func TestSharesFollowWeightsAndClientsStayInTheirGroup(t *testing.T) {
	r := forward("blue", "green", "off")
	r.Action.Groups[0].Weight, r.Action.Groups[1].Weight, r.Action.Groups[2].Weight = 300, 100, 0
	sticky := rule("sticky", r.Action, condition("path-pattern", "/sticky"))
	sticky.Action.Stickiness = 600
	f := frame(alb("HTTP", 80, sticky, r), group("blue", "HTTP", nil), group("green", "HTTP", nil), group("off", "HTTP", nil))
	p := serve(t, f)
	p.set("blue", newTarget(t, "blue", nil).at)
	p.set("green", newTarget(t, "green", nil).at)
	count := map[string]int{}
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 1000 {
		count[p.over(c, request("GET", "/")).header.Get("X-Name")]++
	}
	// Six times the standard deviation: it fails once in a billion runs.
	if count["blue"] < 667 || count["blue"] > 833 || count["blue"]+count["green"] != 1000 {
		t.Errorf("got %v, want about 750 and 250", count)
	}
	for range 4 {
		first := p.get("/sticky")
		set := cookies(first)
		if set["AWSALBTG"] == nil || set["AWSALBTGCORS"] == nil {
			t.Fatalf("got %v", first.header["Set-Cookie"])
		}
		for range 10 {
			for _, cookie := range []string{"AWSALBTG", "AWSALBTGCORS"} {
				if got := p.get("/sticky", "Cookie: "+cookie+"="+set[cookie].Value).header.Get("X-Name"); got != first.header.Get("X-Name") {
					t.Fatalf("%s: went from %s to %s", cookie, first.header.Get("X-Name"), got)
				}
			}
		}
		token, _, _ := strings.Cut(set["AWSALBTG"].Value, ".")
		seen, later := map[string]bool{}, fmt.Sprint(token, ".", time.Now().Add(time.Hour).Unix())
		for range 40 {
			for _, bad := range []string{token, token + ".", token + ".1", token + ".x", later, "b.off.1", "'\"%[src]"} {
				got := p.get("/sticky", "Cookie: AWSALBTG="+bad)
				seen[bad+got.header.Get("X-Name")] = true
				if got.status != 200 {
					t.Fatalf("%q: got %d", bad, got.status)
				}
			}
		}
		if len(seen) != 14 {
			t.Errorf("a cookie that is not valid kept its client somewhere: %v", seen)
		}
	}
}

func TestNobodyToServe(t *testing.T) {
	none := forward("web")
	none.Action.Groups[0].Weight = 0
	p := serve(t, frame(alb("HTTP", 80, rule("none", none.Action, condition("path-pattern", "/none")), forward("web")), group("web", "HTTP", nil)))
	a := newTarget(t, "a", nil)
	for _, state := range []haproxy.State{haproxy.Hold, haproxy.Drain} {
		p.set("web", a.as(state))
		for _, path := range []string{"/", "/none"} {
			if got := p.get(path); got.status != 503 || !strings.Contains(got.body, "<h1>503 Service Temporarily Unavailable</h1>") || got.header.Get("Server") != "awselb/2.0" {
				t.Errorf("%s %s: got %+v", state, path, got)
			}
		}
	}
	p.set("web", a.at)
	if got := p.get("/"); got.status != 200 {
		t.Errorf("got %+v", got)
	}
}

// TestOpenRequestsEndWhenATargetDrains: a request, a keep-alive connection and a WebSocket.
func TestOpenRequestsEndWhenATargetDrains(t *testing.T) {
	p := serve(t, web(nil))
	asked, release := make(chan bool, 9), make(chan bool)
	end := sync.OnceFunc(func() { close(release) })
	a := newTarget(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
			_, _ = io.Copy(c, rw)
			return
		}
		if r.URL.Path == "/slow" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			asked <- true
			<-release
			io.WriteString(w, "the end")
		}
	})
	t.Cleanup(end)
	b := newTarget(t, "b", nil)
	p.set("web", a.at)
	keep, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	if got := p.over(keep, request("GET", "/")).header.Get("X-Name"); got != "a" {
		t.Fatalf("got %s", got)
	}
	socket, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if got := p.over(socket, request("GET", "/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")); got.status != 101 {
		t.Fatalf("got %+v", got)
	}
	slow := make(chan answer, 1)
	go func() { slow <- p.get("/slow") }()
	<-asked
	p.set("web", a.as(haproxy.Drain), b.at)
	for range 20 {
		if got := p.get("/"); got.header.Get("X-Name") != "b" {
			t.Fatalf("a new connection went to %q", got.header.Get("X-Name"))
		}
		if got := p.over(keep, request("GET", "/")).header.Get("X-Name"); got != "b" {
			t.Fatalf("an old connection's request went to %q", got)
		}
	}
	// Its slot is taken by another target, and still nothing breaks.
	p.set("web", b.at, newTarget(t, "c", nil).at)
	p.reload()
	p.set("web", b.at)
	end()
	if got := <-slow; got.status != 200 || got.body != "the end" {
		t.Errorf("the open request got %+v", got)
	}
	_ = socket.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(socket, "ping")
	if got, err := bufio.NewReader(socket).ReadString('\n'); got != "ping\n" {
		t.Errorf("the WebSocket got %q, %v", got, err)
	}
}

// TestAReloadTakesNoIdleConnectionAway: clients that keep connections open get an answer to the next request, whatever happened between.
func TestAReloadTakesNoIdleConnectionAway(t *testing.T) {
	p := serve(t, web(nil))
	a := newTarget(t, "a", nil)
	p.set("web", a.at)
	var idle []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := p.over(c, request("GET", "/")); got.status != 200 {
			t.Fatalf("got %+v", got)
		}
		idle = append(idle, c)
	}
	for range 3 {
		p.reload()
		p.set("web", a.at)
	}
	for _, c := range idle {
		got := p.over(c, request("GET", "/"))
		if got.status != 200 || got.header.Get("X-Name") != "a" {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestOnlyWhatDoesNoHarmIsRepeated(t *testing.T) {
	p := serve(t, web(nil))
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes requests and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			c.Close()
		}
	}()
	gone, err := net.Listen("tcp", "127.0.0.1:0") // takes no connection
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	a := newTarget(t, "a", nil)
	p.set("web", a.at, at(gone.Addr()))
	for range 10 {
		for _, method := range []string{"GET", "POST"} {
			if got := p.do(request(method, "/", "Content-Length: 0")); got.status != 200 {
				t.Errorf("no connection: %s got %d", method, got.status)
			}
		}
	}
	p.set("web", a.at, at(silent.Addr()))
	failed := 0
	for range 10 {
		if got := p.get("/"); got.status != 200 {
			t.Errorf("no answer: GET got %d", got.status)
		}
		if got := p.do(request("POST", "/", "Content-Length: 0")); got.status == 502 {
			failed++
		}
	}
	if failed == 0 {
		t.Error("a POST was repeated")
	}
}
