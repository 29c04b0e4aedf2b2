package oci

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.podman.io/storage/pkg/reexec"
	"golang.org/x/sys/unix"

	"berth/agent"
)

// Init must be the first call of main and of TestMain: the layer store unpacks layers in a child process made of
// this program. When it returns true this is such a child that has done its work: return from main.
func Init() bool { return reexec.Init() }

// Config of a Runtime. Dir, Conmon, Runtimes and CgroupRoot are required.
type Config struct {
	// Dir holds everything of this runtime. It must be on a file system that overlay accepts as upper layer.
	Dir string
	// Conmon is the path of the monitor.
	Conmon string
	// Runtimes maps names ("runc", "crun", "runsc") to paths. DefaultRuntime is "runc" when empty.
	Runtimes       map[string]string
	DefaultRuntime string
	// Init is the path of a small static init for initProcessEnabled; empty makes such containers fail.
	Init string
	// CgroupRoot is the cgroup that every task's cgroup is below, such as "berth/3f9a".
	CgroupRoot string

	// Registries maps a registry's host:port, as image names show it, to how it is reached.
	Registries map[string]RegistryEndpoint
	// PullBehavior is ECS_IMAGE_PULL_BEHAVIOR: default, always, once or prefer-cached.
	PullBehavior string
	Limits       Limits
	Collection   Collection

	// AllowNewPrivileges turns off no_new_privs for containers that don't ask for it.
	AllowNewPrivileges bool
	Log                *slog.Logger
}

// RegistryEndpoint says how a registry is reached. URL is the base to which /v2/... is appended; with
// a URL starting with http:// plain text is allowed.
type RegistryEndpoint struct {
	URL                string
	TLSConfig          *tls.Config
	Username, Password string
	// KeepHost sends the registry's own name in the header Host, for an endpoint that serves several.
	KeepHost bool
}

// Limits bound what a hostile image or registry can cost. Zero values mean the defaults.
type Limits struct {
	Bytes      int64         // unpacked bytes of an image; 32 GiB
	Files      int64         // files of an image; 500,000
	Layers     int           // 125, as Docker
	Manifest   time.Duration // one try to get a manifest; 1 minute
	Inactivity time.Duration // without a byte; 1 minute
	Pull       time.Duration // whole pull; 2 hours
	Tries      int           // 5
	FreeBytes  int64         // what a pull leaves free on the file system; 64 MiB
}

// Collection says when unused images are removed. Zero values mean the defaults.
type Collection struct {
	HighWater float64       // used share of the file system; 0.80
	MinAge    time.Duration // since last use; 1 hour; negative means none
	Count     int           // images per cycle; 5
}

var cgroupRootPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]+(/[a-zA-Z0-9._-]+)*$`)

// Validate says what is missing.
func (c Config) Validate() error {
	switch {
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("runtime directory %q is not absolute", c.Dir)
	case strings.ContainsAny(c.Dir, ":,\\"):
		return fmt.Errorf("runtime directory %q has one of : , \\ in it, which overlay mounts do not take", c.Dir)
	case c.Conmon == "":
		return errors.New("conmon is not known: install the package conmon")
	case c.Runtimes[c.defaultRuntime()] == "":
		return fmt.Errorf("OCI runtime %s is not known: run make bin/runc", c.defaultRuntime())
	case !cgroupRootPattern.MatchString(c.CgroupRoot) || strings.Contains(c.CgroupRoot, ".."):
		return fmt.Errorf("cgroup root %q is not a relative path of plain names", c.CgroupRoot)
	}
	switch c.PullBehavior {
	case "", "default", "always", "once", "prefer-cached":
		return nil
	}
	return fmt.Errorf("pull behaviour %q is not one of default, always, once, prefer-cached", c.PullBehavior)
}

func (c Config) defaultRuntime() string {
	if c.DefaultRuntime == "" {
		return "runc"
	}
	return c.DefaultRuntime
}

func (l Limits) withDefaults() Limits {
	l.Bytes = orDefault(l.Bytes, 32<<30)
	l.Files = orDefault(l.Files, 500_000)
	l.Layers = orDefault(l.Layers, 125)
	l.Manifest = orDefault(l.Manifest, time.Minute)
	l.Inactivity = orDefault(l.Inactivity, time.Minute)
	l.Pull = orDefault(l.Pull, 2*time.Hour)
	l.Tries = orDefault(l.Tries, 5)
	l.FreeBytes = orDefault(l.FreeBytes, 64<<20)
	return l
}

func (c Collection) withDefaults() Collection {
	c.HighWater = orDefault(c.HighWater, 0.80)
	c.MinAge = orDefault(c.MinAge, time.Hour)
	c.Count = orDefault(c.Count, 5)
	return c
}

func orDefault[T comparable](v, or T) T {
	var zero T
	if v == zero {
		return or
	}
	return v
}

// Runtime implements agent.Runtime, agent.Exits, agent.Execer and agent.TaskCgroups.
type Runtime struct {
	cfg     Config
	images  *Images
	cgroups cgroupDriver
	spawn   *spawner
	host    hostFeatures
	log     *slog.Logger
	own     *os.File // locked while the directory is open

	// mu guards locks, one per container ID, so that steps on one container never overlap, and creating, the
	// containers that are being created.
	mu       sync.Mutex
	locks    map[string]*idLock
	creating map[string]bool
}

var (
	_ agent.Runtime     = (*Runtime)(nil)
	_ agent.Exits       = (*Runtime)(nil)
	_ agent.Execer      = (*Runtime)(nil)
	_ agent.TaskCgroups = (*Runtime)(nil)
	_ agent.Images      = (*Images)(nil)
)

// Open opens the directory and adopts what is in it. One process at a time may have a directory open.
func Open(cfg Config) (*Runtime, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits, cfg.Collection = cfg.Limits.withDefaults(), cfg.Collection.withDefaults()
	r := &Runtime{cfg: cfg, log: cfg.Log, locks: map[string]*idLock{}, creating: map[string]bool{}, host: detectHost()}
	for _, d := range []string{r.containersDir(), r.exitsDir(), r.layersDir(), r.runtimesDir(), r.tempDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make runtime directory: %w", err)
		}
	}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Runtime) open() (err error) {
	if r.own, err = lockDirectory(r.cfg.Dir); err != nil {
		return err
	}
	if err := r.clearTemp(); err != nil {
		return err
	}
	if r.cgroups, err = detectCgroups(r.cfg.CgroupRoot); err != nil {
		return err
	}
	if r.images, err = openImages(r.cfg, r.imagesInUse); err != nil {
		return err
	}
	r.spawn, err = newSpawner(r.cgroups, r.monitorCgroup())
	return err
}

// lockWait is how long Open waits for the process before, which may be ending.
const lockWait = 5 * time.Second

// lockDirectory keeps a second process from the directory. The kernel ends the lock with the process.
func lockDirectory(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock runtime directory: %w", err)
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("runtime directory %s is in use by another process: %w", dir, err), f.Close())
		}
	}
}

// clearTemp removes what a killed process left half done.
func (r *Runtime) clearTemp() error {
	points, err := mountPoints(r.tempDir())
	if err != nil {
		return fmt.Errorf("clear temporary directory: %w", err)
	}
	for _, p := range points {
		if err := unmount(p); err != nil {
			return fmt.Errorf("clear temporary directory: %w", err)
		}
	}
	entries, err := os.ReadDir(r.tempDir())
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(r.tempDir(), e.Name())))
	}
	if err != nil {
		return fmt.Errorf("clear temporary directory: %w", err)
	}
	return nil
}

// Close ends this process's use of the directory. Containers go on.
func (r *Runtime) Close() error {
	var err error
	if r.spawn != nil {
		r.spawn.close()
	}
	if r.images != nil {
		err = r.images.close()
	}
	if r.own != nil {
		err = errors.Join(err, r.own.Close())
	}
	return err
}

// Images returns the image store.
func (r *Runtime) Images() *Images { return r.images }

func (r *Runtime) containersDir() string { return filepath.Join(r.cfg.Dir, "containers") }
func (r *Runtime) exitsDir() string      { return filepath.Join(r.cfg.Dir, "exits") }
func (r *Runtime) layersDir() string     { return filepath.Join(r.cfg.Dir, "layers") }
func (r *Runtime) runtimesDir() string   { return filepath.Join(r.cfg.Dir, "runtimes") }
func (r *Runtime) tempDir() string       { return filepath.Join(r.cfg.Dir, "tmp") }
func (r *Runtime) monitorCgroup() string { return r.cfg.CgroupRoot + "/monitors" }

// idLock is a lock with a count of those who want it, so that it can be forgotten.
type idLock struct {
	ch    chan struct{}
	users int
}

// lock serialises steps on one container. The returned function ends it.
func (r *Runtime) lock(id string) func() {
	r.mu.Lock()
	l := r.locks[id]
	if l == nil {
		l = &idLock{ch: make(chan struct{}, 1)}
		r.locks[id] = l
	}
	l.users++
	r.mu.Unlock()
	l.ch <- struct{}{}
	return func() {
		<-l.ch
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(r.locks, id)
		}
	}
}
