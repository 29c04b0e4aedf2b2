package ingress

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"berth/agent/proto"
)

// left are the processes that have the rig's configuration and still run.
func (r *rig) left() (all []string) {
	r.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\x00"+r.cfg.path(configFile)+"\x00") {
			all = append(all, f+" "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return all
}

// holdOldWorkers leaves two workers that stop with an open request each, and one that serves.
func (r *rig) holdOldWorkers() {
	r.t.Helper()
	held, hold := make(chan struct{}, 2), make(chan struct{})
	a := backend(r.t, "a", well, func(w http.ResponseWriter, req *http.Request) {
		held <- struct{}{}
		<-hold
		io.WriteString(w, "a")
	})
	r.t.Cleanup(func() { close(hold) }) // before the server waits for its requests
	for _, seconds := range []string{"60", "61", "62"} {
		f := r.frame(a)
		f.LoadBalancers[0].Attributes["idle_timeout.timeout_seconds"] = seconds
		r.apply(f)
		r.awaitState(a, proto.TargetHealthy)
		if seconds != "62" {
			go r.get("http://" + r.address(5)) //nolint:errcheck // it is cut off in the end
			<-held
		}
	}
	procs, err := r.in.master.processes(r.t.Context())
	if err != nil || len(procs.Workers) != 3 {
		r.t.Fatalf("workers %+v, %v", procs, err)
	}
}

// Whoever removes the directory finds no process of HAProxy any more, also none that hangs or whose master is gone.
func TestCleanupEndsAllWorkers(t *testing.T) {
	for name, hinder := range map[string]func(master int, newest worker) error{
		"open requests":     func(int, worker) error { return nil },
		"a worker stopped":  func(_ int, w worker) error { return unix.Kill(w.PID, unix.SIGSTOP) },
		"the master killed": func(master int, w worker) error { return unix.Kill(master, unix.SIGKILL) },
		"killed and stopped": func(master int, w worker) error {
			return errors.Join(unix.Kill(w.PID, unix.SIGSTOP), unix.Kill(master, unix.SIGKILL))
		},
		"in a reload": func(master int, _ worker) error { return unix.Kill(master, unix.SIGUSR2) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.holdOldWorkers()
			procs, err := r.in.master.processes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.stop()
			if err := hinder(procs.Master, procs.Workers[0]); err != nil {
				t.Fatal(err)
			}
			if err := Cleanup(r.cfg.Dir); err != nil {
				t.Error(err)
			}
			if left := r.left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}
