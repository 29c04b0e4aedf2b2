package ingress

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
)

// TestLinesWaitForTheReader: HAProxy writes more than ten lines while the agent is at something else.
func TestLinesWaitForTheReader(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes a network namespace")
	}
	before, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	in, err := c.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := net.Dial("unixgram", c.path(logSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const lines = 64
	written := make(chan error, 1)
	go func() {
		for i := range lines {
			if _, err := fmt.Fprint(out, i); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	if err := <-written; err != nil { // without room it would wait for a reader, who comes only now
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for i := range lines {
		n, err := in.Read(buf)
		if err != nil || string(buf[:n]) != fmt.Sprint(i) {
			t.Fatalf("line %d: %q, %v", i, buf[:n], err)
		}
	}
	if after, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen"); err != nil || string(after) != string(before) {
		t.Errorf("the machine's own setting: before %s, after %s, %v", before, after, err)
	}
}
