package agent

import (
	"testing"
	"time"

	"berth/agent/proto"
)

func TestOutboxSendsAtOnceOnlyWhatSomebodyWaitsFor(t *testing.T) {
	now := time.Now()
	pending := proto.TaskStatus{Arn: simArn, LastStatus: statusPending, Containers: []proto.ContainerStatus{{Name: "a", LastStatus: statusPending}}}
	with := func(change func(s *proto.TaskStatus, c *proto.ContainerStatus)) proto.TaskStatus {
		s, c := pending, pending.Containers[0]
		change(&s, &c)
		s.Containers = []proto.ContainerStatus{c}
		return s
	}
	for _, c := range []struct {
		name   string
		status proto.TaskStatus
		now    bool
	}{
		{"what the server knows", pending, false},
		{"health that is not known yet", with(func(s *proto.TaskStatus, c *proto.ContainerStatus) { s.HealthStatus, c.HealthStatus = unknown, unknown }), false},
		{"pull times", with(func(s *proto.TaskStatus, _ *proto.ContainerStatus) { s.PullStartedAt = now }), false},
		{"runtime ID", with(func(_ *proto.TaskStatus, c *proto.ContainerStatus) { c.RuntimeID = "x" }), false},
		{"steps", with(func(s *proto.TaskStatus, _ *proto.ContainerStatus) { s.Steps = []proto.Step{{Name: "pull a"}} }), false},
		{"task runs", with(func(s *proto.TaskStatus, _ *proto.ContainerStatus) { s.LastStatus = statusRunning }), true},
		{"container runs", with(func(_ *proto.TaskStatus, c *proto.ContainerStatus) { c.LastStatus = statusRunning }), true},
		{"container is healthy", with(func(_ *proto.TaskStatus, c *proto.ContainerStatus) { c.HealthStatus = "HEALTHY" }), true},
		{"stop reason", with(func(s *proto.TaskStatus, _ *proto.ContainerStatus) { s.StoppedReason = "why" }), true},
		{"exit code", with(func(_ *proto.TaskStatus, c *proto.ContainerStatus) { c.ExitCode = new(int32(1)) }), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			seq, err := openSequence(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			o := newOutbox(seq)
			o.put(c.status, nil, now)
			_, sent, due := o.take(false, now)
			if sent != c.now {
				t.Errorf("sent at once: %t, want %t", sent, c.now)
			}
			if !sent && !due.Equal(now.Add(stepDelay)) {
				t.Errorf("due %s after the change, want %s", due.Sub(now), stepDelay)
			}
			if r, ok, _ := o.take(false, now.Add(stepDelay)); !sent && (!ok || len(r.Tasks) != 1) {
				t.Errorf("not sent when due: %v %v", r, ok)
			}
		})
	}
}
