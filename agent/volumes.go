package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	ecs "berth/api/ecs"
	"berth/aws"
)

// copyUp marks mounts that begin with what the image has at their path. The runtime never sees it.
const copyUp = "copyup"

// filler copies what an image has at a path into an empty volume. Implemented by agent/oci.
type filler interface {
	CopyUp(ctx context.Context, image Image, at, dst string) error
}

// fill fills new volumes from the image and takes the marks off.
func (n *node) fill(ctx context.Context, image Image, mounts []specs.Mount) error {
	f, ok := n.cfg.Deps.Runtime.(filler)
	for i, m := range mounts {
		marked := slices.Index(m.Options, copyUp)
		if marked < 0 {
			continue
		}
		mounts[i].Options = slices.Delete(slices.Clone(m.Options), marked, marked+1)
		if !ok {
			continue
		}
		n.filling.Lock() // two containers of a task may have the same volume
		err := f.CopyUp(ctx, image, m.Destination, m.Source)
		n.filling.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// makeVolumes makes the directories of the task's volumes.
func (c *Config) makeVolumes(taskArn string, volumes []ecs.Volume) error {
	for _, v := range volumes {
		path, err := c.volume(taskArn, v)
		if err != nil {
			return err
		}
		d := v.DockerVolumeConfiguration
		if d != nil && d.Scope == ecs.ScopeShared && !aws.Value(d.Autoprovision) {
			if _, err := os.Stat(path); err != nil {
				return &Error{Name: "CannotInspectVolumeError", Detail: fmt.Sprintf("get %s: no such volume", aws.Value(v.Name)), Err: err}
			}
			continue
		}
		if err := makeVolume(path); err != nil {
			return &Error{Name: "CannotCreateVolumeError", Detail: err.Error(), Err: err}
		}
	}
	return nil
}

// makeVolume makes the directory with mode 0755, as docker does, whatever the umask; what exists stays as it is.
func makeVolume(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

// volume is the host directory of a volume, or why there can be none.
func (c *Config) volume(taskArn string, v ecs.Volume) (string, error) {
	name := aws.Value(v.Name)
	refuse := func(what string) (string, error) {
		return "", &Error{Name: "CannotCreateVolumeError", Detail: fmt.Sprintf("volume %s: %s", name, what)}
	}
	if !filepath.IsLocal(name) || name != filepath.Base(name) {
		return refuse("the name is not a plain name")
	}
	d := v.DockerVolumeConfiguration
	switch {
	case v.EfsVolumeConfiguration != nil, v.FsxWindowsFileServerVolumeConfiguration != nil, v.S3filesVolumeConfiguration != nil,
		aws.Value(v.ConfiguredAtLaunch):
		return refuse("this kind of volume is not available on this machine")
	case d != nil && d.Driver != nil && *d.Driver != "local" && *d.Driver != "":
		return refuse(fmt.Sprintf("driver %q is not available, only local is", *d.Driver))
	case d != nil && len(d.DriverOpts) > 0:
		return refuse("the local driver takes no options here")
	case d != nil && d.Scope == ecs.ScopeShared:
		return c.sharedVolume(name), nil
	case d == nil && v.Host != nil && aws.Value(v.Host.SourcePath) != "":
		path := *v.Host.SourcePath
		if !filepath.IsAbs(path) {
			return refuse(fmt.Sprintf("sourcePath %q is not absolute", path))
		}
		return filepath.Clean(path), nil
	}
	return filepath.Join(c.taskVolumes(taskID(taskArn)), name), nil
}

// dropVolumes removes what was made for the task alone.
func (c *Config) dropVolumes(taskArn string) error {
	return errors.Join(os.RemoveAll(c.taskVolumes(taskID(taskArn))), os.RemoveAll(sharedMemory(taskArn)))
}

// sharedMemory is the directory that containers with ipcMode "task" have in common as /dev/shm.
func sharedMemory(taskArn string) string { return filepath.Join("/dev/shm", "berth-"+taskID(taskArn)) }

// sharedMemoryMount makes that directory.
func sharedMemoryMount(taskArn string) (specs.Mount, error) {
	dir := sharedMemory(taskArn)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return specs.Mount{}, err
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		return specs.Mount{}, err
	}
	return specs.Mount{Destination: "/dev/shm", Type: "bind", Source: dir, Options: []string{"bind", "rw", "nosuid", "nodev", "noexec"}}, nil
}

// mounts resolves the container's mount points, and those of the containers that it takes volumes from.
func (c *Config) mounts(taskArn string, def *ecs.TaskDefinition, name string) ([]specs.Mount, error) {
	return c.mountsOf(taskArn, def, name, map[string]bool{})
}

func (c *Config) mountsOf(taskArn string, def *ecs.TaskDefinition, name string, seen map[string]bool) ([]specs.Mount, error) {
	if seen[name] {
		return nil, nil
	}
	seen[name] = true
	container := containerDefinition(def, name)
	if container == nil {
		return nil, fmt.Errorf("volumesFrom: container %s is not in the task", name)
	}
	var all []specs.Mount
	for _, m := range container.MountPoints {
		mount, err := c.mount(taskArn, def, m)
		if err != nil {
			return nil, err
		}
		all = append(all, mount)
	}
	for _, from := range container.VolumesFrom {
		others, err := c.mountsOf(taskArn, def, aws.Value(from.SourceContainer), seen)
		if err != nil {
			return nil, err
		}
		for _, m := range others {
			if slices.ContainsFunc(all, func(o specs.Mount) bool { return o.Destination == m.Destination }) {
				continue
			}
			m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool {
				return o == copyUp || (aws.Value(from.ReadOnly) && o == "rw")
			})
			if aws.Value(from.ReadOnly) && !slices.Contains(m.Options, "ro") {
				m.Options = append(m.Options, "ro")
			}
			all = append(all, m)
		}
	}
	return all, nil
}

func (c *Config) mount(taskArn string, def *ecs.TaskDefinition, m ecs.MountPoint) (specs.Mount, error) {
	for _, v := range def.Volumes {
		if aws.Value(v.Name) != aws.Value(m.SourceVolume) {
			continue
		}
		path, err := c.volume(taskArn, v)
		if err != nil {
			return specs.Mount{}, err
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return specs.Mount{}, fmt.Errorf("volume %s: %w", aws.Value(v.Name), err)
		}
		options := []string{"rbind", "rprivate", "rw"}
		if aws.Value(m.ReadOnly) {
			options[2] = "ro"
		}
		if v.Host == nil || aws.Value(v.Host.SourcePath) == "" {
			options = append(options, copyUp)
		}
		return specs.Mount{Destination: aws.Value(m.ContainerPath), Type: "bind", Source: path, Options: options}, nil
	}
	return specs.Mount{}, fmt.Errorf("volume %s is not in the task definition", aws.Value(m.SourceVolume))
}

func containerDefinition(def *ecs.TaskDefinition, name string) *ecs.ContainerDefinition {
	for i := range def.ContainerDefinitions {
		if aws.Value(def.ContainerDefinitions[i].Name) == name {
			return &def.ContainerDefinitions[i]
		}
	}
	return nil
}
