package ingress

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// family are the processes of one HAProxy that still run: the master and all workers, also those that stop and those whose master is gone. Nobody else is in
// the session that the master began.
type family struct {
	master int
	config string // path, which is on their command lines
}

// visit calls do with a pidfd of each and returns how many there are.
func (f family) visit(do func(pidfd int) error) (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	var errs []error
	found := 0
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if sid, err := unix.Getsid(pid); err != nil || sid != f.master {
			continue
		}
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // ended meanwhile
		}
		// A master that begins anew for a reload has no command line for a moment.
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err == nil && (len(cmdline) == 0 || strings.Contains(string(cmdline), "\x00"+f.config+"\x00")) && !ended(pidfd, 0) {
			found++
			errs = append(errs, do(pidfd))
		}
		unix.Close(pidfd)
	}
	return found, errors.Join(errs...)
}

// signal sends a signal to all.
func (f family) signal(s unix.Signal) error {
	_, err := f.visit(func(pidfd int) error { return signal(pidfd, s) })
	return err
}

// wait waits up to stopWait until all have ended. A look again finds those that began meanwhile.
func (f family) wait() (gone bool, err error) {
	for deadline := time.Now().Add(stopWait); ; {
		left, err := f.visit(func(pidfd int) error { ended(pidfd, 20); return nil })
		if left == 0 || err != nil || time.Now().After(deadline) {
			return left == 0, err
		}
	}
}

// kill ends all at once, also those that hang, and waits for their ends.
func (f family) kill() error {
	for range 3 { // a master that is killed in the middle of a reload may have begun one more
		if err := f.signal(unix.SIGKILL); err != nil {
			return err
		}
		if gone, err := f.wait(); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("HAProxy (process %d) does not end", f.master)
}

// stop ends all with their connections.
func (f family) stop() error {
	if err := f.signal(unix.SIGTERM); err != nil {
		return err
	}
	if gone, err := f.wait(); gone || err != nil {
		return err
	}
	return f.kill()
}

func signal(pidfd int, s unix.Signal) error {
	if err := unix.PidfdSendSignal(pidfd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end HAProxy: %w", err)
	}
	return nil
}

// ended waits up to so many milliseconds for a process to end.
func ended(pidfd, ms int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, ms)
	return err == nil && n > 0
}
