package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// bareRunc runs a bundle that Berth's agent made with nothing but runc: its container shares the network namespace
// and the task's cgroup of the container that the bundle was made for.
type bareRunc struct {
	runc, dir, root string
	spec            specs.Spec
	made            []string
}

// newBareRunc takes the bundle of a running container. root is the image's root file system.
func (b *berth) newBareRunc(container, root string) (*bareRunc, error) {
	r := &bareRunc{dir: filepath.Join(b.dir, "bare"), root: root, runc: filepath.Join(filepath.Dir(b.binary), "runc")}
	if _, err := os.Stat(r.runc); err != nil {
		if r.runc, err = exec.LookPath("runc"); err != nil {
			return nil, err
		}
	}
	raw, err := os.ReadFile(filepath.Join(b.dir, "agent", "oci", "containers", container, "config.json"))
	if err != nil {
		return nil, err
	}
	return r, errors.Join(json.Unmarshal(raw, &r.spec), os.MkdirAll(r.dir, 0o700))
}

// prepare makes a bundle; this is not part of what is timed.
func (r *bareRunc) prepare(id string) error {
	dir := filepath.Join(r.dir, id)
	for _, d := range []string{"rootfs", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", r.root, dir, dir)
	if err := unix.Mount("overlay", filepath.Join(dir, "rootfs"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount the bundle's root: %w", err)
	}
	r.made = append(r.made, id)
	spec, linux := r.spec, *r.spec.Linux
	linux.CgroupsPath = filepath.Join(filepath.Dir(linux.CgroupsPath), id)
	spec.Linux = &linux
	raw, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600)
}

// start creates and starts the container of a prepared bundle and returns how long that took.
func (r *bareRunc) start(ctx context.Context, id string) (time.Duration, error) {
	began := time.Now()
	err := r.command(ctx, "create", "--bundle", filepath.Join(r.dir, id), id)
	if err == nil {
		err = r.command(ctx, "start", id)
	}
	return time.Since(began), err
}

// clear removes every container that was prepared, four at a time.
func (r *bareRunc) clear() error {
	errs := make([]error, len(r.made))
	var g errgroup.Group
	g.SetLimit(4)
	for i, id := range r.made {
		g.Go(func() error {
			dir := filepath.Join(r.dir, id)
			errs[i] = errors.Join(r.command(context.Background(), "delete", "--force", id),
				unix.Unmount(filepath.Join(dir, "rootfs"), unix.MNT_DETACH), os.RemoveAll(dir))
			return nil
		})
	}
	_ = g.Wait()
	r.made = nil
	return errors.Join(errs...)
}

func (r *bareRunc) command(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, r.runc, append([]string{"--root", filepath.Join(r.dir, "state")}, args...)...)
	// Output goes to a file: with a pipe, waiting would last as long as the container.
	out, err := os.CreateTemp(r.dir, "out")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("runc %s: %w: %s", args[0], err, said)
	}
	return nil
}
