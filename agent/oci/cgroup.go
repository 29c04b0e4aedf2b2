package oci

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// defaultPids is the number of processes and threads that a task may have. Source: promises, F27.
const defaultPids = 4096

// taskLimits are a task's own limits; zero means none.
type taskLimits struct {
	cpuQuota int64 // microseconds in each 100 ms
	memory   int64 // bytes
	pids     int64
}

const cpuPeriod = 100_000

// cgroupDriver is one layout of cgroups. Paths are relative to each hierarchy's root.
type cgroupDriver interface {
	// prepare makes the group, usable as a parent of containers, and sets its limits.
	prepare(path string, l taskLimits) error
	// dirs are the group's directories, one per hierarchy, whether they exist or not.
	dirs(path string) []string
	// kill sends SIGKILL to everything in the group and below, atomically where the kernel can.
	kill(path string, pids func() []int) error
	// oomKills is how many processes the kernel killed in the group for want of memory.
	oomKills(path string) int64
	// monitor makes the group for monitors and says how a new process gets into it.
	monitor(path string) (monitorGroup, error)
}

// monitorGroup says how processes get into a group: a thread writes its ID to the files of enter, and to those of
// leave in the end; dir is a cgroup v2 directory to start the process in. Each may be empty.
type monitorGroup struct {
	enter, leave []string
	dir          string
}

// detectCgroups finds the layout of this machine.
func detectCgroups(string) (cgroupDriver, error) {
	const root = "/sys/fs/cgroup"
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("cgroups: %s: %w", root, err)
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		return newCgroupV2(root)
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cgroups: %w", err)
	}
	defer f.Close()
	v1 := &cgroupV1{}
	for s := bufio.NewScanner(f); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 || !strings.HasPrefix(fields[4], root+"/") {
			continue
		}
		switch super[0] {
		case "cgroup":
			v1.add(fields[4], strings.Split(super[2], ","))
		case "cgroup2":
			v1.unified = fields[4]
		}
	}
	for _, c := range []string{"cpu", "memory", "pids", "freezer"} {
		if v1.controllers[c] == "" {
			return nil, fmt.Errorf("cgroups: controller %s is not mounted below %s", c, root)
		}
	}
	return v1, nil
}

// PrepareTask makes the task's cgroup with its limits.
func (r *Runtime) PrepareTask(_ context.Context, parent string, cpu, memory, pids int32) error {
	if err := r.checkTaskCgroup(parent); err != nil {
		return err
	}
	l := taskLimits{
		cpuQuota: int64(cpu) * cpuPeriod / 1024,
		memory:   int64(memory) << 20,
		pids:     orDefault(int64(pids), defaultPids),
	}
	if err := r.cgroups.prepare(parent, l); err != nil {
		return fmt.Errorf("prepare cgroup %s: %w", parent, err)
	}
	return nil
}

// RemoveTask kills whatever is left in the task's cgroup and removes it.
func (r *Runtime) RemoveTask(ctx context.Context, parent string) error {
	if err := r.checkTaskCgroup(parent); err != nil {
		return err
	}
	return r.removeCgroup(ctx, parent)
}

func (r *Runtime) checkTaskCgroup(path string) error {
	if !cgroupRootPattern.MatchString(path) || strings.Contains(path, "..") ||
		!strings.HasPrefix(path, r.cfg.CgroupRoot+"/") || path == r.monitorCgroup() {
		return fmt.Errorf("cgroup %q is not below %s", path, r.cfg.CgroupRoot)
	}
	return nil
}

// killWait is how long killed processes may take to go; a process in the kernel can take a while.
const killWait = 20 * time.Second

// removeCgroup kills and removes a group with all below it. A group that isn't there is no error.
func (r *Runtime) removeCgroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := r.tryRemoveCgroup(path)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup %s: %w", path, err)
		case <-time.After(pause):
		}
	}
}

func (r *Runtime) tryRemoveCgroup(path string) error {
	if len(r.cgroupPids(path)) > 0 {
		if err := r.cgroups.kill(path, func() []int { return r.cgroupPids(path) }); err != nil {
			return err
		}
	}
	var errs []error
	for _, d := range r.cgroups.dirs(path) {
		errs = append(errs, removeGroups(d))
	}
	return errors.Join(errs...)
}

// cgroupPids lists the processes of a group and all below it, in any hierarchy, but never this process.
func (r *Runtime) cgroupPids(path string) []int {
	var pids []int
	for _, d := range r.cgroups.dirs(path) {
		_ = filepath.WalkDir(d, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // groups come and go
			}
			if e.IsDir() {
				pids = append(pids, readPids(filepath.Join(p, "cgroup.procs"))...)
			}
			return nil
		})
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	return slices.DeleteFunc(pids, func(p int) bool { return p <= 1 || p == os.Getpid() })
}

func readPids(file string) []int {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var pids []int
	for f := range strings.FieldsSeq(string(raw)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func killAll(pids []int) {
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// removeGroups removes a cgroup directory and those below it, deepest first.
func removeGroups(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroups(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// makeGroup makes a cgroup directory and those above it. Another Berth on this machine may be removing an empty one
// of them at that moment.
func makeGroup(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	for range 10 {
		if !errors.Is(err, os.ErrNotExist) {
			break
		}
		err = os.MkdirAll(dir, 0o755)
	}
	return err
}

func writeValue(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0o600)
}

// counter reads "key value" lines of a cgroup file.
func counter(file, key string) int64 {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}
