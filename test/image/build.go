package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// FromGo builds the Go package as a static program and returns the path of an image with it at /<base name of the
// package>, which is the entry point unless cfg says otherwise. Images are kept in cache by their content.
func FromGo(ctx context.Context, cache, pkg string, cfg Config, files ...File) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, ".go-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	name := filepath.Base(pkg)
	program := filepath.Join(tmp, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	raw, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	if cfg.Entrypoint == nil {
		cfg.Entrypoint = []string{"/" + name}
	}
	dst := filepath.Join(cache, name+"-"+key(sha256.Sum256(raw), cfg, files)+".tar")
	if _, err := os.Stat(dst); err == nil {
		return dst, nil
	}
	_, err = Write(dst, cfg, append([]File{{Path: name, Source: program}}, files...))
	return dst, err
}

// ErrNoPackages says that Debian's packages cannot be had here.
var ErrNoPackages = errors.New("no Debian packages")

// FromDebian unpacks Debian packages with all that they depend on and returns the path of an image of them. Packages
// come from the machine's apt sources; what was downloaded and built is kept in cache.
func FromDebian(ctx context.Context, cache, name string, packages []string, cfg Config, files ...File) (string, error) {
	all, err := closure(ctx, packages)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoPackages, err)
	}
	versions, err := output(ctx, "", "apt-get", append([]string{"-qq", "--print-uris", "download"}, all...)...)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoPackages, err)
	}
	dst := filepath.Join(cache, name+"-"+key(versions, cfg, files)+".tar")
	if _, err := os.Stat(dst); err == nil {
		return dst, nil
	}
	debs := filepath.Join(cache, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return "", err
	}
	tree, err := os.MkdirTemp(cache, ".tree-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return "", err
	}
	if err := unpack(ctx, tree, debs, versions); err != nil {
		return "", err
	}
	if err := accounts(tree); err != nil {
		return "", err
	}
	_, err = WriteTree(dst, cfg, tree, files...)
	return dst, err
}

// TreeFromDebian unpacks Debian packages below the directory tree, without what they depend on: for static programs. What was downloaded is kept in cache.
func TreeFromDebian(ctx context.Context, cache, tree string, packages ...string) error {
	uris, err := output(ctx, "", "apt-get", append([]string{"-qq", "--print-uris", "download"}, packages...)...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoPackages, err)
	}
	debs := filepath.Join(cache, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	return unpack(ctx, tree, debs, uris)
}

// closure lists packages and what they depend on.
func closure(ctx context.Context, packages []string) ([]string, error) {
	args := []string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}
	out, err := output(ctx, "", "apt-cache", append(args, packages...)...)
	if err != nil {
		return nil, err
	}
	// base-passwd has the accounts, base-files the directories.
	all := append([]string{"base-files", "base-passwd"}, packages...)
	for line := range strings.Lines(out) {
		p := strings.TrimSpace(line)
		if p != "" && line[0] != ' ' && line[0] != '|' && p[0] != '<' && !installsOnly(p) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// installsOnly are packages that are needed to install others, not to run them.
func installsOnly(p string) bool {
	for _, prefix := range []string{"debconf", "cdebconf", "dpkg", "install-info", "init-system-helpers", "perl-base", "adduser", "passwd", "tar"} {
		if p == prefix || strings.HasPrefix(p, prefix+":") {
			return true
		}
	}
	return false
}

func unpack(ctx context.Context, tree, debs, uris string) error {
	// The merged layout comes first: packages that still have files in /bin and /lib follow the links.
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(tree, "usr", d), 0o755), os.Symlink("usr/"+d, filepath.Join(tree, d))); err != nil {
			return err
		}
	}
	var missing, files []string
	for line := range strings.Lines(uris) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		files = append(files, fields[1])
		if _, err := os.Stat(filepath.Join(debs, fields[1])); err != nil {
			missing = append(missing, fields[1])
		}
	}
	if err := download(ctx, debs, missing); err != nil {
		return fmt.Errorf("%w: %w", ErrNoPackages, err)
	}
	slices.Sort(files)
	for _, f := range files {
		if err := extract(ctx, filepath.Join(debs, f), tree); err != nil {
			return err
		}
	}
	return nil
}

// download brings package files into a directory that others may fill at the same time.
func download(ctx context.Context, debs string, files []string) error {
	if len(files) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp(debs, ".get-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	args := []string{"-qq", "-o", "APT::Sandbox::User=root", "download"}
	for _, f := range files {
		name, _, _ := strings.Cut(f, "_")
		args = append(args, name)
	}
	if _, err := output(ctx, tmp, "apt-get", args...); err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Rename(filepath.Join(tmp, f), filepath.Join(debs, f)); err != nil {
			return err
		}
	}
	return nil
}

// extract unpacks one package. Links to directories that are there already stay links.
func extract(ctx context.Context, deb, tree string) error {
	fs := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	tar := exec.CommandContext(ctx, "tar", "-x", "-p", "--keep-directory-symlink", "-C", tree)
	pipe, err := fs.StdoutPipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	tar.Stdin, tar.Stderr, fs.Stderr = pipe, &said, &said
	if err := errors.Join(fs.Start(), tar.Start()); err != nil {
		return err
	}
	if err := errors.Join(tar.Wait(), fs.Wait()); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", deb, err, said.String())
	}
	return nil
}

// accounts makes what the installation of base-passwd would.
func accounts(tree string) error {
	for _, f := range []string{"passwd", "group"} {
		raw, err := os.ReadFile(filepath.Join(tree, "usr/share/base-passwd", f+".master"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, "etc", f), raw, 0o644); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(tree, "tmp"), 0o777)
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, errs.String())
	}
	return string(out), nil
}
