package oci

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Cleanup removes every container of this directory with its processes, mounts and cgroups, and everything else below
// the cgroup root. Images stay. Nothing can be created afterwards: close the Runtime.
func (r *Runtime) Cleanup(ctx context.Context) error {
	entries, err := os.ReadDir(r.containersDir())
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, r.Remove(ctx, e.Name()))
	}
	r.spawn.close()
	errs = append(errs, r.removeCgroup(ctx, r.cfg.CgroupRoot), r.unmountAll())
	r.removeEmptyParents()
	for _, d := range []string{r.exitsDir(), r.layersDir(), r.runtimesDir(), r.tempDir()} {
		errs = append(errs, os.RemoveAll(d))
	}
	return errors.Join(errs...)
}

// removeEmptyParents removes the groups above the cgroup root that nothing else uses: a group that is not empty is
// not removed by the kernel.
func (r *Runtime) removeEmptyParents() {
	for p := filepath.Dir(r.cfg.CgroupRoot); p != "."; p = filepath.Dir(p) {
		for _, d := range r.cgroups.dirs(p) {
			_ = unix.Rmdir(d)
		}
	}
}

// unmountAll detaches every mount below the directory, innermost first.
func (r *Runtime) unmountAll() error {
	dir, err := filepath.EvalSymlinks(r.cfg.Dir)
	if err != nil {
		return err
	}
	points, err := mountPoints(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range slices.Backward(points) {
		errs = append(errs, unmount(p))
	}
	return errors.Join(errs...)
}

// mountPoints lists the mounts below dir, in the order in which they were made.
func mountPoints(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) > 4 {
			if p := unescape.Replace(fields[4]); strings.HasPrefix(p, dir+"/") {
				out = append(out, p)
			}
		}
	}
	return out, s.Err()
}
