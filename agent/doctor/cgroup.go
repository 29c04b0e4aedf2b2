package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// collectCgroup reads how control groups are mounted and tries to make one.
func collectCgroup() Cgroup {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Cgroup{}
	}
	c := parseCgroupMounts(string(mounts))
	if c.root2 != "" && c.Mode == "v2" {
		data, _ := os.ReadFile(filepath.Join(c.root2, "cgroup.controllers"))
		c.Controllers = strings.Fields(string(data))
	}
	slices.Sort(c.Controllers)
	try := c.root2
	if c.Mode != "v2" {
		try = c.memory
	}
	c.Swap = c.Mode == "v2" || exists(filepath.Join(c.memory, "memory.memsw.limit_in_bytes"))
	if try != "" {
		c.WriteError = tryGroup(try)
	}
	return c.Cgroup
}

type cgroupMounts struct {
	Cgroup
	root2  string // where cgroup2 is mounted
	memory string // where the memory controller of v1 is mounted
}

// parseCgroupMounts reads /proc/self/mountinfo. Fields: ID, parent, device, root, mount point, options, optional fields, "-", type,
// source, super options. Source: proc_pid_mountinfo(5).
func parseCgroupMounts(mountinfo string) cgroupMounts {
	var c cgroupMounts
	v1 := false
	for line := range strings.SplitSeq(mountinfo, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 5 || len(tail) < 3 {
			continue
		}
		switch tail[0] {
		case "cgroup2":
			if c.root2 == "" {
				c.root2 = head[4]
			}
		case "cgroup":
			for option := range strings.SplitSeq(tail[2], ",") {
				if !slices.Contains(knownControllers(), option) {
					continue
				}
				v1 = true
				c.Controllers = append(c.Controllers, option)
				if option == "memory" {
					c.memory = head[4]
				}
			}
		}
	}
	switch {
	case v1 && c.root2 != "":
		c.Mode = "hybrid"
	case v1:
		c.Mode = "v1"
	case c.root2 != "":
		c.Mode = "v2"
	}
	return c
}

func knownControllers() []string {
	return []string{"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "net_cls", "net_prio", "perf_event", "pids", "rdma"}
}

// tryGroup makes an empty group and removes it.
func tryGroup(root string) string {
	if os.Geteuid() != 0 {
		return ""
	}
	dir, err := os.MkdirTemp(root, "berth-doctor-")
	if err != nil {
		return err.Error()
	}
	return errText(os.Remove(dir))
}
