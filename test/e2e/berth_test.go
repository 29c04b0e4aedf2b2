package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"berth/test/netlab"
)

// patience bounds every wait for a condition. It is long: a shared machine may be slow, and no test asserts a time.
const patience = 90 * time.Second

// Berth is one running Berth with its own data directory and ports.
type Berth struct {
	t    *testing.T
	Dir  string
	Env  []string // the variables of `berth env`
	conn map[string]string
	cfg  aws.Config

	machine *netlab.Machine // where commands run and clients connect from; nil: this machine
	mounts  []string        // that the test made below Dir
	started []string        // tasks of this test

	// image is the probe's URI in this Berth's registry, pushed when it is first asked for.
	image func() string
}

// binary is the program under test: $BERTH_BINARY, or what make built. runc lies beside it.
func binary(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: real containers, namespaces and nftables")
	}
	path, err := filepath.Abs(cmp.Or(os.Getenv("BERTH_BINARY"), "../../bin/berth"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("build Berth first (make build): %v", err)
	}
	return path
}

// start runs `berth up --detach` on free ports and ends it with the test, checking that nothing is left.
func start(t *testing.T, flags ...string) *Berth {
	t.Helper()
	b := prepare(t)
	b.up(flags...)
	return b
}

// prepare makes the data directory of a Berth that is not yet started.
func prepare(t *testing.T) *Berth {
	t.Helper()
	binary(t)
	b := &Berth{t: t, Dir: dataDir(t)}
	t.Cleanup(b.end)
	return b
}

func dataDir(t *testing.T) string {
	t.Helper()
	// A short path: sockets below it must fit into 108 bytes.
	dir, err := os.MkdirTemp("", "berth-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// common is the Berth of all tests that do no harm to it. TestMain ends it.
var common struct {
	sync.Mutex
	*Berth
}

// shared returns the common Berth. Tests stop their own tasks.
func shared(t *testing.T) *Berth {
	t.Helper()
	binary(t)
	common.Lock()
	defer common.Unlock()
	if common.Berth == nil {
		b := &Berth{t: t, Dir: dataDir(t)}
		b.up("--heartbeat", "1s")
		common.Berth = b
	}
	return common.in(t)
}

// in is the same Berth for another test, whose tasks end with it.
func (b *Berth) in(t *testing.T) *Berth {
	out := *b
	out.t, out.started = t, nil
	t.Cleanup(func() {
		for _, arn := range out.started {
			_, _ = out.ecs().StopTask(context.Background(), &ecs.StopTaskInput{Task: &arn})
		}
		if t.Failed() {
			t.Logf("the end of Berth's log:\n%s", out.log())
		}
	})
	return &out
}

// up starts Berth (again) in its data directory.
func (b *Berth) up(flags ...string) {
	b.t.Helper()
	args := append([]string{"up", "--detach", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--egress=false"}, flags...)
	if out, err := b.try(args...); err != nil {
		b.t.Fatalf("berth up: %v\n%s\n%s", err, out, b.log())
	}
	b.connect()
}

// connect makes clients for a Berth that runs.
func (b *Berth) connect() {
	b.t.Helper()
	out := b.berth("env", "--json")
	b.conn = map[string]string{}
	if err := json.Unmarshal([]byte(out), &b.conn); err != nil {
		b.t.Fatalf("berth env --json: %v\n%s", err, out)
	}
	b.Env = os.Environ()
	for k, v := range b.conn {
		b.Env = append(b.Env, k+"="+v)
	}
	b.image = sync.OnceValue(b.probe)
	b.cfg = aws.Config{
		Region:       b.conn["AWS_REGION"],
		BaseEndpoint: new(b.conn["AWS_ENDPOINT_URL"]),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: b.conn["AWS_ACCESS_KEY_ID"], SecretAccessKey: b.conn["AWS_SECRET_ACCESS_KEY"]}, nil
		}),
	}
}

func (b *Berth) end() {
	if b.t.Failed() {
		b.t.Logf("the end of Berth's log:\n%s", b.log())
	}
	if err := b.remove(); err != nil {
		b.t.Error(err)
	}
}

// remove ends Berth and says what it left behind.
func (b *Berth) remove() error {
	var errs []error
	if out, err := b.try("down", "--wait", "20s"); err != nil {
		errs = append(errs, fmt.Errorf("berth down: %w\n%s", err, out))
	}
	for _, m := range b.mounts {
		if err := unix.Unmount(m, 0); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m, err))
		}
	}
	for _, left := range leftovers(b.Dir) {
		errs = append(errs, fmt.Errorf("left behind: %s", left))
	}
	return errors.Join(append(errs, os.RemoveAll(b.Dir))...)
}

// short is how names in the kernel stand for a directory.
func short(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:4])
}

// leftovers finds processes, mounts, control groups, links and rules that belong to a data directory.
func leftovers(dir string) []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/berth/", "/sys/fs/cgroup/berth/"} {
		groups, _ := filepath.Glob(pattern + short(dir))
		for _, g := range groups {
			found = append(found, "control group "+g)
		}
	}
	network := short(filepath.Join(dir, "agent", "vpc"))
	if _, err := net.InterfaceByName("bth" + network); err == nil {
		found = append(found, "link bth"+network)
	}
	if c, err := nftables.New(); err == nil {
		tables, _ := c.ListTables()
		for _, table := range tables {
			if table.Name == "berth_"+network {
				found = append(found, "rules of "+table.Name)
			}
		}
	}
	if data, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, dir) {
				found = append(found, "mount "+strings.TrimSpace(line))
			}
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		if data, err := os.ReadFile(p); err == nil && bytes.Contains(data, []byte(dir)) {
			found = append(found, "process "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}

func (b *Berth) log() string {
	data, err := os.ReadFile(filepath.Join(b.Dir, "run", "berth.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(data), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// try runs the berth command on this Berth.
func (b *Berth) try(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.Command(binary(b.t), append(args, "--data-dir", b.Dir)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := b.exec(cmd)
	return out.String(), err
}

// exec runs a command to its end, inside the machine if there is one.
func (b *Berth) exec(cmd *exec.Cmd) error {
	if b.machine == nil {
		return cmd.Run()
	}
	if err := b.machine.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// berth runs the berth command, which must succeed, and returns its standard output.
func (b *Berth) berth(args ...string) string {
	b.t.Helper()
	cmd := exec.Command(binary(b.t), append(args, "--data-dir", b.Dir)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := b.exec(cmd); err != nil {
		b.t.Fatalf("berth %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), stderr.String())
	}
	return out.String()
}

// aws runs the stock AWS CLI and returns its output without the last newline.
func (b *Berth) aws(args ...string) string {
	b.t.Helper()
	cmd := exec.Command("aws", append(args, "--endpoint-url", b.conn["AWS_ENDPOINT_URL"])...)
	cmd.Env = append(slices.Clone(b.Env), "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("aws %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func (b *Berth) ecs() *ecs.Client             { return ecs.NewFromConfig(b.cfg) }
func (b *Berth) ecr() *ecr.Client             { return ecr.NewFromConfig(b.cfg) }
func (b *Berth) logs() *cloudwatchlogs.Client { return cloudwatchlogs.NewFromConfig(b.cfg) }

// eventually waits until the condition holds; its text says what is still missing.
func eventually(t *testing.T, what string, holds func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, missing := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s until %s; last seen: %s", patience, what, missing)
		}
		time.Sleep(50 * time.Millisecond) // the pace of asking another process, not a wait for time to pass
	}
}

// register registers a definition given as the JSON that a user would write, and returns its ARN.
func (b *Berth) register(definition string) string {
	b.t.Helper()
	var in ecs.RegisterTaskDefinitionInput
	d := json.NewDecoder(strings.NewReader(definition)) // names are found whatever their case
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		b.t.Fatalf("%v in %s", err, definition)
	}
	out, err := b.ecs().RegisterTaskDefinition(b.t.Context(), &in)
	if err != nil {
		b.t.Fatal(err)
	}
	return *out.TaskDefinition.TaskDefinitionArn
}

func runTask(definition string) *ecs.RunTaskInput {
	return &ecs.RunTaskInput{TaskDefinition: &definition}
}

// run runs one task and returns its ARN.
func (b *Berth) run(definition string) string {
	b.t.Helper()
	out, err := b.ecs().RunTask(b.t.Context(), runTask(definition))
	if err != nil {
		b.t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		b.t.Fatalf("RunTask failures: %s", dump(out.Failures))
	}
	b.started = append(b.started, *out.Tasks[0].TaskArn)
	return *out.Tasks[0].TaskArn
}

func (b *Berth) stop(arn, reason string) {
	b.t.Helper()
	if _, err := b.ecs().StopTask(b.t.Context(), &ecs.StopTaskInput{Task: &arn, Reason: &reason}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Berth) task(arn string) types.Task {
	b.t.Helper()
	out, err := b.ecs().DescribeTasks(b.t.Context(), &ecs.DescribeTasksInput{Tasks: []string{arn}})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		b.t.Fatalf("DescribeTasks: %s", dump(out.Failures))
	}
	return out.Tasks[0]
}

// until waits for a task's last status.
func (b *Berth) until(arn, status string) types.Task {
	b.t.Helper()
	var t types.Task
	eventually(b.t, "task is "+status, func() (bool, string) {
		t = b.task(arn)
		if status != "STOPPED" && aws.ToString(t.LastStatus) == "STOPPED" {
			b.t.Fatalf("task stopped: %s", dump(t))
		}
		return aws.ToString(t.LastStatus) == status, dump(t)
	})
	return t
}

func containerOf(t types.Task, name string) types.Container {
	for _, c := range t.Containers {
		if aws.ToString(c.Name) == name {
			return c
		}
	}
	return types.Container{}
}

func hostPort(t types.Task, name string) string {
	for _, b := range containerOf(t, name).NetworkBindings {
		return fmt.Sprint(aws.ToInt32(b.HostPort))
	}
	return ""
}

func dump(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}
