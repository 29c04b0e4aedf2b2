package oci

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"berth/agent"
	"berth/aws"
)

// Annotations that say which container a bundle is.
const (
	annotationTask = "berth.task-arn"
	annotationName = "berth.container-name"
)

// createError is an error in what was asked for, found before anything ran.
func createError(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	var named *agent.Error
	if errors.As(err, &named) {
		return named
	}
	return &agent.Error{Name: nameCannotCreate, Detail: clip(err.Error(), 1000), Err: err}
}

// specVersion is the oldest that has all that is used here: crun before 1.14.3 (Debian 12, Ubuntu 24.04) takes no specification of 1.1 or later.
const specVersion = "1.0.2"

// spec turns a container into an OCI specification. rootfs is the mounted root file system, from which names of
// users and groups are resolved.
func (r *Runtime) spec(c agent.Container, rootfs string) (*specs.Spec, error) {
	sec, err := parseSecurity(c.Definition.DockerSecurityOptions, r.host)
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:     specVersion,
		Root:        &specs.Root{Path: "rootfs", Readonly: aws.Value(c.Definition.ReadonlyRootFilesystem)},
		Hostname:    c.Hostname,
		Annotations: map[string]string{},
		Linux: &specs.Linux{
			CgroupsPath: "/" + c.CgroupParent + "/" + c.ID,
			Namespaces:  namespaces(c),
		},
	}
	maps.Copy(s.Annotations, c.Annotations)
	s.Annotations[annotationTask], s.Annotations[annotationName] = c.TaskArn, c.Name
	if s.Process, err = r.process(c, rootfs); err != nil {
		return nil, err
	}
	if s.Mounts, err = r.mounts(c); err != nil {
		return nil, err
	}
	if s.Linux.Sysctl, err = sysctls(c); err != nil {
		return nil, err
	}
	if s.Linux.Resources, err = r.resources(c); err != nil {
		return nil, err
	}
	if s.Linux.Devices, s.Linux.Resources.Devices, err = devices(c.Definition); err != nil {
		return nil, err
	}
	if err := r.gpus(s, c.GPUIDs); err != nil {
		return nil, err
	}
	return s, r.secure(s, c.Definition, sec)
}

func namespaces(c agent.Container) []specs.LinuxNamespace {
	ns := []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace}}
	for _, n := range []struct {
		kind specs.LinuxNamespaceType
		path string
	}{{specs.PIDNamespace, c.PIDNS}, {specs.IPCNamespace, c.IPCNS}} {
		if n.path != "host" {
			ns = append(ns, specs.LinuxNamespace{Type: n.kind, Path: n.path})
		}
	}
	if c.NetNS != "" {
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: c.NetNS})
	}
	return ns
}

// sysctls are those of the definition and two that let any user open low ports and send pings, as Docker sets them.
func sysctls(c agent.Container) (map[string]string, error) {
	m := map[string]string{}
	if c.NetNS != "" {
		m["net.ipv4.ip_unprivileged_port_start"] = "0"
		m["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for _, sc := range c.Definition.SystemControls {
		k, v := aws.Value(sc.Namespace), aws.Value(sc.Value)
		ipc := strings.HasPrefix(k, "fs.mqueue.") || ipcSysctls[k]
		switch {
		case strings.Contains(k, "/") || strings.Contains(k, ".."):
			return nil, createError("system control %q is not a name", k)
		case strings.HasPrefix(k, "net.") && c.NetNS == "":
			return nil, createError("system control %s needs a network namespace: it is not allowed in network mode host", k)
		case ipc && c.IPCNS == "host":
			return nil, createError("system control %s is not allowed in IPC mode host", k)
		case !ipc && !strings.HasPrefix(k, "net."):
			return nil, createError("system control %s is not allowed: it is the machine's", k)
		}
		m[k] = v
	}
	return m, nil
}
