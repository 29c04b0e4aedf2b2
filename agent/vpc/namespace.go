package vpc

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"berth/agent/vpc/thread"
)

// namespace is an open network namespace with a netlink socket and an nftables connection inside it.
type namespace struct {
	fd  netns.NsHandle
	nl  *netlink.Handle
	nft *ruleConn
}

// currentNamespace opens the calling thread's namespace.
func currentNamespace() (*namespace, error) { return openNamespace(thread.Namespace) }

// openNamespace opens the namespace kept at path; thread.ErrNoNamespace when there is none.
func openNamespace(path string) (*namespace, error) {
	file, err := thread.Open(path)
	if err != nil {
		return nil, err
	}
	fd := netns.NsHandle(file)
	nl, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		fd.Close()
		return nil, fmt.Errorf("open netlink in %s: %w", path, err)
	}
	return &namespace{fd: fd, nl: nl, nft: &ruleConn{netns: file}}, nil
}

func (n *namespace) Close() {
	if n == nil {
		return
	}
	n.nft.close()
	n.nl.Close()
	n.fd.Close()
}

// identity tells namespaces of one boot apart.
func (n *namespace) identity() string { return n.fd.UniqueId() }

// run calls f on a thread inside the namespace.
func (n *namespace) run(f func() error) error { return thread.In(int(n.fd), f) }

// createNamespace makes a network namespace and keeps it at path by a bind mount. Inside it, setup is called on the
// thread that made it, before the namespace can be found by its path.
func createNamespace(path string, setup func() error) error {
	if err := removeNamespace(path); err != nil {
		return err
	}
	return thread.Own(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		if setup != nil {
			if err := setup(); err != nil {
				return err
			}
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o400)
		if err != nil {
			return fmt.Errorf("keep network namespace: %w", err)
		}
		f.Close()
		if err := unix.Mount(thread.Namespace, path, "", unix.MS_BIND, ""); err != nil {
			os.Remove(path)
			return fmt.Errorf("keep network namespace at %s: %w", path, err)
		}
		return nil
	})
}

// kept tells whether a namespace is kept at path.
func kept(path string) (bool, error) {
	fd, err := thread.Open(path)
	if errors.Is(err, thread.ErrNoNamespace) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, unix.Close(fd)
}

// removeNamespace lets the namespace at path go. Links inside it vanish when the last process has left it.
func removeNamespace(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err == nil {
			continue // mounted more than once
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// writeSysctl sets "net.…" in the calling thread's namespace. As with sysctl(8), a slash stands for a dot within a name.
func writeSysctl(key, value string) error {
	path, err := sysctlPath(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set %s=%s: %w", key, value, err)
	}
	return nil
}

func readSysctl(key string) (string, error) {
	path, err := sysctlPath(key)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	return strings.TrimSpace(string(data)), err
}

func sysctlPath(key string) (string, error) {
	swapped := strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
	if !strings.HasPrefix(swapped, "net/") {
		return "", fmt.Errorf("sysctl %q does not begin with net.", key)
	}
	for part := range strings.SplitSeq(swapped, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("sysctl %q is not well formed", key)
		}
	}
	return "/proc/sys/" + swapped, nil
}
