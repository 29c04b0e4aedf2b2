package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// accessBalancer is a load balancer with access logs and two rules.
func accessBalancer() haproxy.LoadBalancer {
	return haproxy.LoadBalancer{
		ID: "app/web/2222222222222222", Kind: haproxy.Application, Attributes: map[string]string{"access_logs.s3.enabled": "true"},
		Listeners: []haproxy.Listener{{Port: 8080, Rules: []haproxy.Rule{
			{ID: "aaaa", Action: haproxy.Action{Kind: haproxy.RedirectTo}}, {ID: "default", Action: haproxy.Action{Kind: haproxy.Forward}},
		}}},
	}
}

func TestAccessLines(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC).UnixMilli()
	for _, tc := range []struct {
		name, want string
		e          haproxy.Entry
	}{
		{"forwarded", `http 2026-03-01T12:00:00.300000Z app/web/2222222222222222 10.0.0.9:5555 10.0.0.1:80 0.006 0.040 0.004 200 200 34 366 ` +
			`"GET http://www.example.com:8080/a?b=c HTTP/1.1" "curl/8 \x22x\x22" - - arn:aws:elasticloadbalancing:us-east-1:111111111111:targetgroup/g/1 ` +
			`"Root=1-2-3" "-" "-" 0 2026-03-01T12:00:00.250000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" -`,
			haproxy.Entry{
				LoadBalancer: "app/web/2222222222222222", Port: 8080, Rule: "default", Group: "targetgroup/g/1", At: at, Client: "10.0.0.9", ClientPort: 5555,
				Target: "10.0.0.1", TargetPort: 80, Status: 200, TargetStatus: 200, Method: "GET", Version: "HTTP/1.1", Host: "www.example.com:8080",
				URL: "/a?b=c", UserAgent: `curl/8 "x"`, Trace: "Root=1-2-3", Cipher: "-", TLS: "-", Received: 34, Sent: 366, Request: 1, Wait: 2, Connect: 3, Response: 40, Total: 50,
			}},
		{"answered by the load balancer", `h2 2026-03-01T12:00:00.250000Z app/web/2222222222222222 10.0.0.9:5555 - -1 -1 -1 301 - 10 20 ` +
			`"GET https://h:8080/ HTTP/2.0" "-" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 - ` +
			`"-" "-" "-" - 2026-03-01T12:00:00.250000Z "redirect" "-" "-" "-" "-" "-" "-" -`,
			haproxy.Entry{
				LoadBalancer: "app/web/2222222222222222", Port: 8080, Rule: "aaaa", At: at, Client: "10.0.0.9", ClientPort: 5555, Status: 301, Method: "GET",
				Version: "HTTP/2.0", Host: "h", URL: "https://h/", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", TLS: "TLSv1.2", Received: 10, Sent: 20,
				Request: 0, Wait: -1, Connect: -1, Response: -1, Total: 0,
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := accessLine(tc.e, accessBalancer(), "us-east-1:111111111111"); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// Lines wait for a server that is away, in order, and no more of them than have room.
func TestAccessLinesWaitForTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		var got []string
		post := func(_ context.Context, path string, body any) error {
			if away.Load() {
				return errors.New("away")
			}
			b := body.(proto.AccessLogBatch)
			if path != proto.PathAccessLogs || len(b.Events) > accessBatch {
				t.Errorf("%d events to %s", len(b.Events), path)
			}
			for _, e := range b.Events {
				got = append(got, b.LoadBalancer+" "+strings.Fields(e.Message)[3])
			}
			return nil
		}
		i := &Ingress{log: slog.New(slog.DiscardHandler)}
		lb, other := accessBalancer(), accessBalancer()
		other.ID = "app/other/3333333333333333"
		i.state.Frame.LoadBalancers = []haproxy.LoadBalancer{lb, other}
		i.findLogged()
		a := newAccessLog(i, post)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { a.send(ctx); close(done) }()
		line := func(balancer string, n int) { a.add(haproxy.Entry{LoadBalancer: balancer, Client: "c", ClientPort: n}) }
		line("app/none/4444444444444444", 1)
		away.Store(true)
		for n := range 2500 {
			line(lb.ID, n)
		}
		line(other.ID, 1)
		time.Sleep(20 * time.Second)
		away.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(got) != 2501 || got[0] != lb.ID+" c:0" || got[2499] != lb.ID+" c:2499" || got[2500] != other.ID+" c:1" || a.bytes != 0 {
			t.Errorf("%d lines, %d bytes left: %v", len(got), a.bytes, got[:min(len(got), 3)])
		}
		away.Store(true)
		for n := range 100_000 {
			line(lb.ID, n)
		}
		if a.bytes > accessBytes || a.dropped == 0 {
			t.Errorf("%d bytes are kept, %d lines dropped", a.bytes, a.dropped)
		}
		away.Store(false)
		got = nil
		cancel()
		<-done
		if len(got) == 0 || a.bytes != 0 {
			t.Errorf("at the end %d lines were sent and %d bytes are left", len(got), a.bytes)
		}
	})
}

func TestRequestsOfHAProxyAreLogged(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	r := newRig(t)
	r.stop()
	r.post = func(_ context.Context, path string, body any) error {
		mu.Lock()
		defer mu.Unlock()
		if b, ok := body.(proto.AccessLogBatch); ok && path == proto.PathAccessLogs && b.LoadBalancer == "app/web/2222222222222222" {
			for _, e := range b.Events {
				lines = append(lines, e.Message)
			}
		}
		return nil
	}
	r.boot()
	a := backend(t, "a", well, nil)
	f := r.frame(a)
	f.LoadBalancers[0].Attributes = map[string]string{"idle_timeout.timeout_seconds": "60", "access_logs.s3.enabled": "true"}
	r.apply(f)
	r.awaitState(a, proto.TargetHealthy)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address(5)+`/a?b="c"`, strings.NewReader("hello"))
	req.Header.Set("User-Agent", "Test Agent/1.0")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		mu.Lock()
		got := strings.Join(lines, "\n")
		mu.Unlock()
		if got != "" {
			host := strings.Split(r.address(5), ":")[0]
			for _, part := range []string{
				"http 20", " app/web/2222222222222222 127.", fmt.Sprintf(" %s:%d ", a.Host, a.Port), " 200 200 ",
				fmt.Sprintf(` "POST http://%s:%d/a?b=%%22c%%22 HTTP/1.1" "Test Agent/1.0" - - arn:aws:elasticloadbalancing:`, host, r.port),
				groupID, `"Root=1-`, `"forward"`,
			} {
				if !strings.Contains(got, part) && !strings.Contains(got, strings.ReplaceAll(part, "%22", `\x22`)) {
					t.Errorf("%q is not in %s", part, got)
				}
			}
			if strings.Contains(got, "\n") {
				t.Errorf("got %s", got)
			}
			t.Log(got)
			return
		}
		select {
		case <-deadline:
			t.Fatal("no line came")
		case <-tick.C:
		}
	}
}
