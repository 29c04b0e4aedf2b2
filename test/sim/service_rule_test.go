package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"berth/ecs"
	"berth/elbv2"
)

// balanced has two machines that carry traffic and run tasks, and the service web of three tasks behind a load balancer.
func balanced(w *world) (a, b *machine, group string) {
	w.Helper()
	a, b = w.joinIngress("a", "10.0.0.1"), w.joinIngress("b", "10.0.0.2")
	w.defineWeb()
	group = w.group("web")
	w.forward(1, group)
	_, err := w.ecs.CreateService(w.Context(), &sdk.CreateServiceInput{
		ServiceName: new("web"), TaskDefinition: new("web"), DesiredCount: new(int32(3)),
		LoadBalancers: []types.LoadBalancer{{TargetGroupArn: &group, ContainerName: new("app"), ContainerPort: new(int32(80))}},
		DeploymentConfiguration: &types.DeploymentConfiguration{
			DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true},
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.watch(time.Minute, 0)
	w.wantService("ACTIVE 3/3/0 COMPLETED")
	return a, b, group
}

// defineWeb registers a revision of web that has a port and needs a quarter of half a machine.
func (w *world) defineWeb() {
	w.Helper()
	_, err := w.ecs.RegisterTaskDefinition(w.Context(), &sdk.RegisterTaskDefinitionInput{
		Family: new("web"), Cpu: new("128"), Memory: new("128"), NetworkMode: types.NetworkModeBridge,
		ContainerDefinitions: []types.ContainerDefinition{{Name: new("app"), Image: new("app:1"), PortMappings: []types.PortMapping{{ContainerPort: new(int32(80))}}}},
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) service() types.Service {
	w.Helper()
	out, err := w.ecs.DescribeServices(w.Context(), &sdk.DescribeServicesInput{Services: []string{"web"}})
	if err != nil || len(out.Services) != 1 {
		w.Fatalf("describe: %v %+v", err, out)
	}
	return out.Services[0]
}

// wantService checks status desired/running/pending and the states of the deployments.
func (w *world) wantService(want string) {
	w.Helper()
	v := w.service()
	got := fmt.Sprintf("%s %d/%d/%d", *v.Status, v.DesiredCount, v.RunningCount, v.PendingCount)
	for _, d := range v.Deployments {
		got += " " + string(d.RolloutState)
	}
	if got != want {
		var events []string
		for _, e := range v.Events {
			events = append(events, *e.Message)
		}
		w.Errorf("service is %s; the rule says %s\n%s", got, want, strings.Join(events, "\n"))
	}
}

func (w *world) update(in sdk.UpdateServiceInput) {
	w.Helper()
	in.Service = new("web")
	if _, err := w.ecs.UpdateService(w.Context(), &in); err != nil {
		w.Fatal(err)
	}
}

// watch lets time pass and checks all the time that at least so many targets take requests, and that no machine stops a task that gets
// some.
func (w *world) watch(d time.Duration, least int) {
	w.Helper()
	for range int(d / (250 * time.Millisecond)) {
		w.settle(250 * time.Millisecond)
		serving := 0
		r := w.store.Read()
		tasks := map[string]ecs.Task{}
		for t := range ecs.Tasks.All(r) {
			tasks[t.ARN().String()] = t
		}
		for target := range elbv2.Targets.All(r) {
			everywhere := true
			for _, m := range w.machines {
				if m.ingress != nil && m.reachable() {
					everywhere = everywhere && slices.Contains(m.ingress.active(), target.Name())
				}
			}
			t := tasks[target.By]
			if everywhere && t.Last == ecs.StateRunning {
				serving++
			}
			for _, m := range w.machines {
				if m.reachable() && m.arn() == t.InstanceARN().String() && slices.Contains(m.toldToStop(), target.By) && m.last(target.By) != "STOPPED" {
					w.Errorf("%s was told to stop %s, which still gets requests", m.name, t.ID)
				}
			}
		}
		if serving < least {
			w.Errorf("%d targets take requests, at least %d should", serving, least)
			return
		}
		if w.Failed() {
			return
		}
	}
}

func (m *machine) reachable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conn != nil
}

// last is the task's last status as the machine knows it.
func (m *machine) last(arn string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state[arn]
}

// tasksOf are the service's tasks that should run.
func (w *world) tasksOf() (out []ecs.Task) {
	for t := range ecs.Tasks.All(w.store.Read()) {
		if t.Desired == ecs.StateRunning && t.ServiceKey() != "" {
			out = append(out, t)
		}
	}
	return out
}

func (w *world) sick(t ecs.Task, ill bool) {
	for target := range elbv2.Targets.All(w.store.Read()) {
		if target.By == t.ARN().String() {
			for _, m := range w.machines {
				m.ingress.setHealth(target.Name(), !ill)
			}
		}
	}
}

func TestARollingUpdateKeepsAllTargets(t *testing.T) {
	scenario(t, func(w *world) {
		balanced(w)
		for range 2 {
			w.defineWeb()
			w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
			w.watch(time.Minute, 3)
			w.wantService("ACTIVE 3/3/0 COMPLETED")
		}
	})
}

func TestTwoUpdatesInARow(t *testing.T) {
	scenario(t, func(w *world) {
		balanced(w)
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		w.watch(4*time.Second, 3)
		w.update(sdk.UpdateServiceInput{ForceNewDeployment: true})
		w.watch(time.Minute, 3)
		w.wantService("ACTIVE 3/3/0 COMPLETED")
	})
}

func TestARevisionWhoseTargetsFailIsRolledBack(t *testing.T) {
	scenario(t, func(w *world) {
		balanced(w)
		old := w.tasksOf()
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web:2")})
		for range 60 {
			for _, task := range w.tasksOf() {
				if task.Revision == 2 {
					w.sick(task, true)
				}
			}
			w.watch(time.Second, 3)
		}
		w.wantService("ACTIVE 3/3/0 COMPLETED")
		for _, task := range old {
			w.wantTask(task.ARN().String(), "RUNNING", "RUNNING")
		}
	})
}

func TestAnUnhealthyTargetIsReplaced(t *testing.T) {
	scenario(t, func(w *world) {
		_, _, group := balanced(w)
		victim := w.tasksOf()[0]
		w.sick(victim, true)
		w.watch(time.Minute, 2)
		w.wantService("ACTIVE 3/3/0 COMPLETED")
		got := w.wantTask(victim.ARN().String(), "STOPPED", "STOPPED")
		if want := "Task failed ELB health checks in (target-group " + group + ")"; *got.StoppedReason != want {
			w.Errorf("the task stopped for %q", *got.StoppedReason)
		}
	})
}

func TestStopTaskWaitsForOpenRequests(t *testing.T) {
	scenario(t, func(w *world) {
		a, b, _ := balanced(w)
		a.ingress.hold()
		victim := w.tasksOf()[0].ARN().String()
		w.stop(victim)
		w.watch(100*time.Second, 2)
		w.wantTask(victim, "DEACTIVATING", "STOPPED")
		a.ingress.release()
		w.watch(10*time.Second, 2)
		w.wantTask(victim, "STOPPED", "STOPPED")
		// No longer than the deregistration delay.
		b.ingress.hold()
		victim = w.tasksOf()[0].ARN().String()
		w.stop(victim)
		w.watch(299*time.Second, 2)
		w.wantTask(victim, "DEACTIVATING", "STOPPED")
		w.watch(10*time.Second, 3)
		w.wantTask(victim, "STOPPED", "STOPPED")
		w.wantService("ACTIVE 3/3/0 COMPLETED")
	})
}

func TestScaleToZeroAndBackBehindALoadBalancer(t *testing.T) {
	scenario(t, func(w *world) {
		balanced(w)
		w.update(sdk.UpdateServiceInput{DesiredCount: new(int32(0))})
		w.watch(time.Minute, 0)
		w.wantService("ACTIVE 0/0/0 COMPLETED")
		if n := elbv2.Targets.Len(w.store.Read()); n != 0 {
			w.Errorf("%d targets of no tasks", n)
		}
		w.update(sdk.UpdateServiceInput{DesiredCount: new(int32(2))})
		w.watch(time.Minute, 0)
		w.wantService("ACTIVE 2/2/0 COMPLETED")
	})
}

func TestAForcedDeleteDrainsFirst(t *testing.T) {
	scenario(t, func(w *world) {
		a, _, _ := balanced(w)
		a.ingress.hold()
		if _, err := w.ecs.DeleteService(w.Context(), &sdk.DeleteServiceInput{Service: new("web"), Force: new(true)}); err != nil {
			w.Fatal(err)
		}
		w.watch(time.Minute, 0)
		w.wantService("DRAINING 0/0/0 COMPLETED")
		a.ingress.release()
		w.watch(10*time.Second, 0)
		w.wantService("INACTIVE 0/0/0")
	})
}

// A machine that is lost in mid-deployment takes its tasks with it: the others find their targets unhealthy, and they are replaced.
func TestAMachineLostInMidDeployment(t *testing.T) {
	scenario(t, func(w *world) {
		a, b, _ := balanced(w)
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		w.watch(4*time.Second, 3)
		b.cable.pull()
		for range 5 * 60 {
			for _, task := range w.tasksOf() {
				if task.InstanceARN().String() == b.arn() {
					for target := range elbv2.Targets.All(w.store.Read()) {
						if target.By == task.ARN().String() {
							a.ingress.setHealth(target.Name(), false)
						}
					}
				}
			}
			w.settle(time.Second)
		}
		w.wantService("ACTIVE 3/3/0 COMPLETED")
		for _, task := range w.tasksOf() {
			if task.InstanceARN().String() != a.arn() {
				w.Errorf("task %s runs on a machine that is lost", task.ID)
			}
		}
		b.cable.plug()
		w.settle(2 * time.Minute)
		for task := range ecs.Tasks.All(w.store.Read()) {
			if task.Desired == ecs.StateStopped && task.Last != ecs.StateStopped {
				w.Errorf("task %s is %s", task.ID, task.Last)
			}
		}
		w.wantService("ACTIVE 3/3/0 COMPLETED")
	})
}
