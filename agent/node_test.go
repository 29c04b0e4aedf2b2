package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// rig is a node on a fake machine inside a synctest bubble.
type rig struct {
	t      *testing.T
	m      *machine
	dir    string
	n      *node
	cancel context.CancelFunc
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, m: newMachine(), dir: t.TempDir()}
	r.boot()
	t.Cleanup(func() { r.kill() })
	return r
}

// boot starts an agent on the machine as it is.
func (r *rig) boot() {
	r.t.Helper()
	n, err := openNode(testConfig(r.t, r.m, r.dir))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	r.n, r.cancel = n, cancel
	if err := n.start(ctx); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// kill ends the agent without a word to the tasks.
func (r *rig) kill() {
	r.cancel()
	r.n.wait()
}

func (r *rig) assign(status, def string) {
	r.t.Helper()
	r.assignWith(status, def, func(*ecs.TaskDefinition) {})
}

func (r *rig) assignWith(status, def string, change func(*ecs.TaskDefinition)) {
	r.t.Helper()
	d := parseDefinition(def)
	change(d)
	r.n.apply(r.t.Context(), proto.Assignment{Tasks: []proto.Task{{Arn: simArn, DesiredStatus: status, Definition: "d", StopCode: "UserInitiated", StoppedReason: "asked"}}},
		func(string) *ecs.TaskDefinition { return d }, true)
	synctest.Wait()
}

// reported is the newest state of the task in the outbox.
func (r *rig) reported() proto.TaskStatus {
	r.n.outbox.mu.Lock()
	defer r.n.outbox.mu.Unlock()
	if o := r.n.outbox.tasks[simArn]; o != nil {
		return o.status
	}
	return proto.TaskStatus{}
}

func (r *rig) want(status string) proto.TaskStatus {
	r.t.Helper()
	synctest.Wait()
	s := r.reported()
	if s.LastStatus != status {
		text, _ := json.MarshalIndent(s, "", " ")
		r.t.Fatalf("status is %q, want %q: %s", s.LastStatus, status, text)
	}
	return s
}

func TestTaskRunsStopsAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web >db:START; db")
		r.want(statusRunning)
		r.assign("STOPPED", "web >db:START; db")
		s := r.want(statusStopped)
		if s.StopCode != "UserInitiated" || s.StoppedReason != "asked" || *s.Containers[0].ExitCode != 143 {
			t.Errorf("stopped with %q %q %v", s.StopCode, s.StoppedReason, *s.Containers[0].ExitCode)
		}
		if got := r.m.left(); got != "containers=0 networks=0 cgroups=0" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestKilledAgentAdoptsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web")
		before := r.want(statusRunning)
		r.kill()
		r.boot()
		after := r.want(statusRunning)
		if r.m.count("create web") != 1 || r.m.count("start web") != 1 {
			t.Errorf("made again: %v", r.m.calls)
		}
		if !before.StartedAt.Equal(after.StartedAt) {
			t.Errorf("startedAt changed from %v to %v", before.StartedAt, after.StartedAt)
		}
	})
}

func TestExitWhileTheAgentWasDownIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web")
		r.want(statusRunning)
		r.kill()
		r.m.end("web", 42)
		r.boot()
		s := r.want(statusStopped)
		if c := s.Containers[0]; c.ExitCode == nil || *c.ExitCode != 42 || s.StopCode != codeEssentialExited {
			t.Errorf("got %+v %s", c, s.StopCode)
		}
	})
}

func TestLostJournalIsRebuiltFromTheRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web; side-")
		r.want(statusRunning)
		r.kill()
		if err := os.RemoveAll(filepath.Join(r.dir, "tasks")); err != nil {
			t.Fatal(err)
		}
		r.boot()
		r.want(statusRunning)
		r.m.end("web", 1) // without a definition nothing is known to be essential: nothing stops
		r.want(statusRunning)
		r.assign("RUNNING", "web; side-")
		s := r.want(statusStopped)
		if s.StopCode != codeEssentialExited || r.m.count("create web") != 1 {
			t.Errorf("stop code %s, calls %v", s.StopCode, r.m.calls)
		}
	})
}

func TestJournalTornAtAnyByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web")
		r.kill()
		path := filepath.Join(r.dir, "tasks", taskID(simArn)+".json")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(whole); n += 7 {
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			r.boot()
			r.want(statusRunning)
			r.assign("RUNNING", "web")
			r.want(statusRunning)
			r.kill()
			if r.m.count("create web") != 1 {
				t.Fatalf("torn at byte %d of %d: the container was made again", n, len(whole))
			}
		}
	})
}

func TestMissingTasksStayAndAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web")
		r.want(statusRunning)
		r.n.outbox.take(true, time.Now())
		r.n.apply(t.Context(), proto.Assignment{Revision: 9}, nil, true)
		synctest.Wait()
		rep, ok, _ := r.n.outbox.take(false, time.Now())
		if !ok || rep.Tasks[0].LastStatus != statusRunning || r.m.count("signal web 15") != 0 {
			t.Errorf("got %v %v, calls %v", ok, rep, r.m.calls)
		}
	})
}

func TestStoppedTaskIsForgottenAfterAckAndAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web")
		r.assign("STOPPED", "web")
		r.want(statusStopped)
		rep, _, _ := r.n.outbox.take(false, time.Now())
		r.n.apply(t.Context(), proto.Assignment{}, nil, true)
		r.want(statusStopped) // not acknowledged yet
		r.n.outbox.acked(rep.Seq)
		synctest.Wait()
		r.want("")
		if _, err := os.Stat(filepath.Join(r.dir, "tasks", taskID(simArn)+".json")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("journal entry: %v", err)
		}
	})
}

func TestStopWhilePullingCancelsThePull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.m.gate["pull img"] = make(chan struct{})
		r.assign("RUNNING", "web")
		r.want(statusPending)
		r.assign("STOPPED", "web")
		s := r.want(statusStopped)
		if s.Containers[0].ExitCode != nil || !s.StartedAt.IsZero() {
			t.Errorf("got %+v", s)
		}
	})
}

func TestCreateThatHangsEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.m.gate["create web"] = make(chan struct{})
		r.assign("RUNNING", "web")
		time.Sleep(createLimit)
		s := r.want(statusStopped)
		want := "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s"
		if s.Containers[0].Reason != want || s.StopCode != codeFailedToStart {
			t.Errorf("got %q %q", s.Containers[0].Reason, s.StopCode)
		}
	})
}

// Hundreds of containers that are made before it are no reason to give up.
func TestCreateThatWaitsForItsTurnIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		free := busy(r.n.creating)
		r.assign("RUNNING", "web")
		time.Sleep(2 * createLimit)
		r.want(statusPending)
		free()
		r.want(statusRunning)
	})
}

func TestCreateThatWaitsForItsTurnIsLeftOutWhenTheTaskStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		free := busy(r.n.creating)
		r.assign("RUNNING", "web")
		r.assign("STOPPED", "web")
		free()
		s := r.want(statusStopped)
		if n := r.m.count("create web"); n != 0 || s.Containers[0].ExitCode != nil || s.StoppedReason != "asked" {
			t.Errorf("made %d times, got %+v", n, s)
		}
	})
}

func TestRemovalThatWaitsForItsTurnIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web")
		free := busy(r.n.removing)
		r.assign("STOPPED", "web")
		time.Sleep(2 * dropLimit)
		if n := r.m.count("remove web"); n != 0 {
			t.Errorf("tried %d times", n)
		}
		free()
		r.want(statusStopped)
	})
}

// busy takes all places, until they are free.
func busy(places chan struct{}) (free func()) {
	for range cap(places) {
		places <- struct{}{}
	}
	return func() {
		for range cap(places) {
			<-places
		}
	}
}

func TestSequenceRisesAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	last := uint64(0)
	for range 3 {
		s, err := openSequence(dir)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if n := s.next(); n <= last {
				t.Fatalf("%d after %d", n, last)
			} else {
				last = n
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "sequence")); err != nil {
		t.Fatal(err)
	}
	s, err := openSequence(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.raise(last)
	if n := s.next(); n <= last {
		t.Fatalf("%d after %d and a lost file", n, last)
	}
}

func TestRestartPolicyMakesTheContainerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web restart=60")
		r.want(statusRunning)
		for n := range 3 {
			time.Sleep(61 * time.Second)
			r.m.end("web", 1)
			s := r.want(statusRunning)
			if got := s.Containers[0]; got.RestartCount != int32(n+1) || got.LastStatus != statusRunning {
				t.Fatalf("after exit %d: %+v", n+1, got)
			}
		}
		time.Sleep(time.Second)
		r.m.end("web", 1)
		r.want(statusStopped)
		if n := r.m.count("create web"); n != 4 {
			t.Errorf("made %d times", n)
		}
	})
}

func TestJournalThatCannotBeWrittenStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		dir := filepath.Join(r.dir, "tasks")
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		r.assign("RUNNING", "web")
		r.want(statusRunning)
		if err := os.Rename(dir+".gone", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(saveAgain)
		synctest.Wait()
		r.kill()
		r.boot()
		r.want(statusRunning)
		if n := r.m.count("create web"); n != 1 {
			t.Errorf("made %d times", n)
		}
	})
}

func TestDesiredStoppedIsNeverTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.m.deaf["web"] = true
		r.assign("RUNNING", "web")
		r.assign("STOPPED", "web")
		r.want(statusStopping)
		r.assign("RUNNING", "web")
		time.Sleep(31 * time.Second)
		r.want(statusStopped)
		r.assign("RUNNING", "web")
		r.want(statusStopped)
		if n := r.m.count("create web"); n != 1 {
			t.Errorf("made %d times", n)
		}
	})
}

func TestPreparedTaskIsPreparedAgainAfterTheMachineRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.m.gate["create web"] = make(chan struct{})
		r.assign("RUNNING", "web")
		r.want(statusPending)
		r.kill()
		clear(r.m.cgroups) // what the kernel had is gone
		clear(r.m.attached)
		delete(r.m.gate, "create web")
		r.boot()
		time.Sleep(welcomePatience)
		r.want(statusRunning)
	})
}

func TestCheckTurnsTheTaskUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.assign("RUNNING", "web hc")
		time.Sleep(time.Second)
		if s := r.want(statusRunning); s.HealthStatus != healthy || s.Containers[0].HealthStatus != healthy {
			t.Errorf("health %s", s.HealthStatus)
		}
		r.m.mu.Lock()
		r.m.sick["web"] = true
		r.m.mu.Unlock()
		time.Sleep(21 * time.Second)
		if s := r.want(statusRunning); s.HealthStatus != unhealthy {
			t.Errorf("health %s", s.HealthStatus)
		}
	})
}

// TestAgentKilledAtEveryCall kills the agent in each of its calls to the machine, before the call's effect and after
// it, lets a new one go on, and wants what an agent that was never killed reaches: one life of each container, the
// right exit codes, and nothing left.
func TestAgentKilledAtEveryCall(t *testing.T) {
	const def = "web >db:START; db"
	for _, late := range []bool{false, true} {
		for call, more := 1, true; more; call++ {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.m.trap, r.m.late = call, late
				again := func() bool { // kills the agent if it hangs
					synctest.Wait()
					if r.m.trapped == "" || r.m.trap < 0 {
						return false
					}
					r.kill()
					r.m.trap = -1
					r.boot()
					return true
				}
				r.assign("RUNNING", def)
				if again() {
					r.assign("RUNNING", def)
					time.Sleep(time.Minute)
				}
				r.want(statusRunning)
				r.assign("STOPPED", def)
				if again() {
					r.assign("STOPPED", def)
					time.Sleep(time.Minute)
				}
				s := r.want(statusStopped)
				where := fmt.Sprintf("killed in call %d (%s), late=%v", call, r.m.trapped, late)
				t.Log(where)
				for _, c := range s.Containers {
					if c.ExitCode == nil || *c.ExitCode != 143 {
						t.Errorf("%s: container %s ended with %v %q", where, c.Name, c.ExitCode, c.Reason)
					}
				}
				if got := r.m.left(); got != "containers=0 networks=0 cgroups=0" {
					t.Errorf("%s: left %s", where, got)
				}
				if n := r.m.lives["web"] + r.m.lives["db"]; n != 2 {
					t.Errorf("%s: %d lives", where, n)
				}
				more = r.m.trapped != ""
			})
		}
	}
}
