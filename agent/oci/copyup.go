package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"go.podman.io/storage/drivers/copy"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// CopyUp copies what the image has in the directory at into the volume directory dst, with owners and modes, as
// a new volume starts. A dst that is not empty, or an image without such a directory, is left alone.
func (r *Runtime) CopyUp(ctx context.Context, image agent.Image, at, dst string) error {
	if err := r.copyUp(image, at, dst); err != nil {
		return &agent.Error{Name: "CannotCreateVolumeError", Detail: clip(err.Error(), 1000), Err: err}
	}
	return ctx.Err()
}

func (r *Runtime) copyUp(image agent.Image, at, dst string) (err error) {
	if entries, err := os.ReadDir(dst); err != nil || len(entries) > 0 {
		return err
	}
	layers, err := r.images.layers(image.ID)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(r.tempDir(), "copyup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	view := filepath.Join(tmp, "rootfs")
	if err := os.Mkdir(view, 0o755); err != nil {
		return err
	}
	if err := mountOverlay(layers, "", "", view); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount(view)) }()
	root, err := os.Open(view)
	if err != nil {
		return err
	}
	defer root.Close()
	name := strings.TrimPrefix(path.Clean("/"+at), "/")
	if name == "" {
		return nil
	}
	fd, err := openat2(root, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s of image: %w", at, err)
	}
	defer unix.Close(fd)
	if err := copy.DirCopy(fmt.Sprintf("/proc/self/fd/%d/.", fd), dst, copy.Content, true); err != nil {
		return fmt.Errorf("copy %s of image: %w", at, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := os.Chown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(dst, st.Mode&0o7777)
}
