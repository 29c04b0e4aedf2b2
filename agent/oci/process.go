package oci

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/agent"
	api "berth/api/ecs"
	"berth/aws"
)

// initPath is where the small init is bound, as Docker does.
const initPath = "/sbin/docker-init"

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (r *Runtime) process(c agent.Container, rootfs string) (*specs.Process, error) {
	def := c.Definition
	args := commandLine(def, c.Image.Config)
	if len(args) == 0 {
		return nil, createError("no command specified")
	}
	if p := def.LinuxParameters; p != nil && aws.Value(p.InitProcessEnabled) {
		if r.cfg.Init == "" {
			return nil, createError("initProcessEnabled needs an init on this machine: install the package tini")
		}
		args = append([]string{initPath, "--"}, args...)
	}
	name := orDefault(aws.Value(def.User), c.Image.Config.User)
	u, err := lookupUser(rootfs, name)
	if err != nil {
		return nil, &agent.Error{Name: nameCannotStart, Detail: fmt.Sprintf("unable to find user %s: %s", name, clip(err.Error(), 300)), Err: err}
	}
	limits, err := r.rlimits(def.Ulimits)
	if err != nil {
		return nil, err
	}
	cwd := orDefault(orDefault(aws.Value(def.WorkingDirectory), c.Image.Config.WorkingDir), "/")
	if !path.IsAbs(cwd) {
		return nil, createError("the working directory %q is invalid, it needs to be an absolute path", cwd)
	}
	p := &specs.Process{
		Terminal: aws.Value(def.PseudoTerminal),
		Args:     args,
		Cwd:      path.Clean(cwd),
		User:     specs.User{UID: uint32(u.Uid), GID: uint32(u.Gid), AdditionalGids: groups(u)},
		Rlimits:  limits,
		// Never below 0: a container goes before the agent. Only a privileged process may go below its own.
		OOMScoreAdj: new(max(0, r.host.oomScore)),
	}
	p.Env = environment(c, u.Home, p.Terminal)
	return p, nil
}

// commandLine is entry point and command. An entryPoint in the definition drops the image's CMD with its ENTRYPOINT.
func commandLine(def api.ContainerDefinition, image agent.ImageConfig) []string {
	entry, cmd := image.Entrypoint, image.Cmd
	if len(def.EntryPoint) > 0 {
		entry, cmd = def.EntryPoint, nil
		if len(entry) == 1 && entry[0] == "" {
			entry = nil
		}
	}
	if len(def.Command) > 0 {
		cmd = def.Command
	}
	return slices.Concat(entry, cmd)
}

// environment joins the image's, the definition's and the agent's variables; later ones win.
func environment(c agent.Container, home string, terminal bool) []string {
	var names []string
	values := map[string]string{}
	set := func(k, v string) {
		if _, ok := values[k]; !ok {
			names = append(names, k)
		}
		values[k] = v
	}
	set("PATH", defaultPath)
	set("HOSTNAME", c.Hostname)
	if terminal {
		set("TERM", "xterm")
	}
	setAll := func(list []string) {
		for _, kv := range list {
			if k, v, ok := strings.Cut(kv, "="); ok && k != "" {
				set(k, v)
			}
		}
	}
	setAll(c.Image.Config.Env)
	for _, kv := range c.Definition.Environment {
		set(aws.Value(kv.Name), aws.Value(kv.Value))
	}
	setAll(c.Env)
	if _, ok := values["HOME"]; !ok {
		set("HOME", orDefault(home, "/"))
	}
	env := make([]string, 0, len(names))
	for _, k := range names {
		env = append(env, k+"="+values[k])
	}
	return env
}

// groups are the user's groups with the primary one first.
func groups(u *user.ExecUser) []uint32 {
	out := []uint32{uint32(u.Gid)}
	for _, g := range u.Sgids {
		if g != u.Gid {
			out = append(out, uint32(g))
		}
	}
	return out
}

// lookupUser resolves "user", "user:group" with names or numbers from the image's own files.
func lookupUser(rootfs, name string) (*user.ExecUser, error) {
	root, err := os.Open(rootfs)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	passwd, group := openInRoot(root, "etc/passwd"), openInRoot(root, "etc/group")
	defer passwd.Close()
	defer group.Close()
	return user.GetExecUser(name, &user.ExecUser{Home: "/"}, passwd, group)
}

// maxAccountFile bounds /etc/passwd and /etc/group, which are the image's and so hostile.
const maxAccountFile = 4 << 20

// openInRoot opens a regular file of a container's file system. Symbolic links, absolute ones included, stay inside.
// What cannot be opened reads as empty.
func openInRoot(root *os.File, name string) io.ReadCloser {
	nothing := io.NopCloser(strings.NewReader(""))
	fd, err := openat2(root, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC)
	if err != nil {
		return nothing
	}
	f := os.NewFile(uintptr(fd), name)
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		_ = f.Close()
		return nothing
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, maxAccountFile), f}
}

func openat2(root *os.File, name string, flags uint64) (int, error) {
	for range 16 {
		fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
		// EAGAIN: something was renamed meanwhile and the kernel could not be sure.
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		return fd, err
	}
	return -1, unix.EAGAIN
}

// rlimits are the definition's. Where this process may not raise a hard limit, the highest possible is set.
func (r *Runtime) rlimits(list []api.Ulimit) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for _, u := range list {
		kind, ok := rlimitKinds[string(u.Name)]
		if !ok {
			return nil, createError("ulimit %q is not known", u.Name)
		}
		soft, hard := rlimitValue(u.SoftLimit), rlimitValue(u.HardLimit)
		if soft > hard {
			return nil, createError("ulimit %s: soft limit must be less than or equal to hard limit", u.Name)
		}
		var own unix.Rlimit
		if !r.host.caps["CAP_SYS_RESOURCE"] && unix.Getrlimit(kind, &own) == nil && hard > own.Max {
			r.log.Warn("hard limit cannot be raised on this machine", "ulimit", u.Name, "wanted", hard, "set", own.Max)
			soft, hard = min(soft, own.Max), own.Max
		}
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(string(u.Name)), Soft: soft, Hard: hard})
	}
	return out, nil
}

func rlimitValue(v *int32) uint64 {
	if n := aws.Value(v); n >= 0 {
		return uint64(n)
	}
	return math.MaxUint64
}

var rlimitKinds = map[string]int{
	"core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
	"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE,
	"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}
