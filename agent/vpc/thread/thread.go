// Package thread runs code inside network namespaces. The network namespace belongs to the thread and not to the process, and Go moves
// goroutines between threads, so every visit goes through here.
package thread

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is the path of the calling thread's own network namespace.
const Namespace = "/proc/thread-self/ns/net"

// ErrNoNamespace says that a path is not that of a network namespace: never made, removed, or lost with a reboot.
var ErrNoNamespace = errors.New("no network namespace is kept there")

// Open opens the network namespace that is kept at path.
func Open(path string) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return -1, fmt.Errorf("%s: %w", path, ErrNoNamespace)
	}
	if err != nil {
		return -1, fmt.Errorf("open namespace %s: %w", path, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || st.Type != unix.NSFS_MAGIC {
		unix.Close(fd)
		return -1, fmt.Errorf("%s: %w", path, ErrNoNamespace)
	}
	return fd, nil
}

// In calls f on a thread inside the open namespace. Processes and sockets that f starts and opens are of that namespace.
func In(fd int, f func() error) error {
	return Own(func() error {
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Own calls f on a locked thread, which f may take to other network namespaces, and brings the thread back. A thread that cannot be
// brought back stays locked, and Go ends it with its goroutine: no other code can meet it.
func Own(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := Open(Namespace)
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer unix.Close(home)
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
