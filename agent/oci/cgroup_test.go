package oci_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSizesOfAContainerAreInItsCgroup(t *testing.T) {
	l := newLab(t)
	share := func(cpu int32) int {
		t.Helper()
		c := l.container("sleep")
		c.Definition.Cpu, c.Definition.Memory, c.Definition.MemoryReservation = new(cpu), new(int32(64)), new(int32(32))
		l.start(c)
		group := l.task + "/" + c.ID
		if got := l.cgroupFile("memory", group, "memory.limit_in_bytes") + l.cgroupFile("memory", group, "memory.max"); got != "67108864" {
			t.Errorf("memory limit: got %s", got)
		}
		if got := l.cgroupFile("memory", group, "memory.soft_limit_in_bytes") + l.cgroupFile("memory", group, "memory.low"); got != "33554432" {
			t.Errorf("memory reservation: got %s", got)
		}
		n, err := strconv.Atoi(l.cgroupFile("cpu", group, "cpu.shares") + l.cgroupFile("cpu", group, "cpu.weight"))
		l.must(err)
		return n
	}
	if small, large := share(256), share(1024); small >= large {
		t.Errorf("256 CPU units have the share %d, 1024 have %d", small, large)
	}
	// On cgroup v2 a group that hands its controllers on has no processes itself.
	if on := l.cgroupFile("", l.task, "cgroup.subtree_control"); on != "" {
		for _, c := range []string{"cpu", "memory", "pids"} {
			if !slices.Contains(strings.Fields(on), c) {
				t.Errorf("containers do not have the controller %s, only %s", c, on)
			}
		}
		if in := l.cgroupFile("", l.task, "cgroup.procs"); in != "" {
			t.Errorf("the task's own group has processes %s", in)
		}
	}
}

func TestFrozenContainerIsRemoved(t *testing.T) {
	l := newLab(t)
	c := l.container("sleep")
	l.start(c)
	l.untilOutput(c, "ready")
	file, state := filepath.Join("/sys/fs/cgroup/freezer", l.task, c.ID, "freezer.state"), "FROZEN"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		file, state = filepath.Join("/sys/fs/cgroup", l.task, c.ID, "cgroup.freeze"), "1"
	}
	l.must(os.WriteFile(file, []byte(state), 0o600))
	start := time.Now()
	l.must(l.Remove(t.Context(), c.ID))
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("removal took %s", d)
	}
}
