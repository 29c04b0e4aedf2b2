package doctor

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// versionTimeout is how long a program may take to say its version.
const versionTimeout = 5 * time.Second

// Collect looks at this machine from the calling process's namespaces.
func Collect(ctx context.Context, cfg Config) Facts {
	f := Facts{
		KernelRelease: kernelRelease(), Seccomp: exists("/proc/sys/kernel/seccomp/actions_avail"),
		EUID: os.Geteuid(), Capabilities: capabilities(), OpenFiles: openFiles(),
		Now: time.Now(), Built: built(), ClockSync: clockSync(), Resolvers: resolvers(), PortRange: portRange(),
		Cgroup: collectCgroup(), Disk: collectDisk(cfg.DataDir), IPv6: ipv6(),
	}
	for _, n := range []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup"} {
		if exists("/proc/self/ns/" + n) {
			f.Namespaces = append(f.Namespaces, n)
		}
	}
	if f.EUID == 0 {
		f.OverlayError = tryOverlay(f.Disk.Path)
		f.tryNetwork()
	}
	for _, a := range cfg.Listen {
		f.Listen = append(f.Listen, Address{Address: a, Error: tryListen(ctx, a)})
	}
	for _, p := range cfg.Programs {
		f.Programs = append(f.Programs, findProgram(ctx, p))
	}
	return f
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func kernelRelease() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(data))
}

func capabilities() uint64 {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.SplitSeq(string(data), "\n") {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return n
		}
	}
	return 0
}

func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Max
}

// built is when this program's file was last changed.
func built() time.Time {
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// clockSync asks the kernel whether somebody disciplines its clock.
func clockSync() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

func resolvers() []string {
	data, _ := os.ReadFile("/etc/resolv.conf")
	var all []string
	for line := range strings.SplitSeq(string(data), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			address, _, _ := strings.Cut(f[1], "%") // the zone of a link-local address
			all = append(all, address)
		}
	}
	return all
}

func portRange() (r [2]int) {
	data, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if f := strings.Fields(string(data)); len(f) == 2 {
		r[0], _ = strconv.Atoi(f[0])
		r[1], _ = strconv.Atoi(f[1])
	}
	return r
}

func ipv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func tryListen(ctx context.Context, address string) string {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return "in use by another process"
		}
		return err.Error()
	}
	l.Close()
	return ""
}

func findProgram(ctx context.Context, p Program) FoundProgram {
	f := FoundProgram{Program: p}
	look := p.Path
	if look == "" {
		look = p.Name
	}
	path, err := exec.LookPath(look)
	if err != nil {
		return f
	}
	f.FoundAt = path
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	for _, flag := range []string{"--version", "-v"} {
		out, err := exec.CommandContext(ctx, path, flag).CombinedOutput()
		f.Version, f.Error = versionPattern.FindString(string(out)), ""
		if f.Version != "" {
			return f
		}
		if err != nil {
			line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
			f.Error = strings.TrimSpace(err.Error() + " " + string(line))
		}
	}
	return f
}

// collectDisk looks at the file system of the nearest directory that exists.
func collectDisk(dir string) Disk {
	path, err := filepath.Abs(dir)
	for err == nil && !exists(path) && path != "/" {
		path = filepath.Dir(path)
	}
	d := Disk{Path: path}
	var st unix.Statfs_t
	if err == nil {
		err = unix.Statfs(path, &st)
	}
	if err != nil {
		d.Error = err.Error()
		return d
	}
	size := uint64(st.Bsize)
	d.Free, d.Size = st.Bavail*size, st.Blocks*size
	d.FreeInodes, d.Inode = st.Ffree, st.Files
	d.Type = fileSystemName(int64(st.Type))
	return d
}

func fileSystemName(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	}
	return "file system 0x" + strconv.FormatInt(magic, 16)
}

// tryOverlay mounts an overlay below dir and takes it away at once.
func tryOverlay(dir string) string {
	tmp, err := os.MkdirTemp(dir, ".berth-doctor-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(tmp)
	for _, sub := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(tmp, sub), 0o700); err != nil {
			return err.Error()
		}
	}
	options := "lowerdir=" + tmp + "/lower,upperdir=" + tmp + "/upper,workdir=" + tmp + "/work"
	merged := filepath.Join(tmp, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return err.Error()
	}
	return errText(unix.Unmount(merged, unix.MNT_DETACH))
}
