package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cgroupV1 is the layout with one hierarchy per controller, with or without a cgroup v2 hierarchy beside them.
type cgroupV1 struct {
	controllers map[string]string // controller, or name=systemd, to mount point
	mounts      []string
	unified     string // mount point of the v2 hierarchy, or empty
}

func (g *cgroupV1) add(mount string, options []string) {
	if g.controllers == nil {
		g.controllers = map[string]string{}
	}
	if !slices.Contains(g.mounts, mount) {
		g.mounts = append(g.mounts, mount)
	}
	for _, o := range options {
		g.controllers[o] = mount
	}
}

func (g *cgroupV1) dirs(path string) []string {
	var ds []string
	for _, m := range g.mounts {
		ds = append(ds, filepath.Join(m, path))
	}
	if g.unified != "" {
		ds = append(ds, filepath.Join(g.unified, path))
	}
	return ds
}

func (g *cgroupV1) dir(controller, path string) string {
	return filepath.Join(g.controllers[controller], path)
}

func (g *cgroupV1) prepare(path string, l taskLimits) error {
	for _, d := range g.dirs(path) {
		if err := makeGroup(d); err != nil {
			return err
		}
	}
	if err := g.inheritCpuset(path); err != nil {
		return err
	}
	quota, memory := int64(-1), int64(-1)
	if l.cpuQuota > 0 {
		quota = max(l.cpuQuota, 1000)
	}
	if l.memory > 0 {
		memory = l.memory
	}
	if err := writeValue(g.dir("cpu", path), "cpu.cfs_quota_us", strconv.FormatInt(quota, 10)); err != nil {
		// A kernel without bandwidth control has no such file; that matters only to who wants a limit.
		if quota >= 0 || !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := writeValue(g.dir("memory", path), "memory.limit_in_bytes", strconv.FormatInt(memory, 10)); err != nil {
		return err
	}
	return writeValue(g.dir("pids", path), "pids.max", pidsValue(l.pids))
}

func pidsValue(n int64) string {
	if n <= 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

// inheritCpuset copies processors and memory nodes down the path: a new group has none, and takes no process.
func (g *cgroupV1) inheritCpuset(path string) error {
	root := g.controllers["cpuset"]
	if root == "" {
		return nil
	}
	dir := root
	for name := range strings.SplitSeq(path, "/") {
		parent := dir
		dir = filepath.Join(dir, name)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if strings.TrimSpace(string(have)) != "" {
				continue
			}
			from, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil {
				return err
			}
			if err := writeValue(dir, file, strings.TrimSpace(string(from))); err != nil {
				return err
			}
		}
	}
	return nil
}

// kill freezes the group first, so that a fork bomb cannot outrun the signals.
func (g *cgroupV1) kill(path string, pids func() []int) error {
	dir := g.dir("freezer", path)
	frozen := writeValue(dir, "freezer.state", "FROZEN")
	killAll(pids())
	if frozen == nil {
		if err := g.thaw(dir); err != nil {
			return fmt.Errorf("thaw %s: %w", path, err)
		}
		killAll(pids())
	}
	return nil
}

// thaw thaws the group and every group below it: a container may have been paused by itself.
func (g *cgroupV1) thaw(dir string) error {
	if err := writeValue(dir, "freezer.state", "THAWED"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			if err := g.thaw(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *cgroupV1) oomKills(path string) int64 {
	return counter(filepath.Join(g.dir("memory", path), "memory.oom_control"), "oom_kill")
}

func (g *cgroupV1) monitor(path string) (monitorGroup, error) {
	for _, d := range g.dirs(path) {
		if err := makeGroup(d); err != nil {
			return monitorGroup{}, err
		}
	}
	if err := g.inheritCpuset(path); err != nil {
		return monitorGroup{}, err
	}
	own, err := g.own()
	if err != nil {
		return monitorGroup{}, err
	}
	var m monitorGroup
	for _, mount := range g.mounts {
		m.enter = append(m.enter, filepath.Join(mount, path, "tasks"))
		m.leave = append(m.leave, filepath.Join(mount, own[mount], "tasks"))
	}
	if g.unified != "" {
		m.dir = filepath.Join(g.unified, path)
	}
	return m, nil
}

// own is this process's group in each hierarchy.
func (g *cgroupV1) own() (map[string]string, error) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 {
			first, _, _ := strings.Cut(f[1], ",")
			own[g.controllers[first]] = f[2]
		}
	}
	return own, nil
}
