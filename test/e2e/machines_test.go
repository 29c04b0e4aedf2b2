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
	"github.com/google/nftables"

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
	t.Run("a machine that hears and cannot answer is silent", func(t *testing.T) { mutedMachine(t, c) })
	t.Run("what happened in the silence is told and done afterwards", func(t *testing.T) { silence(t, c) })
	t.Run("killed servers and agents come back without a token", func(t *testing.T) { killedParts(t, c) })
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

// mutedMachine cuts one direction: the machine still hears the server.
func mutedMachine(t *testing.T, c *cluster) {
	mark := "muted-" + filepath.Base(c.Dir)
	task := c.in(t, "c", c.define("muted", `"serve",":8080","`+mark+`"`, ""), 1)[0]
	before, machine := waitProbes(t, mark, 1), c.agents[2].machine
	drop := nftables.ChainPolicyDrop
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "muted"}
	mute := func(change func(*nftables.Conn)) {
		err := machine.Run(func() error {
			rules, err := nftables.New()
			if err != nil {
				return err
			}
			change(rules)
			return rules.Flush()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mute(func(rules *nftables.Conn) {
		rules.AddTable(table)
		rules.AddChain(&nftables.Chain{Name: "out", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput,
			Priority: nftables.ChainPriorityFilter, Policy: &drop})
	})
	eventually(t, "the machine is shown disconnected", func() (bool, string) { return len(c.machines()) == 2, dump(c.machines()) })
	if got := c.task(*task.TaskArn); aws.ToString(got.LastStatus) != "RUNNING" || got.Connectivity != "DISCONNECTED" {
		t.Errorf("its task: %s", dump(got))
	}
	mute(func(rules *nftables.Conn) { rules.DelTable(table) })
	c.connected(t)
	if got := c.task(*task.TaskArn); aws.ToString(got.LastStatus) != "RUNNING" || dump(probePIDs(mark)) != dump(before) {
		t.Errorf("its task afterwards: %s, processes %v, were %v", dump(got), probePIDs(mark), before)
	}
}

func silence(t *testing.T, c *cluster) {
	machine, dir := c.agents[0].machine, t.TempDir()
	ends := c.in(t, "a", c.register(`{"family":"ends","containerDefinitions":[{"name":"main","image":"`+c.image()+`","memory":64,
		"command":["/bin/probe","exit","7","/gate/open"],"mountPoints":[{"sourceVolume":"gate","containerPath":"/gate"}]}],
		"volumes":[{"name":"gate","host":{"sourcePath":"`+dir+`"}}]}`), 1)[0]
	unwanted := c.in(t, "a", c.define("unwanted", `"sleep"`, ""), 1)[0]

	machine.Partition(t)
	eventually(t, "the machine is shown disconnected", func() (bool, string) { return len(c.machines()) == 2, dump(c.machines()) })
	if err := os.WriteFile(filepath.Join(dir, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container has ended", func() (bool, string) {
		left := probePIDs("/gate/open")
		return len(left) == 0, fmt.Sprint(left)
	})
	c.stop(*unwanted.TaskArn, "not wanted")
	for _, task := range []types.Task{ends, unwanted} {
		if got := c.task(*task.TaskArn); aws.ToString(got.LastStatus) == "STOPPED" {
			t.Errorf("stopped, says a server that cannot know: %s", dump(got))
		}
	}
	machine.Heal(t)
	if got := c.until(*ends.TaskArn, "STOPPED"); aws.ToInt32(got.Containers[0].ExitCode) != 7 {
		t.Errorf("an exit in the silence: %s", dump(got))
	}
	if got := c.until(*unwanted.TaskArn, "STOPPED"); aws.ToString(got.StoppedReason) != "not wanted" {
		t.Errorf("a task stopped in the silence: %s", dump(got))
	}
	c.connected(t)
}

func killedParts(t *testing.T, c *cluster) {
	mark := "kept-" + filepath.Base(c.Dir)
	tasks := c.in(t, "c", c.define("kept", `"serve",":8080","`+mark+`"`, ""), 2)
	before, machines := waitProbes(t, mark, 2), c.machines()
	last := c.agents[2]
	for _, kill := range []func(){
		func() { c.kill9("server"); c.process(c.flags...) },
		func() {
			last.kill9("agent")
			last.process(append([]string{"agent", "--server", "https://" + c.machine.IPv4.String() + ":4567"}, last.flags...)...)
		},
	} {
		kill()
		eventually(t, "all is as before", func() (bool, string) {
			out, err := c.try("status")
			return err == nil && strings.Contains(out, "tasks: 2 running"), out
		})
		for zone, m := range c.machines() {
			if aws.ToString(m.ContainerInstanceArn) != aws.ToString(machines[zone].ContainerInstanceArn) {
				t.Errorf("the machine in %s was %s and is %s", zone, aws.ToString(machines[zone].ContainerInstanceArn), aws.ToString(m.ContainerInstanceArn))
			}
		}
		for _, task := range tasks {
			if got := c.task(*task.TaskArn); aws.ToString(got.LastStatus) != "RUNNING" || got.Connectivity != "CONNECTED" {
				t.Errorf("a task after the kill: %s", dump(got))
			}
		}
		if after := probePIDs(mark); dump(after) != dump(before) {
			t.Errorf("processes were %v and are %v", before, after)
		}
	}
}

func silentMachine(t *testing.T, c *cluster) {
	lost := c.agents[1]
	mark := filepath.Base(lost.Dir)
	web := c.define("web", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`)
	tasks := c.in(t, "b", web, 2)
	ports := []string{hostPort(tasks[0], "main"), hostPort(tasks[1], "main")}
	before := waitProbes(t, mark, 2)
	// From another machine and from its own, on every address.
	for _, from := range []*agent{c.agents[0], lost} {
		for _, address := range []string{lost.machine.IPv4.String(), lost.machine.IPv6.String()} {
			url := "http://" + net.JoinHostPort(address, ports[0]) + "/"
			eventually(t, url+" answers in "+from.zone, func() (bool, string) {
				body, err := from.get(url)
				return err == nil, fmt.Sprint(body, err)
			})
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
