package oci

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/selinux/go-selinux"
)

// hostFeatures is what this machine can do for a container.
type hostFeatures struct {
	apparmor bool
	selinux  bool
	// caps are the capabilities that this process has: it can't give more.
	caps map[string]bool
	// order lists all capabilities that the kernel knows.
	order []string
	// oomScore is this process's oom_score_adj.
	oomScore int
	// boot changes when the machine starts anew.
	boot string
	// swap is set when the machine has swap space.
	swap bool
}

func detectHost() hostFeatures {
	h := hostFeatures{selinux: selinux.GetEnabled(), caps: map[string]bool{}}
	raw, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	h.apparmor = strings.HasPrefix(string(raw), "Y")
	own, err := capability.NewPid2(0)
	if err == nil {
		err = own.Load()
	}
	known, kerr := capability.ListSupported()
	if kerr != nil {
		known = capability.ListKnown()
	}
	for _, c := range known {
		name := "CAP_" + strings.ToUpper(c.String())
		h.order = append(h.order, name)
		if err == nil && own.Get(capability.PERMITTED, c) && own.Get(capability.BOUNDING, c) {
			h.caps[name] = true
		}
	}
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	h.oomScore, _ = strconv.Atoi(strings.TrimSpace(string(score)))
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h.boot = strings.TrimSpace(string(boot))
	swaps, _ := os.ReadFile("/proc/swaps")
	h.swap = strings.Count(string(swaps), "\n") > 1
	return h
}

// startTime is when a process started, in clock ticks since boot: with the process ID it names a process for ever.
func startTime(pid int) (uint64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	s := string(raw)
	i := strings.LastIndexByte(s, ')')
	if i < 0 {
		return 0, fmt.Errorf("process %d: unreadable state", pid)
	}
	fields := strings.Fields(s[i+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: unreadable state", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
