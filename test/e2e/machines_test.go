package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/nftables"
)

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
		if !strings.Contains(out, "berth token create") {
			t.Errorf("a used token: no word about a new one in %s", out)
		}
		if left := leftovers(other.Dir); len(left) > 0 {
			t.Errorf("a used token left behind %v", left)
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
