package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	ecs "berth/api/ecs"
	"berth/aws"
)

// job makes the work of an action from what the task is now; the work itself reads nothing of the task.
func (r *runner) job(a action) (func(context.Context) result, time.Duration) {
	fail := func(f func(context.Context) error) func(context.Context) result {
		return func(ctx context.Context) result { return result{err: f(ctx)} }
	}
	c := r.t.container(a.Container)
	switch a.Do {
	case doCgroup:
		return fail(r.cgroupJob()), prepareLimit
	case doVolumes:
		arn, volumes := r.arn, r.t.Definition.Volumes
		return fail(func(context.Context) error { return r.node.cfg.makeVolumes(arn, volumes) }), prepareLimit
	case doNamespaces:
		return r.namespacesJob(), prepareLimit
	case doPull:
		return r.pullJob(c), pullLimit
	case doNetwork:
		return r.networkJob(c), prepareLimit
	case doLogs:
		return fail(r.logsJob(c)), prepareLimit
	case doCreate:
		return fail(r.createJob(a, c)), createLimit
	case doStart:
		return r.startJob(c), startLimit
	case doProbe:
		return r.probeJob(c), seconds(check(r.t.definition(c.Name)).Timeout, 5)
	case doStop, doKill:
		return fail(r.signalJob(c, a.Do)), signalLimit
	case doRestart:
		id, reset := c.ID, r.node.cfg.Deps.Runtime.Remove
		if k, ok := r.node.cfg.Deps.Runtime.(layerKeeper); ok {
			reset = k.Reset
		}
		return fail(func(ctx context.Context) error { return reset(ctx, id) }), dropLimit
	case doDropContainer:
		return fail(r.dropContainerJob(a, c)), dropLimit
	case doDetach:
		id := c.ID
		return fail(func(ctx context.Context) error { return r.node.cfg.Deps.Network.Detach(ctx, id) }), dropLimit
	case doDropTask:
		return fail(r.dropTaskJob()), dropLimit
	}
	panic("unreachable: action " + a.String())
}

func (r *runner) cgroupJob() func(context.Context) error {
	cpu, memory := taskSize(r.t.Definition)
	parent := r.node.cfg.cgroup(r.arn)
	return func(ctx context.Context) error {
		return r.node.cfg.Deps.Cgroups.PrepareTask(ctx, parent, cpu, memory, 0)
	}
}

func (r *runner) pullJob(c *container) func(context.Context) result {
	ref := aws.Value(r.t.definition(c.Name).Image)
	early := r.adopted
	return func(ctx context.Context) result {
		if early {
			if err := r.node.awaitWelcome(ctx); err != nil {
				return result{err: err}
			}
		}
		image, err := r.node.cfg.Deps.Images.Pull(ctx, ref, PullOptions{})
		return result{image: image, err: err}
	}
}

func (r *runner) networkJob(c *container) func(context.Context) result {
	req, err := r.t.networkRequest(c)
	return func(ctx context.Context) result {
		if err != nil {
			return result{err: err}
		}
		res, err := r.node.cfg.Deps.Network.Attach(ctx, req)
		return result{net: res, err: err}
	}
}

func (r *runner) logsJob(c *container) func(context.Context) error {
	log, err := r.logTarget(c)
	if err != nil {
		return func(context.Context) error { return err }
	}
	early := r.adopted
	return func(ctx context.Context) error {
		if early {
			if err := r.node.awaitWelcome(ctx); err != nil {
				return err
			}
		}
		return r.node.logs.prepare(ctx, log)
	}
}

// createJob writes the files that the container sees in /etc and creates it. Waiting for its turn has no limit: that hundreds of
// containers are to be made is no failure of the last.
func (r *runner) createJob(a action, c *container) func(context.Context) error {
	spec, files, err := r.containerSpec(c)
	id, again := c.ID, r.adopted && !c.Ran
	prepare := func(ctx context.Context) error {
		if again { // an earlier agent may have left half of it
			if err := r.node.cfg.Deps.Runtime.Remove(ctx, id); err != nil {
				return err
			}
		}
		if err := r.node.fill(ctx, spec.Image, spec.Mounts); err != nil {
			return err
		}
		return files.write()
	}
	create := func(ctx context.Context) error { return r.node.cfg.Deps.Runtime.Create(ctx, spec) }
	return func(ctx context.Context) error {
		if err != nil {
			return err
		}
		if err := within(ctx, a, createLimit, prepare); err != nil {
			return err
		}
		free, err := turn(ctx, r.node.creating)
		if err != nil {
			return err
		}
		defer free()
		if r.stopping.Load() {
			return errors.New("the task stops")
		}
		if err := within(ctx, a, createLimit, create); err != nil {
			return err
		}
		r.node.logs.resume(id)
		return nil
	}
}

// turn waits for a place in a channel, which free gives up.
func turn(ctx context.Context, places chan struct{}) (free func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *runner) startJob(c *container) func(context.Context) result {
	id := c.ID
	return func(ctx context.Context) result {
		err := r.node.cfg.Deps.Runtime.Start(ctx, id)
		return result{err: err, startedAt: time.Now().UTC()}
	}
}

func (r *runner) probeJob(c *container) func(context.Context) result {
	id, args := c.ID, checkArgs(check(r.t.definition(c.Name)))
	return func(ctx context.Context) result {
		code, err := r.node.cfg.Deps.Execer.Exec(ctx, id, args, nil)
		// A check that took too long or could not be run failed, as on ECS.
		return result{healthy: err == nil && code == 0}
	}
}

func (r *runner) signalJob(c *container, do verb) func(context.Context) error {
	id, signal, all := c.ID, unix.SIGTERM, false
	if c.Image != nil && c.Image.Config.StopSignal != "" {
		signal = stopSignal(c.Image.Config.StopSignal)
	}
	if do == doKill {
		signal, all = unix.SIGKILL, true
	}
	return func(ctx context.Context) error { return r.node.cfg.Deps.Runtime.Signal(ctx, id, int(signal), all) }
}

func (r *runner) dropContainerJob(a action, c *container) func(context.Context) error {
	id := c.ID
	return func(ctx context.Context) error {
		free, err := turn(ctx, r.node.removing)
		if err != nil {
			return err
		}
		defer free()
		if err := within(ctx, a, dropLimit, func(ctx context.Context) error { return r.node.cfg.Deps.Runtime.Remove(ctx, id) }); err != nil {
			return err
		}
		r.node.logs.ended(id)
		return os.RemoveAll(r.node.cfg.etcDir(id))
	}
}

func (r *runner) dropTaskJob() func(context.Context) error {
	parent, spaces, arn := r.node.cfg.cgroup(r.arn), r.t.Namespaces, r.arn
	return func(ctx context.Context) error {
		spaces.release()
		return errors.Join(r.node.cfg.Deps.Cgroups.RemoveTask(ctx, parent), r.node.cfg.dropVolumes(arn))
	}
}

// layerKeeper removes a container but keeps what it wrote for the next of the same ID: a restart in place finds its
// files, as on ECS. Implemented by agent/oci.
type layerKeeper interface {
	Reset(ctx context.Context, id string) error
}

// containerSpec is all that the runtime needs to know of the container, and the files to write before.
func (r *runner) containerSpec(c *container) (Container, etcFiles, error) {
	cfg, t, def := r.node.cfg, r.t, r.t.definition(c.Name)
	mounts, err := cfg.mounts(r.arn, t.Definition, c.Name)
	if err != nil {
		return Container{}, etcFiles{}, err
	}
	files, err := t.etcFiles(cfg.etcDir(c.ID), c)
	if err != nil {
		return Container{}, etcFiles{}, err
	}
	spec := Container{
		ID: c.ID, TaskArn: r.arn, Name: c.Name, Image: *c.Image, Definition: *def,
		Env: r.environment(c), Hostname: files.hostname, CgroupParent: cfg.cgroup(r.arn), Mounts: mounts,
		ResolvConf: filepath.Join(files.dir, "resolv.conf"), Hosts: filepath.Join(files.dir, "hosts"),
		HostnameFile: filepath.Join(files.dir, "hostname"), LogPath: cfg.logPath(c.ID), GPUIDs: t.Want.GPUIDs[c.Name],
		Annotations: map[string]string{"com.amazonaws.ecs.task-arn": r.arn, "com.amazonaws.ecs.container-name": c.Name},
	}
	log, err := r.logTarget(c)
	if err != nil {
		return Container{}, etcFiles{}, err
	}
	if spec.LogMaxBytes = log.Rotate; log.Driver == driverNone {
		spec.LogPath = "/dev/null"
	}
	if c.Net != nil {
		spec.NetNS = c.Net.NetNS
	}
	if err := r.shareNamespaces(&spec); err != nil {
		return Container{}, etcFiles{}, err
	}
	return spec, files, os.MkdirAll(filepath.Dir(spec.LogPath), 0o700)
}

// shareNamespaces applies pidMode and ipcMode. Absent, and ipcMode none, mean namespaces of the container's own.
func (r *runner) shareNamespaces(spec *Container) error {
	switch r.t.Definition.PidMode {
	case ecs.PidModeHost:
		spec.PIDNS = "host"
	case ecs.PidModeTask:
		spec.PIDNS = r.t.Namespaces.PID
	}
	switch r.t.Definition.IpcMode {
	case ecs.IpcModeHost:
		spec.IPCNS = "host"
	case ecs.IpcModeTask:
		spec.IPCNS = r.t.Namespaces.IPC
		memory, err := sharedMemoryMount(r.arn)
		if err != nil {
			return err
		}
		spec.Mounts = append(spec.Mounts, memory)
	}
	return nil
}

// environment is what every container gets.
func (r *runner) environment(c *container) []string {
	return append([]string{"AWS_EXECUTION_ENV=AWS_ECS_EC2"}, r.node.endpoints.environment(c.ID, r.t.networkMode(c.Name))...)
}

// taskSize is the task's own limit of CPU (units) and memory (MiB); 0 means none.
func taskSize(def *ecs.TaskDefinition) (cpu, memory int32) {
	return size(aws.Value(def.Cpu), "vcpu"), size(aws.Value(def.Memory), "gb")
}

// size reads "512", or "0.5 vCPU" and "1 GB" in units of 1/1024.
func size(s, unit string) int32 {
	number, large := strings.CutSuffix(strings.ToLower(strings.TrimSpace(s)), unit)
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return 0
	}
	if large {
		n *= 1024
	}
	return int32(n)
}
