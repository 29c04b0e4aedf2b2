package ingress

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/agent/proto"
)

// Who connects after HAProxy was killed waits for the next one. Reloads go on as before.
func TestConnectionsWaitForTheNextHAProxy(t *testing.T) {
	r := newRig(t)
	a := backend(t, "a", well, nil)
	r.apply(r.frame(a))
	r.awaitState(a, proto.TargetHealthy)
	for n := range 3 {
		before, err := r.in.master.processes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range []int{before.Master, before.Workers[0].PID} {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := net.Dial("tcp", r.address(5))
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "\r\n\r\na") {
			t.Errorf("kill %d: %q %v", n, answer, err)
		}
		f := r.frame(a)
		f.LoadBalancers[0].Attributes = map[string]string{"idle_timeout.timeout_seconds": []string{"30", "40", "50"}[n]}
		r.apply(f)
		r.await("the reload", func() bool { return r.last.Revision == r.revision && r.last.Problem == "" })
		if body, err := r.get("http://" + r.address(5)); err != nil || body != "a" {
			t.Errorf("after the reload: %q %v", body, err)
		}
	}
}
