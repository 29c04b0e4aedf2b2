package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// code is the exit code of a command that was run.
func code(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// revision is family:N of a definition.
func revision(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

const toAwslogs = `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"GROUP","awslogs-region":"us-east-1",
	"awslogs-create-group":"true","awslogs-stream-prefix":"x"}}`

func TestCommandsShowWhatRuns(t *testing.T) {
	b := shared(t)
	talk := b.define("talk", `"lines","3"`, strings.ReplaceAll(toAwslogs, "GROUP", "talk"))
	first, second := b.run(talk), b.run(talk)
	fails := b.define("fails", `"exit","23"`, "")
	failed := b.run(fails)
	b.until(first, "RUNNING")
	b.until(second, "RUNNING")
	b.until(failed, "STOPPED")
	id := first[strings.LastIndexByte(first, '/')+1:]
	eventually(t, "the lines are stored", func() (bool, string) {
		out := b.berth("logs", "talk")
		return strings.Contains(out, id[:18]+"/main  line 2") && strings.Contains(out, revision(second)[:18]+"/main  line 2"), out
	})

	for _, row := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"status"}, 0, []string{"store", "registry", "connected", "running"}},
		{[]string{"ps"}, 0, []string{id[:18], revision(talk), "RUNNING"}},
		{[]string{"ps", "-a"}, 0, []string{revision(fails), "STOPPED", "exit code 23"}},
		{[]string{"ps", "-o", "json"}, 0, []string{`"taskArn": "` + first + `"`}},
		{[]string{"logs", id[:18]}, 0, []string{id[:18] + "/main", "line 0", "line 2"}},
		{[]string{"logs", second}, 0, []string{"line 0"}},
		{[]string{"logs", "none"}, 6, []string{"error:"}},
		{[]string{"why", id[:18]}, 0, []string{"yes", "pull main", "start main"}},
		{[]string{"why", revision(talk)}, 0, []string{"yes"}},
		{[]string{"why", "default"}, 0, []string{"yes", "CPU units"}},
		{[]string{"why", "none"}, 6, []string{"error:"}},
		{[]string{"version"}, 0, nil},
		{[]string{"ps", "--cluster", "none"}, 6, []string{"error:", "code:", "ClusterNotFoundException"}},
		{[]string{"ps", "--no-such-flag"}, 2, []string{"error:", "fix:"}},
	} {
		out, err := b.try(row.args...)
		if got := code(err); got != row.code {
			t.Errorf("berth %s: exit code %d, want %d\n%s", strings.Join(row.args, " "), got, row.code, out)
		}
		for _, want := range row.want {
			if !strings.Contains(out, want) {
				t.Errorf("berth %s lacks %q:\n%s", strings.Join(row.args, " "), want, out)
			}
		}
	}
	if out, _ := exec.Command(binary(t), "__complete", "logs", "--data-dir", b.Dir, "").Output(); !strings.Contains(string(out), id[:18]) {
		t.Errorf("the shell completes tasks by %q", out)
	}
	var variables map[string]string
	if err := json.Unmarshal([]byte(b.berth("env", "--json")), &variables); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} {
		if variables[name] == "" {
			t.Errorf("env --json lacks %s: %v", name, variables)
		}
	}
}

func TestCommandsSayThatThereIsNoBerth(t *testing.T) {
	binary(t)
	b := &Berth{t: t, Dir: filepath.Join(t.TempDir(), "none")}
	for _, args := range [][]string{{"status"}, {"ps"}, {"env"}, {"logs", "x"}, {"backup", "x"}} {
		out, err := b.try(args...)
		if code(err) != 6 || !strings.Contains(out, "fix:") || !strings.Contains(out, "berth up") {
			t.Errorf("berth %v: %v\n%s", args, err, out)
		}
	}
	if out, err := b.try("down"); err != nil {
		t.Errorf("down where there is nothing: %v %s", err, out)
	}
}

func TestLogsFollowsNewReplicas(t *testing.T) {
	b := shared(t)
	follow := b.define("follow", `"lines","2"`, strings.ReplaceAll(toAwslogs, "GROUP", "follow"))
	b.until(b.run(follow), "RUNNING")
	cmd := exec.Command(binary(t), "logs", "-f", "follow", "--data-dir", b.Dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	replicas := map[string]bool{}
	for lines := bufio.NewScanner(out); len(replicas) < 2 && lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if strings.HasSuffix(lines.Text(), "line 1") && len(fields) > 1 {
			replicas[fields[1]] = true
			if len(replicas) == 1 {
				b.run(follow)
			}
		}
	}
	if len(replicas) != 2 {
		t.Errorf("lines of %v, want two replicas", replicas)
	}
	if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
		t.Errorf("Ctrl-C ends with %v", err)
	}
}

// quit ends Berth as Ctrl-C does: its tasks go on.
func (b *Berth) quit() {
	b.t.Helper()
	for _, pid := range b.processes("up") {
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
			b.t.Fatal(err)
		}
	}
	eventually(b.t, "Berth has ended", func() (bool, string) {
		left := append(append(b.processes("up"), b.processes("server")...), b.processes("agent")...)
		return len(left) == 0, dump(left)
	})
}

func TestBackupAndRestoreWhileTasksRun(t *testing.T) {
	t.Parallel()
	b := start(t)
	mark := filepath.Base(b.Dir)
	arn := b.run(b.define("kept", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`))
	port := hostPort(b.until(arn, "RUNNING"), "main")
	before := waitProbes(t, mark, 1)
	file := filepath.Join(b.Dir, "snapshot")
	b.berth("backup", file)
	if _, err := b.ecs().CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: new("later")}); err != nil {
		t.Fatal(err)
	}
	if out, err := b.try("restore", file); code(err) != 1 || !strings.Contains(out, "running") {
		t.Errorf("restore while Berth runs: %v %s", err, out)
	}

	b.quit()
	if body, err := get("http://127.0.0.1:" + port + "/"); err != nil {
		t.Errorf("after Ctrl-C the task does not answer: %v %s", err, body)
	}
	b.berth("restore", file)
	b.up()
	eventually(t, "the task is there again", func() (bool, string) {
		task := b.task(arn)
		return aws.ToString(task.LastStatus) == "RUNNING" && task.Connectivity == "CONNECTED", dump(task)
	})
	if after := probePIDs(mark); dump(after) != dump(before) {
		t.Errorf("processes were %v and are %v", before, after)
	}
	clusters, err := b.ecs().ListClusters(t.Context(), &ecs.ListClustersInput{})
	if err != nil || len(clusters.ClusterArns) != 1 || !strings.HasSuffix(clusters.ClusterArns[0], "/default") {
		t.Errorf("clusters after the restore: %v %s", err, dump(clusters))
	}
}

// Source: ECS allows a restart only after a container has run for restartAttemptPeriod, at least 60 seconds.
func TestARestartPolicyStartsTheContainerAgain(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute")
	}
	b := shared(t)
	mark := "61s"
	arn := b.run(b.register(`{"family":"again","containerDefinitions":[{"name":"main","image":"` + b.image() + `","memory":64,
		"command":["/bin/probe","exit","3","` + mark + `"],"restartPolicy":{"enabled":true,"restartAttemptPeriod":60}}]}`))
	b.until(arn, "RUNNING")
	before := waitProbes(t, mark, 1)
	eventually(t, "another process runs", func() (bool, string) {
		after := probePIDs(mark)
		for pid := range before {
			delete(after, pid)
		}
		return len(after) == 1, dump(after)
	})
	if task := b.task(arn); aws.ToString(task.LastStatus) != "RUNNING" {
		t.Errorf("the task: %s", dump(task))
	}
}
