package oci_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	api "berth/api/ecs"
)

func (l *lab) escapes(change func(*api.ContainerDefinition)) map[string]string {
	l.t.Helper()
	c := l.container("escape")
	c.NetNS = l.netns()
	if change != nil {
		change(&c.Definition)
	}
	_, out := l.run(c)
	m := map[string]string{}
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	return m
}

func TestContainerCannotReachTheMachine(t *testing.T) {
	l := newLab(t)
	for name, result := range l.escapes(nil) {
		if result == "" {
			t.Errorf("%s worked", name)
		}
	}
}

func TestCapabilitiesOpenWhatTheySay(t *testing.T) {
	l := newLab(t)
	got := l.escapes(func(d *api.ContainerDefinition) {
		d.LinuxParameters = &api.LinuxParameters{Capabilities: &api.KernelCapabilities{Add: []string{"NET_RAW", "SYS_ADMIN"}}}
	})
	for _, name := range []string{"raw-socket", "packet-socket", "sethostname", "mount"} {
		if got[name] != "" {
			t.Errorf("%s with the capability: got %s", name, got[name])
		}
	}
	for _, name := range []string{"disk", "mem", "kcore", "core-pattern", "cgroup-write", "kexec"} {
		if got[name] == "" {
			t.Errorf("%s worked with NET_RAW and SYS_ADMIN", name)
		}
	}
}

func TestRightsOfContainers(t *testing.T) {
	l := newLab(t)
	m := l.report(l.container())
	if m["seccomp"] != "2" || m["noNewPrivs"] != "1" || m["capBnd"] != "00000000a80405fb" {
		t.Errorf("default: got seccomp %v, no_new_privs %v", m["seccomp"], m["noNewPrivs"])
	}
	c := l.container()
	c.Definition.LinuxParameters = &api.LinuxParameters{Capabilities: &api.KernelCapabilities{Drop: []string{"ALL"}, Add: []string{"NET_BIND_SERVICE"}}}
	c.Definition.DockerSecurityOptions = []string{"no-new-privileges:false"}
	if m := l.report(c); m["capBnd"] != "0000000000000400" || m["noNewPrivs"] != "0" {
		t.Errorf("all dropped but one: got %v, no_new_privs %v", m["capBnd"], m["noNewPrivs"])
	}
	c = l.container()
	c.Definition.Privileged = new(true)
	if m := l.report(c); m["seccomp"] != "0" || m["noNewPrivs"] != "0" || len(m["capEff"].(string)) == 0 || m["capEff"] == "0000000000000000" {
		t.Errorf("privileged: got seccomp %v, no_new_privs %v, %v", m["seccomp"], m["noNewPrivs"], m["capEff"])
	}
}

func TestLinuxParameters(t *testing.T) {
	l := newLab(t)
	if l.cfg.Init == "" {
		t.Skip("tini-static is not installed: install the package tini")
	}
	c := l.container()
	c.Definition.ReadonlyRootFilesystem = new(true)
	c.Definition.Ulimits = []api.Ulimit{{Name: api.UlimitNameNofile, SoftLimit: new(int32(512)), HardLimit: new(int32(1024))}}
	c.Definition.LinuxParameters = &api.LinuxParameters{
		InitProcessEnabled: new(true), SharedMemorySize: new(int32(17)),
		Tmpfs:   []api.Tmpfs{{ContainerPath: new("/scratch"), Size: new(int32(5)), MountOptions: []string{"exec", "mode=700"}}},
		Devices: []api.Device{{HostPath: new("/dev/net/tun"), ContainerPath: new("/dev/mytun")}},
	}
	c.Mounts = []specs.Mount{{Destination: "/data/vol", Type: "bind", Source: t.TempDir(), Options: []string{"rbind", "ro"}}}
	m := l.report(c)
	if m["first"] != "docker-init" && m["first"] != "tini-static" || m["pid"] == 1.0 {
		t.Errorf("init: first process is %v, this is %v", m["first"], m["pid"])
	}
	// A Go program raises the soft limit by itself.
	if n := m["nofile"].([]any); n[1] != 1024.0 {
		t.Errorf("nofile: got %v", n)
	}
	mounts := map[string]string{}
	for _, line := range m["mounts"].([]any) {
		f := strings.Fields(line.(string))
		mounts[f[1]] = f[3]
	}
	for at, want := range map[string]string{"/": "ro", "/dev/shm": "size=17408k", "/scratch": "size=5120k", "/data/vol": "ro", "/sys": "ro", "/proc/sys": "ro"} {
		if !strings.Contains(","+mounts[at]+",", ","+want+",") {
			t.Errorf("mount %s: got %q, want %s in it", at, mounts[at], want)
		}
	}
	if strings.Contains(mounts["/scratch"], "noexec") {
		t.Errorf("tmpfs: got %s, want exec", mounts["/scratch"])
	}
}

func TestTerminalAndStandardInput(t *testing.T) {
	l := newLab(t)
	c := l.container()
	c.Definition.PseudoTerminal, c.Definition.Interactive = new(true), new(true)
	if m := l.report(c); !contains(m["env"], "TERM=xterm") {
		t.Errorf("got %v", m["env"])
	}
}

func TestTaskLimitsHoldAllContainers(t *testing.T) {
	l := newLab(t)
	task := l.cfg.CgroupRoot + "/limited"
	l.must(l.PrepareTask(t.Context(), task, 512, 48, 0))
	quota := l.cgroupFile("cpu", task, "cpu.cfs_quota_us") + l.cgroupFile("cpu", task, "cpu.max")
	if quota != "" && quota != "50000" && quota != "50000 100000" {
		t.Errorf("quota: got %s, want 50000 of 100000 for 512 units", quota)
	}
	c := l.container("alloc", "200")
	c.CgroupParent = task
	st, _ := l.run(c)
	if !st.OOMKilled || st.ExitCode != 137 {
		t.Errorf("got %+v, want an OOM kill by the task's limit", st)
	}
	start := time.Now()
	l.must(l.RemoveTask(t.Context(), task))
	l.must(l.RemoveTask(t.Context(), task))
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("removal took %s", d)
	}
	for _, bad := range []string{"/", "", "..", l.cfg.CgroupRoot, l.cfg.CgroupRoot + "/../x", l.cfg.CgroupRoot + "/monitors", "system.slice/x"} {
		if err := l.RemoveTask(t.Context(), bad); err == nil {
			t.Errorf("cgroup %q was removed", bad)
		}
	}
}
