// Probe is what the tests run inside containers.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	arg := func(i int) string {
		if len(os.Args) > i {
			return os.Args[i]
		}
		return ""
	}
	n, _ := strconv.Atoi(arg(2))
	switch arg(1) {
	case "exit":
		os.Exit(n)
	case "sleep":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		for {
			time.Sleep(time.Hour)
		}
	case "term":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		os.Exit(n)
	case "report":
		report()
	case "alloc":
		alloc(n)
	case "bomb":
		bomb()
	case "flood":
		flood(n)
	case "line":
		w := bufio.NewWriterSize(os.Stdout, 1<<16)
		for range n {
			_ = w.WriteByte('x')
		}
		_ = w.WriteByte('\n')
		_ = w.Flush()
	case "escape":
		escape()
	case "orphan":
		orphan()
	case "touch":
		if err := os.WriteFile(arg(2), []byte("content\n"), 0o600); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case "cat":
		raw, err := os.ReadFile(arg(2))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Stdout.Write(raw)
	case "ls":
		_ = filepath.WalkDir(arg(2), func(p string, _ os.DirEntry, err error) error {
			fmt.Println(p, err)
			return nil
		})
	default:
		fmt.Println("unknown command", os.Args)
		os.Exit(64)
	}
}

func report() {
	wd, _ := os.Getwd()
	host, _ := os.Hostname()
	groups, _ := os.Getgroups()
	sort.Ints(groups)
	var nofile syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &nofile)
	status := map[string]string{}
	raw, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			status[k] = strings.TrimSpace(v)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	first, _ := os.ReadFile("/proc/1/comm")
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"args": os.Args, "env": os.Environ(), "cwd": wd, "hostname": host, "uid": os.Getuid(), "gid": os.Getgid(), "groups": groups,
		"pid": os.Getpid(), "nofile": []uint64{nofile.Cur, nofile.Max}, "capEff": status["CapEff"], "capBnd": status["CapBnd"],
		"seccomp": status["Seccomp"], "noNewPrivs": status["NoNewPrivs"], "mounts": strings.Split(strings.TrimSpace(string(mounts)), "\n"),
		"first": strings.TrimSpace(string(first)),
	})
}

func alloc(mib int) {
	var keep [][]byte
	for range mib {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		keep = append(keep, b)
	}
	fmt.Println("allocated", len(keep))
}

// bomb starts copies of itself for ever.
func bomb() {
	fmt.Println("ready")
	for {
		cmd := exec.Command("/proc/self/exe", "bomb")
		if err := cmd.Start(); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func flood(mib int) {
	line := []byte(strings.Repeat("f", 1023) + "\n")
	w := bufio.NewWriterSize(os.Stdout, 1<<16)
	for range mib * 1024 {
		_, _ = w.Write(line)
	}
	_ = w.Flush()
}

// orphan leaves a process behind that does not belong to its session.
func orphan() {
	cmd := exec.Command("/proc/self/exe", "sleep")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout = os.Stdout
	_ = cmd.Start()
	fmt.Println("child", cmd.Process.Pid)
	for {
		time.Sleep(time.Hour)
	}
}

// escape tries what a hostile container tries and says what happened: "" means that it worked.
func escape() {
	try := map[string]func() error{
		"mount":         func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") },
		"unshare-user":  func() error { return syscall.Unshare(syscall.CLONE_NEWUSER) },
		"unshare-net":   func() error { return syscall.Unshare(syscall.CLONE_NEWNET) },
		"raw-socket":    func() error { _, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, 1); return err },
		"packet-socket": func() error { _, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0); return err },
		"keyctl":        func() error { return call(syscall.SYS_KEYCTL) },
		"bpf":           func() error { return call(321) },
		"perf":          func() error { return call(syscall.SYS_PERF_EVENT_OPEN) },
		"kexec":         func() error { return call(syscall.SYS_KEXEC_LOAD) },
		"init-module":   func() error { return call(syscall.SYS_INIT_MODULE) },
		"settime":       func() error { return syscall.Settimeofday(&syscall.Timeval{}) },
		"sethostname":   func() error { return syscall.Sethostname([]byte("x")) },
		"reboot":        func() error { return call(syscall.SYS_REBOOT) },
		"core-pattern":  func() error { return write("/proc/sys/kernel/core_pattern", "|/x") },
		"sysrq":         func() error { return write("/proc/sysrq-trigger", "h") },
		"sys-write":     func() error { return write("/sys/kernel/profiling", "1") },
		"uevent-helper": func() error { return write("/sys/kernel/uevent_helper", "/x") },
		"cgroup-write": func() error {
			return firstOf("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")
		},
		"release-agent": func() error { return write("/sys/fs/cgroup/memory/release_agent", "/x") },
		"kcore":         func() error { return readSome("/proc/kcore") },
		"keys":          func() error { return readSome("/proc/keys") },
		"firmware":      func() error { return listSome("/sys/firmware") },
		"disk":          disk,
		"mem":           func() error { return node("/tmp/mem", syscall.S_IFCHR, 1<<8|1) },
		"host-init":     func() error { return readSome("/proc/1/root/etc/machine-id-of-host") },
		"host-fd":       hostFD,
	}
	out := map[string]string{}
	for name, f := range try {
		out[name] = ""
		if err := f(); err != nil {
			out[name] = err.Error()
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

func call(nr uintptr) error {
	if _, _, errno := syscall.Syscall6(nr, 0, 0, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func write(path, s string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(s)
	return err
}

func firstOf(paths ...string) error {
	var err error
	for _, p := range paths {
		if err = write(p, "1"); err == nil {
			return nil
		}
	}
	return err
}

func readSome(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.Read(make([]byte, 16))
	if n > 0 {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("empty")
	}
	return err
}

func listSome(path string) error {
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("empty")
	}
	return err
}

// disk makes a node for the machine's first disk and reads from it.
func disk() error { return node("/tmp/disk", syscall.S_IFBLK, 254<<8) }

func node(path string, kind uint32, dev int) error {
	_ = os.MkdirAll("/tmp", 0o777)
	if err := syscall.Mknod(path, kind|0o600, dev); err != nil {
		return err
	}
	return readSome(path)
}

// hostFD looks for an inherited descriptor of a directory, from which .. leads out.
func hostFD() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		if fd < 3 {
			continue
		}
		link := "/proc/self/fd/" + e.Name()
		target, _ := os.Readlink(link)
		if fi, err := os.Stat(link); err == nil && fi.IsDir() && !strings.HasPrefix(target, "/proc/") {
			return nil
		}
	}
	return fmt.Errorf("none")
}
