package ingress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// A client that keeps a connection to an old worker holds no target, and its next request goes where new ones go.
func TestIdleClientsOfOldWorkersHoldNoTarget(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	b := backend(t, "b", well, func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "b "+req.Header.Get("X-Forwarded-For")+" "+req.Header.Get("X-Amzn-Trace-Id"))
	})
	r.apply(r.frame(a))
	r.awaitState(a, proto.TargetHealthy)
	conn, err := net.Dial("tcp", r.address(5))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func() (*http.Response, string) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	if _, body := ask(); body != "a" {
		t.Fatalf("got %q", body)
	}
	m := r.counting()
	f := r.frame(a, b)
	f.LoadBalancers[0].Attributes = map[string]string{"idle_timeout.timeout_seconds": "50"} // a reload
	r.apply(f)
	r.awaitState(b, proto.TargetHealthy)
	f.Groups[0].Targets = []haproxy.Target{a, b}
	f.Groups[0].Targets[0].Draining = true
	r.apply(f)
	r.awaitState(a, proto.TargetDrained) // the client is idle all the while
	resp, body := ask()
	if !resp.Close || !strings.HasPrefix(body, "b "+conn.LocalAddr().(*net.TCPAddr).IP.String()+" Root=1-") {
		t.Errorf("got %q, %v", body, resp.Header)
	}
	r.awaitSums(m, map[string]float64{"RequestCount": 1, "HTTPCode_Target_2XX_Count": 1, "NewConnectionCount": 0})
}
