package ecs

import (
	"path"

	api "berth/api/ecs"
)

// localDriver is the one volume driver that Berth has.
const localDriver = "local"

func checkVolumes(in *api.RegisterTaskDefinitionRequest) error {
	known := map[string]bool{}
	for i := range in.Volumes {
		v := &in.Volumes[i]
		name := value(v.Name)
		switch {
		case name == "":
			return clientError("Volume name should not be null or empty.")
		case !namePattern.MatchString(name):
			return clientError("Volume name contains invalid characters.")
		case known[name]:
			return clientError("Volume names must be unique within a Task Definition.")
		}
		known[name] = true
		if err := checkVolume(v); err != nil {
			return err
		}
	}
	for i := range in.ContainerDefinitions {
		c := &in.ContainerDefinitions[i]
		for _, m := range c.MountPoints {
			if !known[value(m.SourceVolume)] {
				return clientError("Unknown volume '%s'.", value(m.SourceVolume))
			}
			if !path.IsAbs(value(m.ContainerPath)) {
				return settingError(*c.Name, "The containerPath of the mount point for volume '%s' must be an absolute path.", *m.SourceVolume)
			}
		}
	}
	return nil
}

func checkVolume(v *api.Volume) error {
	kinds := 0
	for _, given := range []bool{
		v.Host != nil && value(v.Host.SourcePath) != "", v.DockerVolumeConfiguration != nil, v.EfsVolumeConfiguration != nil,
		v.S3filesVolumeConfiguration != nil, v.FsxWindowsFileServerVolumeConfiguration != nil, value(v.ConfiguredAtLaunch),
	} {
		if given {
			kinds++
		}
	}
	if kinds > 1 {
		return clientError("Volume '%s' can have only one kind of configuration.", *v.Name)
	}
	if v.Host != nil && value(v.Host.SourcePath) != "" && !path.IsAbs(*v.Host.SourcePath) {
		return clientError("The host.sourcePath of volume '%s' must be an absolute path.", *v.Name)
	}
	switch {
	case v.EfsVolumeConfiguration != nil:
		return notYet("efsVolumeConfiguration (volume '" + *v.Name + "')")
	case v.S3filesVolumeConfiguration != nil:
		return notYet("s3filesVolumeConfiguration (volume '" + *v.Name + "')")
	case v.FsxWindowsFileServerVolumeConfiguration != nil:
		return notYet("fsxWindowsFileServerVolumeConfiguration (volume '" + *v.Name + "')")
	case value(v.ConfiguredAtLaunch):
		return notYet("configuredAtLaunch (EBS volume '" + *v.Name + "')")
	}
	return checkDockerVolume(v)
}

func checkDockerVolume(v *api.Volume) error {
	d := v.DockerVolumeConfiguration
	if d == nil {
		return nil
	}
	if err := checkEnum("dockerVolumeConfiguration.scope", d.Scope); err != nil {
		return err
	}
	if d.Autoprovision != nil && d.Scope != api.ScopeShared {
		return clientError("The autoprovision parameter of volume '%s' can be used only with scope shared.", *v.Name)
	}
	if driver := value(d.Driver); driver != "" && driver != localDriver {
		return notYet("Volume driver " + driver + " (volume '" + *v.Name + "')")
	}
	if len(d.DriverOpts) > 0 {
		return notYet("driverOpts (volume '" + *v.Name + "')")
	}
	return nil
}
