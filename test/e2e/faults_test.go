package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// processes returns the IDs of Berth's own processes of one kind ("server", "agent", "up", "port-proxy") in a data
// directory.
func (b *Berth) processes(kind string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		args := strings.Split(string(data), "\x00")
		if len(args) < 2 || filepath.Base(args[0]) != "berth" || args[1] != kind {
			continue
		}
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if strings.Contains(string(data), b.Dir) || strings.Contains(string(env), "BERTH_DATA_DIR="+b.Dir+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill9 kills every process of these kinds.
func (b *Berth) kill9(kinds ...string) {
	b.t.Helper()
	var pids []int
	for _, kind := range kinds {
		found := b.processes(kind)
		if len(found) == 0 && kind != "server" { // a server may be dead already, killed by an earlier call
			b.t.Errorf("no process %q to kill", kind)
		}
		pids = append(pids, found...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(b.t, "the killed processes are dead", func() (bool, string) {
		for _, pid := range pids {
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(line) > 0 {
				return false, string(line)
			}
		}
		return true, ""
	})
}

// hostPIDs finds the processes of a task on the machine by the probe's command line and start time.
func probePIDs(mark string) map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(data), "/bin/probe\x00") || !strings.Contains(string(data), mark) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(f), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		found[pid] = fields[19] // start time in ticks
	}
	return found
}

// waitProbes waits until so many processes run: a task is RUNNING a moment before its program is.
func waitProbes(t *testing.T, mark string, want int) (found map[int]string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d processes run", want), func() (bool, string) {
		found = probePIDs(mark)
		return len(found) == want, fmt.Sprint(found)
	})
	return found
}

func get(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestKillingTheServerLosesNoAnsweredTaskAndDoublesNone(t *testing.T) {
	t.Parallel()
	b := start(t)
	definition := b.register(`{"family":"small","containerDefinitions":[{"name":"main","image":"` + b.image() +
		`","memory":6,"command":["/bin/probe","sleep"]}]}`)
	const calls, workers = 200, 16
	var (
		mu       sync.Mutex
		answered = map[string]string{} // client token -> task ARN
		done     int
		wg       sync.WaitGroup
		work     = make(chan int)
	)
	for range workers {
		wg.Go(func() {
			for i := range work {
				token := fmt.Sprintf("token-%d", i)
				// The client repeats the call with its token until it is answered, as SDKs do.
				for {
					out, err := b.ecs().RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: &definition, ClientToken: &token})
					if err != nil {
						continue
					}
					mu.Lock()
					if len(out.Tasks) == 1 {
						answered[token] = *out.Tasks[0].TaskArn
					}
					done++
					n := done
					mu.Unlock()
					if n == calls/4 || n == calls/2 {
						b.kill9("server")
					}
					break
				}
			}
		})
	}
	for i := range calls {
		work <- i
	}
	close(work)
	wg.Wait()

	known := map[string]bool{}
	for _, desired := range []string{"RUNNING", "STOPPED"} {
		for p := ecs.NewListTasksPaginator(b.ecs(), &ecs.ListTasksInput{DesiredStatus: types.DesiredStatus(desired)}); p.HasMorePages(); {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, arn := range page.TaskArns {
				known[arn] = true
			}
		}
	}
	for token, arn := range answered {
		if !known[arn] {
			t.Errorf("%s was answered with %s, which is gone", token, arn)
		}
	}
	if len(known) != len(answered) {
		t.Errorf("%d tasks exist for %d answered calls", len(known), len(answered))
	}
}

func TestKillingEveryProcessOfBerthLeavesContainersRunning(t *testing.T) {
	t.Parallel()
	b := start(t)
	mark := filepath.Base(b.Dir)
	definition := b.define("web", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`)
	var arns []string
	for range 3 {
		arns = append(arns, b.run(definition))
	}
	ports := map[string]string{}
	for _, arn := range arns {
		ports[arn] = hostPort(b.until(arn, "RUNNING"), "main")
	}
	before := waitProbes(t, mark, 3)

	for _, kinds := range [][]string{{"agent"}, {"up", "server", "agent", "port-proxy"}} {
		b.kill9(kinds...)
		if len(kinds) > 1 {
			b.up()
		}
		eventually(t, "the machine is connected and the tasks are adopted", func() (bool, string) {
			for _, arn := range arns {
				if task := b.task(arn); aws.ToString(task.LastStatus) != "RUNNING" || task.Connectivity != "CONNECTED" {
					return false, dump(task)
				}
			}
			return len(b.processes("agent")) == 1, "no agent"
		})
		if after := probePIDs(mark); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("after killing %v: processes and start times %v, want %v", kinds, after, before)
		}
		for _, port := range ports {
			eventually(t, "the published port answers", func() (bool, string) {
				body, err := get("http://127.0.0.1:" + port + "/")
				return err == nil, fmt.Sprint(body, err)
			})
		}
	}
}

func TestAnExitWhileTheAgentIsDownIsReported(t *testing.T) {
	t.Parallel()
	b := start(t)
	gate := filepath.Join(b.Dir, "gate")
	if err := os.MkdirAll(gate, 0o755); err != nil {
		t.Fatal(err)
	}
	definition := b.register(`{"family":"ends","containerDefinitions":[{"name":"main","image":"` + b.image() + `","memory":64,
		"command":["/bin/probe","exit","7","/gate/open"],"mountPoints":[{"sourceVolume":"gate","containerPath":"/gate"}]}],
		"volumes":[{"name":"gate","host":{"sourcePath":"` + gate + `"}}]}`)
	arn := b.run(definition)
	b.until(arn, "RUNNING")

	b.kill9("up", "server", "agent")
	if err := os.WriteFile(filepath.Join(gate, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container has ended", func() (bool, string) {
		left := probePIDs("/gate/open")
		return len(left) == 0, fmt.Sprint(left)
	})
	b.up()
	task := b.until(arn, "STOPPED")
	if c := containerOf(task, "main"); aws.ToInt32(c.ExitCode) != 7 {
		t.Errorf("exit code %v, want 7: %s", aws.ToInt32(c.ExitCode), dump(task))
	}
	if got := string(task.StopCode); got != "EssentialContainerExited" {
		t.Errorf("stop code %q", got)
	}
}

func TestABadTaskLeavesTheOthersAndTheAgentWell(t *testing.T) {
	t.Parallel()
	b := start(t)
	good := b.run(b.define("good", `"serve",":8080"`, `"portMappings":[{"containerPort":8080}]`))
	port := hostPort(b.until(good, "RUNNING"), "main")

	oom := b.run(b.define("oom", `"oom"`, ""))
	mark := "forks-" + filepath.Base(b.Dir)
	forks := b.run(b.define("forks", `"fork","`+mark+`"`, ""))
	flood := b.run(b.define("flood", `"flood"`, `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"flood","awslogs-region":"us-east-1",
		"awslogs-create-group":"true","awslogs-stream-prefix":"x","mode":"non-blocking"}}`))

	task := b.until(oom, "STOPPED")
	if c := containerOf(task, "main"); aws.ToInt32(c.ExitCode) != 137 || !strings.Contains(aws.ToString(c.Reason), "OutOfMemoryError") {
		t.Errorf("an OOM shows exit code %d, reason %q", aws.ToInt32(c.ExitCode), aws.ToString(c.Reason))
	}
	b.until(flood, "RUNNING")
	talk := b.run(b.define("talk", `"lines","3"`, strings.ReplaceAll(toAwslogs, "GROUP", "talk")))
	b.until(talk, "RUNNING")
	eventually(t, "another task's lines arrive beside the flood", func() (bool, string) {
		out := b.berth("logs", "talk")
		return strings.Contains(out, "line 2"), out
	})
	for _, pid := range b.processes("agent") {
		if mib := residentMiB(t, pid); mib > 256 {
			t.Errorf("the agent takes %d MiB", mib)
		}
	}
	eventually(t, "the forks run", func() (bool, string) {
		task := b.task(forks)
		// Their number may meet the limit of memory before that of processes.
		return aws.ToString(task.LastStatus) == "RUNNING" || strings.Contains(aws.ToString(containerOf(task, "main").Reason), "OutOfMemoryError"), dump(task)
	})
	for _, arn := range []string{forks, flood} {
		b.stop(arn, "enough")
		b.until(arn, "STOPPED")
	}
	eventually(t, "no process of the forks is left", func() (bool, string) {
		left := probePIDs(mark)
		return len(left) == 0, fmt.Sprint(left)
	})
	if body, err := get("http://127.0.0.1:" + port + "/"); err != nil {
		t.Errorf("the good task does not answer: %v %s", err, body)
	}
	if got := aws.ToString(b.task(good).LastStatus); got != "RUNNING" || len(b.processes("agent")) != 1 {
		t.Errorf("the good task is %s", got)
	}
}

func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}
