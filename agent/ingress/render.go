package ingress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/elbv2/haproxy"
)

// filesPrefix begins the names of directories with the files of one configuration.
const filesPrefix = "files-"

// rendered is a configuration that can be checked and run.
type rendered struct {
	running
	machine  haproxy.Machine
	config   haproxy.Config
	problems []haproxy.Problem // listeners that are left out
	dir      string            // of config.Files
	identity string            // of machine.Namespace
}

// render makes the configuration of the newest frame. Files are kept under the digest of their content, so that text that is the
// same means files that are the same, and a refused configuration leaves those of the last good one alone. The caller holds mu.
func (i *Ingress) render() rendered {
	m := i.machine()
	m.Published = i.state.published
	slots := map[string]int{}
	for _, b := range i.state.running.Backends {
		slots[b.Group] = max(slots[b.Group], b.Slots)
	}
	m.Dir = i.cfg.Dir
	frame, problems := i.carried()
	files := haproxy.Render(frame, m, slots).Files
	m.Dir = i.cfg.path(filesPrefix + digestFiles(files))
	r := rendered{machine: m, config: haproxy.Render(frame, m, slots), problems: problems, dir: m.Dir}
	if m.Namespace != "" {
		// HAProxy opens the namespace by its path: one that was made anew there means a new worker.
		_, r.identity = i.cfg.Network.TaskNamespace()
		r.config.Text = append(r.config.Text, "\n# namespace "+r.identity+"\n"...)
	}
	sum := sha256.Sum256(r.config.Text)
	r.running = running{Digest: hex.EncodeToString(sum[:]), Revision: i.state.Revision, Backends: r.config.Backends}
	return r
}

func digestFiles(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %d\n", name, len(files[name]))
		h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// serves tells whether HAProxy has anything to do.
func (r rendered) serves() bool {
	return strings.Contains(string(r.config.Text), "\nfrontend ") || strings.Contains(string(r.config.Text), "\nlisten ")
}

// text is the file with the slots that a worker is to begin with.
func (i *Ingress) text(r rendered) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	wanted := i.wanted(r.machine, false)
	slots := map[string][]haproxy.Slot{}
	for _, b := range r.config.Backends {
		have := fit(b, i.state.slots[b.Name])
		slots[b.Name] = follow(have, haproxy.Plan(b, have, wanted[b.Group]))
	}
	return fill(r.config.Text, slots)
}

// writeFiles makes the directory of a configuration's files, whole or not at all.
func (r rendered) writeFiles() error {
	if _, err := os.Stat(r.dir); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(r.dir), ".new-") // with mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for name, content := range r.config.Files {
		path := filepath.Join(tmp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return os.Rename(tmp, r.dir)
}

// dropFiles removes the files of other configurations. Workers have read theirs when they started.
func (c Config) dropFiles(keep rendered) error {
	entries, err := os.ReadDir(c.Dir)
	for _, e := range entries {
		old := strings.HasPrefix(e.Name(), filesPrefix) && c.path(e.Name()) != keep.dir
		old = old || strings.HasPrefix(e.Name(), haproxy.LatePrefix) && !strings.Contains(string(keep.config.Text), c.path(e.Name())+" ")
		if old {
			err = errors.Join(err, os.RemoveAll(c.path(e.Name())))
		}
	}
	return err
}

// prepare writes and checks a configuration beside the one that serves.
func (i *Ingress) prepare(ctx context.Context, r rendered) (path string, err error) {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil { // HAProxy looks for namespaces from there
		return "", err
	}
	if err := r.writeFiles(); err != nil {
		return "", err
	}
	path = i.cfg.path(configFile + ".new")
	if err := writeFile(path, i.text(r)); err != nil {
		return "", err
	}
	return path, i.cfg.check(ctx, path)
}
