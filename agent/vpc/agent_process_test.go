package vpc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"berth/agent"
	"berth/test/netlab"
)

// agentProcess attaches one container as a process of its own and waits to be killed.
func agentProcess() {
	n, err := Open(context.Background(), Config{Dir: os.Getenv("VPC_TEST_DIR"), PortProxy: []string{"/proc/self/exe", "port-proxy"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	res, err := n.Attach(context.Background(), agent.NetworkRequest{ID: "web-1", Mode: "bridge", Ports: webPorts()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(res)
	select {}
}

func webPorts() []agent.PortRequest {
	return []agent.PortRequest{{ContainerPort: 80, Protocol: "tcp"}, {ContainerPort: 53, Protocol: "udp"}}
}

// startAgent runs agentProcess on a machine and returns what it attached.
func startAgent(t *testing.T, m *netlab.Machine, dir string) (*exec.Cmd, agent.NetworkResult) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "VPC_TEST_ROLE=agent", "VPC_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var res agent.NetworkResult
	if err := json.NewDecoder(out).Decode(&res); err != nil {
		t.Fatalf("agent process: %v", err)
	}
	return cmd, res
}

// killProxy kills the port proxy of n's directory and waits until it is gone.
func killProxy(t *testing.T, n *Network) {
	t.Helper()
	hello, err := n.proxy.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(hello.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := unix.Kill(hello.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 5000); err != nil {
		t.Fatal(err)
	}
}
