package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.podman.io/storage"
	"golang.org/x/sys/unix"
)

var errNoSpace = error(syscall.ENOSPC)

// touch notes that the image was used now. The note is the modification time of a file.
func (im *Images) touch(id string) error {
	dir := filepath.Join(im.dir, "used")
	now := time.Now()
	path := filepath.Join(dir, id)
	err := os.Chtimes(path, now, now)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = os.WriteFile(path, nil, 0o600)
		}
	}
	if err != nil {
		return pullError("note use of image: "+err.Error(), err)
	}
	return nil
}

// lastUse is when the image was last pulled or given to a container.
func (im *Images) lastUse(s *storage.Image) time.Time {
	if fi, err := os.Stat(filepath.Join(im.dir, "used", s.ID)); err == nil {
		return fi.ModTime()
	}
	return s.Created
}

// Collect removes unused images, those unused longest first, while the store's file system is fuller than the
// high-water mark. Images of existing containers and those used within the last hour stay.
func (im *Images) Collect(ctx context.Context) error {
	c := im.cfg.Collection
	used, err := im.used()
	if err != nil || used < c.HighWater {
		return err
	}
	stored, err := im.store.Images()
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	slices.SortFunc(stored, func(a, b storage.Image) int { return im.lastUse(&a).Compare(im.lastUse(&b)) })
	removed := 0
	for _, s := range stored {
		if ctx.Err() != nil || removed >= c.Count {
			break
		}
		if time.Since(im.lastUse(&s)) < c.MinAge {
			continue
		}
		// Asked anew each time: a container may have come since.
		busy, err := im.inUse()
		if err != nil {
			return err
		}
		if busy[s.ID] {
			continue
		}
		if _, err := im.store.DeleteImage(s.ID, true); err != nil {
			return fmt.Errorf("remove image %s: %w", s.ID, err)
		}
		removed++
		im.mu.Lock()
		delete(im.known, s.ID)
		im.mu.Unlock()
		_ = os.Remove(filepath.Join(im.dir, "used", s.ID))
		im.log.Info("unused image removed", "image", s.ID, "names", s.Names)
		if used, err = im.used(); err != nil || used < c.HighWater {
			return err
		}
	}
	return ctx.Err()
}

// used is the share of the store's file system that is in use.
func (im *Images) used() (float64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(im.dir, &fs); err != nil {
		return 0, fmt.Errorf("image store: %w", err)
	}
	return 1 - float64(fs.Bavail)/float64(fs.Blocks), nil
}
