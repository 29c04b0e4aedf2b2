package oci

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	api "berth/api/ecs"
	"berth/aws"
)

// devices lists the device files to make and the cgroup's rules about devices. The OCI runtime adds those that every
// container has (null, zero, full, random, urandom, tty, ptmx).
func devices(def api.ContainerDefinition) ([]specs.LinuxDevice, []specs.LinuxDeviceCgroup, error) {
	if aws.Value(def.Privileged) {
		all, err := walkDevices("/dev", "/dev")
		if err != nil {
			return nil, nil, createError("list devices: %w", err)
		}
		return all, []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, nil
	}
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	if def.LinuxParameters == nil {
		return nil, rules, nil
	}
	var devs []specs.LinuxDevice
	for _, d := range def.LinuxParameters.Devices {
		host := aws.Value(d.HostPath)
		found, err := walkDevices(host, orDefault(aws.Value(d.ContainerPath), host))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%q is not a device node", host)
		}
		if err != nil {
			return nil, nil, createError("error gathering device information while adding custom device %q: %w", host, err)
		}
		access := ""
		for _, p := range d.Permissions {
			switch p {
			case "read":
				access += "r"
			case "write":
				access += "w"
			case "mknod":
				access += "m"
			default:
				return nil, nil, createError("device %s: permission %q is not read, write or mknod", host, p)
			}
		}
		for _, f := range found {
			rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: f.Type, Major: new(f.Major), Minor: new(f.Minor), Access: orDefault(access, "rwm")})
		}
		devs = append(devs, found...)
	}
	return devs, rules, nil
}

// walkDevices finds the device at host, or those below it, named as below the container's path. What the runtime
// makes itself is left out.
func walkDevices(host, container string) ([]specs.LinuxDevice, error) {
	host, err := filepath.EvalSymlinks(host)
	if err != nil {
		return nil, err
	}
	var out []specs.LinuxDevice
	err = filepath.WalkDir(host, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			if p == host {
				return err
			}
			return nil
		}
		if e.IsDir() {
			switch p {
			case "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/.udev", "/dev/.lxc":
				return fs.SkipDir
			}
			return nil
		}
		if e.Type()&os.ModeDevice == 0 || p == "/dev/console" || p == "/dev/ptmx" {
			return nil
		}
		d, err := device(p)
		if err != nil {
			return nil //nolint:nilerr // it went away
		}
		d.Path = path.Join(container, p[len(host):])
		out = append(out, d)
		return nil
	})
	return out, err
}

func device(p string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return specs.LinuxDevice{}, err
	}
	kind := "c"
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		kind = "b"
	}
	return specs.LinuxDevice{
		Path: p, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
		FileMode: new(os.FileMode(st.Mode & 0o777)), UID: new(st.Uid), GID: new(st.Gid),
	}, nil
}
