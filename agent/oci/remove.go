package oci

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"berth/agent"
)

// Remove deletes the container and everything made for it but its log. It kills what still runs. Removing what
// isn't there is no error.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if !idPattern.MatchString(id) {
		return nil
	}
	defer r.lock(id)()
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	err := errors.Join(r.remove(ctx, id), os.RemoveAll(filepath.Join(r.layersDir(), id)))
	if err != nil {
		return &agent.Error{Name: nameCannotRemove, Detail: clip(err.Error(), 1000), Err: err}
	}
	return nil
}

// Reset removes the container but for its writable layer, which the next Create of the same ID takes up: so a
// restarted container finds the files that it wrote.
func (r *Runtime) Reset(ctx context.Context, id string) error {
	if !idPattern.MatchString(id) {
		return nil
	}
	defer r.lock(id)()
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := r.reset(ctx, id); err != nil {
		return &agent.Error{Name: nameCannotRemove, Detail: clip(err.Error(), 1000), Err: err}
	}
	return nil
}

func (r *Runtime) reset(ctx context.Context, id string) error {
	rec, err := r.readRecord(id)
	if err != nil || !rec.Created {
		return r.remove(ctx, id)
	}
	if err := r.stop(ctx, rec); err != nil {
		return err
	}
	err = os.Rename(filepath.Join(r.dir(id), "upper"), filepath.Join(r.layersDir(), id))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return r.remove(ctx, id)
}

func (r *Runtime) remove(ctx context.Context, id string) error {
	dir := r.dir(id)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return r.removeExit(id)
	}
	rec, err := r.readRecord(id)
	if err != nil {
		// Without a record nothing was started: it is written first, and in one step.
		rec = &record{ID: id, Runtime: r.cfg.defaultRuntime()}
	}
	if err := r.stop(ctx, rec); err != nil {
		return err
	}
	// The record goes last, so that a removal that is cut short is taken up again, and until then the exit code is known.
	if err := removeBundle(dir); err != nil {
		return err
	}
	return r.removeExit(id)
}

func (r *Runtime) removeExit(id string) error {
	if err := os.Remove(filepath.Join(r.exitsDir(), id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// stop ends the container's processes and takes down all but its files.
func (r *Runtime) stop(ctx context.Context, rec *record) error {
	if !rec.Created {
		if err := r.killHalfMade(ctx, rec); err != nil {
			return err
		}
	}
	if rec.CgroupParent != "" {
		if err := r.killCgroup(ctx, rec.cgroup()); err != nil {
			return err
		}
	}
	if err := r.endMonitor(ctx, rec); err != nil {
		return err
	}
	if err := r.deleteState(ctx, rec); err != nil {
		return err
	}
	if rec.CgroupParent != "" {
		if err := r.removeCgroup(ctx, rec.cgroup()); err != nil {
			return err
		}
	}
	return unmount(filepath.Join(r.dir(rec.ID), "rootfs"))
}

func removeBundle(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "container.json" {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// deleteState has the OCI runtime forget the container. Its hooks run there.
func (r *Runtime) deleteState(ctx context.Context, rec *record) error {
	state := filepath.Join(r.runtimeRoot(rec.Runtime), rec.ID)
	if _, err := os.Lstat(state); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := r.runtimeCommand(ctx, rec, "delete", "--force", rec.ID); err != nil {
		r.log.Warn("runtime could not delete container, its state is removed", "container", rec.ID, "err", err)
	}
	return os.RemoveAll(state)
}
