package oci_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/agent"
	"berth/agent/oci"
)

// crashJob tells a child of the test what to do until it is killed.
type crashJob struct {
	Config oci.Config
	Image  agent.Image
	Parent string
	Logs   string
	First  int
}

const crashVariable = "BERTH_TEST_OCI_CRASH"

// crashChild creates and starts containers, and removes every third, until it is killed.
func crashChild(raw string) error {
	var job crashJob
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return err
	}
	r, err := oci.Open(job.Config)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for i := job.First; ; i++ {
		c := agent.Container{ID: fmt.Sprintf("k%d", i), TaskArn: "arn:crash", Name: "probe", Image: job.Image, CgroupParent: job.Parent,
			LogPath: filepath.Join(job.Logs, fmt.Sprint(i))}
		c.Definition.Command = []string{"sleep"}
		if err := r.Create(ctx, c); err != nil {
			return err
		}
		if err := r.Start(ctx, c.ID); err != nil {
			return err
		}
		fmt.Println(c.ID)
		if i%3 == 0 {
			if err := r.Remove(ctx, c.ID); err != nil {
				return err
			}
		}
	}
}

func TestKilledAgentLeavesNothingUnknown(t *testing.T) {
	l := newLab(t)
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		l.must(l.Close())
		before := l.runningPIDs()
		l.crash(round*1000, time.Duration(100+random.IntN(400))*time.Millisecond)
		l.open()
		list, err := l.List(t.Context())
		l.must(err)
		for _, st := range list {
			if pid, ok := before[st.ID]; ok && (st.Phase != agent.PhaseRunning || st.PID != pid) {
				t.Errorf("round %d: %s ran as %d, now %+v", round, st.ID, pid, st)
			}
			if st.Phase == agent.PhaseExited && st.Error != "creation was interrupted" && !st.ExitKnown {
				t.Errorf("round %d: got %+v", round, st)
			}
			// What was cut short can be made again, or removed.
			if st.Phase != agent.PhaseRunning && random.IntN(2) == 0 {
				c := l.container("sleep")
				c.ID = st.ID
				l.start(c)
			} else if random.IntN(3) == 0 {
				l.must(l.Remove(t.Context(), st.ID))
			}
		}
	}
}

// runningPIDs reads what runs from the records, as nothing has the directory open.
func (l *lab) runningPIDs() map[string]int {
	l.t.Helper()
	l.open()
	defer func() { l.must(l.Close()) }()
	list, err := l.List(l.t.Context())
	l.must(err)
	pids := map[string]int{}
	for _, st := range list {
		if st.Phase == agent.PhaseRunning {
			pids[st.ID] = st.PID
		}
	}
	return pids
}

// crash runs a child that is killed after some time at work.
func (l *lab) crash(first int, after time.Duration) {
	l.t.Helper()
	cfg := l.cfg
	cfg.Log = nil
	job, err := json.Marshal(crashJob{Config: cfg, Image: l.image, Parent: l.task, Logs: filepath.Join(l.dir, "logs"), First: first})
	l.must(err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+string(job))
	said, err := os.CreateTemp(l.dir, "child")
	l.must(err)
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	l.must(cmd.Start())
	l.until("first container of the child", func() bool {
		raw, _ := os.ReadFile(said.Name())
		return strings.Contains(string(raw), "\n")
	})
	time.Sleep(after)
	l.must(cmd.Process.Kill())
	_ = cmd.Wait()
	raw, _ := os.ReadFile(said.Name())
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "k") {
			l.t.Fatalf("child: %s", line)
		}
	}
}
