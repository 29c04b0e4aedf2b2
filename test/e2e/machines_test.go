package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"berth/test/netlab"
)

// cluster is a server on a machine of its own, and agents on others.
type cluster struct {
	*Berth // the server
	agents []*agent
}

// agent is `berth agent` on one machine.
type agent struct {
	*Berth
	join []string // the command that `berth token create` printed
	zone string
}

// newCluster starts a server and three agents in zones a, b and c.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	binary(t)
	lab := netlab.New(t, 4)
	server := &Berth{t: t, Dir: dataDir(t), machine: lab.Machines[3]}
	t.Cleanup(server.end)
	address := server.machine.IPv4.String()
	server.process("server", "--listen", address+":4566", "--agent-listen", address+":4567", "--heartbeat", "200ms")
	eventually(t, "the server answers", func() (bool, string) {
		out, err := server.try("status")
		return err == nil, out
	})
	server.connect()
	server.cfg.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: server.machine.Dial}}

	c := &cluster{Berth: server}
	for i, zone := range []string{"a", "b", "c"} {
		a := &agent{Berth: &Berth{t: t, Dir: dataDir(t), machine: lab.Machines[i]}, zone: "us-east-1" + zone}
		t.Cleanup(a.end)
		a.join = strings.Fields(server.berth("token", "create"))
		a.process(append(a.join[1:], "--zone", a.zone, "--attributes", "rack=r"+zone, "--cpu", "1024", "--memory", "1024", "--egress=false")...)
		c.agents = append(c.agents, a)
	}
	eventually(t, "three machines are connected", func() (bool, string) {
		m := c.machines()
		return len(m) == 3, dump(m)
	})
	return c
}

// process starts a part of Berth that stays, and ends it with the test.
func (b *Berth) process(args ...string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Join(b.Dir, "run"), 0o700); err != nil {
		b.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(b.Dir, "run", "berth.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(binary(b.t), append(args, "--data-dir", b.Dir)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := b.machine.Start(cmd); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

// machines are the connected ones, by zone.
func (c *cluster) machines() map[string]types.ContainerInstance {
	c.t.Helper()
	list, err := c.ecs().ListContainerInstances(c.t.Context(), &ecs.ListContainerInstancesInput{})
	found := map[string]types.ContainerInstance{}
	if _, none := errors.AsType[*types.ClusterNotFoundException](err); none { // the first machine makes it
		return found
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if len(list.ContainerInstanceArns) == 0 {
		return found
	}
	out, err := c.ecs().DescribeContainerInstances(c.t.Context(), &ecs.DescribeContainerInstancesInput{ContainerInstances: list.ContainerInstanceArns})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range out.ContainerInstances {
		for _, a := range m.Attributes {
			if aws.ToString(a.Name) == "ecs.availability-zone" && m.AgentConnected {
				found[aws.ToString(a.Value)] = m
			}
		}
	}
	return found
}

// place runs tasks, stops them again with the test, and says in which zones they are and why the others are nowhere.
func (c *cluster) place(t *testing.T, in ecs.RunTaskInput) (zones []string, failures []string, tasks []types.Task) {
	t.Helper()
	out, err := c.ecs().RunTask(t.Context(), &in)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range out.Tasks {
		zones = append(zones, strings.TrimPrefix(aws.ToString(task.AvailabilityZone), "us-east-1"))
	}
	t.Cleanup(func() { c.stopAll(t, out.Tasks) })
	for _, f := range out.Failures {
		failures = append(failures, aws.ToString(f.Reason))
	}
	slices.Sort(zones)
	return zones, failures, out.Tasks
}

// stopAll stops tasks and waits until they are, so that the next test finds the machines empty.
func (c *cluster) stopAll(t *testing.T, tasks []types.Task) {
	for _, task := range tasks {
		_, _ = c.ecs().StopTask(context.Background(), &ecs.StopTaskInput{Task: task.TaskArn})
	}
	for _, task := range tasks {
		eventually(t, "the task has stopped", func() (bool, string) {
			out, err := c.ecs().DescribeTasks(context.Background(), &ecs.DescribeTasksInput{Tasks: []string{*task.TaskArn}})
			return err == nil && len(out.Tasks) == 1 && aws.ToString(out.Tasks[0].LastStatus) == "STOPPED", dump(out)
		})
	}
}

func TestThreeMachines(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	small := c.define("small", `"sleep"`, "")

	t.Run("a token is good for one machine", func(t *testing.T) {
		other := &Berth{t: t, Dir: dataDir(t), machine: c.agents[0].machine}
		t.Cleanup(other.end)
		out, err := other.try(append(c.agents[0].join[1:], "--zone", "us-east-1d")...)
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(out, "403") {
			t.Errorf("a used token: %v %s", err, out)
		}
	})

	spread := []types.PlacementStrategy{{Type: types.PlacementStrategyTypeSpread, Field: new("attribute:ecs.availability-zone")}}
	binpack := []types.PlacementStrategy{{Type: types.PlacementStrategyTypeBinpack, Field: new("memory")}}
	distinct := []types.PlacementConstraint{{Type: types.PlacementConstraintTypeDistinctInstance}}
	memberOf := func(e string) []types.PlacementConstraint {
		return []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: &e}}
	}
	for _, row := range []struct {
		name     string
		in       ecs.RunTaskInput
		zones    string // empty: one machine, whichever
		failures string
	}{
		{"spread over zones is even", ecs.RunTaskInput{Count: new(int32(6)), PlacementStrategy: spread}, "a a b b c c", ""},
		{"binpack fills one machine", ecs.RunTaskInput{Count: new(int32(4)), PlacementStrategy: binpack}, "", ""},
		{"distinctInstance takes each machine once", ecs.RunTaskInput{Count: new(int32(3)), PlacementConstraints: distinct}, "a b c", ""},
		{"memberOf a zone", ecs.RunTaskInput{Count: new(int32(3)), PlacementConstraints: memberOf("attribute:ecs.availability-zone == us-east-1b")}, "b b b", ""},
		{"memberOf the operator's attributes", ecs.RunTaskInput{Count: new(int32(2)), PlacementStrategy: spread, PlacementConstraints: memberOf("attribute:rack in [ra, rc]")}, "a c", ""},
		{"memberOf nothing", ecs.RunTaskInput{PlacementConstraints: memberOf("attribute:rack == none")}, "-", "MemberOf placement constraint unsatisfied"},
		{"more memory than any machine has", ecs.RunTaskInput{Overrides: &types.TaskOverride{Memory: new("2048")}}, "-", "RESOURCE:MEMORY"},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.in.TaskDefinition = &small
			zones, failures, _ := c.place(t, row.in)
			got := strings.Join(zones, " ")
			switch {
			case row.zones == "" && (len(slices.Compact(slices.Clone(zones))) != 1 || len(zones) != int(*row.in.Count)):
				t.Errorf("placed in %q, want all on one machine", got)
			case row.zones == "-" && got != "", row.zones != "" && row.zones != "-" && got != row.zones:
				t.Errorf("placed in %q, want %q", got, row.zones)
			}
			if !strings.Contains(strings.Join(failures, ","), row.failures) || row.failures == "" && len(failures) > 0 {
				t.Errorf("failures %q, want %q", failures, row.failures)
			}
		})
	}

	t.Run("a machine that goes silent comes back with its tasks", func(t *testing.T) { silentMachine(t, c) })
}

func silentMachine(t *testing.T, c *cluster) {
	lost := c.agents[1]
	mark := filepath.Base(lost.Dir)
	web := c.define("web", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`)
	inB := []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: new("attribute:ecs.availability-zone == us-east-1b")}}
	_, _, tasks := c.place(t, ecs.RunTaskInput{TaskDefinition: &web, Count: new(int32(2)), PlacementConstraints: inB})
	var ports []string
	for _, task := range tasks {
		ports = append(ports, hostPort(c.until(*task.TaskArn, "RUNNING"), "main"))
	}
	before := probePIDs(mark)
	if len(before) != 2 {
		t.Fatalf("found processes %v, want two", before)
	}
	// From another machine and from its own, on every address.
	for _, from := range []*agent{c.agents[0], lost} {
		for _, address := range []string{lost.machine.IPv4.String(), lost.machine.IPv6.String()} {
			url := "http://" + net.JoinHostPort(address, ports[0]) + "/"
			if body, err := from.get(url); err != nil {
				t.Errorf("%s from %s: %v %s", url, from.zone, err, body)
			}
		}
	}

	lost.machine.Partition(t)
	eventually(t, "the machine is shown disconnected", func() (bool, string) {
		m := c.machines()
		_, there := m["us-east-1b"]
		return !there && len(m) == 2, dump(m)
	})
	for _, task := range tasks {
		if got := c.task(*task.TaskArn); aws.ToString(got.LastStatus) != "RUNNING" || aws.ToString(got.DesiredStatus) != "RUNNING" || got.Connectivity != "DISCONNECTED" {
			t.Errorf("a task of a silent machine: %s", dump(got))
		}
	}
	zones, failures, _ := c.place(t, ecs.RunTaskInput{TaskDefinition: &web, Count: new(int32(4)),
		PlacementStrategy: []types.PlacementStrategy{{Type: types.PlacementStrategyTypeSpread, Field: new("attribute:ecs.availability-zone")}}})
	if got := strings.Join(zones, " "); got != "a a c c" || len(failures) > 0 {
		t.Errorf("while b is silent, tasks are placed in %q, failures %q", got, failures)
	}
	if out, err := c.try("status"); err == nil || !strings.Contains(out, "disconnected") {
		t.Errorf("status of a cluster with a silent machine: %v\n%s", err, out)
	}
	for _, port := range ports {
		if body, err := lost.get("http://127.0.0.1:" + port + "/"); err != nil {
			t.Errorf("a task of the silent machine does not serve there: %v %s", err, body)
		}
	}

	lost.machine.Heal(t)
	eventually(t, "the machine is back with its tasks", func() (bool, string) {
		for _, task := range tasks {
			if got := c.task(*task.TaskArn); got.Connectivity != "CONNECTED" || aws.ToString(got.LastStatus) != "RUNNING" {
				return false, dump(got)
			}
		}
		return len(c.machines()) == 3, dump(c.machines())
	})
	after := probePIDs(mark)
	for pid, started := range before {
		if after[pid] != started {
			t.Errorf("process %d, started at %s, is not there any more: %v", pid, started, after)
		}
	}
}

// get asks from inside the machine.
func (a *agent) get(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:       func(ctx context.Context, n, address string) (net.Conn, error) { return a.machine.Dial(ctx, n, address) },
		DisableKeepAlives: true,
	}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return string(body), err
}
