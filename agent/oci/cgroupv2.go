package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupV2 is the single hierarchy.
type cgroupV2 struct{ root string }

// newCgroupV2 refuses a hierarchy that lacks what tasks are limited with, as a part of one can that a container sees.
func newCgroupV2(root string) (*cgroupV2, error) {
	have, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("cgroups: %w", err)
	}
	for _, c := range neededControllers() {
		if !slices.Contains(strings.Fields(string(have)), c) {
			return nil, fmt.Errorf("cgroups: %s has no controller %s, only: %s", root, c, strings.TrimSpace(string(have)))
		}
	}
	return &cgroupV2{root: root}, nil
}

func (g *cgroupV2) dirs(path string) []string { return []string{filepath.Join(g.root, path)} }

func (g *cgroupV2) prepare(path string, l taskLimits) error {
	if err := g.enable(path); err != nil {
		return err
	}
	dir := filepath.Join(g.root, path)
	cpu, memory := "max", "max"
	if l.cpuQuota > 0 {
		cpu = strconv.FormatInt(max(l.cpuQuota, 1000), 10)
	}
	if l.memory > 0 {
		memory = strconv.FormatInt(l.memory, 10)
	}
	if err := writeValue(dir, "cpu.max", fmt.Sprintf("%s %d", cpu, cpuPeriod)); err != nil {
		return err
	}
	if err := writeValue(dir, "memory.max", memory); err != nil {
		return err
	}
	return writeValue(dir, "pids.max", pidsValue(l.pids))
}

// enable makes the path and gives every group on it the controllers that its parent has.
func (g *cgroupV2) enable(path string) error {
	if err := makeGroup(filepath.Join(g.root, path)); err != nil {
		return err
	}
	dir := g.root
	err := g.delegate(dir)
	if errors.Is(err, unix.EBUSY) {
		err = g.vacate()
	}
	for name := range strings.SplitSeq(path, "/") {
		if err != nil {
			return err
		}
		dir = filepath.Join(dir, name)
		err = g.delegate(dir)
	}
	return err
}

// vacate moves the processes of the root into a group of their own. In a container what looks like the root is a group
// like any other: it takes processes or groups with controllers, not both.
func (g *cgroupV2) vacate() error {
	leaf := filepath.Join(g.root, "init")
	if err := makeGroup(leaf); err != nil {
		return err
	}
	var err error
	for range 20 { // others may start processes meanwhile
		for _, pid := range readPids(filepath.Join(g.root, "cgroup.procs")) {
			err := writeValue(leaf, "cgroup.procs", strconv.Itoa(pid))
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move process %d out of %s: %w", pid, g.root, err)
			}
		}
		if err = g.delegate(g.root); !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return err
}

// delegate lets the groups below dir use its controllers. Those that tasks need are asked for at once: a group with
// processes would give cpu alone, and with that become one whose groups can never limit memory.
func (g *cgroupV2) delegate(dir string) error {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	enabled := strings.Fields(string(on))
	var needed, others []string
	for _, c := range strings.Fields(string(have)) {
		switch {
		case slices.Contains(enabled, c):
		case slices.Contains(neededControllers(), c):
			needed = append(needed, "+"+c)
		case c == "cpuset" || c == "io" || c == "hugetlb":
			others = append(others, "+"+c)
		}
	}
	if len(needed) > 0 {
		if err := writeValue(dir, "cgroup.subtree_control", strings.Join(needed, " ")); err != nil {
			return fmt.Errorf("enable controllers %s: %w", strings.Join(needed, " "), err)
		}
	}
	for _, c := range others {
		_ = writeValue(dir, "cgroup.subtree_control", c) // no task depends on it
	}
	return nil
}

func neededControllers() []string { return []string{"cpu", "memory", "pids"} }

// kill uses cgroup.kill (Linux 5.14), or freezes and signals.
func (g *cgroupV2) kill(path string, pids func() []int) error {
	dir := filepath.Join(g.root, path)
	err := writeValue(dir, "cgroup.kill", "1")
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	frozen := writeValue(dir, "cgroup.freeze", "1")
	killAll(pids())
	if frozen == nil {
		if err := writeValue(dir, "cgroup.freeze", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (g *cgroupV2) oomKills(path string) int64 {
	return counter(filepath.Join(g.root, path, "memory.events"), "oom_kill")
}

func (g *cgroupV2) monitor(path string) (monitorGroup, error) {
	if err := g.enable(filepath.Dir(path)); err != nil {
		return monitorGroup{}, err
	}
	dir := filepath.Join(g.root, path)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return monitorGroup{}, err
	}
	return monitorGroup{dir: dir}, nil
}
