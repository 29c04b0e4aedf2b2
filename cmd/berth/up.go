package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
	"berth/supervise"
)

// Addresses unless told otherwise: 4566 is what many AWS tools already try on a laptop.
const (
	defaultListen      = "127.0.0.1:4566"
	defaultAgentListen = "127.0.0.1:4567"
)

// readyWait is how long `up --detach` waits for the first answer. The first start makes keys and a store.
const readyWait = 60 * time.Second

type upFlags struct {
	server serverFlags
	agent  agentFlags
	detach bool
}

func upCommand(o *options) *cobra.Command {
	f := &upFlags{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: control plane, registry and one agent",
		Long: "Runs the control plane with its embedded store, the registry and one agent.\n" +
			"Without --detach it stays in the foreground; Ctrl-C ends Berth and leaves the tasks running,\n" +
			"and `berth up` finds and adopts them. `berth down` ends the tasks too.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return &cli.Failure{What: "berth up needs root", Cause: "it makes namespaces, mounts and control groups", Fix: "sudo " + strings.Join(os.Args, " "), Exit: cli.ExitDenied}
			}
			dataDir, err := filepath.Abs(o.dataDir)
			if err != nil {
				return err
			}
			o.dataDir = dataDir
			if err := f.server.validate(); err != nil {
				return err
			}
			if _, err := f.agent.validate(); err != nil {
				return err
			}
			if f.detach {
				return detach(cmd.Context(), o, cmd.ErrOrStderr())
			}
			return up(cmd.Context(), o, f, cmd.ErrOrStderr())
		},
	}
	f.server.register(cmd)
	f.agent.register(cmd)
	cmd.Flags().BoolVarP(&f.detach, "detach", "d", false, "return when Berth answers, and leave it running")
	return cmd
}

func upLogPath(dataDir string) string  { return filepath.Join(dataDir, "run", "berth.log") }
func upLockPath(dataDir string) string { return filepath.Join(dataDir, "run", "up.lock") }

// lockUp makes this process the one `up` of a data directory. The lock file holds its process ID.
func lockUp(dataDir string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(dataDir, "run"), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(upLockPath(dataDir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &cli.Failure{What: "Berth is already running here", Cause: "process " + upPID(dataDir) + " keeps " + dataDir, Fix: "berth status --data-dir " + dataDir}
	}
	_ = f.Truncate(0)
	_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	return f, err
}

func upPID(dataDir string) string {
	data, _ := os.ReadFile(upLockPath(dataDir))
	return strings.TrimSpace(string(data))
}

// isUp tells whether an `up` holds the data directory.
func isUp(dataDir string) bool {
	f, err := os.Open(upLockPath(dataDir))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

func up(ctx context.Context, o *options, f *upFlags, w io.Writer) error {
	lock, err := lockUp(o.dataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The ports are chosen here, so that a server that is started again keeps them.
	last, _ := cli.ReadRunFile(o.dataDir)
	if f.server.listen, err = fixPort(f.server.listen, last.Listen); err != nil {
		return err
	}
	if f.server.agentListen, err = fixPort(f.server.agentListen, last.AgentListen); err != nil {
		return err
	}
	tokenFile := filepath.Join(o.dataDir, "run", "agent-token")
	common := []string{"--data-dir", o.dataDir}
	log := newLog(w)
	if cli.IsTerminal(w) {
		fmt.Fprintf(w, "Berth starts at http://%s. In another shell: eval \"$(berth env --data-dir %s)\". Ctrl-C ends Berth and leaves the tasks running.\n", f.server.listen, o.dataDir)
	}
	err = supervise.Run(ctx, log, w, []supervise.Child{
		{
			Name: "server", Path: self, Args: append(append([]string{"server", "--local-token-file", tokenFile}, common...), f.server.args(o)...),
			Ready: func(ctx context.Context) error {
				if err := waitReady(ctx, f.server.listen); err != nil {
					return err
				}
				return undrain(ctx, o)
			},
		},
		{
			Name: "agent", Path: self, Args: append(append([]string{"agent", "--server", "https://" + f.server.agentListen, "--token-file", tokenFile}, common...), f.agent.args(o)...),
		},
	})
	if err != nil {
		return err
	}
	log.Info("berth ended; tasks that ran are left running")
	return nil
}

// fixPort turns port 0 into a free port, the one of the last time when it is free.
func fixPort(listen, last string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", &cli.Failure{What: "not an address: " + listen, Cause: err.Error(), Fix: "--listen " + defaultListen, Exit: cli.ExitUsage}
	}
	if port != "0" {
		return listen, nil
	}
	if lastHost, _, err := net.SplitHostPort(last); err == nil && lastHost == host {
		if l, err := net.Listen("tcp", last); err == nil {
			return last, l.Close()
		}
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func waitReady(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, listen) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer: %w", listen, ctx.Err())
		case <-tick.C:
		}
	}
}

func answers(ctx context.Context, listen string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+own.PathReady, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// detach starts this same command in the background and returns when Berth answers and its agent is connected.
func detach(ctx context.Context, o *options, w io.Writer) error {
	if isUp(o.dataDir) {
		fmt.Fprintf(w, "Berth is already running (process %s).\n", upPID(o.dataDir))
		return printWhere(o, w)
	}
	if err := os.MkdirAll(filepath.Join(o.dataDir, "run"), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(upLogPath(o.dataDir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, withoutDetach(os.Args[1:])...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, "/"
	cmd.Env = append(os.Environ(), "BERTH_DATA_DIR="+o.dataDir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = cli.Progress(ctx, w, "starting Berth", func(ctx context.Context) error { return waitUp(ctx, o, began, ended) })
	if err != nil {
		return &cli.Failure{What: "Berth did not start", Cause: err.Error() + "\n" + lastLines(upLogPath(o.dataDir), 5), Fix: "berth doctor; less " + upLogPath(o.dataDir), Exit: cli.ExitCode(err)}
	}
	fmt.Fprintf(w, "Berth is running (process %d).\n", cmd.Process.Pid)
	return printWhere(o, w)
}

func withoutDetach(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--detach" || a == "-d" || strings.HasPrefix(a, "--detach="):
		case a == "--data-dir":
			i++ // handed over as an absolute path in the environment
		case strings.HasPrefix(a, "--data-dir="):
		default:
			kept = append(kept, a)
		}
	}
	return kept
}

// waitUp waits until the API answers and a machine has connected since it began; older connections are of the last time.
func waitUp(ctx context.Context, o *options, began time.Time, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := cli.Local(o.dataDir); err == nil {
			s, err := cli.Call[own.GetStatusResponse](ctx, cli.NewClient(c), cli.Own, "GetStatus", own.GetStatusRequest{})
			if err == nil && slices.ContainsFunc(s.Machines, func(m own.Machine) bool { return m.Connected && !m.LastSeen.Before(began.Truncate(time.Millisecond)) }) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", readyWait, ctx.Err())
		case err := <-ended:
			return errors.Join(errors.New("it ended"), err)
		case <-tick.C:
		}
	}
}

func lastLines(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func printWhere(o *options, w io.Writer) error {
	c, err := cli.Local(o.dataDir)
	if err != nil {
		return err
	}
	flag := ""
	if o.dataDir != cli.DefaultDataDir {
		flag = " --data-dir " + o.dataDir
	}
	berth := invocation(os.Args[0], os.Getenv("SUDO_UID") != "")
	_, err = fmt.Fprintf(w, "  endpoint   %s\n  use it     eval \"$(%s env%s)\"\n  end it     %s down%s\n", c.Endpoint, berth, flag, berth, flag)
	return err
}

// invocation is how the person called this program, so that what is shown can be typed as it is.
func invocation(program string, sudo bool) string {
	if sudo {
		return "sudo " + program
	}
	return program
}

// newLog writes one line per event; a terminal or a file alike.
func newLog(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("BERTH_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
