package oci

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux/label"

	api "berth/api/ecs"
	"berth/aws"
)

// defaultCapabilities is Docker's set, which is ECS's, without NET_RAW.
// Differs: NET_RAW is not given unless asked for, so that a container cannot forge addresses (promises, actor C);
// ping works without it.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// Source: the paths that Docker hides from containers.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
	"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
}

var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// Source: specification 6.2, systemControls.
var ipcSysctls = map[string]bool{
	"kernel.msgmax": true, "kernel.msgmnb": true, "kernel.msgmni": true, "kernel.sem": true, "kernel.shmall": true,
	"kernel.shmmax": true, "kernel.shmmni": true, "kernel.shm_rmid_forced": true,
}

// security is what dockerSecurityOptions ask for.
type security struct {
	noNewPrivileges *bool
	apparmor        string
	labels          []string
}

func parseSecurity(options []string, h hostFeatures) (security, error) {
	var s security
	for _, o := range options {
		i := strings.IndexAny(o, ":=")
		key, value := o, ""
		if i >= 0 {
			key, value = o[:i], o[i+1:]
		}
		switch key {
		case "no-new-privileges":
			if value != "" && value != "true" && value != "false" {
				return s, createError("invalid security option %q", o)
			}
			s.noNewPrivileges = new(value != "false")
		case "apparmor":
			if !h.apparmor && value != "unconfined" {
				return s, createError("security option %q: AppArmor is not enabled on this machine", o)
			}
			s.apparmor = value
		case "label":
			if !h.selinux && value != "disable" {
				return s, createError("security option %q: SELinux is not enabled on this machine", o)
			}
			s.labels = append(s.labels, value)
		default:
			return s, createError("security option %q is not supported", o)
		}
	}
	return s, nil
}

// secure sets capabilities, system call filter, labels and hidden paths.
func (r *Runtime) secure(s *specs.Spec, def api.ContainerDefinition, sec security) error {
	privileged := aws.Value(def.Privileged)
	caps, err := r.capabilities(def)
	if err != nil {
		return err
	}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.Process.NoNewPrivileges = !privileged && !r.cfg.AllowNewPrivileges
	if sec.noNewPrivileges != nil {
		s.Process.NoNewPrivileges = *sec.noNewPrivileges
	}
	if r.host.apparmor {
		s.Process.ApparmorProfile = sec.apparmor
	}
	if r.host.selinux {
		process, mount, err := label.InitLabels(sec.labels)
		if err != nil {
			return createError("security labels: %w", err)
		}
		s.Process.SelinuxLabel, s.Linux.MountLabel = process, mount
		if privileged && len(sec.labels) == 0 {
			s.Process.SelinuxLabel = ""
		}
	}
	if privileged {
		return nil
	}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = slices.Clone(maskedPaths), slices.Clone(readonlyPaths)
	if s.Linux.Seccomp, err = seccomp.GetDefaultProfile(s); err != nil {
		return createError("system call filter: %w", err)
	}
	return nil
}

// capabilities are the default set, less drop, plus add; "ALL" as Docker has it.
func (r *Runtime) capabilities(def api.ContainerDefinition) ([]string, error) {
	if aws.Value(def.Privileged) {
		return r.available(r.host.order), nil
	}
	var add, drop []string
	if p := def.LinuxParameters; p != nil && p.Capabilities != nil {
		var err error
		if add, err = r.capabilityNames(p.Capabilities.Add); err != nil {
			return nil, err
		}
		if drop, err = r.capabilityNames(p.Capabilities.Drop); err != nil {
			return nil, err
		}
	}
	allAdded, allDropped := slices.Contains(add, "ALL"), slices.Contains(drop, "ALL")
	var out []string
	for _, c := range r.host.order {
		keep := (allAdded || slices.Contains(defaultCapabilities, c)) && !allDropped && !slices.Contains(drop, c)
		if !keep && slices.Contains(add, c) {
			keep = true
			if !r.host.caps[c] {
				return nil, createError("capability %s cannot be added: Berth does not have it on this machine", c)
			}
		}
		if keep {
			out = append(out, c)
		}
	}
	return r.available(out), nil
}

// available leaves out what this process does not have itself.
func (r *Runtime) available(caps []string) []string {
	out := []string{}
	for _, c := range caps {
		if r.host.caps[c] {
			out = append(out, c)
		}
	}
	return out
}

func (r *Runtime) capabilityNames(list []string) ([]string, error) {
	var out []string
	for _, c := range list {
		c = strings.ToUpper(c)
		if c != "ALL" {
			c = "CAP_" + strings.TrimPrefix(c, "CAP_")
			if !slices.Contains(r.host.order, c) {
				return nil, createError("%w", fmt.Errorf("invalid capability: %q is not known by this machine's kernel", c))
			}
		}
		out = append(out, c)
	}
	return out, nil
}
