package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The demo is the README's first command: it must work as it stands, twice, and end with the page's answer and its
// log lines.
func TestDemo(t *testing.T) {
	t.Parallel()
	b := start(t)
	for range 2 {
		cmd := exec.Command("../../examples/demo.sh", b.Dir)
		cmd.Env = append(os.Environ(), "BERTH_BINARY="+binary(t), "BERTH_LISTEN=127.0.0.1:0", "BERTH_AGENT_LISTEN=127.0.0.1:0", "AWS_PAGER=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("demo: %v\n%s", err, out)
		}
		for _, want := range []string{"Hello from Berth!", "visitor", "make down"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("the demo's output lacks %q:\n%s", want, out)
			}
		}
	}
}
