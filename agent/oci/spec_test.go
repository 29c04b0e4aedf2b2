package oci

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/agent"
	api "berth/api/ecs"
)

// machine is a Runtime that can make specifications.
func machine() *Runtime {
	r := &Runtime{cfg: Config{Init: "/usr/bin/tini-static"}, log: slog.New(slog.DiscardHandler), cgroups: &cgroupV2{root: "/nowhere"}, host: detectHost()}
	r.host.caps = map[string]bool{}
	for _, c := range r.host.order {
		r.host.caps[c] = true
	}
	return r
}

func TestCommandLine(t *testing.T) {
	image := agent.ImageConfig{Entrypoint: []string{"entry"}, Cmd: []string{"cmd"}}
	for _, tt := range []struct {
		name           string
		entry, command []string
		want           string
	}{
		{"the image's own", nil, nil, "entry cmd"},
		{"command replaces CMD", nil, []string{"a", "b"}, "entry a b"},
		{"entryPoint drops CMD", []string{"e"}, nil, "e"},
		{"both replaced", []string{"e"}, []string{"c"}, "e c"},
		{"empty entryPoint clears it", []string{""}, []string{"c"}, "c"},
	} {
		got := commandLine(api.ContainerDefinition{EntryPoint: tt.entry, Command: tt.command}, image)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCapabilitySets(t *testing.T) {
	r := machine()
	for _, tt := range []struct {
		name        string
		add, drop   []string
		with, empty string
		count       int
	}{
		{"default", nil, nil, "CAP_CHOWN", "CAP_NET_RAW", 13},
		{"add", []string{"NET_RAW"}, nil, "CAP_NET_RAW", "CAP_SYS_ADMIN", 14},
		{"drop", nil, []string{"CHOWN"}, "CAP_KILL", "CAP_CHOWN", 12},
		{"drop first, then add", []string{"CHOWN"}, []string{"CHOWN"}, "CAP_CHOWN", "", 13},
		{"drop all", nil, []string{"ALL"}, "", "CAP_CHOWN", 0},
		{"drop all but", []string{"CAP_SYS_PTRACE"}, []string{"ALL"}, "CAP_SYS_PTRACE", "CAP_CHOWN", 1},
		{"add all", []string{"ALL"}, []string{"SYS_ADMIN"}, "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", len(r.host.order) - 1},
	} {
		got, err := r.capabilities(api.ContainerDefinition{LinuxParameters: &api.LinuxParameters{Capabilities: &api.KernelCapabilities{Add: tt.add, Drop: tt.drop}}})
		if err != nil || len(got) != tt.count || tt.with != "" && !slices.Contains(got, tt.with) || slices.Contains(got, tt.empty) {
			t.Errorf("%s: got %v %v", tt.name, got, err)
		}
	}
	r.host.caps["CAP_SYS_RESOURCE"] = false
	if _, err := r.capabilities(api.ContainerDefinition{LinuxParameters: &api.LinuxParameters{Capabilities: &api.KernelCapabilities{Add: []string{"SYS_RESOURCE"}}}}); err == nil {
		t.Error("a capability that the machine lacks was promised")
	}
}

func TestRefusedDefinitions(t *testing.T) {
	r := machine()
	r.host.apparmor, r.host.selinux, r.host.swap = false, false, true
	for _, tt := range []struct {
		name, want string
		change     func(c *agent.Container)
	}{
		{"no command", "CannotCreateContainerError: no command specified", func(c *agent.Container) { c.Image.Config.Cmd = nil }},
		{"relative directory", "needs to be an absolute path", func(c *agent.Container) { c.Definition.WorkingDirectory = new("a/b") }},
		{"capability", `invalid capability: "CAP_FLY"`, func(c *agent.Container) {
			c.Definition.LinuxParameters = &api.LinuxParameters{Capabilities: &api.KernelCapabilities{Add: []string{"FLY"}}}
		}},
		{"device", `error gathering device information while adding custom device "/dev/none"`, func(c *agent.Container) {
			c.Definition.LinuxParameters = &api.LinuxParameters{Devices: []api.Device{{HostPath: new("/dev/none")}}}
		}},
		{"no device", "is not a device node", func(c *agent.Container) {
			c.Definition.LinuxParameters = &api.LinuxParameters{Devices: []api.Device{{HostPath: new("/etc/passwd")}}}
		}},
		{"AppArmor", "AppArmor is not enabled", func(c *agent.Container) { c.Definition.DockerSecurityOptions = []string{"apparmor:x"} }},
		{"SELinux", "SELinux is not enabled", func(c *agent.Container) { c.Definition.DockerSecurityOptions = []string{"label:type:x"} }},
		{"credential specification", "is not supported", func(c *agent.Container) { c.Definition.DockerSecurityOptions = []string{"credentialspec:x"} }},
		{"the machine's sysctl", "it is the machine's", func(c *agent.Container) {
			c.Definition.SystemControls = []api.SystemControl{{Namespace: new("vm.swappiness"), Value: new("1")}}
		}},
		{"net sysctl of the host", "network mode host", func(c *agent.Container) {
			c.Definition.SystemControls = []api.SystemControl{{Namespace: new("net.core.somaxconn"), Value: new("1")}}
		}},
		{"tmpfs on /", "invalid tmpfs path", func(c *agent.Container) {
			c.Definition.LinuxParameters = &api.LinuxParameters{Tmpfs: []api.Tmpfs{{ContainerPath: new("/"), Size: new(int32(1))}}}
		}},
		{"tmpfs option with a comma", "invalid tmpfs option", func(c *agent.Container) {
			c.Definition.LinuxParameters = &api.LinuxParameters{Tmpfs: []api.Tmpfs{{ContainerPath: new("/t"), Size: new(int32(1)), MountOptions: []string{"a,b"}}}}
		}},
		{"volume on /", "destination can't be '/'", func(c *agent.Container) {
			c.Mounts = []specs.Mount{{Destination: "/x/..", Type: "bind", Source: "/tmp"}}
		}},
		{"swap without memory", "maxSwap needs memory", func(c *agent.Container) { c.Definition.LinuxParameters = &api.LinuxParameters{MaxSwap: new(int32(1))} }},
		{"ulimit", "soft limit must be less", func(c *agent.Container) {
			c.Definition.Ulimits = []api.Ulimit{{Name: "nofile", SoftLimit: new(int32(2)), HardLimit: new(int32(1))}}
		}},
		{"GPU without its hook", "install the NVIDIA container toolkit", func(c *agent.Container) { c.GPUIDs = []string{"GPU-1"} }},
	} {
		t.Setenv("PATH", "/nowhere")
		c := agent.Container{ID: "x", CgroupParent: "berth/a", Image: agent.Image{Config: agent.ImageConfig{Cmd: []string{"run"}}}}
		tt.change(&c)
		if _, err := r.spec(c, t.TempDir()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestResources(t *testing.T) {
	r := machine()
	r.host.swap = true
	s, err := r.spec(agent.Container{ID: "x", CgroupParent: "berth/a", Image: agent.Image{Config: agent.ImageConfig{Cmd: []string{"run"}}},
		Definition: api.ContainerDefinition{Cpu: new(int32(1)), Memory: new(int32(64)), MemoryReservation: new(int32(32)),
			LinuxParameters: &api.LinuxParameters{MaxSwap: new(int32(16))}}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := &specs.LinuxMemory{Limit: new(int64(64 << 20)), Reservation: new(int64(32 << 20)), Swap: new(int64(80 << 20))}
	if d := cmp.Diff(s.Linux.Resources.Memory, want); d != "" {
		t.Error(d)
	}
	if *s.Linux.Resources.CPU.Shares != 2 || s.Linux.CgroupsPath != "/berth/a/x" {
		t.Errorf("got shares %d, path %s", *s.Linux.Resources.CPU.Shares, s.Linux.CgroupsPath)
	}
}

func TestLaterMountsWin(t *testing.T) {
	r := machine()
	ms, err := r.mounts(agent.Container{IPCNS: "host", Hosts: "/h", Mounts: []specs.Mount{
		{Destination: "/etc/hosts", Source: "/mine"}, {Destination: "/a/b/c", Source: "/3"}, {Destination: "/a", Source: "/1"}, {Destination: "/dev/shm/", Source: "/shm"}}})
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	var order []string
	for _, m := range ms {
		at[m.Destination] = m.Source
		order = append(order, m.Destination)
	}
	if at["/etc/hosts"] != "/mine" || at["/dev/shm"] != "/shm" {
		t.Errorf("got %v", at)
	}
	if slices.Index(order, "/a") > slices.Index(order, "/a/b/c") || slices.Index(order, "/dev") > slices.Index(order, "/dev/shm") {
		t.Errorf("got order %v", order)
	}
}

func TestFilesOfTheAgentAreReadOnlyWithTheRootFileSystem(t *testing.T) {
	for _, readonly := range []bool{false, true} {
		c := agent.Container{Hosts: "/h", ResolvConf: "/r", HostnameFile: "/n", Definition: api.ContainerDefinition{ReadonlyRootFilesystem: &readonly}}
		ms, err := machine().mounts(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			if strings.HasPrefix(m.Destination, "/etc/") && slices.Contains(m.Options, "ro") != readonly {
				t.Errorf("readonlyRootFilesystem %t: %s has %v", readonly, m.Destination, m.Options)
			}
		}
	}
}

func TestAccountFilesStayInTheImage(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("spy:x:4242:4242::/:/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": outside, "relative": "../../../../../../../.." + outside} {
		_ = os.Remove(filepath.Join(root, "etc/passwd"))
		if err := os.Symlink(target, filepath.Join(root, "etc/passwd")); err != nil {
			t.Fatal(err)
		}
		if u, err := lookupUser(root, "spy"); err == nil {
			t.Errorf("%s link: found %+v outside of the image", name, u)
		}
	}
	_ = os.Remove(filepath.Join(root, "etc/passwd"))
	if err := unix.Mkfifo(filepath.Join(root, "etc/passwd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if u, err := lookupUser(root, "12:34"); err != nil || u.Uid != 12 || u.Gid != 34 {
		t.Errorf("FIFO as passwd: got %+v %v", u, err)
	}
}

func TestPlainTextStaysOnTheMachine(t *testing.T) {
	for host, ok := range map[string]bool{"localhost:5000": true, "127.0.0.1": true, "[::1]:80": true, "127.8.9.1:1": true,
		"example.com": false, "127.0.0.1.example.com": false, "10.0.0.1:5000": false, "localhost.example.com": false} {
		if isLoopback(host) != ok {
			t.Errorf("loopback %s: got %v", host, !ok)
		}
	}
}

func TestCgroupV2Files(t *testing.T) {
	root := t.TempDir()
	write := func(path, content string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"", "b/", "b/t/"} {
		write(d+"cgroup.controllers", "cpu memory pids")
		write(d+"cgroup.subtree_control", "cpu memory pids")
	}
	g := &cgroupV2{root: root}
	if err := g.prepare("b/t", taskLimits{cpuQuota: 25_000, memory: 64 << 20, pids: 10}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cpu.max": "25000 100000", "memory.max": "67108864", "pids.max": "10"} {
		if got, err := os.ReadFile(filepath.Join(root, "b/t", file)); string(got) != want {
			t.Errorf("%s: got %q %v, want %q", file, got, err, want)
		}
	}
	write("b/t/memory.events", "low 0\noom 1\noom_kill 3\n")
	if n := g.oomKills("b/t"); n != 3 {
		t.Errorf("OOM kills: got %d, want 3", n)
	}
}
