package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// web runs a task that serves, and returns its ARN and its port.
func (b *Berth) web(mark string) (arn, port string) {
	b.t.Helper()
	arn = b.run(b.define("web", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`))
	return arn, hostPort(b.until(arn, "RUNNING"), "main")
}

func answersAt(t *testing.T, port string) {
	t.Helper()
	eventually(t, "port "+port+" answers", func() (bool, string) {
		body, err := get("http://127.0.0.1:" + port + "/")
		return err == nil, fmt.Sprint(body, err)
	})
}

func TestATornOrLostJournalIsRebuiltFromTheRuntime(t *testing.T) {
	t.Parallel()
	b := start(t)
	mark := filepath.Base(b.Dir)
	torn, tornPort := b.web(mark)
	lost, lostPort := b.web(mark)
	before := waitProbes(t, mark, 2)

	b.kill9("up", "server", "agent")
	eventually(t, "all of it has ended", func() (bool, string) { return len(b.processes("agent")) == 0, "agent" })
	journal := func(arn string) string {
		return filepath.Join(b.Dir, "agent", "tasks", arn[strings.LastIndexByte(arn, '/')+1:]+".json")
	}
	whole, err := os.ReadFile(journal(torn))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal(torn), whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(journal(lost)); err != nil {
		t.Fatal(err)
	}
	b.up()
	for _, arn := range []string{torn, lost} {
		eventually(t, "the task is adopted", func() (bool, string) {
			task := b.task(arn)
			return aws.ToString(task.LastStatus) == "RUNNING" && task.Connectivity == "CONNECTED", dump(task)
		})
	}
	answersAt(t, tornPort)
	answersAt(t, lostPort)
	if after := probePIDs(mark); dump(after) != dump(before) {
		t.Errorf("processes were %v and are %v", before, after)
	}
	for _, arn := range []string{torn, lost} {
		b.stop(arn, "over")
		if c := containerOf(b.until(arn, "STOPPED"), "main"); aws.ToInt32(c.ExitCode) != 0 || c.ExitCode == nil {
			t.Errorf("ended with %s", dump(c))
		}
	}
}

func TestAKilledMonitorHarmsItsContainerOnly(t *testing.T) {
	t.Parallel()
	b := start(t)
	mark := filepath.Base(b.Dir)
	other, port := b.web(mark)
	arn, _ := b.web("lost-" + mark)
	id := arn[strings.LastIndexByte(arn, '/')+1:]

	killed := 0
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		name, rest, _ := strings.Cut(string(data), "\x00")
		if filepath.Base(name) == "conmon" && strings.Contains(rest, id) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			_ = syscall.Kill(pid, syscall.SIGKILL)
			killed++
		}
	}
	if killed != 1 {
		t.Fatalf("killed %d monitors, want one", killed)
	}
	task := b.until(arn, "STOPPED")
	if c := containerOf(task, "main"); c.ExitCode != nil || !strings.Contains(aws.ToString(c.Reason), "monitor") {
		t.Errorf("a container without a monitor is reported as %s", dump(c))
	}
	eventually(t, "its processes are gone", func() (bool, string) {
		left := probePIDs("lost-" + mark)
		return len(left) == 0, fmt.Sprint(left)
	})
	if got := b.task(other); aws.ToString(got.LastStatus) != "RUNNING" {
		t.Errorf("the other task: %s", dump(got))
	}
	answersAt(t, port)
}

func TestAnImageThatIsNotThereStopsTheTask(t *testing.T) {
	b := shared(t)
	missing := strings.Replace(b.image(), "probe:1", "probe:none", 1)
	task := b.until(b.run(b.register(`{"family":"missing","containerDefinitions":[{"name":"main","image":"`+missing+`","memory":64}]}`)), "STOPPED")
	if reason := aws.ToString(containerOf(task, "main").Reason); !strings.HasPrefix(reason, "CannotPullContainerError") || !strings.Contains(reason, "probe:none") {
		t.Errorf("reason %q", reason)
	}
	if got := string(task.StopCode); got != "TaskFailedToStart" {
		t.Errorf("stop code %q", got)
	}
}
