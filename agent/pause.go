package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pause holds namespaces for the containers of one task (pidMode or ipcMode "task"): it is the first process of
// the PID namespace, waits for what is orphaned there, and ends on SIGTERM. Run by "berth pause".
func Pause() error {
	stop, children := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	signal.Notify(children, unix.SIGCHLD)
	for {
		select {
		case <-stop:
			return nil
		case <-children:
			for {
				pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
				if pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}

// namespacesJob starts the process that holds the task's namespaces. It belongs to no container and outlives the
// agent, as containers do.
func (r *runner) namespacesJob() func(context.Context) result {
	command := r.node.cfg.PauseCommand
	return func(context.Context) result {
		if len(command) == 0 {
			self, err := os.Executable()
			if err != nil {
				return result{err: err}
			}
			command = []string{self, "pause"}
		}
		spaces, err := holdNamespaces(command)
		return result{spaces: spaces, err: err}
	}
}

func holdNamespaces(command []string) (namespaces, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC}
	if err := cmd.Start(); err != nil {
		return namespaces{}, fmt.Errorf("start the holder of the task's namespaces: %w", err)
	}
	pid := cmd.Process.Pid
	go func() { _ = cmd.Wait() }() // reaps it if this agent is still there when it ends
	started, err := processStart(pid)
	if err != nil {
		return namespaces{}, errors.Join(err, cmd.Process.Kill())
	}
	proc := "/proc/" + strconv.Itoa(pid)
	return namespaces{Holder: pid, StartedAt: started, PID: proc + "/ns/pid", IPC: proc + "/ns/ipc"}, nil
}

// release ends the holder, unless its process ID belongs to another process by now.
func (s *namespaces) release() {
	if s == nil || s.Holder <= 1 {
		return
	}
	if s.alive() {
		_ = unix.Kill(s.Holder, unix.SIGKILL) // it may have ended just now
	}
}

// alive tells whether the holder is still there.
func (s *namespaces) alive() bool {
	started, err := processStart(s.Holder)
	return err == nil && started == s.StartedAt
}

// processStart is the time when the process started, in clock ticks since boot.
func processStart(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("process %d: its stat file is not readable", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
