package ecs

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
)

// reportWorld has one task of webDefinition on machine m and another machine.
func reportWorld(t *testing.T) (w *world, m, other ContainerInstance, arn string) {
	w = newWorld(t)
	w.cluster("default")
	m = w.machine("default", "m1", 2048, 4096)
	w.register(webDefinition)
	arn = w.run(`{"taskDefinition":"web"}`)[0]
	other = w.machine("default", "m2", 2048, 4096)
	w.clock = w.clock.Add(time.Minute)
	return w, m, other, arn
}

func (w *world) record(arn string) Task {
	w.t.Helper()
	key, _ := taskKeyOf(arn)
	task, ok := Tasks.Get(w.store.Read(), key)
	if !ok {
		w.t.Fatalf("no task %s", arn)
	}
	return task
}

func TestApplyReportRefuses(t *testing.T) {
	w, m, other, arn := reportWorld(t)
	before := show(w.record(arn))
	unknown := arn[:len(arn)-4] + "ffff"
	for _, row := range []struct {
		name   string
		from   ContainerInstance
		status proto.TaskStatus
		want   error
	}{
		{"a task of another machine", other, proto.TaskStatus{Arn: arn, LastStatus: "STOPPED"}, ErrForeignTask},
		{"a task that is not there", m, proto.TaskStatus{Arn: unknown, LastStatus: "RUNNING"}, ErrUnknownTask},
		{"a status that is none", m, proto.TaskStatus{Arn: arn, LastStatus: "DEAD"}, ErrBadReport},
		{"no status", m, proto.TaskStatus{Arn: arn}, ErrBadReport},
		{"an ARN of something else", m, proto.TaskStatus{Arn: string(m.ARN()), LastStatus: "STOPPED"}, ErrBadReport},
		{"an ARN without cluster", m, proto.TaskStatus{Arn: strings.Replace(arn, "default/", "", 1), LastStatus: "STOPPED"}, ErrBadReport},
		{"nonsense", m, proto.TaskStatus{Arn: "x", LastStatus: "STOPPED"}, ErrBadReport},
		{"the task in another account", m, proto.TaskStatus{Arn: strings.Replace(arn, testAccount, "999999999999", 1), LastStatus: "STOPPED"}, ErrUnknownTask},
	} {
		if err := w.report(row.from, row.status); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if after := show(w.record(arn)); after != before {
		t.Errorf("a refused report changed the task:\n%s\n%s", before, after)
	}
}

func TestStatesNeverGoBack(t *testing.T) {
	w, m, _, arn := reportWorld(t)
	for _, row := range []struct{ report, last, desired string }{
		{"PENDING", "PENDING", "RUNNING"},
		{"RUNNING", "RUNNING", "RUNNING"},
		{"ACTIVATING", "RUNNING", "RUNNING"},
		{"PROVISIONING", "RUNNING", "RUNNING"},
		{"STOPPING", "STOPPING", "STOPPED"},
		{"RUNNING", "STOPPING", "STOPPED"},
		{"STOPPED", "STOPPED", "STOPPED"},
		{"RUNNING", "STOPPED", "STOPPED"},
		{"STOPPED", "STOPPED", "STOPPED"},
	} {
		version := w.record(arn).Version
		before := w.record(arn).Last
		if err := w.report(m, proto.TaskStatus{Arn: arn, LastStatus: row.report}); err != nil {
			t.Fatal(err)
		}
		got := w.record(arn)
		if got.Last.String() != row.last || got.Desired.String() != row.desired {
			t.Errorf("after %s: %s, desired %s; want %s, %s", row.report, got.Last, got.Desired, row.last, row.desired)
		}
		if got.Last > before && got.Version != version+1 {
			t.Errorf("after %s: version %d, was %d", row.report, got.Version, version)
		}
	}
}

func TestTheMachinesReasonIsKept(t *testing.T) {
	for _, row := range []struct {
		name         string
		status       proto.TaskStatus
		code, reason string
	}{
		{"as reported", proto.TaskStatus{LastStatus: "STOPPED", StopCode: "EssentialContainerExited", StoppedReason: "r"}, "EssentialContainerExited", "r"},
		{"failed to start", proto.TaskStatus{LastStatus: "STOPPED", StopCode: "TaskFailedToStart", StoppedReason: "CannotPullContainerError: x"}, "TaskFailedToStart", "CannotPullContainerError: x"},
		{"none, never ran", proto.TaskStatus{LastStatus: "STOPPED"}, "TaskFailedToStart", "Task failed to start"},
		{"none, ran", proto.TaskStatus{LastStatus: "STOPPED", StartedAt: time.Date(2031, 5, 4, 10, 0, 5, 0, time.UTC)}, "EssentialContainerExited", "Essential container in task exited"},
		{"a code that is not the machine's to give", proto.TaskStatus{LastStatus: "STOPPED", StopCode: "UserInitiated"}, "TaskFailedToStart", "Task failed to start"},
		{"while it still runs", proto.TaskStatus{LastStatus: "RUNNING", StopCode: "EssentialContainerExited", StoppedReason: "r"}, "EssentialContainerExited", "r"},
	} {
		w, m, _, arn := reportWorld(t)
		row.status.Arn = arn
		if err := w.report(m, row.status); err != nil {
			t.Fatal(err)
		}
		if got := w.record(arn); string(got.StopCode) != row.code || got.StopReason != row.reason || got.Desired != StateStopped || got.Stopping == 0 {
			t.Errorf("%s: got %s %q desired %s", row.name, got.StopCode, got.StopReason, got.Desired)
		}
	}
}

func TestTimesStayBetweenCreationAndNow(t *testing.T) {
	w, m, _, arn := reportWorld(t)
	early, late := w.clock.Add(-24*time.Hour), w.clock.Add(24*time.Hour)
	if err := w.report(m, proto.TaskStatus{Arn: arn, LastStatus: "STOPPED", PullStartedAt: early, PullStoppedAt: late, StartedAt: early, StoppedAt: late}); err != nil {
		t.Fatal(err)
	}
	got := w.record(arn)
	now := MillisOf(w.clock)
	if got.PullStarted != got.Created || got.PullStopped != now || got.Started != got.Created || got.Stopped != now {
		t.Errorf("got %+v", got)
	}
}

func TestHealthAloneIsNoNewVersion(t *testing.T) {
	w := newWorld(t)
	w.cluster("default")
	m := w.machine("default", "m1", 2048, 4096)
	w.register(`{"family":"h","containerDefinitions":[{"name":"a","image":"i","memory":9,"healthCheck":{"command":["CMD","x"]}},{"name":"b","image":"i","memory":9}]}`)
	arn := w.run(`{"taskDefinition":"h"}`)[0]
	for _, row := range []struct {
		health  string
		want    api.HealthStatus
		version int64
	}{{"UNKNOWN", "UNKNOWN", 2}, {"HEALTHY", "HEALTHY", 2}, {"UNHEALTHY", "UNHEALTHY", 2}, {"HEALTHY", "HEALTHY", 2}, {"SICK", "HEALTHY", 2}} {
		st := proto.TaskStatus{Arn: arn, LastStatus: "RUNNING", Containers: []proto.ContainerStatus{{Name: "a", LastStatus: "RUNNING", HealthStatus: row.health}}}
		if err := w.report(m, st); err != nil {
			t.Fatal(err)
		}
		if got := w.describe("default", arn); got.HealthStatus != row.want || *got.Version != row.version {
			t.Errorf("%s: got %s, version %d", row.health, got.HealthStatus, *got.Version)
		}
	}
}

func TestARestartedContainerRunsAgain(t *testing.T) {
	w, m, _, arn := reportWorld(t)
	say := func(state string, restarts int32, exit *int32, id string) TaskContainer {
		t.Helper()
		st := proto.TaskStatus{Arn: arn, LastStatus: "RUNNING", Containers: []proto.ContainerStatus{
			{Name: "app", LastStatus: state, RestartCount: restarts, ExitCode: exit, RuntimeID: id},
		}}
		if err := w.report(m, st); err != nil {
			t.Fatal(err)
		}
		return w.record(arn).Containers[0]
	}
	say("RUNNING", 0, nil, "c1")
	say("STOPPED", 0, new(int32(3)), "c1")
	if c := say("RUNNING", 0, nil, "c1"); c.State != StateStopped || *c.ExitCode != 3 {
		t.Errorf("a late report brought the container back: %+v", c)
	}
	if c := say("RUNNING", 1, nil, "c2"); c.State != StateRunning || c.ExitCode != nil || c.RuntimeID != "c2" || c.Restarts != 1 {
		t.Errorf("restarted: %+v", c)
	}
}

// history is what a machine says of a task, in order.
func history(arn string, at time.Time) []proto.TaskStatus {
	step := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	app := func(state string, exit *int32) []proto.ContainerStatus {
		return []proto.ContainerStatus{
			{Name: "app", LastStatus: state, ExitCode: exit, RuntimeID: "r", ImageDigest: "sha256:" + strings.Repeat("a", 64)},
			{Name: "side", LastStatus: state, RuntimeID: "s"},
		}
	}
	pending := proto.TaskStatus{Arn: arn, LastStatus: "PENDING", PullStartedAt: step(1)}
	pulled := pending
	pulled.PullStoppedAt = step(2)
	running := pulled
	running.LastStatus, running.StartedAt, running.Containers = "RUNNING", step(3), app("RUNNING", nil)
	stopping := running
	stopping.LastStatus, stopping.StopCode, stopping.StoppedReason = "STOPPING", "EssentialContainerExited", "gone"
	stopping.StoppingAt, stopping.ExecutionStoppedAt = step(4), step(4)
	stopped := stopping
	stopped.LastStatus, stopped.StoppedAt, stopped.Containers = "STOPPED", step(5), app("STOPPED", new(int32(1)))
	return []proto.TaskStatus{pending, pulled, running, stopping, stopped}
}

// I-21: duplicates and late reports change nothing. Each report of a machine tells everything that was so up to then,
// so whatever comes before the last one, the end is the same.
func TestDuplicatedAndReorderedReportsEndTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var want string
	for round := range 60 {
		w, m, _, arn := reportWorld(t)
		reports := history(arn, w.clock.Add(-time.Minute))
		last := reports[len(reports)-1]
		if round > 0 {
			reports = append(reports, reports...)
			rnd.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
			reports = append(reports, last)
		}
		reached := StateNone
		for _, r := range reports {
			if err := w.report(m, r); err != nil {
				t.Fatal(err)
			}
			if now := w.record(arn).Last; now < reached {
				t.Fatalf("state went back from %s to %s", reached, now)
			} else {
				reached = now
			}
		}
		got := w.record(arn)
		got.ID, got.Instance, got.Version = "", "", 0
		if round == 0 {
			want = show(got)
		} else if show(got) != want {
			t.Fatalf("round %d ends otherwise:\n%s\n%s", round, show(got), want)
		}
		if c, _ := ContainerInstances.Get(w.store.Read(), m.Key()); c.Used.CPU != 0 || len(c.Used.TCP) != 0 {
			t.Fatalf("round %d: still reserved %+v", round, c.Used)
		}
	}
}
