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
	flags  []string
}

// agent is `berth agent` on one machine.
type agent struct {
	*Berth
	join  []string // the command that `berth token create` printed
	flags []string // of the machine itself
	zone  string
}

// newCluster starts a server and three agents in zones a, b and c.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	binary(t)
	lab := netlab.New(t, 4)
	server := &Berth{t: t, Dir: dataDir(t), machine: lab.Machines[3]}
	t.Cleanup(server.end)
	address := server.machine.IPv4.String()
	c := &cluster{Berth: server, flags: []string{"server", "--listen", address + ":4566", "--agent-listen", address + ":4567", "--heartbeat", "200ms"}}
	server.process(c.flags...)
	eventually(t, "the server answers", func() (bool, string) {
		out, err := server.try("status")
		return err == nil, out
	})
	server.connect()
	server.cfg.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: server.machine.Dial}}

	for i, zone := range []string{"a", "b", "c"} {
		a := &agent{Berth: &Berth{t: t, Dir: dataDir(t), machine: lab.Machines[i]}, zone: "us-east-1" + zone}
		t.Cleanup(a.end)
		a.join = strings.Fields(server.berth("token", "create"))
		a.flags = []string{"--zone", a.zone, "--attributes", "rack=r" + zone, "--cpu", "1024", "--memory", "1024", "--egress=false"}
		a.process(slices.Concat(a.join[1:], a.flags)...)
		c.agents = append(c.agents, a)
	}
	c.connected(t)
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
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	b.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
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

// in places tasks in one zone and waits until they run.
func (c *cluster) in(t *testing.T, zone, definition string, count int32) []types.Task {
	t.Helper()
	constraint := []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: new("attribute:ecs.availability-zone == us-east-1" + zone)}}
	_, _, tasks := c.place(t, ecs.RunTaskInput{TaskDefinition: &definition, Count: &count, PlacementConstraints: constraint})
	for i, task := range tasks {
		tasks[i] = c.until(*task.TaskArn, "RUNNING")
	}
	return tasks
}

// connected waits until all machines are.
func (c *cluster) connected(t *testing.T) {
	t.Helper()
	eventually(t, "three machines are connected", func() (bool, string) {
		m := c.machines()
		return len(m) == 3, dump(m)
	})
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
