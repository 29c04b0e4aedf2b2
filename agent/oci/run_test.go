package oci_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/agent"
	"berth/agent/oci"
	api "berth/api/ecs"
)

func TestExitCodeIsReported(t *testing.T) {
	l := newLab(t)
	for _, code := range []string{"0", "1", "42", "255"} {
		c := l.container("exit", code)
		before := time.Now().Add(-time.Second)
		st, _ := l.run(c)
		if !st.ExitKnown || st.Phase != agent.PhaseExited || st.OOMKilled || code != itoa(st.ExitCode) {
			t.Errorf("exit %s: got %+v", code, st)
		}
		if st.StartedAt.Before(before) || st.FinishedAt.Before(st.StartedAt) || st.TaskArn != "arn:task" || st.Name != "probe" {
			t.Errorf("exit %s: got %+v", code, st)
		}
		l.must(l.Remove(t.Context(), c.ID))
		l.must(l.Remove(t.Context(), c.ID))
		if _, err := l.State(t.Context(), c.ID); errorName(err) != "NoSuchContainerError" {
			t.Errorf("state after removal: got %v", err)
		}
	}
}

func TestSignalsReachTheProcess(t *testing.T) {
	l := newLab(t)
	term, kill := l.container("term", "7"), l.container("sleep")
	l.start(term)
	l.start(kill)
	l.untilOutput(term, "ready")
	l.untilOutput(kill, "ready")
	l.must(l.Signal(t.Context(), term.ID, int(syscall.SIGTERM), false))
	if st := l.wait(term.ID); st.ExitCode != 7 {
		t.Errorf("SIGTERM: got exit code %d, want 7", st.ExitCode)
	}
	l.must(l.Signal(t.Context(), kill.ID, int(syscall.SIGKILL), true))
	if st := l.wait(kill.ID); st.ExitCode != 137 || !st.ExitKnown {
		t.Errorf("SIGKILL: got %+v, want exit code 137", st)
	}
	l.must(l.Signal(t.Context(), kill.ID, int(syscall.SIGKILL), true))
}

func TestCreatedContainerDoesNotRunBeforeStart(t *testing.T) {
	l := newLab(t)
	c := l.container("exit", "3")
	l.must(l.Create(t.Context(), c))
	l.must(l.Create(t.Context(), c))
	st, err := l.State(t.Context(), c.ID)
	l.must(err)
	if st.Phase != agent.PhaseCreated || st.PID == 0 || !st.StartedAt.IsZero() {
		t.Errorf("got %+v, want created", st)
	}
	l.must(l.Start(t.Context(), c.ID))
	l.must(l.Start(t.Context(), c.ID))
	if st := l.wait(c.ID); st.ExitCode != 3 {
		t.Errorf("got %+v, want exit code 3", st)
	}
	l.must(l.Start(t.Context(), c.ID))
}

func TestRestartOfTheAgentAdoptsContainers(t *testing.T) {
	l := newLab(t)
	var cs []agent.Container
	pids := map[string]int{}
	for range 5 {
		c := l.container("term", "5")
		l.start(c)
		cs = append(cs, c)
	}
	created := l.container("exit", "9")
	l.must(l.Create(t.Context(), created))
	for _, c := range cs {
		l.untilOutput(c, "ready")
		st, err := l.State(t.Context(), c.ID)
		l.must(err)
		pids[c.ID] = st.PID
	}
	l.must(l.Close())
	// One ends while nobody looks.
	l.must(syscall.Kill(pids[cs[0].ID], syscall.SIGTERM))
	l.until("exit file", func() bool {
		_, err := os.Stat(filepath.Join(l.cfg.Dir, "exits", cs[0].ID))
		return err == nil
	})
	l.open()
	list, err := l.List(t.Context())
	l.must(err)
	if len(list) != 6 {
		t.Fatalf("got %d containers, want 6", len(list))
	}
	for _, st := range list {
		switch {
		case st.ID == cs[0].ID:
			if st.Phase != agent.PhaseExited || st.ExitCode != 5 || !st.ExitKnown {
				t.Errorf("ended meanwhile: got %+v", st)
			}
		case st.ID == created.ID:
			if st.Phase != agent.PhaseCreated {
				t.Errorf("created: got %+v", st)
			}
		case st.Phase != agent.PhaseRunning || st.PID != pids[st.ID] || st.StartedAt.IsZero():
			t.Errorf("running: got %+v, want PID %d", st, pids[st.ID])
		}
	}
	l.must(l.Start(t.Context(), created.ID))
	if st := l.wait(created.ID); st.ExitCode != 9 {
		t.Errorf("created before the restart: got %+v, want exit code 9", st)
	}
	l.must(l.Signal(t.Context(), cs[1].ID, int(syscall.SIGTERM), false))
	if st := l.wait(cs[1].ID); st.ExitCode != 5 {
		t.Errorf("adopted: got %+v, want exit code 5", st)
	}
}

func TestMissingCommandSaysSo(t *testing.T) {
	l := newLab(t)
	c := l.container()
	c.Definition.EntryPoint = []string{"/no/such/program"}
	err := l.Create(t.Context(), c)
	if errorName(err) != "CannotStartContainerError" || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v", err)
	}
	if _, serr := os.Stat(filepath.Join(l.cfg.Dir, "containers", c.ID)); serr == nil {
		t.Error("the container that could not be created is left")
	}
}

func TestUserIsResolvedInTheImage(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		user     string
		uid, gid float64
		home     string
	}{
		{"app", 1234, 1234, "/home/app"}, {"1234", 1234, 1234, "/home/app"}, {"app:root", 1234, 0, "/home/app"}, {"77:88", 77, 88, "/"}, {"", 0, 0, "/root"},
	} {
		c := l.container()
		c.Definition.User = new(tt.user)
		m := l.report(c)
		if m["uid"] != tt.uid || m["gid"] != tt.gid || !contains(m["env"], "HOME="+tt.home) {
			t.Errorf("user %q: got uid %v gid %v env %v", tt.user, m["uid"], m["gid"], m["env"])
		}
		if tt.user == "app" && !contains(m["groups"], 4321.0) {
			t.Errorf("user app: groups %v lack 4321", m["groups"])
		}
	}
	c := l.container("exit", "0")
	c.Definition.User = new("nobody-there")
	if err := l.Create(t.Context(), c); errorName(err) != "CannotStartContainerError" || !strings.Contains(err.Error(), "unable to find user nobody-there") {
		t.Errorf("unknown user: got %v", err)
	}
}

func TestEnvironmentPrecedence(t *testing.T) {
	l := newLab(t)
	c := l.container()
	c.Env = []string{"AGENT=agent", "BOTH=agent", "THREE=agent"}
	c.Definition.Environment = []api.KeyValuePair{{Name: new("TASK"), Value: new("definition")}, {Name: new("THREE"), Value: new("definition")}}
	m := l.report(c)
	for _, want := range []string{"FROM=image", "AGENT=agent", "BOTH=agent", "TASK=definition", "THREE=agent", "HOSTNAME=box"} {
		if !contains(m["env"], want) {
			t.Errorf("environment %v lacks %s", m["env"], want)
		}
	}
	if m["cwd"] != "/work/dir" || m["hostname"] != "box" {
		t.Errorf("got directory %v, host name %v", m["cwd"], m["hostname"])
	}
}

func TestOutOfMemoryIsReadFromTheCgroup(t *testing.T) {
	l := newLab(t)
	c := l.container("alloc", "200")
	c.Definition.Memory = new(int32(32))
	st, out := l.run(c)
	if st.ExitCode != 137 || !st.OOMKilled {
		t.Errorf("got %+v %q, want an OOM kill with exit code 137", st, out)
	}
	other := l.container("exit", "137")
	if st, _ := l.run(other); st.OOMKilled {
		t.Errorf("exit code 137 without OOM: got %+v", st)
	}
}

func TestForkBombIsHeldAndKilled(t *testing.T) {
	l := newLab(t)
	task := l.cfg.CgroupRoot + "/bomb"
	l.must(l.PrepareTask(t.Context(), task, 0, 0, 100))
	c := l.container("bomb")
	c.CgroupParent = task
	l.start(c)
	l.untilOutput(c, "ready")
	l.until("pids limit reached", func() bool { return l.cgroupFile("pids", task, "pids.current") == "100" })
	other := l.container("exit", "4")
	if st, _ := l.run(other); st.ExitCode != 4 {
		t.Errorf("another container beside the bomb: got %+v", st)
	}
	start := time.Now()
	l.must(l.RemoveTask(t.Context(), task))
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("killing took %s", d)
	}
	if st := l.wait(c.ID); st.ExitCode != 137 {
		t.Errorf("got %+v, want exit code 137", st)
	}
}

func TestKilledMonitorIsReportedHonestly(t *testing.T) {
	l := newLab(t)
	c, other := l.container("orphan"), l.container("term", "5")
	l.start(c)
	l.start(other)
	l.untilOutput(c, "child")
	l.untilOutput(other, "ready")
	st, err := l.State(t.Context(), c.ID)
	l.must(err)
	l.must(syscall.Kill(l.pidfile(c, "conmon.pid"), syscall.SIGKILL))
	st2 := l.wait(c.ID)
	if st2.Phase != agent.PhaseExited || st2.ExitKnown || st2.Error == "" || st2.FinishedAt.IsZero() {
		t.Errorf("got %+v, want exited without exit code", st2)
	}
	if n := len(l.processes(c)); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	l.until("end of the first process", func() bool { return syscall.Kill(st.PID, 0) != nil })
	again, err := l.State(t.Context(), c.ID)
	l.must(err)
	if again.FinishedAt != st2.FinishedAt {
		t.Errorf("end moves from %s to %s", st2.FinishedAt, again.FinishedAt)
	}
	l.must(l.Remove(t.Context(), c.ID))
	if st, err := l.State(t.Context(), other.ID); err != nil || st.Phase != agent.PhaseRunning {
		t.Errorf("other container: got %+v %v", st, err)
	}
}

func TestMonitorKilledWhileTheAgentIsDown(t *testing.T) {
	l := newLab(t)
	c := l.container("sleep")
	l.start(c)
	l.untilOutput(c, "ready")
	monitor := l.pidfile(c, "conmon.pid")
	l.must(l.Close())
	l.must(syscall.Kill(monitor, syscall.SIGKILL))
	l.until("end of monitor", func() bool { return syscall.Kill(monitor, 0) != nil })
	l.open()
	list, err := l.List(t.Context())
	l.must(err)
	if len(list) != 1 || list[0].Phase != agent.PhaseExited || list[0].ExitKnown {
		t.Errorf("got %+v", list)
	}
}

func TestLogFloodIsRotated(t *testing.T) {
	l := newLab(t)
	c := l.container("flood", "20")
	c.LogMaxBytes = 1 << 20
	if st, _ := l.run(c); st.ExitCode != 0 {
		t.Errorf("got %+v", st)
	}
	fi, err := os.Stat(c.LogPath)
	l.must(err)
	if fi.Size() > 2<<20 {
		t.Errorf("log has %d bytes, limit is 1 MiB", fi.Size())
	}
}

func TestLongLineComesInParts(t *testing.T) {
	l := newLab(t)
	c := l.container("line", "1000000")
	_, out := l.run(c)
	if len(strings.TrimSpace(out)) != 1000000 {
		t.Errorf("got %d bytes of output", len(out))
	}
}

func TestExec(t *testing.T) {
	l := newLab(t)
	c := l.container("sleep")
	l.start(c)
	l.untilOutput(c, "ready")
	var out strings.Builder
	code, err := l.Exec(t.Context(), c.ID, []string{"/probe", "report"}, &out)
	if err != nil || code != 0 || !strings.Contains(out.String(), `"cwd":"/work/dir"`) {
		t.Errorf("got %d %v %s", code, err, out.String())
	}
	if code, err := l.Exec(t.Context(), c.ID, []string{"/probe", "exit", "12"}, nil); code != 12 || err != nil {
		t.Errorf("got %d %v, want exit code 12", code, err)
	}
	if _, err := l.Exec(t.Context(), c.ID, []string{"/none"}, nil); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Errorf("missing program: got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := l.Exec(ctx, c.ID, []string{"/probe", "sleep"}, nil); err == nil {
		t.Error("exec beyond its time: got no error")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("exec beyond its time took %s", d)
	}
	// A runtime that was killed while it made the process leaves one that ends by itself.
	l.until("end of the processes that ran beyond their time", func() bool { return len(l.processes(c)) == 1 })
}

func TestCopyUp(t *testing.T) {
	l := newLab(t)
	dst := filepath.Join(l.dir, "volume")
	l.must(os.Mkdir(dst, 0o755))
	l.must(l.CopyUp(t.Context(), l.image, "/data", dst))
	raw, err := os.ReadFile(filepath.Join(dst, "seed"))
	if err != nil || string(raw) != "from the image" {
		t.Fatalf("got %q %v", raw, err)
	}
	fi, err := os.Stat(filepath.Join(dst, "seed"))
	l.must(err)
	if st := fi.Sys().(*syscall.Stat_t); st.Uid != 1234 || fi.Mode().Perm() != 0o640 {
		t.Errorf("got owner %d mode %v", st.Uid, fi.Mode())
	}
	if to, err := os.Readlink(filepath.Join(dst, "link")); to != "seed" {
		t.Errorf("link: got %q %v", to, err)
	}
	empty := filepath.Join(l.dir, "other")
	l.must(os.Mkdir(empty, 0o755))
	l.must(l.CopyUp(t.Context(), l.image, "/not/there", empty))
	l.must(os.WriteFile(filepath.Join(empty, "own"), nil, 0o600))
	l.must(l.CopyUp(t.Context(), l.image, "/data", empty))
	if _, err := os.Stat(filepath.Join(empty, "seed")); err == nil {
		t.Error("a volume with content was filled")
	}
}

func TestResetKeepsTheWritableLayer(t *testing.T) {
	l := newLab(t)
	c := l.container("touch", "/made")
	if st, _ := l.run(c); st.ExitCode != 0 {
		t.Fatalf("got %+v", st)
	}
	l.must(l.Reset(t.Context(), c.ID))
	l.must(l.Reset(t.Context(), c.ID))
	c.Definition.Command = []string{"cat", "/made"}
	if st, out := l.run(c); st.ExitCode != 0 || !strings.Contains(out, "content") {
		t.Errorf("after reset: got %+v %q", st, out)
	}
	l.must(l.Remove(t.Context(), c.ID))
	if st, _ := l.run(c); st.ExitCode != 1 {
		t.Errorf("after removal: got %+v, want no file", st)
	}
}

func TestContainerWithoutLog(t *testing.T) {
	l := newLab(t)
	c := l.container("exit", "2")
	c.LogPath = os.DevNull
	l.start(c)
	if st := l.wait(c.ID); st.ExitCode != 2 {
		t.Errorf("got %+v", st)
	}
}

func TestDirectoryIsOpenOnce(t *testing.T) {
	l := newLab(t)
	if r, err := oci.Open(l.cfg); err == nil {
		_ = r.Close()
		t.Error("a second one opened it")
	}
}

func TestProcessIDsOfAnotherBootMeanNothing(t *testing.T) {
	l := newLab(t)
	c := l.container("sleep")
	l.start(c)
	l.untilOutput(c, "ready")
	path := filepath.Join(l.cfg.Dir, "containers", c.ID, "container.json")
	raw, err := os.ReadFile(path)
	l.must(err)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	l.must(err)
	l.must(os.WriteFile(path, []byte(strings.Replace(string(raw), strings.TrimSpace(string(boot)), "another", 1)), 0o600))
	st, err := l.State(t.Context(), c.ID)
	l.must(err)
	if st.Phase != agent.PhaseExited || st.ExitKnown {
		t.Errorf("got %+v, want exited without exit code", st)
	}
}
