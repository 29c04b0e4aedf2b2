package agent

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// Shares of the disk, in percent used, at which images are collected and new tasks are kept away.
const (
	collectAt  = 80
	impairedAt = 95
)

// reservedMemory is what the machine keeps for itself and for Berth, in MiB.
const reservedMemory = 256

// reservedPorts are TCP ports that no task gets. Source: ECS agent defaults: ssh, docker, introspection, credentials.
func reservedPorts() []string { return []string{"22", "2375", "2376", "51678", "51679"} }

// hello says who this machine is and what it has.
func (c *Config) hello(local net.Addr) (proto.Hello, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return proto.Hello{}, fmt.Errorf("read the boot ID: %w", err)
	}
	h := proto.Hello{
		ProtocolVersion: proto.Version, BerthVersion: c.BerthVersion, BootID: strings.TrimSpace(string(boot)),
		Cluster: c.Cluster, Account: c.Account, Region: c.Region, CPU: c.CPU, Memory: c.Memory,
		Ports: reservedPorts(), Zone: c.Zone, Attributes: Capabilities(), Address: c.Address,
		Ingress: c.Deps.Ingress != nil, Names: c.Deps.Names != nil,
	}
	if h.CPU == 0 {
		h.CPU = int32(runtime.NumCPU()) * 1024
	}
	if h.Memory == 0 {
		if h.Memory, err = memoryMiB(); err != nil {
			return h, err
		}
	}
	if h.Address == "" {
		h.Address, _, _ = net.SplitHostPort(local.String())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		h.Attributes = append(h.Attributes, attribute(name, c.Attributes[name]))
	}
	return h, nil
}

// memoryMiB is the memory that tasks may have.
func memoryMiB() (int32, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if words := strings.Fields(s.Text()); len(words) > 1 && words[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(words[1], 10, 64)
			return max(int32(kib>>10)-reservedMemory, 0), err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemTotal")
}

func attribute(name, value string) ecs.Attribute {
	a := ecs.Attribute{Name: &name}
	if value != "" {
		a.Value = &value
	}
	return a
}

// Capabilities are the attributes that say what this agent can do, as ECS's agent names them. What is missing here
// is not offered: awsvpc, secrets, environment files, ECS Exec, FireLens, EFS and EBS volumes, GPUs.
// task-iam-role is named although the role is only stored so far, so that definitions that have one run.
func Capabilities() []ecs.Attribute {
	var all []ecs.Attribute
	add := func(prefix string, names ...string) {
		for _, n := range names {
			all = append(all, attribute(prefix+n, ""))
		}
	}
	for minor := 17; minor <= 44; minor++ {
		add("com.amazonaws.ecs.capability.docker-remote-api.1.", strconv.Itoa(minor))
	}
	add("com.amazonaws.ecs.capability.", "privileged-container", "logging-driver.json-file", "logging-driver.awslogs", "ecr-auth",
		"task-iam-role", "task-iam-role-network-host")
	add("ecs.capability.", "task-cpu-mem-limit", "increased-task-cpu-limit", "docker-plugin.local",
		"pid-ipc-namespace-sharing", "container-ordering", "container-health-check", "container-restart-policy",
		"execution-role-awslogs", "execution-role-ecr-pull", "network.container-port-range", "full-sync")
	if text, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err == nil && strings.HasPrefix(string(text), "Y") {
		add("com.amazonaws.ecs.capability.", "apparmor")
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
		add("com.amazonaws.ecs.capability.", "selinux")
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	return append(all, attribute("ecs.os-type", "linux"), attribute("ecs.os-family", "LINUX"), attribute("ecs.cpu-architecture", arch))
}

// diskUse is the used share, in percent, of the file system that holds path, as df shows it.
func diskUse(path string) (int, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	used := s.Blocks - s.Bfree
	if used+s.Bavail == 0 {
		return 100, nil
	}
	return int((used*100 + used + s.Bavail - 1) / (used + s.Bavail)), nil
}

// impaired says why no new tasks should be placed here; empty means nothing is wrong.
func (n *node) impaired() string {
	use, err := diskUse(n.cfg.DataDir)
	switch {
	case err != nil:
		return "disk: " + err.Error()
	case use >= impairedAt:
		return fmt.Sprintf("disk %d %% full", use)
	}
	// Writing is tried, because a full quota or a read-only file system does not show in the numbers.
	if err := writeFile(filepath.Join(n.cfg.DataDir, "writable"), nil, false); err != nil {
		return "disk: " + err.Error()
	}
	return ""
}
