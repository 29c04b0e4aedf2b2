package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// systemctl runs a command of systemd, which must succeed.
func systemctl(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// A service's restart kills every process in its control group, and a reload of systemd sets the controllers of its
// groups again: neither may touch a task.
func TestServiceOfSystemdRestartsAndTasksRunOn(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("this machine does not run systemd")
	}
	b := prepare(t)
	unit := filepath.Base(b.Dir) + ".service"
	args := []string{"--unit", unit, "--collect", binary(t), "up", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--egress=false", "--data-dir", b.Dir}
	if runtime := os.Getenv("BERTH_OCI_RUNTIME"); runtime != "" {
		args = append([]string{"--setenv", "BERTH_OCI_RUNTIME=" + runtime}, args...)
	}
	systemctl(t, "systemd-run", args...)
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", unit).Run() })
	answers := func() {
		t.Helper()
		eventually(t, "the service answers", func() (bool, string) {
			out, err := b.try("status")
			return err == nil, out
		})
		b.connect()
	}
	answers()
	mark := filepath.Base(b.Dir)
	arn := b.run(b.define("web", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`))
	b.until(arn, "RUNNING")
	before := probePIDs(mark)
	if len(before) != 1 {
		t.Fatalf("found %d container processes, want 1", len(before))
	}
	for pid := range before {
		group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil || bytes.Contains(group, []byte(unit)) {
			t.Errorf("the container is in the service's group: %s %v", group, err)
		}
	}
	for _, command := range [][]string{{"daemon-reload"}, {"kill", "--signal", "KILL", unit}, {"restart", unit}, {"daemon-reexec"}} {
		if command[0] == "kill" {
			systemctl(t, "systemctl", command...)
			eventually(t, "the service is gone", func() (bool, string) {
				out, _ := exec.Command("systemctl", "is-active", unit).Output()
				return !strings.HasPrefix(string(out), "active"), string(out)
			})
			systemctl(t, "systemd-run", args...)
		} else {
			systemctl(t, "systemctl", command...)
		}
		answers()
		eventually(t, "the task is adopted", func() (bool, string) {
			task := b.task(arn)
			return aws.ToString(task.LastStatus) == "RUNNING" && task.Connectivity == "CONNECTED", dump(task)
		})
		if after := probePIDs(mark); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("after systemctl %s: processes and start times %v, want %v", command[0], after, before)
		}
	}
	oom := b.until(b.run(b.define("oom", `"oom"`, "")), "STOPPED")
	if c := containerOf(oom, "main"); !strings.Contains(aws.ToString(c.Reason), "OutOfMemoryError") {
		t.Errorf("a limit after all that: %s", dump(c))
	}
}
