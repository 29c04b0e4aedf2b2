package netlab

import (
	"context"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func greet(t *testing.T, m *Machine) string {
	t.Helper()
	l, err := m.Listen("tcp", net.JoinHostPort(m.IPv4.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, m.Name)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func reach(m *Machine, address string, within time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, err := m.Dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	said, err := io.ReadAll(conn)
	return string(said), err
}

func TestPartitionCutsOneMachineOffUntilHealed(t *testing.T) {
	lab := New(t, 3)
	address := greet(t, lab.Machines[0])
	want := func(when string, from *Machine, ok bool) {
		t.Helper()
		within := 300 * time.Millisecond
		if ok {
			within = 5 * time.Second
		}
		if said, err := reach(from, address, within); (err == nil) != ok || (ok && said != "m1") {
			t.Errorf("%s, from %s: got %q, %v", when, from.Name, said, err)
		}
	}
	want("at first", lab.Machines[1], true)
	want("at first", lab.Machines[2], true)
	lab.Machines[2].Partition(t)
	want("while m3 is unplugged", lab.Machines[1], true)
	want("while m3 is unplugged", lab.Machines[2], false)
	lab.Machines[2].Heal(t)
	want("after healing", lab.Machines[2], true)
}

func TestCommandsRunInsideTheMachine(t *testing.T) {
	m := New(t, 1).Machines[0]
	var out strings.Builder
	cmd := exec.Command("ip", "-o", "-4", "addr", "show", "dev", "eth0")
	cmd.Stdout = &out
	if err := m.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), m.IPv4.String()) {
		t.Errorf("eth0 inside: %s, want %s", out.String(), m.IPv4)
	}
}
