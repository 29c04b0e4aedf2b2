package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of the checks.
const (
	failDisk, warnDisk     = 1 << 30, 10 << 30 // bytes free
	failInodes, warnInodes = 20_000, 200_000
	warnOpenFiles          = 65_536
	clockTolerance         = 24 * time.Hour
)

// Check judges facts. The findings stand in a fixed order; programs and ports have one each.
func Check(f Facts) []Finding {
	all := []Finding{
		checkRights(f), checkKernel(f), checkNamespaces(f), checkSeccomp(f), checkOverlay(f), checkCgroup(f), checkSwap(f),
		checkNetwork(f), checkForward(f), checkIPv6(f), checkDisk(f), checkInodes(f), checkOpenFiles(f),
		checkClock(f), checkResolvers(f), checkPortRange(f),
	}
	for _, a := range f.Listen {
		all = append(all, checkListen(a))
	}
	return append(all, checkPrograms(f.Programs, f.Cgroup.Mode)...)
}

func pass(name, format string, args ...any) Finding {
	return Finding{Name: name, Status: Pass, Detail: fmt.Sprintf(format, args...)}
}

func found(name string, status Status, fix, format string, args ...any) Finding {
	return Finding{Name: name, Status: status, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

// needed are the capabilities without which containers cannot be made.
func needed() map[string]int {
	return map[string]int{
		"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW,
		"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
		"CAP_MKNOD":            unix.CAP_MKNOD, "CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_FOWNER": unix.CAP_FOWNER,
		"CAP_SETUID": unix.CAP_SETUID, "CAP_SETGID": unix.CAP_SETGID, "CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_KILL": unix.CAP_KILL,
		"CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_SETFCAP": unix.CAP_SETFCAP,
	}
}

func checkRights(f Facts) Finding {
	const name = "rights"
	if f.EUID != 0 {
		return found(name, Fail, "run as root: sudo berth ...", "user %d is not root", f.EUID)
	}
	var missing []string
	for capability, bit := range needed() {
		if f.Capabilities&(1<<bit) == 0 {
			missing = append(missing, capability)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return found(name, Fail, "start the surrounding container or service with these capabilities",
			"root lacks %s", strings.Join(missing, ", "))
	}
	if f.Capabilities&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		return found(name, Warn, "start the surrounding container or service with CAP_SYS_RESOURCE",
			"root lacks CAP_SYS_RESOURCE: hard ulimits cannot be raised, and monitors are not protected from the OOM killer")
	}
	return pass(name, "root with all capabilities needed")
}

func checkKernel(f Facts) Finding {
	const name = "kernel"
	v := parseVersion(f.KernelRelease)
	switch {
	case compareVersions(v, []int{5, 4}) < 0:
		return found(name, Fail, "use a kernel from 5.10 on (Debian 11, Ubuntu 22.04 or newer)", "%s is older than 5.4", f.KernelRelease)
	case compareVersions(v, []int{5, 10}) < 0:
		return found(name, Warn, "use a kernel from 5.10 on (Debian 11, Ubuntu 22.04 or newer)", "%s is older than 5.10 and not tested", f.KernelRelease)
	}
	return pass(name, "Linux %s", f.KernelRelease)
}

func checkNamespaces(f Facts) Finding {
	var missing []string
	for _, n := range []string{"mnt", "pid", "net", "ipc", "uts"} {
		if !slices.Contains(f.Namespaces, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return found("namespaces", Fail, "use a kernel with namespaces of these kinds", "missing: %s", strings.Join(missing, ", "))
	}
	return pass("namespaces", "%s", strings.Join(f.Namespaces, " "))
}

func checkSeccomp(f Facts) Finding {
	if !f.Seccomp {
		return found("seccomp", Warn, "use a kernel with CONFIG_SECCOMP_FILTER", "containers run without a system call filter")
	}
	return pass("seccomp", "filters are available")
}

func checkOverlay(f Facts) Finding {
	if f.OverlayError != "" {
		return found("overlay", Fail, "modprobe overlay; keep the data directory on ext4 or xfs (ftype=1)",
			"an overlay mount in the data directory's file system (%s) failed: %s", f.Disk.Type, f.OverlayError)
	}
	return pass("overlay", "mounts on %s", f.Disk.Type)
}

func checkCgroup(f Facts) Finding {
	const name = "cgroup"
	if f.Cgroup.Mode == "" {
		return found(name, Fail, "mount -t cgroup2 none /sys/fs/cgroup", "no control groups are mounted")
	}
	want := []string{"cpu", "memory", "pids", "cpuset"}
	if f.Cgroup.Mode != "v2" {
		want = append(want, "devices", "freezer")
	}
	var missing []string
	for _, c := range want {
		if !slices.Contains(f.Cgroup.Controllers, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		fix := "add cgroup_enable=" + strings.Join(missing, " cgroup_enable=") + " to the kernel's command line"
		return found(name, Fail, fix, "%s without controllers %s", f.Cgroup.Mode, strings.Join(missing, ", "))
	}
	if f.Cgroup.WriteError != "" {
		return found(name, Fail, "mount -o remount,rw /sys/fs/cgroup", "%s, but no group can be made: %s", f.Cgroup.Mode, f.Cgroup.WriteError)
	}
	return pass(name, "%s with %s", f.Cgroup.Mode, strings.Join(f.Cgroup.Controllers, " "))
}

func checkSwap(f Facts) Finding {
	if f.Cgroup.Mode != "" && !f.Cgroup.Swap {
		return found("swap limit", Warn, "add swapaccount=1 to the kernel's command line",
			"linuxParameters.maxSwap has no effect: the kernel does not account swap")
	}
	return pass("swap limit", "swap is accounted")
}

func checkNetwork(f Facts) Finding {
	const name = "network"
	for _, t := range []struct{ what, err, fix string }{
		{"a network namespace", f.NetnsError, "use a kernel with CONFIG_NET_NS, as root"},
		{"a veth link", f.VethError, "modprobe veth"},
		{"an nftables table with NAT", f.NftError, "modprobe -a nf_tables nft_chain_nat nft_masq nft_fib_ipv4 nft_ct nft_reject_ipv4"},
	} {
		if t.err != "" {
			return found(name, Fail, t.fix, "%s cannot be made: %s", t.what, t.err)
		}
	}
	return pass(name, "network namespaces, veth and nftables with NAT work")
}

func checkForward(f Facts) Finding {
	if len(f.ForwardDrop) > 0 {
		return found("forwarding", Warn, "iptables -I FORWARD -i bth+ -j ACCEPT; iptables -I FORWARD -o bth+ -j ACCEPT",
			"%s drops forwarded packets: other machines may not reach published ports, and containers not the outside",
			strings.Join(f.ForwardDrop, ", "))
	}
	return pass("forwarding", "no other rules drop forwarded packets by default")
}

func checkIPv6(f Facts) Finding {
	if !f.IPv6 {
		return found("ipv6", Warn, "sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0", "published ports answer on IPv4 only")
	}
	return pass("ipv6", "published ports answer on IPv6 too")
}

func checkDisk(f Facts) Finding {
	const name = "disk space"
	d := f.Disk
	fix := "free space below " + d.Path + " or give another --data-dir"
	switch {
	case d.Error != "":
		return found(name, Fail, "give a --data-dir on a local disk", "%s: %s", d.Path, d.Error)
	case d.Free < failDisk:
		return found(name, Fail, fix, "%s of %s free in %s, need %s", size(d.Free), size(d.Size), d.Path, size(failDisk))
	case d.Free < warnDisk:
		return found(name, Warn, fix, "%s of %s free in %s, images need more than %s soon", size(d.Free), size(d.Size), d.Path, size(warnDisk))
	}
	return pass(name, "%s of %s free in %s (%s)", size(d.Free), size(d.Size), d.Path, d.Type)
}

func checkInodes(f Facts) Finding {
	const name = "inodes"
	d := f.Disk
	if d.Error != "" || d.Inode == 0 {
		return pass(name, "the file system does not count them")
	}
	fix := "remove small files below " + d.Path + " or give another --data-dir"
	switch {
	case d.FreeInodes < failInodes:
		return found(name, Fail, fix, "%d of %d free, need %d", d.FreeInodes, d.Inode, failInodes)
	case d.FreeInodes < warnInodes:
		return found(name, Warn, fix, "%d of %d free", d.FreeInodes, d.Inode)
	}
	return pass(name, "%d of %d free", d.FreeInodes, d.Inode)
}

func checkOpenFiles(f Facts) Finding {
	if f.OpenFiles < warnOpenFiles {
		return found("open files", Warn, "ulimit -Hn 1048576, or LimitNOFILE=1048576 in the service",
			"the hard limit is %d: many published ports or containers need more, and no container can have a higher nofile", f.OpenFiles)
	}
	return pass("open files", "hard limit %d", f.OpenFiles)
}

func checkClock(f Facts) Finding {
	const name = "clock"
	if f.Now.Before(f.Built.Add(-clockTolerance)) {
		return found(name, Fail, "timedatectl set-ntp true, or date -s", "%s is before this program was made (%s): certificates and signatures will not be accepted",
			f.Now.UTC().Format(time.RFC3339), f.Built.UTC().Format(time.RFC3339))
	}
	if !f.ClockSync {
		return found(name, Warn, "timedatectl set-ntp true, or install chrony",
			"the kernel says that no one keeps it in time: signatures fail when it is 15 minutes off")
	}
	return pass(name, "synchronized")
}

func checkResolvers(f Facts) Finding {
	const name = "resolvers"
	if len(f.Resolvers) == 0 {
		return found(name, Warn, "write a nameserver line into /etc/resolv.conf", "/etc/resolv.conf names none: containers resolve no outside names")
	}
	for _, r := range f.Resolvers {
		if _, err := netip.ParseAddr(r); err != nil {
			return found(name, Warn, "correct /etc/resolv.conf", "%q is not an address", r)
		}
	}
	return pass(name, "%s", strings.Join(f.Resolvers, " "))
}

func checkPortRange(f Facts) Finding {
	const name = "dynamic ports"
	n := f.PortRange[1] - f.PortRange[0] + 1
	if f.PortRange[0] <= 0 || n < 1000 {
		return found(name, Warn, `sysctl -w net.ipv4.ip_local_port_range="32768 60999"`, "only %d-%d: dynamic host ports will run out", f.PortRange[0], f.PortRange[1])
	}
	return pass(name, "%d-%d", f.PortRange[0], f.PortRange[1])
}

func checkListen(a Address) Finding {
	name := "port " + a.Address
	if a.Error == "" {
		return pass(name, "free")
	}
	fix := "give another address with --listen"
	if _, port, err := net.SplitHostPort(a.Address); err == nil {
		fix = "see who has it: ss -ltnp 'sport = :" + port + "'; end it or give another address with --listen"
	}
	return found(name, Fail, fix, "%s", a.Error)
}

func size(n uint64) string {
	const unit = 1 << 10
	v, i := float64(n), 0
	for ; v >= unit && i < 5; i++ {
		v /= unit
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[i]
}
