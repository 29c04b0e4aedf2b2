package doctor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// healthy are the facts of a machine on which all is well.
func healthy() Facts {
	return Facts{
		KernelRelease: "6.1.0-13-amd64", Namespaces: []string{"mnt", "pid", "net", "ipc", "uts"}, Seccomp: true, IPv6: true,
		Cgroup: Cgroup{Mode: "v2", Controllers: []string{"cpu", "cpuset", "memory", "pids"}, Swap: true},
		Disk:   Disk{Path: "/var/lib", Type: "ext4", Free: 50 << 30, Size: 100 << 30, FreeInodes: 1e6, Inode: 2e6},
		EUID:   0, Capabilities: 1<<41 - 1, OpenFiles: 1 << 20, ClockSync: true,
		Now: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Built: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Resolvers: []string{"10.0.0.2"}, PortRange: [2]int{32768, 60999},
		Listen: []Address{{Address: "127.0.0.1:4566"}},
		Programs: []FoundProgram{
			{Program: Program{Name: "conmon", Required: true, Min: "2.1"}, FoundAt: "/usr/bin/conmon", Version: "2.1.6"},
			{Program: Program{Name: "runc", AnyOf: "OCI runtime", Fix: "apt-get install -y runc"}, FoundAt: "/usr/sbin/runc", Version: "1.1.5"},
			{Program: Program{Name: "crun", AnyOf: "OCI runtime"}},
			{Program: Program{Name: "tini", Use: "init", Fix: "apt-get install -y tini"}, FoundAt: "/usr/bin/tini", Version: "0.19.0"},
		},
	}
}

func TestHealthyMachinePasses(t *testing.T) {
	for _, f := range Check(healthy()) {
		if f.Status != Pass || f.Fix != "" {
			t.Errorf("got %+v, want pass without a fix", f)
		}
	}
	if worst := Worst(Check(healthy())); worst != Pass {
		t.Errorf("worst is %s", worst)
	}
}

func TestEachFaultIsFoundAndHasAFix(t *testing.T) {
	for _, tc := range []struct {
		fault  string
		spoil  func(*Facts)
		name   string
		status Status
		detail string
	}{
		{"not root", func(f *Facts) { f.EUID = 1000 }, "rights", Fail, "user 1000"},
		{"no CAP_NET_ADMIN", func(f *Facts) { f.Capabilities &^= 1 << unix.CAP_NET_ADMIN }, "rights", Fail, "CAP_NET_ADMIN"},
		{"no CAP_SYS_RESOURCE", func(f *Facts) { f.Capabilities &^= 1 << unix.CAP_SYS_RESOURCE }, "rights", Warn, "CAP_SYS_RESOURCE"},
		{"very old kernel", func(f *Facts) { f.KernelRelease = "4.19.0-8" }, "kernel", Fail, "5.4"},
		{"old kernel", func(f *Facts) { f.KernelRelease = "5.4.0-100-generic" }, "kernel", Warn, "5.10"},
		{"no net namespace", func(f *Facts) { f.Namespaces = []string{"mnt", "pid", "ipc", "uts"} }, "namespaces", Fail, "net"},
		{"no seccomp", func(f *Facts) { f.Seccomp = false }, "seccomp", Warn, "filter"},
		{"no overlay", func(f *Facts) { f.OverlayError = "invalid argument" }, "overlay", Fail, "invalid argument"},
		{"no cgroups", func(f *Facts) { f.Cgroup = Cgroup{} }, "cgroup", Fail, "no control groups"},
		{"no memory controller", func(f *Facts) { f.Cgroup.Controllers = []string{"cpu", "cpuset", "pids"} }, "cgroup", Fail, "memory"},
		{"hybrid without devices", func(f *Facts) { f.Cgroup.Mode = "hybrid" }, "cgroup", Fail, "devices, freezer"},
		{"cgroups read-only", func(f *Facts) { f.Cgroup.WriteError = "read-only file system" }, "cgroup", Fail, "read-only"},
		{"no swap accounting", func(f *Facts) { f.Cgroup.Swap = false }, "swap limit", Warn, "maxSwap"},
		{"no veth", func(f *Facts) { f.VethError = "operation not supported" }, "network", Fail, "veth"},
		{"no nftables", func(f *Facts) { f.NftError = "no such file or directory" }, "network", Fail, "nftables"},
		{"Docker's forward policy", func(f *Facts) { f.ForwardDrop = []string{"table filter chain FORWARD"} }, "forwarding", Warn, "FORWARD"},
		{"IPv6 off", func(f *Facts) { f.IPv6 = false }, "ipv6", Warn, "IPv4 only"},
		{"disk nearly full", func(f *Facts) { f.Disk.Free = 5 << 30 }, "disk space", Warn, "5.0 GiB of 100.0 GiB"},
		{"disk full", func(f *Facts) { f.Disk.Free = 100 << 20 }, "disk space", Fail, "100.0 MiB of 100.0 GiB"},
		{"disk unreadable", func(f *Facts) { f.Disk.Error = "input/output error" }, "disk space", Fail, "input/output"},
		{"few inodes", func(f *Facts) { f.Disk.FreeInodes = 50_000 }, "inodes", Warn, "50000 of 2000000"},
		{"no inodes", func(f *Facts) { f.Disk.FreeInodes = 10 }, "inodes", Fail, "10 of"},
		{"few descriptors", func(f *Facts) { f.OpenFiles = 20_000 }, "open files", Warn, "20000"},
		{"clock in the past", func(f *Facts) { f.Now = f.Built.AddDate(-1, 0, 0) }, "clock", Fail, "before"},
		{"clock not kept", func(f *Facts) { f.ClockSync = false }, "clock", Warn, "15 minutes"},
		{"no resolver", func(f *Facts) { f.Resolvers = nil }, "resolvers", Warn, "names none"},
		{"bad resolver", func(f *Facts) { f.Resolvers = []string{"dns.local"} }, "resolvers", Warn, "dns.local"},
		{"narrow port range", func(f *Facts) { f.PortRange = [2]int{50000, 50100} }, "dynamic ports", Warn, "50000-50100"},
		{"port in use", func(f *Facts) { f.Listen[0].Error = "in use by another process" }, "port 127.0.0.1:4566", Fail, "in use"},
		{"no monitor", func(f *Facts) { f.Programs[0].FoundAt = "" }, "conmon", Fail, "not found"},
		{"old monitor", func(f *Facts) { f.Programs[0].Version = "2.0.25" }, "conmon", Fail, "need 2.1"},
		{"no OCI runtime at all", func(f *Facts) { f.Programs[1].FoundAt = "" }, "runc", Fail, "not found"},
		{"OCI runtime does not run", func(f *Facts) { f.Programs[1].Error = "exit status 127" }, "runc", Fail, "exit status 127"},
		{"only crun on hybrid cgroups", func(f *Facts) {
			f.Cgroup.Mode, f.Cgroup.Controllers = "hybrid", append(f.Cgroup.Controllers, "devices", "freezer")
			f.Programs[1], f.Programs[2].FoundAt = f.Programs[2], "/usr/bin/crun"
			f.Programs = append(f.Programs[:1], f.Programs[2:]...)
		}, "crun", Fail, "hybrid"},
		{"optional program missing", func(f *Facts) { f.Programs[3].FoundAt = "" }, "tini", Warn, "init"},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			facts := healthy()
			tc.spoil(&facts)
			for i := range facts.Programs {
				if facts.Programs[i].Fix == "" {
					facts.Programs[i].Fix = "install it"
				}
			}
			findings := Check(facts)
			for _, f := range findings {
				switch {
				case f.Name == tc.name:
					if f.Status != tc.status || !strings.Contains(f.Detail, tc.detail) || f.Fix == "" {
						t.Errorf("got %+v, want %s with %q and a fix", f, tc.status, tc.detail)
					}
				case f.Status != Pass && !(tc.name == "runc" && f.Name == "crun"):
					t.Errorf("also found %+v", f)
				}
			}
			if worst := Worst(findings); worst != tc.status {
				t.Errorf("worst is %s, want %s", worst, tc.status)
			}
		})
	}
}

func TestCgroupMountsAreToldApart(t *testing.T) {
	v1 := "30 20 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 20 0:26 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	v2 := "33 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for _, tc := range []struct{ name, mounts, mode, controllers string }{
		{"none", "22 1 254:0 / / rw - ext4 /dev/vda rw\n", "", ""},
		{"v1", v1, "v1", "memory cpu cpuacct"},
		{"v2", v2, "v2", ""},
		{"hybrid", v1 + v2, "hybrid", "memory cpu cpuacct"},
		{"v2 with systemd's named hierarchy", v2 + "34 20 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n", "v2", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parseCgroupMounts(tc.mounts)
			if got.Mode != tc.mode || strings.Join(got.Controllers, " ") != tc.controllers {
				t.Errorf("got %s with %v, want %s with %s", got.Mode, got.Controllers, tc.mode, tc.controllers)
			}
		})
	}
}

func TestVersionsCompareByNumber(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"1.10.0", "1.9", 1}, {"1.1", "1.1.0", 0}, {"conmon version 2.0.25", "2.1", -1}, {"5.4.0-100", "5.10", -1}} {
		got := compareVersions(parseVersion(tc.a), parseVersion(tc.b))
		if (got > 0) != (tc.want > 0) || (got < 0) != (tc.want < 0) {
			t.Errorf("%s against %s: got %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestCollectSeesThisMachineAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script := filepath.Join(dir, "prog")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho prog version 3.2.1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := Collect(t.Context(), Config{
		DataDir: filepath.Join(dir, "not", "yet"), Listen: []string{l.Addr().String(), "127.0.0.1:0"},
		Programs: []Program{{Name: "prog", Path: script}, {Name: "berth-no-such-program"}},
	})
	if f.KernelRelease == "" || f.Disk.Path != dir || f.Disk.Size == 0 || len(f.Namespaces) < 5 || f.OpenFiles == 0 || f.PortRange[1] == 0 {
		t.Errorf("facts are missing: %+v", f)
	}
	if diff := cmp.Diff([]Address{{l.Addr().String(), "in use by another process"}, {"127.0.0.1:0", ""}}, f.Listen); diff != "" {
		t.Errorf("listen (-want +got):\n%s", diff)
	}
	if f.Programs[0].Version != "3.2.1" || f.Programs[1].FoundAt != "" {
		t.Errorf("programs: %+v", f.Programs)
	}
	if os.Geteuid() == 0 && (f.NetnsError != "" || f.VethError != "" || f.NftError != "") {
		t.Errorf("trials failed: %q %q %q", f.NetnsError, f.VethError, f.NftError)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
