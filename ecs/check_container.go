package ecs

import (
	"cmp"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/ecs"
)

// Options of log drivers that the agent acts on.
// Source: ECS developer guide, "Example Amazon ECS task definition: Route logs to CloudWatch".
var (
	awslogsOptions = []string{
		"awslogs-create-group", "awslogs-region", "awslogs-group", "awslogs-stream-prefix", "awslogs-datetime-format",
		"awslogs-multiline-pattern", "mode", "max-buffer-size",
	}
	// awslogsLater are options of the driver that Berth does not act on.
	awslogsLater = []string{"awslogs-endpoint", "awslogs-format", "tag", "awslogs-force-flush-interval-seconds", "awslogs-credentials-endpoint"}
	// The file is written at once, so there is nothing for mode to choose, and no buffer.
	jsonFileOptions = []string{"max-size", "max-file", "mode"}
	jsonFileLater   = []string{"labels", "labels-regex", "env", "env-regex", "compress", "tag", "max-buffer-size"}
)

// logDriverNone discards the output. Differs: the model has no such value, Docker has.
const logDriverNone api.LogDriver = "none"

var bufferPattern = regexp.MustCompile(`^[1-9][0-9]*[bkmgBKMG]?$`)

func checkLogging(c *api.ContainerDefinition) error {
	l := c.LogConfiguration
	if l == nil {
		return nil
	}
	switch l.LogDriver {
	case "":
		return settingError(*c.Name, "logConfiguration.logDriver should not be null or empty.")
	case logDriverNone:
		return checkLogOptions(l, nil, nil)
	case api.LogDriverJsonFile:
		return checkLogOptions(l, jsonFileOptions, jsonFileLater)
	case api.LogDriverAwslogs:
	default:
		if err := checkEnum("logConfiguration.logDriver", l.LogDriver); err != nil {
			return err
		}
		return notYet("Log driver " + string(l.LogDriver))
	}
	var absent []string
	for _, need := range []string{"awslogs-region", "awslogs-group"} {
		if l.Options[need] == "" {
			absent = append(absent, need)
		}
	}
	if len(absent) > 0 {
		return clientError("Log driver awslogs requires options: %s", strings.Join(absent, ", "))
	}
	if l.Options["awslogs-datetime-format"] != "" && l.Options["awslogs-multiline-pattern"] != "" {
		return clientError("Log driver awslogs can have only one of options: awslogs-datetime-format, awslogs-multiline-pattern")
	}
	if _, err := strconv.ParseBool(cmp.Or(l.Options["awslogs-create-group"], "false")); err != nil {
		return clientError("Log driver awslogs option awslogs-create-group must be true or false.")
	}
	return checkLogOptions(l, awslogsOptions, awslogsLater)
}

func checkLogOptions(l *api.LogConfiguration, known, later []string) error {
	var unknown []string
	for name := range l.Options {
		switch {
		case slices.Contains(known, name):
		case slices.Contains(later, name):
			return notYet("Option " + name + " of log driver " + string(l.LogDriver))
		default:
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return clientError("Log driver %s disallows options: %s", l.LogDriver, strings.Join(unknown, ", "))
	}
	if m, ok := l.Options["mode"]; ok && m != "blocking" && m != "non-blocking" {
		return clientError("Log driver option mode must be blocking or non-blocking.")
	}
	if n, ok := l.Options["max-buffer-size"]; ok && !bufferPattern.MatchString(n) {
		return clientError("Log driver option max-buffer-size must be a size such as 10m.")
	}
	return nil
}

func checkLinuxParameters(c *api.ContainerDefinition) error {
	p := c.LinuxParameters
	if p == nil {
		return nil
	}
	if err := firstError(
		within(*c.Name, "swappiness", p.Swappiness, 0, 100), checkCapabilities(c), checkTmpfs(c), checkDevices(c)); err != nil {
		return err
	}
	switch {
	case value(p.SharedMemorySize) < 0:
		return settingError(*c.Name, "'sharedMemorySize' must not be negative.")
	case value(p.MaxSwap) < 0:
		return settingError(*c.Name, "'maxSwap' must not be negative.")
	case p.Swappiness != nil && p.MaxSwap == nil:
		return settingError(*c.Name, "'swappiness' needs 'maxSwap'.")
	}
	return nil
}

func checkTmpfs(c *api.ContainerDefinition) error {
	for _, t := range c.LinuxParameters.Tmpfs {
		if !path.IsAbs(value(t.ContainerPath)) {
			return settingError(*c.Name, "The containerPath of a tmpfs must be an absolute path.")
		}
		if value(t.Size) <= 0 {
			return settingError(*c.Name, "The size of tmpfs '%s' must be greater than 0.", *t.ContainerPath)
		}
	}
	return nil
}

func checkDevices(c *api.ContainerDefinition) error {
	for _, d := range c.LinuxParameters.Devices {
		if !path.IsAbs(value(d.HostPath)) {
			return settingError(*c.Name, "The hostPath of a device must be an absolute path.")
		}
		if d.ContainerPath != nil && !path.IsAbs(*d.ContainerPath) {
			return settingError(*c.Name, "The containerPath of device '%s' must be an absolute path.", *d.HostPath)
		}
		for _, p := range d.Permissions {
			if err := checkEnum("devices.permissions", p); err != nil {
				return err
			}
		}
	}
	return nil
}

// capabilities are the names of Linux capabilities, as the model lists them.
var capabilities = strings.Fields(`ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE
	DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN
	NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE
	SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM`)

func checkCapabilities(c *api.ContainerDefinition) error {
	k := c.LinuxParameters.Capabilities
	if k == nil {
		return nil
	}
	for _, name := range slices.Concat(k.Add, k.Drop) {
		if !slices.Contains(capabilities, name) {
			return settingError(*c.Name, "Unknown Linux capability '%s'.", name)
		}
	}
	return nil
}

// ipcControls are the sysctls of the IPC namespace.
var ipcControls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
	"kernel.shm_rmid_forced",
}

func checkSystemControls(c *api.ContainerDefinition) error {
	for _, s := range c.SystemControls {
		name := value(s.Namespace)
		if name == "" || s.Value == nil {
			return settingError(*c.Name, "A system control needs namespace and value.")
		}
		if !isIPCControl(name) && !strings.HasPrefix(name, "net.") {
			return settingError(*c.Name, "System control '%s' is not allowed: only kernel parameters of namespaces (net.* and IPC) are.", name)
		}
	}
	return nil
}

func isIPCControl(name string) bool {
	return slices.Contains(ipcControls, name) || strings.HasPrefix(name, "fs.mqueue.")
}

func checkSecurityOptions(c *api.ContainerDefinition) error {
	for _, o := range c.DockerSecurityOptions {
		switch {
		case o == "no-new-privileges", o == "no-new-privileges:true", o == "no-new-privileges:false":
		case strings.HasPrefix(o, "apparmor:"), strings.HasPrefix(o, "label:"):
		case strings.HasPrefix(o, "credentialspec"):
			return notYet("dockerSecurityOptions " + strings.SplitN(o, ":", 2)[0])
		default:
			return settingError(*c.Name, "Invalid docker security option '%s'.", o)
		}
	}
	return nil
}

func checkHosts(c *api.ContainerDefinition) error {
	for _, h := range c.ExtraHosts {
		if value(h.Hostname) == "" || value(h.IpAddress) == "" {
			return settingError(*c.Name, "An extra host needs hostname and ipAddress.")
		}
		if _, err := netip.ParseAddr(*h.IpAddress); err != nil {
			return settingError(*c.Name, "'%s' is not an IP address.", *h.IpAddress)
		}
	}
	for _, d := range c.DnsServers {
		if _, err := netip.ParseAddr(d); err != nil {
			return settingError(*c.Name, "'%s' is not an IP address.", d)
		}
	}
	return nil
}

// gpuCount reads a GPU requirement; 0 for a requirement of another type.
func gpuCount(r api.ResourceRequirement) (int32, bool) {
	if r.Type != api.ResourceTypeGPU {
		return 0, true
	}
	n, err := strconv.ParseInt(value(r.Value), 10, 32)
	return int32(n), err == nil && n >= 1 && n <= 1024
}
