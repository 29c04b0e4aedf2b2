package oci

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"berth/agent"
	api "berth/api/ecs"
	"berth/aws"
)

// defaultShm is the size of /dev/shm in MiB. Source: Docker.
const defaultShm = 64

// mounts are the standard file systems, tmpfs, the files that the agent made, and volumes. Of several for one
// destination the last in that order wins; parents come before children.
func (r *Runtime) mounts(c agent.Container) ([]specs.Mount, error) {
	p := c.Definition.LinuxParameters
	if p == nil {
		p = &api.LinuxParameters{}
	}
	all := standardMounts(aws.Value(c.Definition.Privileged), c.IPCNS == "host", orDefault(aws.Value(p.SharedMemorySize), defaultShm))
	for _, t := range p.Tmpfs {
		m, err := tmpfs(t)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	access := "rw"
	if aws.Value(c.Definition.ReadonlyRootFilesystem) {
		access = "ro" // as Docker has it: nothing below / can be written, these neither
	}
	for _, f := range [][2]string{{"/etc/resolv.conf", c.ResolvConf}, {"/etc/hosts", c.Hosts}, {"/etc/hostname", c.HostnameFile}} {
		if f[1] != "" {
			all = append(all, specs.Mount{Destination: f[0], Type: "bind", Source: f[1], Options: []string{"rbind", "rprivate", access}})
		}
	}
	if aws.Value(p.InitProcessEnabled) {
		all = append(all, specs.Mount{Destination: initPath, Type: "bind", Source: r.cfg.Init, Options: []string{"bind", "ro"}})
	}
	for _, m := range c.Mounts {
		if !path.IsAbs(m.Destination) {
			return nil, createError("invalid mount path: '%s' mount path must be absolute", m.Destination)
		}
		m.Destination = path.Clean(m.Destination)
		if m.Destination == "/" {
			return nil, createError("invalid volume specification: destination can't be '/'")
		}
		all = append(all, m)
	}
	return lastWins(all), nil
}

// lastWins keeps the last mount of each destination and puts parents before children.
func lastWins(all []specs.Mount) []specs.Mount {
	last := map[string]int{}
	for i, m := range all {
		last[m.Destination] = i
	}
	var out []specs.Mount
	for i, m := range all {
		if last[m.Destination] == i {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return out
}

func standardMounts(privileged, hostIPC bool, shmMiB int32) []specs.Mount {
	access := "ro"
	if privileged {
		access = "rw"
	}
	ms := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", access}},
	}
	if hostIPC {
		for _, at := range []string{"/dev/mqueue", "/dev/shm"} {
			// Not every machine has both.
			if _, err := os.Stat(at); err == nil {
				ms = append(ms, specs.Mount{Destination: at, Type: "bind", Source: at, Options: []string{"rbind", "nosuid", "noexec", "nodev"}})
			}
		}
		return ms
	}
	return append(ms,
		specs.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%dm", shmMiB)}})
}

func tmpfs(t api.Tmpfs) (specs.Mount, error) {
	at := path.Clean(aws.Value(t.ContainerPath))
	if !path.IsAbs(at) || at == "/" {
		return specs.Mount{}, createError("invalid tmpfs path %q", aws.Value(t.ContainerPath))
	}
	m := specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs"}
	for _, o := range []string{"exec", "suid", "dev"} {
		if !slices.Contains(t.MountOptions, o) { // crun does not let a later option undo an earlier one
			m.Options = append(m.Options, "no"+o)
		}
	}
	if s := aws.Value(t.Size); s > 0 {
		m.Options = append(m.Options, fmt.Sprintf("size=%dm", s))
	}
	for _, o := range t.MountOptions {
		if o == "" || strings.ContainsAny(o, ",\x00") {
			return specs.Mount{}, createError("invalid tmpfs option %q for %s", o, at)
		}
		m.Options = append(m.Options, o)
	}
	return m, nil
}
