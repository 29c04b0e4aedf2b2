package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/agent/doctor"
	own "berth/api/berth"
	api "berth/api/ecs"
	"berth/aws"
	"berth/cli"
)

func TestQuoteMakesOneShellWord(t *testing.T) {
	for _, text := range []string{"", "plain", "two words", "it's", "'", "$HOME `id` \\", "a\nb", `"`} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q became %q (%v)", text, out, err)
		}
	}
}

func TestParseAttributes(t *testing.T) {
	for _, c := range []struct {
		list []string
		want map[string]string
		ok   bool
	}{
		{nil, map[string]string{}, true},
		{[]string{"disk=ssd", "rack=7"}, map[string]string{"disk": "ssd", "rack": "7"}, true},
		{[]string{"empty="}, map[string]string{"empty": ""}, true},
		{[]string{"a=b=c"}, map[string]string{"a": "b=c"}, true},
		{[]string{"disk"}, nil, false},
		{[]string{"=ssd"}, nil, false},
		{[]string{""}, nil, false},
	} {
		got, err := parseAttributes(c.list)
		if (err == nil) != c.ok || !cmp.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.list, got, err)
		}
	}
}

func TestWithoutDetachKeepsEveryOtherFlag(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"up --detach", "up"},
		{"up -d --listen 127.0.0.1:0", "up --listen 127.0.0.1:0"},
		{"up --detach=true --egress=false", "up --egress=false"},
		{"--data-dir x up -d", "up"},
		{"up --data-dir=x --zone z -d", "up --zone z"},
		{"up -d --data-dir", "up"},
	} {
		if got := strings.Join(withoutDetach(strings.Fields(c.args)), " "); got != c.want {
			t.Errorf("%q became %q, want %q", c.args, got, c.want)
		}
	}
}

// fakeAWS puts an AWS CLI that only knows its version on the PATH.
func fakeAWS(t *testing.T, version string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho '" + version + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestExportsHelpOldAWSCLIs(t *testing.T) {
	for _, c := range []struct {
		version string
		old     bool
	}{
		{"aws-cli/1.22.34 Python/3.10.6 Linux/5.15", true},
		{"aws-cli/1.29.0 Python/3.11.2 Linux/6.1", false},
		{"aws-cli/1.45.11 Python/3.11.7 Linux/6.18", false},
		{"aws-cli/2.9.19 Python/3.11.2 Linux/6.1", true},
		{"aws-cli/2.13.0 Python/3.11.4 Linux/6.1", false},
		{"aws-cli/3.0.0 Python/3.14.0 Linux/7.0", false},
		{"something else", false},
	} {
		t.Run(c.version, func(t *testing.T) {
			fakeAWS(t, c.version)
			var out bytes.Buffer
			connection := cli.Connection{Endpoint: "http://127.0.0.1:1", AccessKeyID: "A", SecretAccessKey: "it's", Region: "eu-west-1"}
			if err := printExports(&out, connection); err != nil {
				t.Fatal(err)
			}
			shell := exec.Command("sh", "-c", out.String()+`
printf '%s|' "$AWS_ENDPOINT_URL" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_REGION" "$AWS_DEFAULT_REGION" "$AWS_PROFILE$AWS_SESSION_TOKEN"`)
			shell.Env = append(os.Environ(), "AWS_PROFILE=other", "AWS_SESSION_TOKEN=other")
			got, err := shell.Output()
			if want := "http://127.0.0.1:1|A|it's|eu-west-1|eu-west-1||"; err != nil || string(got) != want {
				t.Errorf("the shell has %q (%v), want %q", got, err, want)
			}
			if has := strings.Contains(out.String(), "aws()"); has != c.old {
				t.Errorf("a shell function is defined: %t, want %t", has, c.old)
			}
		})
	}
}

func TestPortsAreListedOnce(t *testing.T) {
	binding := func(ip string, host, container int32) api.NetworkBinding {
		return api.NetworkBinding{BindIP: &ip, HostPort: &host, ContainerPort: &container, Protocol: api.TransportProtocolTcp}
	}
	ranges := api.NetworkBinding{HostPortRange: new("9000-9002"), ContainerPortRange: new("80-82"), Protocol: api.TransportProtocolUdp}
	for _, c := range []struct {
		containers []api.Container
		want       string
	}{
		{nil, ""},
		{[]api.Container{{NetworkBindings: []api.NetworkBinding{binding("0.0.0.0", 8080, 80), binding("::", 8080, 80)}}}, "8080->80/tcp"},
		{[]api.Container{
			{NetworkBindings: []api.NetworkBinding{binding("0.0.0.0", 1, 2)}}, {NetworkBindings: []api.NetworkBinding{binding("0.0.0.0", 3, 4), ranges}},
		}, "1->2/tcp,3->4/tcp,9000-9002->80-82/udp"},
	} {
		if got := ports(api.Task{Containers: c.containers}); got != c.want {
			t.Errorf("ports are %q, want %q", got, c.want)
		}
	}
}

func TestAgeIsRoundedDown(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	for _, c := range []struct {
		age  time.Duration
		want string
	}{
		{-time.Second, "0s"}, {0, "0s"}, {59*time.Second + 900*time.Millisecond, "59s"}, {time.Minute, "1m"},
		{59 * time.Minute, "59m"}, {time.Hour, "1h"}, {47 * time.Hour, "47h"}, {48 * time.Hour, "2d"},
	} {
		if got := age(api.Task{CreatedAt: aws.NewTime(now.Add(-c.age))}, now); got != c.want {
			t.Errorf("%v is shown as %q, want %q", c.age, got, c.want)
		}
	}
}

func TestNoteSaysWhyATaskStopped(t *testing.T) {
	task := api.Task{StoppedReason: new("Essential container in task exited"), Containers: []api.Container{
		{Name: new("fine"), ExitCode: new(int32(0))}, {Name: new("bad"), ExitCode: new(int32(3))},
		{Name: new("killed"), ExitCode: new(int32(137)), Reason: new("OutOfMemoryError")},
	}}
	if got, want := note(task), "Essential container in task exited; bad: exit code 3; killed: OutOfMemoryError"; got != want {
		t.Errorf("the note is %q, want %q", got, want)
	}
	if got := note(api.Task{}); got != "" {
		t.Errorf("a task that is well has the note %q", got)
	}
}

func TestSplitImage(t *testing.T) {
	for _, c := range []struct {
		ref, name, tag string
		ok             bool
	}{
		{"hello:1", "hello", "1", true},
		{"hello", "hello", "latest", true},
		{"team/hello:v1.2_a-b", "team/hello", "v1.2_a-b", true},
		{"", "", "", false},
		{":1", "", "", false},
		{"hello:", "", "", false},
		{"hello:a/b", "", "", false},
		{"t:1", "", "", false}, // as ECR
		{"Hello:1", "", "", false},
		{"127.0.0.1:4566/000000000000/us-east-1/hello:1", "", "", false},
	} {
		name, tag, err := splitImage(c.ref)
		if (err == nil) != c.ok || name != c.name || tag != c.tag {
			t.Errorf("%q: %q %q %v", c.ref, name, tag, err)
		}
	}
}

func TestLoopbackIsRecognized(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:4567": true, "127.1.2.3:1": true, "[::1]:4567": true, "localhost:4567": true,
		"10.0.0.1:4567": false, "control.example:4567": false, "[::]:4567": false, "nothing": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("%s: %t, want %t", address, got, want)
		}
	}
}

func TestFixesAreBelowFindingsOnATerminal(t *testing.T) {
	findings := []doctor.Finding{{Name: "a", Status: doctor.Pass, Detail: "x"}, {Name: "b", Status: doctor.Fail, Detail: "y", Fix: "do"}}
	if diff := cmp.Diff([][]string{{"a", "pass", "x"}, {"b", "fail", "y"}, {"", "", "fix: do"}}, findingsTable(findings, true).Rows); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]string{{"a", "pass", "x", ""}, {"b", "fail", "y", "do"}}, findingsTable(findings, false).Rows); diff != "" {
		t.Error(diff)
	}
}

func TestWrongCommandLinesAreRefusedBeforeAnythingIsDone(t *testing.T) {
	for _, line := range []string{
		"nope", "ps x", "image nope", "token nope", "logs", "why a b", "ps --nope", "status -o yaml", "ps -o name",
		"token create --uses 0", "token create --ttl 48h", "image push . a:b/c", "agent --attributes x --server https://127.0.0.1:1",
	} {
		t.Run(line, func(t *testing.T) {
			if strings.HasPrefix(line, "agent") && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			o := &options{}
			dir := filepath.Join(t.TempDir(), "data")
			root := rootCommand(o)
			root.SetArgs(append(strings.Fields(line), "--data-dir", dir))
			root.SetOut(new(bytes.Buffer))
			root.SetErr(new(bytes.Buffer))
			cmd, err := root.ExecuteContextC(context.Background())
			if err == nil {
				t.Fatal("it is accepted")
			}
			f, told := errors.AsType[*cli.Failure](usage(cmd, err, o.begun))
			if !told || f.Exit != cli.ExitUsage || f.Fix == "" {
				t.Errorf("got %v", fmt.Sprintf("%+v", f))
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the data directory was made: %v", err)
			}
		})
	}
}

func TestWhyLeavesNoCellOfATargetEmpty(t *testing.T) {
	tables := whyTables(&own.ExplainResponse{Targets: []own.Target{
		{State: "missing", Task: "3f2a", Summary: "it is registered when it runs"},
		{Target: "i-1:80", State: "healthy", Probes: []string{"GET / answered 200 in 1 ms"}},
	}})
	got := tables[slices.IndexFunc(tables, func(t cli.Table) bool { return t.Heading[0] == "TARGET" })].Rows
	want := [][]string{{"-", "missing", "3f2a", "it is registered when it runs"}, {"i-1:80", "healthy", "-", "GET / answered 200 in 1 ms"}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestWrongArgumentsAreToldAsTheCommandIsCalled(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"scale web", "the number of arguments is wrong: it is berth scale SERVICE COUNT, and 1 were given"},
		{"scale web -3", "-3 cannot be given here: it is berth scale SERVICE COUNT, and no number may be negative"},
		{"scale web -x", "unknown shorthand flag: 'x' in -x"},
		{"url --all", "missing: SERVICE or LOAD-BALANCER: it is berth url SERVICE | LOAD-BALANCER, and 0 were given"},
		{"wait a b", "the number of arguments is wrong: it is berth wait SERVICE, and 2 were given"},
	} {
		root := rootCommand(&options{})
		root.SetArgs(strings.Fields(row.line))
		cmd, err := root.ExecuteC()
		if got := usage(cmd, err, false); got.Error() != row.want || cli.Report(io.Discard, got) != cli.ExitUsage {
			t.Errorf("%s: got %q (%T), want %q", row.line, got, got, row.want)
		}
	}
}

func TestIngressPublishIsCheckedAndReachesTheAgent(t *testing.T) {
	program := filepath.Join(t.TempDir(), "haproxy")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(program))
	for _, row := range []struct {
		on      bool
		publish string
		want    string // of the agent's flags, or the error
	}{
		{true, "192.0.2.10,192.0.2.11", "--ingress=true --ingress-publish 192.0.2.10,192.0.2.11"},
		{true, "", "--ingress=true"},
		{false, "192.0.2.10", "--ingress-publish needs --ingress"},
		{true, "127.0.0.1", "not an address to publish at: 127.0.0.1"},
		{true, "0.0.0.0", "not an address to publish at: 0.0.0.0"},
		{true, "web.example", "not an address to publish at: web.example"},
	} {
		f := ingressFlags{on: row.on, publish: splitList(row.publish)}
		got := ""
		if err := f.validate(); err != nil {
			got, _, _ = strings.Cut(err.Error(), ": this machine")
		} else {
			got = strings.Join(f.args(), " ")
		}
		if got != row.want || len(f.addresses) > len(f.publish) {
			t.Errorf("%+v: got %q", row, got)
		}
	}
}
