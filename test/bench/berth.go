package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// berth is one running Berth with a data directory and ports of its own.
type berth struct {
	binary, dir string
	*client
}

func startBerth(ctx context.Context, binary string) (*berth, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: it starts real containers")
	}
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	// A short path: sockets below it must fit into 108 bytes.
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return nil, err
	}
	b := &berth{binary: path, dir: dir}
	if _, err := b.command(ctx, "up", "--detach", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--egress=false"); err != nil {
		return nil, errors.Join(err, b.end())
	}
	out, err := b.command(ctx, "env", "--json")
	var env map[string]string
	if err == nil {
		err = json.Unmarshal([]byte(out), &env)
	}
	if err != nil {
		return nil, errors.Join(err, b.end())
	}
	b.client = newClient(env["AWS_ENDPOINT_URL"], env["AWS_REGION"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
	return b, nil
}

// end stops Berth with its tasks and removes its data, also after an interrupt.
func (b *berth) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	_, err := b.command(ctx, "down", "--wait", "20s")
	return errors.Join(err, os.RemoveAll(b.dir))
}

// command runs the berth command for this Berth and returns its standard output.
func (b *berth) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, b.binary, append(args, "--data-dir", b.dir)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("berth %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), err
}

// process finds the one process of this Berth that is its "server" or "agent".
func (b *berth) process(kind string) (pid int, err error) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		args := strings.Split(string(data), "\x00")
		if len(args) > 2 && args[0] == b.binary && args[1] == kind && strings.Contains(string(data), b.dir) {
			return strconv.Atoi(filepath.Base(filepath.Dir(f)))
		}
	}
	return 0, fmt.Errorf("no process %q of %s", kind, b.dir)
}
